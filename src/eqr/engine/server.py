"""Many requests, one engine: a thread moves rows of any request, each its share. Knows no network.

Each board (a model at one puzzle size) has its own slots. The engine moves one board at a time, always the board that
has had the least processor time for the clients it serves: a segment of a large maze takes as long as many segments of
a Sudoku. Answers equal those of ``solve_stream``, whatever other requests there are, since rows do not depend on each
other.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import TracebackType

import torch
from jaxtyping import Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.queue import OnSnapshot, PuzzleQueue
from eqr.engine.rows import Rows, turn
from eqr.engine.segment import Compile
from eqr.engine.sharing import FairQueue
from eqr.evidence import Evidence
from eqr.model import Reasoner
from eqr.runtime import RowWorkers, row_workers, rows_under_way
from eqr.solvers import Solver

CELLS = 16 * 1024
"""Most cells under way on one board (16 rows of 32x32), so that a turn of large mazes does not delay other boards."""

STARTED = 512 * 2**20
"""Most bytes of rows that have started and not ended, in slots or parked: half for one row of each request, half for
the others. Beyond the first half no request is admitted; beyond the second, a request starts its next row only when
its last one has ended."""
OF_CLIENT = 4
"""A client's requests may hold one of so many parts of the first half."""

OnEvidence = Callable[[int, Evidence], None]
"""Called with the index of a puzzle in its request, and the puzzle's evidence."""


class Full(Exception):
    """There is no room for the request now; says of what."""


class Closed(Exception):
    """The engine has stopped."""


@dataclass(kw_only=True, eq=False)
class _Request:
    model: Reasoner
    queue: PuzzleQueue
    client: str
    puzzles: int
    held: int
    """Bytes of one row."""
    answer: "Future[list[Evidence]]"
    on_evidence: OnEvidence | None
    evidence: list[Evidence] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    """Puzzles of which ``on_evidence`` has been told."""

    def collect(self) -> bool:
        """Takes the evidence of the puzzles decided since the last call; returns whether all are decided."""
        if self.on_evidence:
            # Puzzles leave the queue in order, but are told at once: an earlier one may still be under way.
            for index, entry in enumerate(self.queue.under_way, len(self.evidence)):
                if entry.evidence and index not in self.told:
                    self.told.add(index)
                    self.on_evidence(index, entry.evidence)
        self.evidence += self.queue.answered()
        return len(self.evidence) == self.puzzles

    @property
    def cost(self) -> int:
        """The most segments that the rows can use."""
        return self.puzzles * self.queue.config.restarts * self.queue.config.segments

    @property
    def waiting(self) -> int:
        """Rows that are needed and have not started."""
        return (self.puzzles - self.queue.taken) * self.queue.config.restarts_at_once + self.queue.waiting


@dataclass(kw_only=True, eq=False)
class _Board:
    rows: Rows
    queue: FairQueue
    requests: list[_Request] = field(default_factory=list)
    spent: float = 0.0
    """Scheduler time charged to this board."""
    row: int
    """Bytes of one row."""

    @property
    def held(self) -> int:
        """Bytes of the rows that have started and not ended."""
        return self.queue.started * self.row


