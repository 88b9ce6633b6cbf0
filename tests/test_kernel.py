"""The C++ form of the relation block says what the block in plain torch says."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import eqr
from eqr import runtime
from eqr.cli import main
from eqr.data.files import read_labelled
from eqr.engine.segment import segment
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks.relation import RelationBlock
from eqr.model.recursion import Call
from eqr.random import Streams
from eqr.runtime import mixed_precision, native_library
from eqr.solvers import Anderson, Picard

SHAPES = {
    "a board of boxes": ModelConfig(task="sudoku6", channels=12, layers=2, damping=0.3),
    "one symbol more than a tile": ModelConfig(task="maze13", channels=5, expansion=1.7),
    "widths of full vectors": ModelConfig(task="sudoku4", channels=32, layers=3, damping=0.2),
    "two streams": ModelConfig(task="sudoku4", channels=16, recursion="hierarchical", cycles=2),
    "two stacks": ModelConfig(task="sudoku4", channels=20, layers=2, recursion="two_modules", cycles=3, damping=0.1),
    "kinds of symbols and rules": ModelConfig(task="arc6", channels=8, layers=2),
}
EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."


def prepared(config: ModelConfig, rows: int = 5) -> tuple[Reasoner, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    model = Reasoner(config, generator)
    layout = model.task.layout
    ids = torch.randint(0, layout.symbols + 1, (rows, layout.width), generator=generator)
    if layout.rule_cells:
        ids[:, : layout.rule_cells] = 1
    return model, model.init(Streams.numbered(0, range(rows))), model.embed(ids).detach()


def fused(model: Reasoner) -> Call:
    call = model.fused()
    assert call is not None
    return call


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_an_update_is_that_of_plain_torch(shape: str) -> None:
    model, z, x = prepared(SHAPES[shape])
    torch.testing.assert_close(model.update(z, x, call=fused(model)), model.update(z, x), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_noise_is_added_to_each_call() -> None:
    model, z, x = prepared(SHAPES["two streams"])
    noise = torch.randn(len(z), *model.noise_shape[1:], generator=torch.Generator().manual_seed(0))
    expected = model.update(z, x, noise)
    assert not torch.allclose(expected, model.update(z, x), atol=0.1)
    torch.testing.assert_close(model.update(z, x, noise, fused(model)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_rows_are_equal_alone_and_together_to_the_last_bit(shape: str) -> None:
    model, z, x = prepared(SHAPES[shape])
    call = fused(model)
    together = model.update(z, x, call=call)
    alone = [model.update(z[at : at + 1], x[at : at + 1], call=call) for at in range(len(z))]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(model.update(z[1:4], x[1:4], call=call), together[1:4])


def gradients(model: Reasoner, z: torch.Tensor, x: torch.Tensor, call: Call | None) -> list[torch.Tensor]:
    """Of a sum over two updates, with respect to the state, the input and the weights of the blocks."""
    leaves = [z.clone().requires_grad_(), x.clone().requires_grad_()]
    after = model.update(model.update(*leaves, call=call), leaves[1], call=call)
    factors = torch.linspace(-1, 1, after.numel(), dtype=after.dtype).cos().view_as(after)
    return list(torch.autograd.grad((after * factors).sum(), [*leaves, *model.blocks.parameters()]))


def distance(got: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """The largest relative error of a tensor."""
    pairs = zip(got, expected, strict=True)
    return max(float((one.double() - other.double()).norm() / other.double().norm()) for one, other in pairs)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_plain_torch_in_double_precision(shape: str) -> None:
    model, z, x = prepared(SHAPES[shape], rows=3)
    exact = Reasoner(SHAPES[shape]).double()
    exact.load_state_dict(model.state_dict())
    expected = gradients(exact, z.double(), x.double(), None)
    assert distance(gradients(model, z, x, model.fused()), expected) < 1e-5


@pytest.mark.parametrize("shape", ["a board of boxes", "widths of full vectors", "two streams"])
def test_products_of_bfloat16_err_as_mixed_precision_does(shape: str) -> None:
    model, z, x = prepared(SHAPES[shape], rows=3)
    expected = gradients(model, z, x, None)
    with mixed_precision(runtime.CPU, bf16=True):
        mixed = distance(gradients(model, z, x, None), expected)
    assert distance(gradients(model, z, x, model.fused(bf16=True)), expected) < 2 * mixed < 0.1


def test_the_gradient_of_a_row_is_equal_alone_and_together_to_the_last_bit() -> None:
    model, z, x = prepared(SHAPES["a board of boxes"])
    of_z, of_x, *_ = gradients(model, z, x, model.fused())
    factors = torch.linspace(-1, 1, z.numel()).cos().view_as(z)
    leaves = [z[2:3].clone().requires_grad_(), x[2:3].clone().requires_grad_()]
    call = fused(model)
    after = model.update(model.update(*leaves, call=call), leaves[1], call=call)
    alone = torch.autograd.grad((after * factors[2:3]).sum(), leaves)
    assert torch.equal(of_z[2:3], alone[0])
    assert torch.equal(of_x[2:3], alone[1])


def test_a_training_run_takes_the_steps_of_plain_torch_and_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.training.gradients.compiled", None)
    losses = {}
    for compile in (True, False):
        config = eqr.TrainConfig(steps=6, pool=40, bf16=False, compile=compile, warmup_steps=2, log_seconds=1e-9)
        trained = eqr.train(ModelConfig(task="sudoku4", channels=8, layers=2), config=config)
        losses[compile] = [record["loss"] for record in trained.log if record["event"] == "train"]
    assert len(losses[True]) == 6
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


@pytest.mark.parametrize("solver", [Picard(damping=0.1), Anderson()])
@torch.inference_mode()
def test_a_segment_of_any_solver_is_that_of_plain_torch(solver: eqr.Solver) -> None:
    model, z, x = prepared(SHAPES["a board of boxes"])
    ids = torch.zeros(len(z), model.task.layout.width, dtype=torch.long)
    plain = segment(model, solver, z, x, ids, solver.init(z), None)
    fast = segment(model, solver, z, x, ids, solver.init(z), None, fused(model))
    torch.testing.assert_close(fast.z, plain.z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast.residual, plain.residual, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.halt_logit, plain.halt_logit, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_large_values_and_values_that_are_no_numbers_go_through_as_in_plain_torch() -> None:
    model, z, x = prepared(SHAPES["widths of full vectors"], rows=3)
    z[0] *= 1e4
    z[1, 0, 3, 7] = torch.nan
    expected, got = model.update(z, x), model.update(z, x, call=fused(model))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert expected[1].isnan().any()
    assert not expected[2].isnan().any()


def test_the_bundled_model_answers_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model = eqr.load("sudoku")
    puzzles = read_labelled("examples/sudoku/puzzles.csv", model.task).batch().inputs
    config = eqr.SolveConfig(depth=24, breadth=1, halt="residual", suppose=0)
    plain = list(eqr.solve_stream(model, puzzles, config))
    monkeypatch.setattr("eqr.engine.segment.compiled", None)  # the kernel takes the place of torch.compile
    fast = list(eqr.solve_stream(model, puzzles, config, compile=True))
    assert [solution.text for solution in fast] == [solution.text for solution in plain]
    assert sum(s.depth for s in fast) == pytest.approx(sum(s.depth for s in plain), rel=0.02)
    for rows in (1, 5):  # the rows under way beside a row do not matter, as in plain torch
        others = eqr.solve_stream(model, puzzles[3:6], replace(config, rows=rows), compile=True)
        assert [(s.text, s.residual) for s in others] == [(s.text, s.residual) for s in fast[3:6]]


@pytest.mark.parametrize(
    ("command", "used"),
    [(["--file", "examples/sudoku/puzzles.csv"], True), ([EASY], False), (["--file", "-"], True)],
    ids=["file", "argument", "pipe"],
)
def test_files_and_pipes_are_solved_by_the_kernel_and_arguments_at_once(
    command: list[str], used: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    monkeypatch.setattr(Reasoner, "fused", lambda model, bf16=False: made.append(model))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(EASY.encode())))
    main(["solve", *command, "--json"])
    assert capsys.readouterr().out.count('"valid": true') == (12 if "examples" in command[-1] else 1)
    assert bool(made) == used


class Louder(RelationBlock):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(h)


def test_there_is_no_kernel_for_other_mathematics_precision_or_blocks() -> None:
    config = SHAPES["a board of boxes"]
    assert Reasoner(config, block=Louder).fused() is None
    assert Reasoner(config).double().fused() is None
    assert Reasoner(replace(config, block="symbol")).fused() is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports parts of torch that are deprecated
def test_a_block_without_a_kernel_is_compiled_and_answers_alike() -> None:
    config = ModelConfig(task="sudoku4", block="symbol", channels=4, token_hidden=4, updates_per_segment=1)
    model = Reasoner(config, torch.Generator().manual_seed(3)).eval()
    puzzles = torch.randint(0, 5, (5, 16), generator=torch.Generator().manual_seed(4))
    few = eqr.SolveConfig(depth=3, breadth=2, halt="fixed", rows=3)
    plain, fast = (list(eqr.solve_stream(model, puzzles, few, compile=compile)) for compile in (False, True))
    assert [solution.text for solution in fast] == [solution.text for solution in plain]
    assert [s.residual for s in fast] == pytest.approx([s.residual for s in plain], rel=1e-4)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Forgets libraries and compilers, before and after a test that changes the environment."""
    forget = native_library.cache_clear, runtime.can_compile.cache_clear
    for one in forget:
        one()
    yield
    for one in forget:
        one()


