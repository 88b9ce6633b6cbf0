"""Problems as rows of numbers, and back: a header that describes the relations, then the variables (``types.Frame``).

A row holds all that a network and the rules need, so problems travel like boards: through files, slots and seeds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from eqr.errors import InputError
from eqr.tasks.family import Family
from eqr.tasks.problem import Entry, Problem, Relation
from eqr.types import NUMBER, Frame

Row = NDArray[np.int32]
"""(W,) a header and the ids of the variables: 0 where a value is to be found, V + 1 beyond the problem's variables."""
SIZES = ("variables", "values", "groups", "links", "ordered_links")
"""Fields of a frame that depend on the problems; the others depend on their family."""


@dataclass(frozen=True)
class Sizes:
    """The room that problems need."""

    variables: int = 1
    values: int = 1
    groups: int = 0
    links: int = 0
    ordered_links: int = 0

    def or_more(self, other: "Sizes") -> "Sizes":
        """Returns the larger of each size."""
        return Sizes(*map(max, astuple(self), astuple(other)))

    def rounded(self) -> "Sizes":
        """Returns the sizes, but for values, rounded up to powers of two: problems of many sizes share few frames."""
        up = Sizes(*(1 << (size - 1).bit_length() if size else 0 for size in astuple(self)))
        return replace(up, values=self.values)


def sizes_of(problem: Problem, family: Family) -> Sizes:
    """Returns the room that one problem needs."""
    free, ordered = ([r for r in problem.relations.values() if r.ordered is kind] for kind in (False, True))
    return Sizes(
        variables=len(problem.question),
        values=len(family.values_of(problem) if family.interchangeable else family.values),
        groups=sum(len(relation.groups) for relation in free),
        links=sum(len(group) for relation in free for group in relation.groups),
        ordered_links=sum(len(group) for relation in ordered for group in relation.groups),
    )


def frame_of(family: Family, sizes: Sizes) -> Frame:
    """Returns the frame with room for these sizes."""
    return Frame(
        **{field.name: vars(sizes)[field.name] for field in fields(Sizes)},
        relations=tuple(family.relations.values()),
        attributes=tuple(0 if texts is None else len(texts) for texts in family.attributes.values()),
        values_ordered=not family.interchangeable,
    )


def row_of(problem: Problem, values: Sequence[str | None], family: Family, frame: Frame) -> Row:
    """Returns the row (W,) of a problem with these values of its variables, its question or its answer.

    The problem belongs to the family, and the frame has room for it.
    """
    names = family.values_of(problem)
    number = {name: at for at, name in enumerate(names)}
    in_family = {name: at for at, name in enumerate(family.values)}
    sizes = (len(problem.question), len(names), *(problem.shape or (0, 0)))
    relations = [problem.relations.get(name, Relation(groups=())) for name in family.relations]
    unordered, ordered = ([r for r in relations if r.ordered is kind] for kind in (False, True))
    # A missing relation counts as unordered; it has no groups, so it does not matter which.
    parts = (
        _filled((size + 1 for size in sizes), 4),
        _filled((in_family[name] + 1 for name in names), frame.values),
        _filled((len(relation.groups) + 1 for relation in relations), len(relations)),
        _filled(_members(unordered, frame), frame.links),
        _filled(_members(ordered, frame), frame.ordered_links),
        *(
            _filled(_entries(problem.attributes.get(name, ()), texts), frame.variables)
            for name, texts in family.attributes.items()
        ),
        _filled((0 if value is None else number[value] + 1 for value in values), frame.variables, frame.values + 1),
    )
    return np.concatenate(parts)


def problem_in(row: Row, family: Family, frame: Frame) -> tuple[Problem, tuple[str | None, ...]]:
    """Returns the problem of a row, without question and answer, and the values of its variables; None for a blank.

    Raises InputError if the row's header describes no problem.
    """
    try:
        return _described(row, family, frame)
    except (IndexError, ValueError, RuntimeError):  # a generator that ends too early raises RuntimeError
        raise InputError("the ids describe no problem of this task: make them with task.encode") from None


