"""Who gets which part of the slots: a fair queue driven by hand, without a network. Time is counted in segments."""

import math
from collections import Counter

import pytest
import torch
from alike import end_of

from eqr.engine import SolveConfig
from eqr.engine.queue import PuzzleQueue
from eqr.engine.rows import Job
from eqr.engine.sharing import LATE, NEW, ORDINARY, QUANTUM, FairQueue

PUZZLE = torch.zeros(4, dtype=torch.long)


class Board:
    """Slots whose rows move as the queue says, and end at the depth that they asked for."""

    def __init__(self, slots: int = 16) -> None:
        self.queue, self.rows = FairQueue(slots, cheap=2), set[Job]()
        self.left: dict[Job, int] = {}
        self.moved: Counter[PuzzleQueue] = Counter()
        self.parked = self.turns = 0

    def ask(
        self, depth: int, puzzles: int = 1, breadth: int | str = 1, client: str = "", cost: float = math.inf
    ) -> PuzzleQueue:
        halt = "residual" if isinstance(breadth, str) else "fixed"
        asker = PuzzleQueue([PUZZLE] * puzzles, SolveConfig(depth=depth, breadth=breadth, halt=halt))
        self.queue.add(asker, client, cost)
        return asker

    def turn(self) -> None:
        self.turns += 1
        for job in self.queue.preempted():
            self.rows.remove(job)
            self.parked += 1
        for job in iter(self.queue.start, None):
            assert job not in self.rows
            self.rows.add(job)
            self.left.setdefault(job, job.config.depth)
        assert len(self.rows) <= self.queue.slots
        for job in list(self.rows):
            self.left[job] -= 1
            self.moved[self.queue._asker_of[job].queue] += 1
            if not self.left[job]:
                self.rows.remove(job)
                self.queue.end(job, end_of(job, halted=False))

    def run(self, turns: int) -> Counter[PuzzleQueue]:
        """The segments of each asker in these turns."""
        before = self.moved.copy()
        for _ in range(turns):
            self.turn()
        return self.moved - before

    def done(self, asker: PuzzleQueue) -> bool:
        return not asker.moving and not asker.wants()

    def turns_of(self, asker: PuzzleQueue) -> int:
        """Turns until all that the asker wants is done."""
        before = self.turns
        while not self.done(asker):
            self.turn()
        self.queue.remove(asker)
        return self.turns - before


