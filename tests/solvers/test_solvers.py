"""Solvers on maps whose fixed points are known, with torchdeq as an oracle."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchdeq.solver import get_solver

from eqr.solvers import SOLVERS, Anderson, Picard, Solver, relative_residual

ROWS, SIZE = 6, 40


def affine(seed: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """``z A + b``, A symmetric of norm 0.95, and its fixed point, another one in each row."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.double)
    matrix = matrix + matrix.T
    matrix *= 0.95 / torch.linalg.matrix_norm(matrix, 2)
    shift = torch.randn(ROWS, SIZE, generator=generator, dtype=torch.double)
    fixed = torch.linalg.solve(torch.eye(SIZE, dtype=torch.double) - matrix, shift.T).T
    return lambda z: z @ matrix + shift, fixed


def nonlinear(seed: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """``tanh`` of an affine contraction of slope 0.8, conjugated so that its fixed point is known."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.double)
    matrix *= 0.8 / torch.linalg.matrix_norm(matrix, 2)
    fixed = torch.randn(ROWS, SIZE, generator=generator, dtype=torch.double)
    return lambda z: fixed + torch.tanh((z - fixed) @ matrix.T), fixed


MAPS = {"affine": affine, "nonlinear": nonlinear}


def iterate(
    solver: Solver, f: Callable[[Tensor], Tensor], z: Tensor, tol: float, most: int = 2000
) -> tuple[Tensor, int]:
    memory = solver.init(z)
    for steps in range(1, most + 1):
        before = z
        z, fz, memory = solver.step(f, z, memory)
        if (relative_residual(fz, before) < tol).all():
            return z, steps
    raise AssertionError("did not settle")


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("solver", [Picard(), Picard(damping=0.5), Anderson(), Anderson(history=2)], ids=str)
def test_the_known_fixed_point_is_found(kind: str, solver: Solver) -> None:
    f, fixed = MAPS[kind](seed=1)
    found, _ = iterate(solver, f, torch.zeros_like(fixed), tol=1e-9)
    torch.testing.assert_close(found, fixed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", MAPS)
def test_anderson_agrees_with_torchdeq_and_needs_as_few_evaluations(kind: str) -> None:
    f, fixed = MAPS[kind](seed=2)
    start = torch.zeros_like(fixed)
    theirs, _, info = get_solver("anderson")(f, start, max_iter=500, tol=1e-8, stop_mode="rel", m=5, lam=1e-6)
    ours, steps = iterate(Anderson(history=5), f, start, tol=1e-8)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert steps <= 1.5 * float(info["nstep"].max())


def test_anderson_needs_fewer_evaluations_where_picard_is_slow() -> None:
    f, fixed = affine(2)
    counts = [iterate(solver, f, torch.zeros_like(fixed), tol=1e-8)[1] for solver in (Anderson(), Picard())]
    assert counts[0] < counts[1] / 2


def test_damping_keeps_a_share_of_the_old_state() -> None:
    f, fixed = affine(3)
    z, fz, _ = Picard(damping=0.25).step(f, fixed + 1, ())
    torch.testing.assert_close(z, 0.25 * (fixed + 1) + 0.75 * fz)


def test_a_row_whose_residual_grows_takes_a_plain_step() -> None:
    f, fixed = affine(4)
    solver, z = Anderson(), fixed + 1
    memory = solver.init(z)
    for _ in range(3):
        z, fz, memory = solver.step(f, z, memory)
    assert not torch.equal(z, fz)
    z[0] += 100  # far from where the steps were leading
    z, fz, _ = solver.step(f, z, memory)
    assert torch.equal(z[0], fz[0])
    assert not torch.equal(z[1], fz[1])


@pytest.mark.parametrize("name", SOLVERS)
def test_rows_do_not_depend_on_each_other(name: str) -> None:
    f, fixed = nonlinear(5)
    solver = SOLVERS[name]()
    z, memory = torch.zeros_like(fixed), solver.init(torch.zeros_like(fixed))
    other, other_memory = z.clone(), solver.init(z)
    other[1:] += 7.0
    for _ in range(6):
        z, _, memory = solver.step(f, z, memory)
        other, _, other_memory = solver.step(f, other, other_memory)
    torch.testing.assert_close(z[0], other[0])


@pytest.mark.parametrize("name", SOLVERS)
def test_at_rest_nothing_moves_and_nothing_breaks(name: str) -> None:
    solver, z = SOLVERS[name](), torch.ones(2, 3)
    memory = solver.init(z)
    for _ in range(4):
        z, _, memory = solver.step(lambda z: z, z, memory)
        assert torch.equal(z, torch.ones(2, 3))
