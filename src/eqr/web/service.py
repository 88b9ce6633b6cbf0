"""Requests -> the engine -> answers. Knows models and limits, not HTTP.

Puzzles are parsed in a thread of their own, since a body may hold a hundred large mazes; the engine has its own thread
anyway. When nobody waits for an answer any more, its rows are freed.
"""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

from jaxtyping import Int
from torch import Tensor

from eqr.data.parsing import Refused, Text, read_puzzle
from eqr.data.serialise import Record, as_record
from eqr.engine import Closed, Full, SolveConfig, SolveServer, select
from eqr.engine.config import AUTO
from eqr.engine.queue import OnSnapshot
from eqr.engine.server import OnEvidence
from eqr.errors import InputError
from eqr.evidence import Evidence
from eqr.model import Reasoner
from eqr.model.blocks import BLOCKS
from eqr.model.reasoner import name_in
from eqr.tasks import Task
from eqr.web.description import Kind
from eqr.web.limits import Limits
from eqr.web.metrics import Metrics
from eqr.web.problems import Problem, stopping
from eqr.web.schemas import SEEDS, Asked, ModelFacts, OwnSettings

EXAMPLES = {
    "sudoku": "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3..",
    "maze": "##########...#...####.###.##....S#G##.#####.##.#...#.##.#.#.#.##...#...##########",
}
"""The first puzzles of examples/sudoku/puzzles.csv and of examples/maze/mazes.txt, by family."""


Written = str | dict[str, Any]
"""A puzzle row by row, or a problem as an object."""
MOST_SIZED = 64
"""Models on boards of other sizes that are kept, all with the same weights; problems have many sizes."""
Read = tuple[Reasoner, Int[Tensor, " L"]]
"""The model on the board of a puzzle, and the puzzle's ids."""