class SolveServer:
    """The engine of a service. It runs inside its ``with`` block, whose end raises the error that stopped it early."""

    def __init__(
        self,
        models: Sequence[Reasoner],
        config: SolveConfig,
        queue: int,
        compile: Compile = False,
        client_queue: int | None = None,
    ) -> None:
        """Serve ``models``. Models resized by ``for_task`` keep their slots only while requests for them are pending.

        ``config`` holds the options that all requests share (rows, window, solver). At most ``queue`` rows wait, of one
        client at most ``client_queue``; requests of a sixteenth of that or less may add a quarter. ``compile`` compiles
        the boards of ``models`` on entering.
        """
        self.models, self.config, self.compile = models, config, compile
        self.queue, self.client_queue = queue, client_queue or queue
        self.rows = 0
        """Rows in slots."""
        self.parked = 0
        """Rows that have started and wait for a slot to continue."""
        self.segments = self.updates = self.ended = 0
        """Row segments and updates done, and rows that have ended, since the start."""
        self.busy = 0.0
        """Seconds spent in turns."""
        self._change = threading.Condition()
        self._arrived: list[_Request] = []
        self._requests: set[_Request] = set()
        self._boards: dict[Reasoner, _Board] = {}
        self._closed = False
        self._ready = threading.Event()
        self._thread = ThreadPoolExecutor(1, "eqr engine")

    def __enter__(self) -> "SolveServer":
        self._work = self._thread.submit(self._run)
        self._ready.wait()
        if self._closed:
            self._work.result()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        self._thread.shutdown()
        self._work.result()

    def submit(
        self,
        model: Reasoner,
        puzzles: Sequence[Int[Tensor, " L"]],
        config: SolveConfig,
        on_snapshot: OnSnapshot | None = None,
        on_evidence: OnEvidence | None = None,
        client: str = "",
    ) -> "Future[list[Evidence]]":
        """Queues puzzles of ids (L,); returns a future of their evidence. Cancelling the future frees its rows.

        Clients have equal shares of the slots, and so have the requests of one client.

        Only depth, breadth, seed, halting rule and suppositions are read from ``config``; options that it leaves open
        are the model's own settings. The engine's thread calls ``on_snapshot`` after each segment of each row, and
        ``on_evidence`` once for each puzzle, as soon as the puzzle is decided: who stops waiting for the future has the
        evidence so far. Neither may raise, as that ends the engine. Raises Full or Closed, and InputError for ids that
        are no puzzle.
        """
        config = config.completed(model.settings)
        config.check(model.task)
        for puzzle in puzzles:
            model.task.check_ids(puzzle)
        queue = PuzzleQueue(puzzles, config, model.calibration, on_snapshot)
        request = _Request(
            model=model,
            queue=queue,
            client=client,
            puzzles=len(puzzles),
            held=row_bytes(model, self.config.stepper),
            answer=Future(),
            on_evidence=on_evidence,
        )
        with self._change:
            if self._closed:
                raise Closed
            self._refuse_beyond(request)
            self._requests.add(request)
            self._arrived.append(request)
            self._change.notify()
        return request.answer

    def _refuse_beyond(self, request: _Request) -> None:
        """Raises Full if a request does not fit beside the others, or beside those of its client."""
        everybody = list(self._requests)
        own = [other for other in everybody if other.client == request.client]
        if not _fits(request.waiting, sum(other.waiting for other in everybody), self.queue):
            raise Full(f"the queue is full ({self.queue} rows)")
        if not _fits(request.waiting, sum(other.waiting for other in own), self.client_queue):
            raise Full(f"your requests fill their part of the queue ({self.client_queue} rows)")
        if sum(other.held for other in everybody) + request.held > STARTED // 2:
            raise Full(f"{len(everybody)} requests are under way, for more there is no memory")
        if sum(other.held for other in own) + request.held > STARTED // 2 // OF_CLIENT:
            raise Full(f"{len(own)} requests of yours are under way, which is your part of the memory")

    @property
    def waiting(self) -> int:
        """Rows that requests need and that have not started, as far as is known before their puzzles are decided."""
        with self._change:
            return sum(request.waiting for request in self._requests)

    @property
    def alive(self) -> bool:
        """Whether the engine accepts requests."""
        return not self._closed

    def patience(self) -> float:
        """Estimated seconds until all rows that wait now have started, at the average time of a row so far."""
        return self.waiting * self.busy / max(1, self.ended)

    def close(self) -> None:
        """Stop after this turn; unanswered requests fail with Closed."""
        with self._change:
            self._closed = True
            self._change.notify()

    def _run(self) -> None:
        try:
            with row_workers(self.models[0].answer_head.device) as workers:
                for model in self.models:
                    self._boards[model] = self._board(model, workers, self.compile)
                self._ready.set()
                while self._admit(workers):
                    self._turn(min(self._busy(), key=lambda board: board.spent))
        finally:  # also if the engine itself fails: no client may wait for ever
            self.close()
            self._ready.set()
            for request in list(self._requests):
                self._forget(request)
                if request.answer.set_running_or_notify_cancel():
                    request.answer.set_exception(Closed())

    def _board(self, model: Reasoner, workers: RowWorkers, compile: Compile) -> _Board:
        rows = min(
            self.config.rows or rows_under_way(workers.device), max(workers.threads, CELLS // model.task.layout.cells)
        )
        return _Board(
            rows=Rows(model, replace(self.config, rows=rows), workers, compile),
            queue=FairQueue(rows, workers.rows_at_once(rows)),
            row=row_bytes(model, self.config.stepper),
        )

    def _busy(self) -> list[_Board]:
        return [board for board in self._boards.values() if board.requests]

    def _admit(self, workers: RowWorkers) -> bool:
        """Waits for work and admits new requests; returns False once closed."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._arrived or self._busy())
            arrived, self._arrived = self._arrived, []
            if self._closed:
                return False
        for request in arrived:
            if request.model not in self._boards:
                self._boards[request.model] = self._board(
                    request.model, workers, compile="kernel" if self.compile else False
                )
            board = self._boards[request.model]
            if not board.requests:  # a board does not save up processor time while it is idle
                board.spent = max([board.spent, *sorted(other.spent for other in self._busy())[:1]])
            board.requests.append(request)
            board.queue.add(request.queue, request.client, request.cost)
        return True

    def _turn(self, board: _Board) -> None:
        for request in [request for request in board.requests if request.answer.cancelled()]:
            board.rows.drop(request.queue.moving)
            self._leave(board, request)
        board.queue.room = sum(other.held for other in self._boards.values()) <= STARTED
        started, ended = time.perf_counter(), board.queue.ended
        moved = turn(board.rows, board.queue)
        self._count(board, time.perf_counter() - started, moved, board.queue.ended - ended)
        for request in list(board.requests):
            if request.collect():
                self._leave(board, request)
                if request.answer.set_running_or_notify_cancel():
                    request.answer.set_result(request.evidence)
        if not board.requests and board.rows.model not in self.models:
            del self._boards[board.rows.model]

    def _count(self, board: _Board, seconds: float, moved: int, ended: int) -> None:
        board.spent += seconds / self._weight(board)
        self.busy += seconds
        self.ended += ended
        self.segments += moved
        self.updates += moved * board.rows.model.config.updates_per_segment
        self.rows = sum(len(other.rows.rows) for other in self._boards.values())
        self.parked = sum(len(other.rows.parked) for other in self._boards.values())

    def _weight(self, board: _Board) -> float:
        """The number of clients that a board serves; a client with requests for n boards counts as 1/n for each.

        So the many sizes of puzzles that one client asks for do not take the time of the others.
        """
        boards = Counter(client for other in self._busy() for client in other.queue.clients)
        return sum(1 / boards[client] for client in board.queue.clients) or 1.0

    def _leave(self, board: _Board, request: _Request) -> None:
        board.requests.remove(request)
        board.queue.remove(request.queue)
        self._forget(request)

    def _forget(self, request: _Request) -> None:
        with self._change:
            self._requests.discard(request)


def _fits(rows: int, waiting: int, queue: int) -> bool:
    """Whether a queue takes ``rows`` more; when large requests have filled it, it still takes a few rows."""
    return waiting + rows <= (queue * 5 // 4 if rows <= queue // 16 else queue)


def row_bytes(model: Reasoner, solver: Solver) -> int:
    """Returns how many bytes one row holds: state, input, solver's memory, logits, and the ids of its puzzle."""
    z, layout = torch.empty(1, *model.state_shape, device="meta"), model.task.layout
    memory = sum(tensor.nbytes for tensor in solver.init(z))
    return z.nbytes + z[:, 0].nbytes + memory + z.element_size() * layout.width * layout.symbols + 8 * layout.width
