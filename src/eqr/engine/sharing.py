"""Shares the slots of one board among clients, and a client's part among its requests. Knows no clock and no network.

Cost is counted in segments. Whoever has had the fewest segments comes first, whatever depth and breadth it asked for; a
row that has moved a few segments can be parked for a row of somebody who has had fewer. Whoever has all the rows it
needs under way is owed nothing for slots that it did not want (start-time fair queueing, Goyal, Vin & Cheng 1996).

A turn of many rows takes long on a CPU, and a small request waits for as many turns as it has segments. So requests
that have had the fewest segments count as new, and while they have rows, older requests have no more rows than these
(and half of the slots at most): turns are short for new requests, and older ones still have a part.

Shares alone would keep a hard request among many small ones waiting for ever, since there are always new ones. So a
request of limited cost that has waited for long is late, and the oldest late request of each client goes before all
others, in up to half of the slots. A request of great depth is never late: it has its share.
"""

import math
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter

from eqr.engine.queue import PuzzleQueue
from eqr.engine.rows import Job
from eqr.evidence import Evidence, Snapshot

QUANTUM = 8
"""Segments that a row moves in its slot before it can be parked, so that parking costs little."""
NEW = 256
"""A request is new until it has had so many segments, or a quantum more than another request that wants slots, if its
client has had no more than others. Older requests of its client are not owed for the segments of new ones."""
LATE = 4096
"""A request is late when its board has moved so many segments since it came (10 s of the bundled Sudoku model)..."""
ORDINARY = 16_384
"""... and if it can cost no more than so many: eight puzzles with 32 restarts of 64 segments."""


@dataclass(kw_only=True, eq=False)
class _Share:
    """The segments that a client or a request has had, and the slots that it has."""

    spent: float
    """Segments of needed rows so far; more if it could have had more and did not want them."""
    running: int = 0
    """Needed rows in slots."""

    @property
    def claim(self) -> float:
        """Segments it will have had when its rows can be parked: the lowest comes first."""
        return float(self.spent + QUANTUM * self.running)


@dataclass(kw_only=True, eq=False)
class _Asker(_Share):
    queue: PuzzleQueue
    client: "_Client"
    number: int
    """Requests before this one."""
    late_at: float
    """Segments of the board after which the request is late."""
    parked: deque[Job] = field(default_factory=deque)
    """Rows that wait for a slot to continue; no new row of the asker starts before these."""
    had: int = 0
    """Segments of needed rows."""
    new: bool = True
    late: bool = False
    first: bool = False
    """Whether this is the oldest late request of its client."""

    @property
    def claim(self) -> float:
        """The order among new requests is that of all their segments: who has just come is first."""
        return float((self.had if self.new else self.spent) + QUANTUM * self.running)

    @property
    def order(self) -> tuple[float, ...]:
        """The lowest comes first: the oldest late requests of clients, clients by their claims, late ones by age."""
        if self.first:
            return 0, self.number
        return 1, self.client.claim, *((0, self.number) if self.late else (1, self.claim))

    def owed(self, other: "_Asker") -> bool:
        """Whether this asker should have the slot of a row of ``other``, who stays ahead of it without that slot."""
        if self.first or other.first or (self.client is other.client and (self.late or other.late)):
            return self.order < other.order
        if self.client is other.client:
            return other.claim > self.claim + QUANTUM
        return other.client.claim > self.client.claim + QUANTUM

    def waits(self, room: bool) -> bool:
        """Whether a row would move if it had a slot. One row may start without ``room``, so that nobody starves."""
        return bool(self.parked) or ((room or not self.queue.moving) and self.queue.wants())

    def take(self) -> Job:
        """The row that moves next; only for an asker that waits."""
        job = self.parked.popleft() if self.parked else self.queue.start()
        assert job
        return job


@dataclass(kw_only=True, eq=False)
class _Client(_Share):
    name: str
    askers: list[_Asker] = field(default_factory=list)
    clock: float = 0.0
    """Segments of the waiting asker who has had the fewest."""


