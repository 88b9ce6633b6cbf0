"""The call forms of the package: what somebody types who only knows ``import eqr``."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eqr
from eqr.data.files import collect, save_puzzles
from eqr.engine.policy.halting import HaltInputs, settled
from eqr.engine.policy.selection import by_vote
from eqr.evidence import Evidence
from eqr.solvers import Map, Memory, Rows
from eqr.tasks import task_named
from eqr.training.loss import softmax
from eqr.types import Calibration, Settings

EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
ANSWER = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"
TINY = eqr.ModelConfig(task="sudoku4", block="relation", channels=8)
SHORT = eqr.TrainConfig(steps=3, slots=4, bf16=False, compile=False, evaluated=2, warmup_steps=1, log_seconds=1e-9)


def boards(count: int) -> tuple[np.ndarray, np.ndarray]:
    task = task_named("sudoku4")
    puzzles = collect(task, task.generate(seed=3), count)
    return puzzles.questions, puzzles.answers


def test_every_public_name_is_there() -> None:
    assert {
        *("load", "solve", "solve_stream", "trajectory", "train", "evaluate", "Reasoner", "ModelConfig", "SolveConfig"),
        *("TrainConfig", "Task", "Layout", "Block", "Solver", "InputError", "TASKS", "BLOCKS", "SOLVERS", "HALTING"),
        *("SELECTION", "__version__"),
    } <= set(dir(eqr))
    assert all(vars(eqr).get(name) is not None or getattr(eqr, name) is not None for name in eqr.__all__)
    assert issubclass(eqr.InputError, ValueError)
    with pytest.raises(AttributeError, match="has no attribute 'slove'"):
        _ = eqr.slove


def test_one_text_gives_one_solution_and_a_list_gives_a_list() -> None:
    model = eqr.load("sudoku")
    solution = eqr.solve(model, EASY)
    assert (solution.text, solution.valid) == (ANSWER, True)
    texts = eqr.solve(model, [EASY, EASY])
    ids = eqr.solve(model, model.task.encode([EASY]))
    assert [other.text for other in (*texts, *ids)] == [ANSWER] * 3
    assert eqr.solve(model, []) == []
    with pytest.raises(eqr.InputError, match="puzzle 1: row 1, column 1 holds 'a'"):
        eqr.solve(model, "a" + EASY[1:])
    with pytest.raises(eqr.InputError, match="protocol 'papers' is not known: did you mean 'paper'"):
        eqr.SolveConfig(protocol="papers")
    with pytest.raises(eqr.InputError, match="puzzle 1: it has 7 ids, sudoku has 81"):
        eqr.solve(model, torch.zeros(1, 7, dtype=torch.long))


def test_ids_may_be_a_tensor_an_array_or_lists() -> None:
    model = eqr.load("sudoku")
    (ids,) = model.task.encode([EASY])
    for given in (ids[None].numpy(), ids[None].byte(), [ids.tolist()], [ids]):
        assert eqr.solve(model, given)[0].text == ANSWER
    for wrong, said in (
        (ids, r"puzzle 1: it is int64 of shape \(\): give \(81,\) whole numbers for each puzzle"),
        (ids[None] * 1.0, r"puzzle 1: it is float32 of shape \(81,\)"),
        (ids[None, None], r"puzzle 1: it is int64 of shape \(1, 81\)"),
        ([None], "puzzle 1: it is NoneType: give a text, or ids as a tensor or an array"),
        (ids[None] + 5, "puzzle 1: it holds ids from 5 to 14, sudoku has 0 to 9"),
    ):
        with pytest.raises(eqr.InputError, match=said):
            eqr.solve(model, wrong)


def test_a_stream_takes_any_iterable_and_answers_what_stands_before_a_fault() -> None:
    model = eqr.load("sudoku")
    endless = itertools.chain([EASY, EASY], itertools.repeat("no puzzle"))
    stream = eqr.solve_stream(model, endless, eqr.SolveConfig(breadth="auto:2"))
    assert [next(stream).text, next(stream).text] == [ANSWER, ANSWER]
    with pytest.raises(eqr.InputError, match="puzzle 3: puzzle 'nopuzzle' has 8 cells"):
        next(stream)


def test_boards_of_several_sizes_are_solved_in_one_stream() -> None:
    model = eqr.load("maze")
    texts = []
    for size in (9, 11, 9):
        task = task_named(f"maze{size}")
        texts.append(task.format(torch.from_numpy(next(task.generate(seed=size)).question)))
    assert [len(solution.text) for solution in eqr.solve(model, texts)] == [81, 121, 81]


def test_a_trajectory_is_tensors_in_one_run(tiny_run: Path) -> None:
    model = eqr.load(tiny_run)
    ids = torch.from_numpy(boards(3)[0]).long()
    path = eqr.trajectory(model, ids, depth=5, breadth=2, latents=True)
    assert path.answers.shape == (6, 5, 16)
    assert path.residual.shape == path.halt_logit.shape == (6, 5)
    assert path.z is not None
    assert path.z.shape == (6, 5, *model.state_shape)
    assert eqr.trajectory(model, ids, depth=5, breadth=2).z is None
    several = eqr.trajectory(model, ids, depth=5, breadth=2, config=eqr.SolveConfig(views=3))
    assert torch.equal(several.residual, path.residual)
    # The states are those of the engine: decoding the last one gives the last answer.
    decoded = model.decode(path.z[:, -1]).argmax(-1) + 1
    asked = ids.repeat_interleave(2, 0)
    assert torch.equal(torch.where(asked == 0, decoded, asked), path.answers[:, -1])


def test_training_takes_arrays_and_tells_every_record(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    run = eqr.train(TINY, data=boards(20), config=SHORT, out=tmp_path / "run", on_record=records.append)
    assert [record["event"] for record in records] == ["start", "train", "train", "train", "eval"]
    assert records == run.log
    assert records == [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    report = eqr.evaluate(run.model, boards(10), eqr.SolveConfig(depth=4))
    assert report.puzzles == 10
    assert 0 <= report.exact_accuracy <= 1
    assert eqr.load(tmp_path / "run").task == run.model.task
    with pytest.raises(eqr.InputError, match="the puzzles, row 0, cell 0 holds -1"):
        eqr.train(TINY, data=(np.full((2, 16), -1), np.ones((2, 16), int)), config=SHORT)


def test_training_without_a_folder_leaves_nothing_and_goes_on_from_a_model(tmp_path: Path, tiny_run: Path) -> None:
    model = eqr.load(tiny_run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = eqr.train(model, data=boards(20), config=SHORT)
    assert run.step == 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(run.model.answer_head, model.answer_head)
    assert list(tmp_path.iterdir()) == []


class Ones:
    """Always one puzzle."""

    def __init__(self) -> None:
        self.draws = 0

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        self.draws += 1
        questions, answers = boards(1)
        return questions[0], answers[0]


def test_training_takes_a_sampler_or_an_iterable() -> None:
    sampler = Ones()
    eqr.train(TINY, data=sampler, config=SHORT)
    assert sampler.draws >= SHORT.slots
    pairs = itertools.cycle(zip(*boards(5), strict=True))
    assert eqr.train(TINY, data=pairs, config=SHORT).step == 3
    with pytest.raises(eqr.InputError, match="the sampler has no more puzzles"):
        eqr.train(TINY, data=iter(list(zip(*boards(2), strict=True))), config=SHORT)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda question, answer: (question, answer + 5),
            "drew an answer that is no board of sudoku4: it holds ids from",
        ),
        (lambda question, answer: (question - 1, answer), "drew a question that is no board of sudoku4: it holds ids"),
        (
            lambda question, answer: (question[1:], answer),
            "drew a question that is no board .*: it has 15 ids, sudoku4",
        ),
    ],
)
def test_puzzles_of_a_sampler_are_checked(spoil: Any, said: str) -> None:
    with pytest.raises(eqr.InputError, match=said):
        eqr.train(TINY, data=itertools.repeat(spoil(*(board[0].astype(int) for board in boards(1)))), config=SHORT)


def test_puzzles_with_answers_may_be_texts(tiny_run: Path) -> None:
    task, model = task_named("sudoku4"), eqr.load(tiny_run)
    questions, answers = ([task.format(torch.from_numpy(board)) for board in of] for of in boards(20))
    pairs = list(zip(questions, answers, strict=True))
    ids = list(zip(*boards(20), strict=True))
    reports = [eqr.evaluate(model, given) for given in (boards(20), (questions, answers), pairs, ids)]
    assert len({report.exact_accuracy for report in reports}) == 1
    assert reports[0].exact_accuracy > 0.5
    assert eqr.train(TINY, data=pairs, config=SHORT).step == 3
    assert eqr.train(TINY, data=itertools.cycle(pairs), config=SHORT).step == 3
    with pytest.raises(eqr.InputError, match=r"the puzzles are not pairs of a question and an answer \("):
        eqr.evaluate(model, [*pairs, pairs[0][:1]])
    with pytest.raises(eqr.InputError, match="the puzzles, row 1, in the answer: row 1, column 1"):
        eqr.evaluate(model, [pairs[0], (pairs[1][0], "." + pairs[1][1][1:])])


def test_rules_that_return_something_else_are_named(tiny_run: Path) -> None:
    model, puzzles = eqr.load(tiny_run), torch.from_numpy(boards(2)[0]).long()
    for halt, said in (
        (lambda rows: True, "the halting rule <lambda> returned bool: it must return a bool tensor"),
        (lambda rows: rows.residuals < 1, r"returned torch.bool of shape \(2, 3\): it must .* of shape \(2,\)"),
        (lambda rows: rows.depth, "returned torch.int64 of shape"),
    ):
        with pytest.raises(eqr.InputError, match=said):
            eqr.solve(model, puzzles, eqr.SolveConfig(depth=2, halt=halt))
    for select in (lambda evidence: 99, lambda evidence: None, lambda evidence: -1):
        with pytest.raises(eqr.InputError, match=r"the selection rule .* returned .*: it must return 0 to 2"):
            eqr.solve(model, puzzles, eqr.SolveConfig(depth=2, breadth=3, halt="fixed", select=select))
    last = eqr.SolveConfig(depth=2, breadth=3, halt="fixed", select=lambda evidence: evidence.depth.argmax() + 2)
    assert eqr.solve(model, puzzles, last)[0].restart == 2


def test_training_data_may_be_a_tuple_of_sets_or_of_paths(tmp_path: Path) -> None:
    task = task_named("sudoku4")
    sets = tuple(collect(task, task.generate(seed=seed), 5) for seed in (1, 2))
    assert eqr.train(TINY, data=sets, config=SHORT).step == 3
    for seed, puzzles in enumerate(sets):
        save_puzzles(puzzles, tmp_path / f"{seed}.npz")
    assert eqr.train(TINY, data=(tmp_path / "0.npz", tmp_path / "1.npz"), config=SHORT).step == 3
    with pytest.raises(eqr.InputError, match="no puzzle to train on"):
        eqr.train(TINY, data=(), config=SHORT)


def test_a_network_that_is_trained_further_has_no_settings_of_its_own_any_more() -> None:
    first = eqr.train(TINY, data=Ones(), config=SHORT).model
    first.calibration = Calibration(
        delta=0.0, tol=0.1, precision=0.9, delta_rows=1, tol_rows=1, puzzles=1, data="x", depth=4, window=3
    )
    first.settings = Settings(halt="learned", suppose=3)
    second = eqr.train(first, data=Ones(), config=SHORT).model
    assert (second.calibration, second.settings) == (None, None)
    assert first.settings
    with pytest.raises(
        eqr.InputError, match="start_from='sudoku': the network given has weights already, leave it out"
    ):
        eqr.train(first, data=Ones(), config=SHORT, start_from="sudoku")


def test_training_runs_in_any_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(eqr.train, TINY, data=Ones(), config=SHORT).result().step == 3


def test_every_thread_is_given_torchs_threads_although_workers_run() -> None:
    before, streams = torch.get_num_threads(), []
    puzzles = torch.from_numpy(boards(3)[0]).long()
    model = eqr.Reasoner(TINY).eval()
    torch.set_num_threads(3)
    try:
        for _ in range(2):  # a stream begins while another one is open
            streams.append(eqr.solve_stream(model, puzzles, eqr.SolveConfig(depth=2, rows=1)))
            with ThreadPoolExecutor(1) as pool:
                pool.submit(next, streams[-1]).result()
        for stream in streams:
            list(stream)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_options_that_count_are_whole_numbers() -> None:
    with pytest.raises(eqr.InputError, match=r"depth is 2\.5: it must be a whole number"):
        eqr.SolveConfig(depth=2.5)
    assert eqr.SolveConfig(depth=np.int64(2), tol=0.5, noise=0.5).segments == 2


def test_own_loss_and_optimizer_are_used() -> None:
    calls: list[str] = []

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        calls.append("loss")
        return softmax(logits, targets)

    def optimizer(model: eqr.Reasoner, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
        calls.append("optimizer")
        return [torch.optim.SGD(model.parameters(), lr=lr)]

    config = replace(SHORT, loss=loss, optimizer=optimizer)
    run = eqr.train(TINY, data=boards(20), config=config)
    assert calls[0] == "optimizer"
    assert "loss" in calls
    start = run.log[0]["run"]
    assert (start["loss"], start["optimizer"]) == ("loss", "optimizer")


class Shifted(eqr.Block):
    """A block with a bias: cells add their neighbour in memory and a learned vector."""

    def __init__(self, layout: eqr.Layout, config: eqr.ModelConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        self.mix = nn.Parameter(0.1 * torch.randn(config.channels, config.channels, generator=generator))
        self.bias = nn.Parameter(torch.zeros(config.channels))

    def forward(self, h: Tensor) -> Tensor:
        return torch.nn.functional.rms_norm(h + torch.tanh(h.roll(1, 1) @ self.mix + self.bias), h.shape[-1:])


def test_objects_stand_where_names_do(tmp_path: Path) -> None:
    model = eqr.Reasoner(TINY, task=task_named("sudoku6"), block=Shifted)
    assert (model.task.name, type(model.blocks[0])) == ("sudoku6", Shifted)
    run = eqr.train(eqr.ModelConfig(task="sudoku4", block=Shifted, channels=8), data=boards(20), config=SHORT,
                    out=tmp_path / "mine")  # fmt: skip
    assert torch.any(run.model.blocks[0].bias != 0)
    with pytest.raises(eqr.InputError, match=r"config\.json: block 'Shifted' is not known.*eqr --import MODULE"):
        eqr.load(tmp_path / "mine")
    assert isinstance(eqr.load(tmp_path / "mine", block=Shifted).blocks[0], Shifted)


class Halfway(eqr.Solver):
    """Half a step, and a count of them."""

    steps = 0

    def init(self, z: Rows) -> Memory:
        return ()

    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        type(self).steps += 1
        fz = f(z)
        return (z + fz) / 2, fz, memory


def test_own_rules_and_solver_are_called(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = eqr.load(tiny_run), {"halt": 0, "select": 0}

    def quick(rows: HaltInputs) -> Tensor:
        calls["halt"] += 1
        return settled(rows) | (rows.depth >= 4)

    def majority(evidence: Evidence) -> int:
        calls["select"] += 1
        return by_vote(evidence)

    config = eqr.SolveConfig(depth=9, breadth=2, halt=quick, select=majority, solver=Halfway())
    assert config.named() | {"halt": "quick", "select": "majority", "solver": "Halfway"} == config.named()
    ids = torch.from_numpy(boards(4)[0]).long()
    solutions = eqr.solve(model, ids, config)
    assert max(solution.depth for solution in solutions) == 4
    assert calls["halt"] > 0
    assert calls["select"] == 4
    assert Halfway.steps > 0
    # Under a name, as a plugin would register them.
    for registry, name, thing in (
        (eqr.HALTING, "quick", quick), (eqr.SELECTION, "majority", majority), (eqr.SOLVERS, "halfway", Halfway)
    ):  # fmt: skip
        monkeypatch.setitem(registry, name, thing)
    by_name = eqr.SolveConfig(depth=9, breadth=2, halt="quick", select="majority", solver="halfway")
    assert [s.text for s in eqr.solve(model, ids, by_name)] == [s.text for s in solutions]


class Pairs(eqr.Task):
    """Two cells that hold one symbol: the least a task can be."""

    name = "pairs"
    layout = eqr.Layout(rows=1, cols=2, symbols=2)

    def parse(self, text: str) -> np.ndarray:
        return np.array([".ab".index(char) for char in text], np.uint8)

    def format(self, board: Tensor) -> str:
        return "".join(".ab"[symbol] for symbol in board.tolist())


def pairs() -> Iterator[tuple[list[int], list[int]]]:
    return itertools.cycle([([1, 0], [1, 1]), ([0, 2], [2, 2])])


def test_a_task_needs_a_name_a_layout_parse_and_format_only(tmp_path: Path) -> None:
    config = eqr.ModelConfig(task=Pairs(), block="mixer", channels=8, token_hidden=8)
    longer = replace(SHORT, steps=150, ema=0.9)
    run = eqr.train(config, data=pairs(), config=longer, out=tmp_path / "p")
    solution = eqr.solve(run.model, "a.")
    assert solution.text == "aa"
    assert "a .  ->  a a" in run.model.task.render("a.", solution)
    with pytest.raises(eqr.InputError, match=r"task 'pairs' is not known"):
        eqr.load(tmp_path / "p")
    assert eqr.solve(eqr.load(tmp_path / "p", task=Pairs()), ".b").text == "bb"
