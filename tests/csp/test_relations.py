"""Problems that bring their own relations: rows, matrices, kernel and padding."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from alike import unchanged_by_copies

from eqr.engine import SolveConfig, evidence_stream
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.tasks.csp import Csp, csp_for
from eqr.tasks.family import Family, family_of
from eqr.tasks.problem import Problem, problem_of
from eqr.tasks.problem_rows import Sizes, exact, moved, problem_in, sizes_of


def problems(count: int, seed: int = 0, ordered: bool = True) -> list[Problem]:
    """Problems without meaning, whose sizes, groups, values and attributes differ."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        variables, values = int(rng.integers(3, 9)), int(rng.integers(2, 5))
        groups = [
            rng.permutation(variables)[: rng.integers(1, variables + 1)].tolist() for _ in range(rng.integers(0, 14))
        ]
        chains = [rng.permutation(variables)[: rng.integers(2, 4)].tolist() for _ in range(rng.integers(0, 6))]
        answer = [str(v + 1) for v in rng.integers(0, values, variables)]
        named = [str(v + 1) for v in range(values)]
        relations = {"near": groups, "all": [list(range(variables))]}
        if ordered:
            relations["chain"] = {"ordered": True, "groups": chains}
        made.append(
            problem_of(
                {
                    "question": [v if rng.random() < 0.4 else None for v in answer],
                    "answer": answer,
                    "values": named,
                    "relations": relations,
                    "attributes": {
                        "size": [int(v) if rng.random() < 0.8 else None for v in rng.integers(-9, 9, variables)],
                        "room": [["a", "b"][v] for v in rng.integers(0, 2, variables)],
                    },
                }
            )
        )
    return made


def network(task: Csp, layers: int = 2) -> Reasoner:
    """A network with random weights, of which none is 0."""
    model = Reasoner(ModelConfig(task=task, block="relation", channels=8, layers=layers, damping=0.1))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def ids_of(task: Csp, of: list[Problem]) -> torch.Tensor:
    return torch.from_numpy(np.stack([task.rows_of(problem)[0] for problem in of])).long()


@pytest.mark.parametrize("interchangeable", [True, False])
def test_a_row_holds_the_whole_problem(interchangeable: bool) -> None:
    made = problems(30)
    family = family_of(made, interchangeable)
    task = csp_for(made, family)
    for problem in made:
        row = task.rows_of(problem)[0]
        read, given = problem_in(row, family, task.frame)
        groups = {name: relation for name, relation in problem.relations.items() if relation.groups}
        assert read == replace(
            problem, question=(None,) * len(given), answer=None, relations=groups, values=read.values
        )
        assert given == problem.question
        assert (read.values or family.values)[: len(problem.values or ())] == problem.values
        assert row.min() >= 0
        assert (row[: task.layout.rule_cells] > 0).all()
        alone, frame = exact(row, task.frame)
        assert (moved(alone, frame, task.frame) == row).all()
        assert len(alone) <= len(row)


def test_copies_of_each_channel_change_nothing() -> None:
    made = problems(4)
    task = csp_for(made, family_of(made, False))
    unchanged_by_copies(network(task), ids_of(task, made), copies=2)


@pytest.mark.parametrize("interchangeable", [True, False])
def test_views_rename_every_board_of_a_problem(interchangeable: bool) -> None:
    made = problems(3, ordered=False)
    task = csp_for(made, family_of(made, interchangeable))
    config = SolveConfig(depth=3, breadth=2, views=2, halt="fixed")
    for found in evidence_stream(network(task), ids_of(task, made), config, record=True):
        ids, given = found.puzzle, found.puzzle > 0
        assert len(found.answers) == 4
        assert (found.answers[:, given] == ids[given]).all()
        assert all((history.answers[:, given] == ids[given]).all() for history in found.histories)


def test_each_row_of_a_matrix_is_a_mean_of_the_groups() -> None:
    problem = problem_of(
        {
            "question": [None] * 4,
            "values": ["1", "2"],
            "relations": {"near": [[0, 1], [0, 2, 3]], "chain": {"ordered": True, "groups": [[2, 0, 1]]}},
        }
    )
    family = Family(values=("1", "2"), relations={"chain": True, "near": False}, attributes={}, interchangeable=True)
    task = Csp(family, Sizes(6, 2, 4, 9, 5))
    model = network(task)
    row = torch.from_numpy(task.parse(json.dumps(problem.as_json()))).long()
    relations = model.relations(row.unsqueeze(0))
    assert relations is not None
    after, before, near = relations.matrices[0].unbind(0)
    third, half = 1 / 3, 1 / 2
    expected_near = [
        [(half + third) / 2, half / 2, third / 2, third / 2],
        [half, half, 0, 0],
        [third, 0, third, third],
        [third, 0, third, third],
    ]
    torch.testing.assert_close(near[:4, :4], torch.tensor(expected_near))
    torch.testing.assert_close(after[:4, :4], torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [half, half, 0, 0], [0.0] * 4]))
    torch.testing.assert_close(before[:4, :4], torch.tensor([[0, 0, 1, 0], [half, 0, half, 0], [0.0] * 4, [0.0] * 4]))
    assert not near[4:].any()
    assert not near[:, 4:].any()


@pytest.mark.parametrize("interchangeable", [True, False])
def test_the_kernel_computes_the_block_and_its_gradients(interchangeable: bool) -> None:
    made = problems(12)
    task = csp_for(made, family_of(made, interchangeable))
    model = network(task)
    ids = ids_of(task, made)
    z, x, relations = model.init(Streams.numbered(0, range(12)), ids=ids), model.embed(ids), model.relations(ids)
    fused = model.fused()
    assert fused is not None
    assert relations is not None
    slope = relations.kept(torch.randn(x.shape, generator=torch.Generator().manual_seed(2)))
    found = []
    for call in (model.call, fused):
        h, injection = (tensor.detach().clone().requires_grad_() for tensor in (z[:, 0], x))
        out = call(0, h, injection, relations)
        of_h, of_injection, *of_weights = torch.autograd.grad(
            (out * slope).sum(), [h, injection, *model.blocks.parameters()]
        )
        # What a problem does not have is 0 and stays so: its slope leads nowhere.
        found.append([out, relations.kept(of_h), relations.kept(of_injection), *of_weights])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain, atol=1e-4, rtol=1e-3)


def test_an_answer_is_the_same_alone_and_padded() -> None:
    made = problems(12)
    family = family_of(made, interchangeable=True)
    wide = csp_for(made, family)
    model = network(wide)
    ids = ids_of(wide, made)
    together = model.segment(
        model.init(Streams.numbered(0, range(12)), ids=ids), model.embed(ids), model.relations(ids)
    )
    relations = model.relations(ids)
    logits, halting = model.decode(together, relations), model.halt_logit(together, relations)
    for number, problem in enumerate(made):
        task = wide.with_room(family, sizes_of(problem, family))
        assert wide.identity(ids[number]) == task.identity(ids_of(task, [problem])[0])
        alone = model.for_task(task)
        row = ids_of(task, [problem])
        own = alone.relations(row)
        z = alone.segment(alone.init(Streams.numbered(0, [number]), ids=row), alone.embed(row), own)
        variables, values = len(problem.question), len(problem.values or ())
        cells = slice(wide.layout.rule_cells, wide.layout.rule_cells + variables)
        torch.testing.assert_close(
            alone.decode(z, own)[0, task.layout.rule_cells :], logits[number, cells, :values], atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(alone.halt_logit(z, own)[0], halting[number], atol=1e-5, rtol=1e-4)
