"""Compare an exact solver with a trained network, and with the network's confidences as hints (pip install ortools).

python examples/cpsat.py --model runs/jigsaw --data jigsaw_test.jsonl --limit 100
"""

import argparse
import json
import time
from itertools import islice, pairwise
from statistics import mean, median

from ortools.sat.python import cp_model

import eqr
from eqr.data.problems import problems_in
from eqr.tasks.csp import Csp
from eqr.tasks.problem import Problem

Hints = dict[int, str]
"""The likeliest value of some variables."""


def by_cp_sat(problem: Problem, values: tuple[str, ...], hints: Hints) -> tuple[list[str] | None, float, int]:
    """Returns an answer, the seconds that it took, and the branches of the search."""
    started, model = time.perf_counter(), cp_model.CpModel()
    number = {value: at for at, value in enumerate(values)}
    variables = [model.new_int_var(0, len(values) - 1, f"v{i}") for i in range(len(problem.question))]
    for variable, value in zip(variables, problem.question, strict=True):
        if value is not None:
            model.add(variable == number[value])
    for relation in problem.relations.values():
        for group in relation.groups:
            members = [variables[i] for i in group]
            if relation.ordered:
                for first, second in pairwise(members):
                    model.add(first < second)
            elif len(members) == 2:
                model.add(members[0] != members[1])
            else:
                model.add_all_different(members)
    for i, value in hints.items():
        model.add_hint(variables[i], number[value])
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    found = solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    answer = [values[solver.value(variable)] for variable in variables] if found else None
    return answer, time.perf_counter() - started, solver.num_branches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--sure", type=float, default=0.9, help="least confidence of a value that becomes a hint")
    given = parser.parse_args()
    model = eqr.load(given.model)
    task = model.task
    assert isinstance(task, Csp)
    problems = list(islice(problems_in(given.data, task.known, answered=True), given.limit))
    texts = [json.dumps(problem.as_json() | {"answer": None}) for problem in problems]
    started = time.perf_counter()
    solutions = list(eqr.solve_stream(model, texts, compile="kernel", record=True))
    ours = (time.perf_counter() - started) / len(problems)
    seconds: dict[str, list[float]] = {"cp-sat": [], "cp-sat with hints": []}
    branches: dict[str, list[int]] = {name: [] for name in seconds}
    for problem, solution in zip(problems, solutions, strict=True):
        values = task.known.values_of(problem)
        answer = json.loads(solution.text)
        header = task.with_room_for(problem).layout.rule_cells
        confidence = solution.history.confidence[-1][header:].tolist()
        likely = {i: value for i, value in enumerate(answer) if confidence[i] > given.sure}
        for name, hints in (("cp-sat", {}), ("cp-sat with hints", likely)):
            found, took, searched = by_cp_sat(problem, values, hints)
            assert found == list(problem.answer or ()) or "unique" not in (problem.id or "unique")
            seconds[name].append(took)
            branches[name].append(searched)
    right = mean(solution.valid for solution in solutions)
    print(f"{'network':20} {ours:8.4f} s a problem, {right:.1%} valid; all problems together, one start to the last")
    for name, took in seconds.items():
        print(
            f"{name:20} {mean(took):8.4f} s a problem, median {median(took):.4f}; {mean(branches[name]):,.0f} branches"
        )


if __name__ == "__main__":
    main()