def add(number: str, folder: Path) -> Path:
    source = folder / "add.cpp"
    source.write_text(f'extern "C" int add(int a) {{ return a + {number}; }}')
    return source


@pytest.mark.usefixtures("forgetful")
def test_a_library_that_is_damaged_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: Path(name).stat().st_size)
    assert native_library(add("1", tmp_path)) > 0  # not loaded: a loaded file must not be cut
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (library,) = (tmp_path / "cache" / "eqr").iterdir()
    library.write_bytes(b"")
    native_library.cache_clear()
    assert native_library(add("1", tmp_path)).add(1) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("forgetful")
def test_a_library_is_kept_and_built_anew_when_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert native_library(add("1", tmp_path)).add(1) == 2
    native_library.cache_clear()
    monkeypatch.setattr(runtime, "_build", None)  # the second time nothing is built
    assert native_library(add("1", tmp_path)).add(1) == 2
    native_library.cache_clear()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert native_library(add("2", tmp_path)).add(1) == 3
    assert sorted(path.suffix for path in (tmp_path / "cache" / "eqr").iterdir()) == [".so", ".so"]
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("fault", "notice"), [("code", "error: "), ("folder", "File exists"), ("compiler", "no C++ compiler")]
)
def test_a_library_that_cannot_be_built_gets_one_notice_and_plain_torch(
    fault: str, notice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if fault == "folder":
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "eqr").write_text("a file")
    if fault == "compiler":
        monkeypatch.setenv("CXX", "no-such-g++")
    source = add("" if fault == "code" else "1", tmp_path)
    assert native_library(source) is None
    assert native_library(source) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("notice: ")
    assert notice in line


@pytest.mark.usefixtures("forgetful")
def test_builds_of_one_library_at_the_same_time_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads stand for processes here: nothing that the builds share is in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = add("1", tmp_path)
    with ThreadPoolExecutor(6) as pool:
        libraries = list(pool.map(native_library.__wrapped__, [source] * 6))
    assert [library.add(1) for library in libraries] == [2] * 6
    assert len(list((tmp_path / "cache" / "eqr").iterdir())) == 1