class Service:
    """Answers requests while its engine runs."""

    def __init__(self, models: Mapping[str, Reasoner], driver: SolveServer, limits: Limits) -> None:
        self.models, self.driver, self.limits = dict(models), driver, limits
        self.metrics = Metrics(driver)
        self.facts = [_facts(name, model, self._completed(model, SolveConfig())) for name, model in models.items()]
        self.stopping = False
        self._sized: dict[tuple[str, Task], Reasoner] = {}
        """Models on boards of other sizes, the last used last."""
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Refuse new requests; requests under way have ``grace`` seconds left."""
        self.stopping = True
        asyncio.get_running_loop().call_later(self.limits.grace, self.driver.close)

    def named(self, asked: Asked) -> str:
        """The name of the model that answers; raises Problem."""
        names = [facts.name for facts in self.facts if facts.task == asked.task]
        if not names:
            known = sorted({facts.task for facts in self.facts})
            raise Problem(422, f"task {asked.task[:40]!r} is not answered here: choose one of {', '.join(known)}")
        if "model" not in asked.model_fields_set:
            return names[0]
        if asked.model not in names:
            raise Problem(422, f"model {asked.model[:40]!r} does not answer {asked.task}: choose {', '.join(names)}")
        return asked.model

    def kinds(self) -> dict[str, Kind]:
        """The facts of each model on which the options of a request depend."""
        tasks = {name: model.task for name, model in self.models.items()}
        return {name: Kind(task.family, task.layout.clues_fixed, task.has_rules) for name, task in tasks.items()}

    def example(self) -> str:
        """A puzzle that the first model takes; an empty string if none is known."""
        task = next(iter(self.models.values())).task
        text = EXAMPLES.get(task.family, "")
        return text if task.fitting(text).layout.cells == task.cells_in(text) else ""

    def config(self, name: str, asked: Asked) -> SolveConfig:
        """The engine's options for a request to a model; raises Problem for a value beyond the limits."""
        given = asked.options()
        try:
            config = SolveConfig(**given)
        except InputError as error:
            raise Problem(422, str(error)) from None
        if isinstance(config.breadth, str) and not config.adaptive:
            raise Problem(422, f"breadth is {config.breadth!r}: give the number itself, or auto:K")
        values = config.settings
        for option, value, most in (
            ("depth", values.depth, self.limits.depth),
            ("suppose", values.suppose, self.limits.depth),
            ("guesses", values.guesses, self.limits.depth),
            ("breadth", config.restarts, self.limits.breadth),
        ):
            if option in given and value > most:
                raise Problem(422, f"{option} is {value}: this service allows at most {most}")
        if not 0 <= config.seed < SEEDS:
            raise Problem(422, f"seed is {config.seed}: it must be from 0 to {SEEDS - 1}")
        return self._completed(self.models[name], config)

    def _completed(self, model: Reasoner, config: SolveConfig) -> SolveConfig:
        """Fills in the model's own settings, cut to the limits of the service."""
        config = config.completed(model.settings)
        values, most = config.settings, min(config.restarts, self.limits.breadth)
        return replace(
            config,
            depth=min(values.depth, self.limits.depth),
            suppose=min(values.suppose, self.limits.depth),
            guesses=min(values.guesses, self.limits.depth),
            breadth=f"{AUTO}{most}" if config.adaptive else most,
        )

    def read(self, name: str, puzzles: Sequence[Written], config: SolveConfig) -> list[Read]:
        """Parses the puzzles, each with the model on its board; raises Problem naming the first invalid text."""
        if not puzzles:
            raise Problem(422, "puzzles is empty: give at least one")
        if len(puzzles) > self.limits.puzzles:
            raise Problem(422, f"{len(puzzles)} puzzles are given: this service takes {self.limits.puzzles} at a time")
        rows = len(puzzles) * config.restarts_at_once
        if rows > self.limits.rows:
            raise Problem(
                422, f"puzzles x breadth is {rows} rows: this service takes {self.limits.rows}, send fewer at a time"
            )
        task, on = self.models[name].task, partial(self._on, name)
        try:
            config.check(task)
        except InputError as error:
            raise Problem(422, str(error)) from None
        texts = [puzzle if isinstance(puzzle, str) else json.dumps(puzzle) for puzzle in puzzles]
        read = [read_puzzle(task, Text(f"puzzles[{index}]", text), on) for index, text in enumerate(texts)]
        for each in read:
            if isinstance(each, Refused):
                raise Problem(422, str(each.error()))
        return [each for each in read if not isinstance(each, Refused)]

    def _on(self, name: str, task: Task) -> Reasoner:
        """The model on a board: mostly the same object, since the engine finds a board's slots by it."""
        with self._lock:
            key = (name, task)
            model = self._sized.pop(key, None) or self.models[name].for_task(task)
            self._sized[key] = model  # the last in order
            if len(self._sized) > MOST_SIZED:
                del self._sized[next(iter(self._sized))]
            return model

    def submit(
        self,
        model: Reasoner,
        puzzles: Sequence[Int[Tensor, " L"]],
        config: SolveConfig,
        on_snapshot: OnSnapshot | None = None,
        on_evidence: OnEvidence | None = None,
        client: str = "",
    ) -> "Future[list[Evidence]]":
        """Hands puzzles to the engine; returns the future evidence. Raises Problem if the engine takes no more now."""
        try:
            if self.stopping:
                raise Closed
            return self.driver.submit(model, puzzles, config, on_snapshot, on_evidence, client)
        except Closed:
            raise stopping() from None
        except Full as full:
            seconds = min(self.limits.seconds, max(1, ceil(self.driver.patience())))
            raise Problem(429, f"{full}: send the request again after {seconds} s", retry_after=str(seconds)) from None

    async def solve(self, name: str, puzzles: Sequence[Written], config: SolveConfig, client: str = "") -> list[Record]:
        """The records of the puzzles, in order; raises Problem if no puzzle is decided in time."""
        read: list[Read] = []
        decided: dict[int, Evidence] = {}
        try:
            async with asyncio.timeout(self.limits.seconds):
                read = await asyncio.to_thread(self.read, name, puzzles, config)
                await self._decide(read, config, decided, client)
            problem = None
        except TimeoutError:
            sentence = "ask for fewer puzzles, less depth or less breadth"
            problem = Problem(503, f"time is up after {self.limits.seconds} s: {sentence}")
        except Closed:
            problem = stopping()
        if problem and not decided:
            raise problem
        evidence = [decided.get(place) for place in range(len(read))]
        return await asyncio.to_thread(self.records, name, read, evidence, config, problem)

    async def _decide(
        self, read: Sequence[Read], config: SolveConfig, decided: dict[int, Evidence], client: str
    ) -> None:
        """Adds the evidence of each puzzle to ``decided``, by its place in ``read``, as the engine decides it."""
        places: dict[Reasoner, list[int]] = {}
        for place, (model, _) in enumerate(read):
            places.setdefault(model, []).append(place)

        def keep(at: Sequence[int], index: int, evidence: Evidence) -> None:
            decided[at[index]] = evidence

        futures: list[Future[list[Evidence]]] = []
        try:
            for model, at in places.items():  # the engine moves boards of one size together
                puzzles = [read[place][1] for place in at]
                futures.append(self.submit(model, puzzles, config, on_evidence=partial(keep, at), client=client))
            await asyncio.gather(*map(asyncio.wrap_future, futures))
        finally:  # this does nothing to futures that are done
            for future in futures:
                future.cancel()

    def records(
        self,
        name: str,
        read: Sequence[Read],
        evidence: Sequence[Evidence | None],
        config: SolveConfig,
        problem: Problem | None = None,
    ) -> list[Record]:
        """The record of each puzzle, as ``eqr solve --json`` prints it; ``problem`` says why one has no evidence."""
        records = list[Record]()
        for (model, puzzle), restarts in zip(read, evidence, strict=True):
            if restarts is None:
                assert problem
                records.append({"question": model.task.as_json(puzzle), "error": problem.error})
                continue
            record = as_record(model.task, select(restarts, config.selection, model.task))
            self.metrics.puzzles.labels(name, str(record["valid"]).lower()).inc()
            records.append(record)
        return records


def _facts(name: str, model: Reasoner, own: SolveConfig) -> ModelFacts:
    return ModelFacts(
        name=name,
        task=model.task.family,
        board=model.task.name,
        other_sizes=_takes_other_sizes(model),
        block=name_in(BLOCKS, model.config.block),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        updates_per_segment=model.config.updates_per_segment,
        settings=OwnSettings.model_validate({option: own.named()[option] for option in OwnSettings.model_fields}),
    )


def _takes_other_sizes(model: Reasoner) -> bool:
    try:
        model.for_task(model.task.larger())
    except InputError:
        return False
    return True