@pytest.mark.parametrize("askers", [2, 3, 5, 16, 17, 40])
def test_askers_get_equal_shares_whatever_depth_and_breadth_they_ask(askers: int) -> None:
    board = Board()
    for number in range(askers):
        board.ask(depth=(7, 40, 10_000)[number % 3], puzzles=10_000, breadth=(1, 64)[number % 2])
    board.run(NEW * askers // 16 + 100)
    shares = board.run(2_000)
    assert len(shares) == askers
    for segments in shares.values():
        assert segments == pytest.approx(2_000 * 16 / askers, rel=0.2)


def test_one_row_cannot_use_more_than_a_slot_and_the_others_share_the_rest() -> None:
    board = Board()
    one, *others = [board.ask(100_000, puzzles=1 if number == 0 else 100) for number in range(3)]
    board.run(NEW + 20)
    shares = board.run(1_000)
    assert shares[one] == pytest.approx(1_000, rel=0.2)
    assert all(shares[other] == pytest.approx(7_500, rel=0.2) for other in others)


def test_clients_get_equal_shares_however_many_requests_they_send() -> None:
    board = Board()
    many = [board.ask(1_000_000, puzzles=50, client="many") for _ in range(30)]
    one = board.ask(1_000_000, puzzles=50, client="one")
    board.run(100)
    shares = board.run(3_000)
    assert shares[one] == pytest.approx(24_000, rel=0.2)
    assert all(shares[other] == pytest.approx(800, rel=0.25) for other in many)


@pytest.mark.parametrize(("deep", "breadth"), [(16, 1), (8, 64), (1, 64), (64, 64)])
def test_a_small_request_beside_deep_ones_is_done_as_soon_as_its_share_allows(deep: int, breadth: int) -> None:
    board = Board()
    for _ in range(deep):
        board.ask(1024, puzzles=64, breadth=breadth)
    board.run(50)
    for _ in range(20):
        share = max(1, (deep + 1) / 16)  # turns for a segment
        assert board.turns_of(board.ask(16)) <= 16 * share + 2 * QUANTUM * share


def test_turns_are_short_while_a_new_request_has_rows_and_older_ones_still_have_half() -> None:
    board = Board()
    deep = [board.ask(1_000_000, puzzles=10) for _ in range(16)]
    board.run(NEW + 100)
    assert len(board.rows) == 16
    small = board.ask(100)
    board.turn()
    shares = board.run(98)
    assert len(board.rows) == 2
    assert (shares[small], sum(shares[asker] for asker in deep)) == (98, 98)
    parked = board.parked
    assert parked <= 14 + 16 + 98 / QUANTUM
    board.run(3)
    assert len(board.rows) <= 4  # one more a turn
    board.run(20)
    assert len(board.rows) == 16


def test_new_requests_of_one_client_do_not_take_more_than_its_share_from_other_clients() -> None:
    board = Board()
    deep = [board.ask(1_000_000, puzzles=10, client=f"deep {number}") for number in range(4)]
    board.run(NEW + 100)
    long = board.ask(1_000_000, puzzles=10, client="long")
    board.run(NEW + 100)
    shares = board.run(2_000)
    assert shares[long] == pytest.approx(shares[deep[0]], rel=0.2)
    board.queue.remove(long)
    board.rows -= long.moving.keys()
    before = board.moved.copy()
    for _ in range(500):
        board.turns_of(board.ask(16, client="many small ones"))
    shares = board.moved - before
    small = sum(segments for asker, segments in shares.items() if asker not in deep)
    assert small == 500 * 16
    assert all(shares[asker] > 0.8 * small for asker in deep)


@pytest.mark.parametrize("clients", [1, 64])
def test_a_hard_request_among_endless_small_ones_is_done_in_time_and_the_oldest_first(clients: int) -> None:
    board, names = Board(), [str(number % clients) for number in range(64)]
    hard = [board.ask(800, client=names[0], cost=800), board.ask(800, client=names[1], cost=800)]
    small = {name: board.ask(12, client=names[name], cost=12) for name in range(2, 64)}
    ends: dict[PuzzleQueue, int] = {}
    while len(ends) < 2:
        board.turn()
        for asker in hard:
            if board.done(asker) and asker not in ends:
                ends[asker] = board.turns
                board.queue.remove(asker)
        for name, asker in small.items():
            if board.done(asker):
                board.queue.remove(asker)
                small[name] = board.ask(12, client=names[name], cost=12)
    first, second = (ends[asker] for asker in hard)
    # Late after so many turns of at least two rows, and from then on in every turn; by shares alone, 800 * 64 / 16.
    assert first <= second <= LATE // 2 + 800 + QUANTUM
    assert first < 800 * 64 / 16


def test_late_requests_have_half_of_the_slots_and_new_ones_the_other_half() -> None:
    board = Board()
    late = [board.ask(10_000, client=str(number), cost=10_000) for number in range(40)]
    board.run(LATE // 16 + 20)
    shares: Counter[PuzzleQueue] = Counter()
    for number in range(50):
        new = [board.ask(8, client=f"new {number} {other}", cost=8) for other in range(16)]
        shares += board.run(8)
        for asker in new:
            board.rows -= asker.moving.keys()
            board.queue.remove(asker)
    moved = {asker: shares[asker] for asker in late if shares[asker]}
    assert sum(moved.values()) == pytest.approx(50 * 8 * 8, rel=0.1)
    assert set(moved) <= set(late[:9])  # the oldest


def test_a_request_of_great_cost_is_never_late() -> None:
    board = Board()
    deep = [board.ask(100_000, cost=ORDINARY + 1) for _ in range(40)]
    board.run(NEW * 40 // 16 + LATE)
    shares = board.run(2_000)
    assert all(shares[asker] == pytest.approx(800, rel=0.25) for asker in deep)


def test_a_client_with_many_late_requests_takes_nothing_from_another_one() -> None:
    board = Board()
    many = [board.ask(10_000, client="many", cost=10_000) for _ in range(100)]
    one = [board.ask(10_000, client="one", cost=10_000) for _ in range(20)]
    board.run(LATE // 16 + NEW + 20)
    shares = board.run(500)
    assert sum(shares[asker] for asker in one) == pytest.approx(sum(shares[asker] for asker in many), rel=0.1)


def test_who_did_not_want_slots_before_is_owed_nothing_for_them() -> None:
    board = Board()
    idle = board.ask(100_000)
    busy = board.ask(100_000, puzzles=1000)
    board.run(2_000)
    late = board.ask(100_000, puzzles=1000)
    shares = board.run(400)
    assert shares[late] == pytest.approx(shares[busy], rel=0.2)
    assert shares[idle] == pytest.approx(400, rel=0.05)


def test_a_row_is_parked_once_in_a_quantum_at_most_and_never_where_nobody_waits() -> None:
    board = Board()
    for _ in range(32):
        board.ask(1_000_000)
    board.run(800)
    assert 0 < board.parked <= 16 * 800 / QUANTUM
    alone = Board()
    alone.ask(50, puzzles=1000)
    alone.run(500)
    few = Board()
    for _ in range(16):
        few.ask(1_000_000)
    few.run(500)
    assert alone.parked == few.parked == 0


def test_without_room_everybody_has_one_row_and_its_turn() -> None:
    board = Board(slots=4)
    askers = [board.ask(30, puzzles=10_000) for _ in range(10)]
    board.queue.room = False
    board.run(NEW * 10 // 4 + 50)
    shares = board.run(1_000)
    assert board.queue.started == 10
    assert all(shares[asker] == pytest.approx(400, rel=0.2) for asker in askers)


def test_a_removed_asker_leaves_nothing_behind() -> None:
    board = Board(slots=2)
    askers = [board.ask(1_000, puzzles=3, client=str(number)) for number in range(5)]
    board.run(40)
    for asker in askers:
        board.rows -= asker.moving.keys()
        board.queue.remove(asker)
    assert board.queue.started == 0
    assert [board.queue.clients, board.queue._asker_of, board.queue._moved] == [{}, {}, {}]
    assert board.turns_of(board.ask(5)) == 5
