"""Print exam timetables as JSON lines: which slot does each exam get, if no student has two exams at a time?

python examples/csp/timetable.py --count 1000 --seed 0 > timetable.jsonl

The id says "unique" where the answer is the only one. With --fixed 0.3, a share of 0.3 of the exams has its slot, other
answers may be right too, and the id says "valid".
"""

import argparse
import random
import sys

from eqr.data.problems import write_problems
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Problem, Relation


def timetable(exams: int, slots: int, students: int, fixed: float | None, name: str) -> Problem:
    """Plants a timetable, lets each student take exams of different slots, and shows the slots of some exams.

    An exam has a room, and exams in one room need different slots, as exams of one student do.
    """
    rng = random.Random(name)
    values = [str(slot + 1) for slot in range(slots)]
    rooms = [f"room {room + 1}" for room in range(-(-exams // slots) + 1)]
    places = rng.sample([(slot, room) for slot in values for room in rooms], exams)
    planted, room_of = (tuple(part) for part in zip(*places, strict=True))
    at = {slot: [exam for exam in range(exams) if planted[exam] == slot] for slot in sorted(set(planted))}
    groups = {tuple(exam for exam in range(exams) if room_of[exam] == room) for room in rooms}
    for _ in range(students):
        taken = rng.sample(sorted(at), min(len(at), rng.randint(2, 4)))
        groups.add(tuple(sorted(rng.choice(at[slot]) for slot in taken)))
    relations = {"conflict": Relation(groups=tuple(sorted(group for group in groups if len(group) > 1)))}
    if fixed is None:
        with Exact(exams, values, relations) as exact:
            question = exact.thinned(planted, rng)
    else:
        shown = rng.sample(range(exams), round(fixed * exams))
        question = tuple(slot if exam in shown else None for exam, slot in enumerate(planted))
    kind = "unique" if fixed is None else "valid"
    attributes = {"room": room_of}
    return Problem(question=question, answer=planted, relations=relations, attributes=attributes, id=f"{name}-{kind}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exams", type=int, default=30)
    parser.add_argument("--slots", type=int, default=6)
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--fixed", type=float, help="share of exams with a slot; by default as few as leave one answer")
    given = parser.parse_args()
    size = (given.exams, given.slots, given.students, given.fixed)
    write_problems((timetable(*size, f"timetable-{given.seed}-{i}") for i in range(given.count)), sys.stdout)
