"""Shares the slots of one board among clients, and a client's part among its requests. Knows no clock and no network.

Cost is counted in segments. Whoever has had the fewest segments comes first, whatever depth and breadth it asked for; a
row that has moved a few segments can be parked for a row of somebody who has had fewer. Whoever has all the rows it
needs under way is owed nothing for slots that it did not want (start-time fair queueing, Goyal, Vin & Cheng 1996).
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from eqr.engine.queue import PuzzleQueue
from eqr.engine.rows import Job
from eqr.evidence import Evidence, Snapshot

QUANTUM = 8
"""Segments that a row moves in its slot before it can be parked, so that parking costs little."""


@dataclass(kw_only=True, eq=False)
class _Share:
    """What a client or a request has had, and has."""

    spent: float
    """Segments of needed rows so far; more if it could have had more and did not want them."""
    running: int = 0
    """Needed rows in slots."""

    @property
    def claim(self) -> float:
        """Segments it will have had when its rows can be parked: the lowest comes first."""
        return self.spent + QUANTUM * self.running


@dataclass(kw_only=True, eq=False)
class _Asker(_Share):
    queue: PuzzleQueue
    client: "_Client"
    parked: deque[Job] = field(default_factory=deque)
    """Rows that wait for a slot to continue; no new row of the asker starts before these."""

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
    waiting: list[_Asker] = field(default_factory=list)
    """Askers that wait, in this turn."""
    clock: float = 0.0
    """Segments of the waiting asker who has had the fewest."""


class FairQueue:
    """The askers who share the slots of one board. ``Rows`` takes rows from it as from a ``PuzzleQueue``."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.room = True
        """Whether memory allows more started rows than one for each asker."""
        self.clients: dict[str, _Client] = {}
        self.ended = 0
        """Rows that have ended."""
        self._clock = 0.0
        self._askers: dict[PuzzleQueue, _Asker] = {}
        self._asker_of: dict[Job, _Asker] = {}
        self._moved: dict[Job, int] = {}
        """Rows in slots, and the segments they have moved there."""
        self._chosen: deque[Job] = deque()

    def add(self, queue: PuzzleQueue, client: str = "") -> None:
        """Take a new asker, a request of ``client``."""
        owner = self.clients.setdefault(client, _Client(name=client, spent=self._clock))
        self._askers[queue] = asker = _Asker(queue=queue, client=owner, spent=owner.clock)
        owner.askers.append(asker)

    def remove(self, queue: PuzzleQueue) -> None:
        """Forget an asker and its rows."""
        asker = self._askers.pop(queue)
        asker.client.askers.remove(asker)
        if not asker.client.askers:
            del self.clients[asker.client.name]
        for job in queue.moving:
            self._forget(job)

    @property
    def started(self) -> int:
        """Rows that have started and not ended, in slots or parked; at least one for each asker."""
        return sum(max(1, len(queue.moving)) for queue in self._askers)

    def preempted(self) -> list[Job]:
        """Chooses the rows that move in this turn; returns those that leave their slots for others."""
        free = self.slots - self._begin()
        while free and self._waiting():
            self._choose(_first(_first(self._waiting()).waiting))
            free -= 1
        parked = []
        movable = [job for job in self._needed() if self._moved[job] >= QUANTUM]
        while movable and (pair := self._unfair(movable)):
            asker, job = pair
            movable.remove(job)
            parked.append(job)
            self._park(job)
            self._choose(asker)
        self._charge()
        return parked

    def start(self) -> Job | None:
        """The next row that ``preempted`` has chosen."""
        return self._chosen.popleft() if self._chosen else None

    def start_ahead(self, cheap: int) -> Iterator[Job]:
        """Yields restarts of any asker that may turn out to be needed, for idle slots."""
        for asker in self._askers.values() if self.room else ():
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

    def _begin(self) -> int:
        """Count who has rows in slots and who waits; returns how many slots needed rows have."""
        for client in self.clients.values():
            client.running = 0
            for asker in client.askers:
                asker.running = 0
            client.waiting = [asker for asker in client.askers if asker.waits(self.room)]
        needed = self._needed()
        for job in needed:
            self._count(job, 1)
        return len(needed)

    def _count(self, job: Job, rows: int) -> None:
        asker = self._asker_of[job]
        asker.running += rows
        asker.client.running += rows

    def _waiting(self) -> list[_Client]:
        return [client for client in self.clients.values() if client.waiting]

    def _choose(self, asker: _Asker) -> None:
        """Give a slot to the asker's next row."""
        job = asker.take()
        self._asker_of[job], self._moved[job] = asker, 0
        self._chosen.append(job)
        self._count(job, 1)
        if not asker.waits(self.room):
            asker.client.waiting.remove(asker)

    def _park(self, job: Job) -> None:
        self._count(job, -1)
        del self._moved[job]
        asker = self._asker_of[job]
        asker.parked.append(job)
        if asker not in asker.client.waiting:
            asker.client.waiting.append(asker)

    def _unfair(self, movable: list[Job]) -> tuple[_Asker, Job] | None:
        """Who should have the slot of which row: among clients, or else among the askers of one client."""
        latest = {self._asker_of[job]: job for job in movable}
        waiting = self._waiting()
        if not waiting:
            return None
        behind, ahead = _first(waiting), _last(asker.client for asker in latest)
        pairs = [(behind, ahead)] if _owes(ahead, behind) else [(client, client) for client in waiting]
        for poor, rich in pairs:
            askers = [asker for asker in latest if asker.client is rich]
            if askers and (poor is not rich or _owes(_last(askers), _first(poor.waiting))):
                return _first(poor.waiting), latest[_last(askers)]
        return None

    def _charge(self) -> None:
        """Count the segments of this turn; whoever does not wait is owed no more than those who do."""
        for job in self._needed():
            asker = self._asker_of[job]
            self._moved[job] += 1
            asker.spent += 1
            asker.client.spent += 1
        for client in self.clients.values():
            client.clock = _settled(client.clock, client.askers, client.waiting)
        self._clock = _settled(self._clock, self.clients.values(), self._waiting())


S = TypeVar("S", bound=_Share)


def _first(shares: Iterable[S]) -> S:
    return min(shares, key=attrgetter("claim"))


def _last(shares: Iterable[S]) -> S:
    return max(shares, key=attrgetter("claim"))


def _owes(ahead: S, behind: S) -> bool:
    """Whether ``ahead`` stays ahead when it gives a slot to ``behind``."""
    return ahead.claim > behind.claim + QUANTUM


def _settled(clock: float, shares: Collection[_Share], waiting: Collection[_Share]) -> float:
    """Moves the clock to whoever waits and has had the fewest segments, and everybody else at least so far."""
    spent = [share.spent for share in waiting]
    clock = max(clock, min(spent) if spent else max((share.spent for share in shares), default=0))
    for share in shares:
        share.spent = max(share.spent, clock)
    return clock