class FairQueue:
    """The askers who share the slots of one board. ``Rows`` takes rows from it as from a ``PuzzleQueue``."""

    def __init__(self, slots: int, cheap: int = 1) -> None:
        """``cheap`` rows take no more time than one."""
        self.slots, self.cheap = slots, cheap
        self.room = True
        """Whether memory allows more started rows than one for each asker."""
        self.clients: dict[str, _Client] = {}
        self.ended = 0
        """Rows that have ended."""
        self._clock = 0.0
        self._numbers = count()
        self._moved_in_all = 0
        """Segments of needed rows."""
        self._gone: dict[str, float] = {}
        """Clients without a request who have had more than those who wait now, and the segments they have had."""
        self._askers: dict[PuzzleQueue, _Asker] = {}
        self._asker_of: dict[Job, _Asker] = {}
        self._moved: dict[Job, int] = {}
        """Rows in slots, and the segments they have moved there."""
        self._chosen: deque[Job] = deque()
        self._waiting: list[_Asker] = []
        """Askers that wait, in this turn."""
        self._most = slots
        """Most rows of older requests in slots, in this turn."""

    def add(self, queue: PuzzleQueue, client: str = "", cost: float = math.inf) -> None:
        """Take a new asker, a request of ``client`` whose rows use ``cost`` segments at most."""
        spent = max(self._clock, self._gone.pop(client, 0))
        owner = self.clients.setdefault(client, _Client(name=client, spent=spent))
        self._askers[queue] = asker = _Asker(
            queue=queue,
            client=owner,
            spent=owner.clock,
            number=next(self._numbers),
            late_at=self._moved_in_all + LATE if cost <= ORDINARY else math.inf,
        )
        owner.askers.append(asker)

    def remove(self, queue: PuzzleQueue) -> None:
        """Forget an asker and its rows."""
        asker = self._askers.pop(queue)
        asker.client.askers.remove(asker)
        if not asker.client.askers:
            del self.clients[asker.client.name]
            self._gone[asker.client.name] = asker.client.spent
        for job in queue.moving:
            self._forget(job)
        if not self.clients:  # nobody waits
            self._gone.clear()

    @property
    def started(self) -> int:
        """Rows that have started and not ended, in slots or parked; at least one for each asker."""
        return sum(max(1, len(queue.moving)) for queue in self._askers)

    def preempted(self) -> list[Job]:
        """Chooses the rows that move in this turn; returns the rows that leave their slots for them."""
        self._begin()
        parked = self._shrink()
        self._fill(new=False, most=self._most)
        self._fill(new=True, most=self.slots)
        for new in (False, True):
            parked += self._exchange(new)
        self._charge()
        return parked

    def start(self) -> Job | None:
        """The next row that ``preempted`` has chosen."""
        return self._chosen.popleft() if self._chosen else None

    def start_ahead(self, cheap: int) -> Iterator[Job]:
        """Yields restarts of any asker that may turn out to be needed, for idle slots, if no needed row waits."""
        for asker in self._askers.values() if self.room and not self._waiting else ():
            for job in asker.queue.start_ahead(cheap):
                cheap -= 1
                self._asker_of[job], self._moved[job] = asker, 0
                yield job

    def ahead(self) -> list[Job]:
        """Rows under way that are not needed yet."""
        return [job for queue in self._askers for job in queue.ahead()]

    def give_back(self, job: Job) -> None:
        """Take back a row that was stopped for a needed one."""
        self._asker_of[job].queue.give_back(job)
        self._forget(job)

    def dropped(self) -> list[Job]:
        """Rows under way whose puzzles have been decided without them; forgets them."""
        dropped = [job for queue in self._askers for job in queue.dropped()]
        for job in dropped:
            self._forget(job)
        return dropped

    def see(self, job: Job, snapshot: Snapshot) -> None:
        """Pass a snapshot on to its asker."""
        self._asker_of[job].queue.see(job, snapshot)

    def end(self, job: Job, evidence: Evidence) -> None:
        """Give a row's evidence to its asker."""
        self._asker_of[job].queue.end(job, evidence)
        self._forget(job)
        self.ended += 1

    def _forget(self, job: Job) -> None:
        asker = self._asker_of.pop(job, None)
        self._moved.pop(job, None)
        if asker and job in asker.parked:
            asker.parked.remove(job)

    def _needed(self) -> list[Job]:
        """Needed rows in slots, in the order in which they came."""
        return [job for job in self._moved if self._asker_of[job].queue.needs(job)]

    def _begin(self) -> None:
        """Count who has rows in slots, who waits, who is new, and how many rows older requests may have."""
        for share in (*self.clients.values(), *self._askers.values()):
            share.running = 0
        for job in self._needed():
            self._count(job, 1)
        self._waiting = [asker for asker in self._askers.values() if asker.waits(self.room)]
        modest = {client for client in self.clients.values() if client.spent <= self._clock + NEW}
        wanting = dict.fromkeys([*self._waiting, *(asker for asker in self._askers.values() if asker.running)])
        fewest = min((asker.had for asker in wanting if asker.client in modest), default=0)
        for asker in wanting:
            asker.late = asker.late_at <= self._moved_in_all
            asker.new = asker.client in modest and asker.had < min(NEW, fewest + QUANTUM) and not asker.late
        late = [asker for asker in self._askers.values() if asker in wanting and asker.late]
        first = {asker.client: asker for asker in reversed(late)}
        for asker in wanting:
            asker.first = first.get(asker.client) is asker
        new = sum(asker.running for asker in wanting if asker.new) + sum(asker.new for asker in self._waiting)
        # More again by one row a turn, so that rows are not parked and continued for each of many small requests.
        if new:
            # As many as the new ones, and room for the late ones; half of the slots at most, but no thread idle.
            of_late = sum(asker.running + (asker in self._waiting) for asker in late)
            self._most = max(self.cheap - new, min(max(new, of_late), self.slots // 2))
        else:
            self._most = min(self.slots, max(self._most + 1, len(self._needed())))

    def _count(self, job: Job, rows: int) -> None:
        asker = self._asker_of[job]
        asker.running += rows
        asker.client.running += rows

    def _rows(self, new: bool) -> dict[Job, _Asker]:
        """Needed rows of new or of older requests in slots, and their askers."""
        askers = {job: self._asker_of[job] for job in self._needed()}
        return {job: asker for job, asker in askers.items() if asker.new == new}

    def _shrink(self) -> list[Job]:
        """Parks the rows that older requests have too many, of those first who have had the most."""
        parked = []
        for _ in range(len(self._rows(new=False)) - self._most):
            latest = {asker: job for job, asker in self._rows(new=False).items()}
            job = latest[max(latest, key=attrgetter("order"))]
            self._park(job)
            parked.append(job)
        return parked

    def _fill(self, new: bool, most: int) -> None:
        """Gives free slots to new or to older requests, until these have the most rows that they may."""
        for _ in range(min(self.slots - len(self._needed()), most - len(self._rows(new)))):
            askers = [asker for asker in self._waiting if asker.new == new]
            if askers:
                self._choose(min(askers, key=attrgetter("order")))

    def _exchange(self, new: bool) -> list[Job]:
        """Parks rows of new or of older requests for rows of such that have had less."""
        parked = []
        movable = {job: asker for job, asker in self._rows(new).items() if self._moved[job] >= QUANTUM}
        while movable:
            waiting = [asker for asker in self._waiting if asker.new == new]
            pair = _unfair(waiting, {asker: job for job, asker in movable.items()})
            if not pair:
                break
            asker, job = pair
            del movable[job]
            self._park(job)
            parked.append(job)
            self._choose(asker)
        return parked

    def _choose(self, asker: _Asker) -> None:
        """Give a slot to the asker's next row."""
        job = asker.take()
        self._asker_of[job], self._moved[job] = asker, 0
        self._chosen.append(job)
        self._count(job, 1)
        if not asker.waits(self.room):
            self._waiting.remove(asker)

    def _park(self, job: Job) -> None:
        self._count(job, -1)
        del self._moved[job]
        asker = self._asker_of[job]
        asker.parked.append(job)
        if asker not in self._waiting:
            self._waiting.append(asker)

    def _charge(self) -> None:
        """Count the segments of this turn; whoever does not wait is owed no more than those who do."""
        for job in self._needed():
            asker = self._asker_of[job]
            self._moved[job] += 1
            self._moved_in_all += 1
            asker.had += 1
            asker.spent += not asker.new
            asker.client.spent += 1
        waiting: dict[_Client, list[_Asker]] = {client: [] for client in self.clients.values()}
        for asker in self._waiting:
            if not asker.new:
                waiting[asker.client].append(asker)
        for client in self.clients.values():
            client.clock = _clock_moved_on(client.clock, client.askers, waiting[client])
        self._clock = _clock_moved_on(self._clock, waiting, {asker.client for asker in self._waiting})
        self._gone = {name: spent for name, spent in self._gone.items() if spent > self._clock}


def _unfair(waiting: list[_Asker], latest: dict[_Asker, Job]) -> tuple[_Asker, Job] | None:
    """Who should have the slot of which of the ``latest`` rows: among all askers, or else among those of one client."""
    for client in (None, *dict.fromkeys(asker.client for asker in latest)):
        poor, rich = ([a for a in askers if client in (None, a.client)] for askers in (waiting, latest))
        if poor and rich:
            behind, ahead = min(poor, key=attrgetter("order")), max(rich, key=attrgetter("order"))
            if behind.owed(ahead):
                return behind, latest[ahead]
    return None


def _clock_moved_on(clock: float, shares: Collection[_Share], waiting: Collection[_Share]) -> float:
    """Moves the clock to whoever waits and has had the fewest segments, and everybody else at least so far."""
    spent = [share.spent for share in waiting]
    clock = max(clock, min(spent) if spent else max((share.spent for share in shares), default=0))
    for share in shares:
        share.spent = max(share.spent, clock)
    return clock