def _described(row: Row, family: Family, frame: Frame) -> tuple[Problem, tuple[str | None, ...]]:
    ends = np.cumsum(frame.parts)
    sizes, names, counts, links, ordered, attributes, ids = np.split(row, ends)
    variables, values, *shape = (sizes - 1).tolist()
    if not 0 < variables <= frame.variables or not 0 < values <= frame.values or min(shape) < 0:
        raise ValueError("the sizes are not those of a problem")
    own = tuple(family.values[at] for at in (names[:values] - 1).tolist())
    groups = {False: _groups(links, frame), True: _groups(ordered, frame)}
    relations = {
        name: Relation(groups=tuple(next(groups[is_ordered]) for _ in range(count - 1)), ordered=is_ordered)
        for (name, is_ordered), count in zip(family.relations.items(), counts.tolist(), strict=True)
    }
    columns = attributes.reshape(len(family.attributes), frame.variables)[:, :variables]
    described = Problem(
        question=(None,) * variables,
        values=own if own != family.values or family.values_as_groups else None,
        relations={name: relation for name, relation in relations.items() if relation.groups},
        attributes={
            name: tuple(_entry(entry, texts) for entry in column)
            for (name, texts), column in zip(family.attributes.items(), columns.tolist(), strict=True)
            if max(column) > 1
        },
        shape=(shape[0], shape[1]) if shape[0] else None,
    )
    return described, tuple(own[id - 1] if id else None for id in ids[:variables].tolist())


def room_of(row: Row, frame: Frame) -> Sizes:
    """Returns the room that the problem of a row takes."""
    sizes, _, counts, links, ordered, *_ = np.split(row, np.cumsum(frame.parts))
    free = counts[~np.array(frame.relations, bool)]
    return Sizes(
        variables=int(sizes[0] - 1),
        values=frame.values if frame.values_ordered else int(sizes[1] - 1),
        groups=int((free - 1).sum()),
        links=int((links > 1).sum()),
        ordered_links=int((ordered > 1).sum()),
    )


def moved(row: Row, frame: Frame, to: Frame) -> Row:
    """Returns the row of the same problem in another frame of its family, which has room for it."""
    sizes, names, counts, *members, attributes, ids = np.split(row, np.cumsum(frame.parts))
    variables, values = (sizes[:2] - 1).tolist()
    links = []
    for part in members:  # written in a frame's own number of variables
        group, variable = np.divmod(part[part > 1] - 2, frame.variables)
        links.append(2 + group * to.variables + variable)
    columns = attributes.reshape(len(frame.attributes), frame.variables)[:, :variables]
    return np.concatenate(
        [
            sizes,
            _filled(names[:values], to.values),
            counts,
            _filled(links[0], to.links),
            _filled(links[1], to.ordered_links),
            *(_filled(column, to.variables) for column in columns),
            _filled(ids[:variables], to.variables, to.values + 1),
        ]
    )


def exact(row: Row, frame: Frame) -> tuple[Row, Frame]:
    """Returns the row without its padding, and its frame: what identifies the problem."""
    to = replace(frame, **dict(zip(SIZES, astuple(room_of(row, frame)), strict=True)))
    return moved(row, frame, to), to


def _filled(numbers: Iterable[int], length: int, padding: int = 1) -> Row:
    """Returns the numbers, padded to ``length``."""
    filled = np.full(length, padding, np.int32)
    listed = numbers if isinstance(numbers, np.ndarray) else list(numbers)
    filled[: len(listed)] = listed
    return filled


def _members(relations: Sequence[Relation], frame: Frame) -> Iterator[int]:
    groups = (group for relation in relations for group in relation.groups)
    return (2 + number * frame.variables + variable for number, group in enumerate(groups) for variable in group)


def _groups(links: Row, frame: Frame) -> Iterator[tuple[int, ...]]:
    numbers, variables = np.divmod(links[links > 1] - 2, frame.variables)
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    return (tuple(part.tolist()) for part in np.split(variables, cuts) if len(part))


def _entries(entries: Sequence[Entry], texts: Sequence[str] | None) -> Iterator[int]:
    numbers = {} if texts is None else {text: at for at, text in enumerate(texts)}
    for entry in entries:
        yield 1 if entry is None else 2 + numbers[entry] if isinstance(entry, str) else NUMBER + entry


def _entry(number: int, texts: Sequence[str] | None) -> Entry:
    return None if number == 1 else number - NUMBER if texts is None else texts[number - 2]


def refuse_too_large(sizes: Sizes) -> None:
    """Raises InputError if a member of a group cannot be written in a row."""
    if (sizes.groups + sizes.ordered_links + 1) * sizes.variables > 2**31 - 3:
        raise InputError(
            f"the problem has {sizes.variables:,} variables and {sizes.groups:,} groups, too many to be numbered: "
            "the product must stay below 2 billion"
        )
