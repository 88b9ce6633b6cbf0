"""One puzzle's trajectories as server-sent events, sent while the engine runs. Knows no route.

There is an event ``segment`` for each segment of each restart, then ``done``; or ``error``, which holds a refusal.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import suppress

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from eqr.data.serialise import finite
from eqr.engine import Closed, SolveConfig
from eqr.evidence import Evidence, Snapshot
from eqr.web.problems import Problem, stopping
from eqr.web.service import Read, Service

BACKLOG = 32 * 2**20
"""Bytes of segments that a slow reader may leave unread."""
SNAPSHOT, CELL = 3000, 12
"""Bytes that one segment takes until it is sent: five tensors, and the symbol and confidence of each cell."""


class Trajectories:
    """The segments of one puzzle that the engine has computed and the client has not read."""

    def __init__(self, service: Service, name: str, read: Read, config: SolveConfig, client: str = "") -> None:
        """Submits the puzzle to the engine; raises Problem if the engine takes no more now."""
        self.service, self.name, self.read, self.config = service, name, read, config
        self.model, puzzle = read
        self.seconds = service.limits.seconds
        self.told: deque[tuple[int, Snapshot]] = deque()
        self.most = BACKLOG // (SNAPSHOT + CELL * len(puzzle))
        self.news = asyncio.Event()
        self.depth: Counter[int] = Counter()
        self.ended = False
        self.loop = asyncio.get_running_loop()
        self.future: Future[list[Evidence]] = service.submit(
            self.model, [puzzle], config, self._on_snapshot, client=client
        )
        self.future.add_done_callback(self._done)

    def _on_snapshot(self, restart: int, snapshot: Snapshot) -> None:
        """Called by the engine's thread, perhaps when this response has already ended."""
        with suppress(RuntimeError):  # the loop has closed
            self.loop.call_soon_threadsafe(self._tell, restart, snapshot)

    def _tell(self, restart: int, snapshot: Snapshot) -> None:
        self.told.append((restart, snapshot))
        if len(self.told) > self.most:  # ``events`` then refuses the slow reader
            self.future.cancel()
        self.news.set()

    def _done(self, _: "Future[list[Evidence]]") -> None:
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Called after the last ``_tell``: the loop keeps the order of the engine's calls."""
        self.ended = True
        self.news.set()

    async def events(self) -> AsyncIterator[str]:
        """Yields the events; the last one is ``done``, or ``error`` when time is up."""
        try:
            deadline = self.loop.time() + self.seconds
            while not self.ended or self.told:
                async with asyncio.timeout_at(deadline):
                    await self.news.wait()
                self.news.clear()
                while self.told and not self.future.cancelled():
                    yield self._segment(*self.told.popleft())
                if self.future.cancelled():
                    raise Problem(503, "the events are read more slowly than they come: ask for less depth or breadth")
            evidence = self.future.result()
            (record,) = self.service.records(self.name, [self.read], evidence, self.config)
            yield _event("done", {"restart": record["restart"], "record": record})
        except TimeoutError:
            yield _failed(Problem(503, f"time is up after {self.seconds} s: ask for less depth or breadth"))
        except Closed:
            yield _failed(stopping())
        except Problem as problem:
            yield _failed(problem)

    def _segment(self, restart: int, snapshot: Snapshot) -> str:
        self.depth[restart] += 1
        header = self.model.task.layout.rule_cells
        return _event(
            "segment",
            {
                "restart": restart,
                "depth": self.depth[restart],
                "answer": self.model.task.as_json(snapshot.answers),
                "confidence": [round(value, 3) for value in snapshot.confidence[header:].tolist()],
                "residual": finite(float(snapshot.residual)),
                "halt_logit": finite(float(snapshot.halt_logit)),
            },
        )


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _failed(problem: Problem) -> str:
    return f"event: error\ndata: {problem.text()}\n\n"


class Events(StreamingResponse):
    """The response that sends the events. However it ends, it frees the puzzle's rows."""

    media_type = "text/event-stream"

    def __init__(self, trajectories: Trajectories) -> None:
        super().__init__(trajectories.events())
        self.future, self.seconds = trajectories.future, trajectories.seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; gives up on a client that does not read after twice the time limit of a request."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * self.seconds):
                    await super().__call__(scope, receive, send)
        finally:
            self.future.cancel()
