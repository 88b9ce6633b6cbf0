"""The OpenAPI schemas of requests, with all that a service's options and models add to the types. Knows no request."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from eqr.engine.policy.halting import HALTING, halting_rule
from eqr.engine.policy.selection import SELECTION, selection_rule
from eqr.web.limits import Limits
from eqr.web.schemas import SEEDS, Asked

Schema = dict[str, Any]


class Kind(NamedTuple):
    """The facts of a model on which the options of a request depend."""

    task: str
    """Family of the puzzles."""
    clues_fixed: bool
    has_rules: bool


def described(kind: type[Asked], limits: Limits, models: Mapping[str, Kind], example: str) -> Schema:
    """The JSON schema of ``kind`` under these limits, for ``models`` by name; the first model solves ``example``."""
    schema = kind.model_json_schema()
    fields = schema["properties"]
    for field in fields.values():
        field.pop("title")
    for name in ("model", "depth", "breadth", "halt", "suppose", "guesses"):  # these defaults depend on other fields
        fields[name].pop("default")
    _add_choices(fields, models)
    _add_limits(fields, limits)
    schema["allOf"] = conditions(models)
    if example:
        name, value = ("puzzles", [example]) if "puzzles" in fields else ("puzzle", example)
        fields[name]["examples"] = [value]
        schema["examples"] = [{"task": fields["task"]["examples"][0], name: value}]
    return schema


def _add_choices(fields: Schema, models: Mapping[str, Kind]) -> None:
    families = [kind.task for kind in models.values()]
    answering = "; ".join(f"{name} answers {kind.task}" for name, kind in models.items())
    fields["task"] |= {"enum": sorted(set(families)), "examples": families[:1]}
    fields["model"]["enum"] = list(models)
    fields["model"]["description"] += f" {answering}."
    fields["halt"]["enum"], fields["select"]["enum"] = list(HALTING), list(SELECTION)


def _add_limits(fields: Schema, limits: Limits) -> None:
    for name, least, most in (
        ("depth", 1, limits.depth),
        ("suppose", 0, limits.depth),
        ("guesses", 1, limits.depth),
        ("seed", 0, SEEDS - 1),
    ):
        fields[name] = {"type": "integer", "minimum": least, "maximum": most} | {
            key: value for key, value in fields[name].items() if key in ("default", "description")
        }
    fields["breadth"]["anyOf"] = [
        {"type": "integer", "minimum": 1, "maximum": limits.breadth},
        {"type": "string", "pattern": f"^auto:({up_to(limits.breadth)})$"},
    ]
    fields["breadth"]["description"] += f" Puzzles x breadth is {limits.rows} at most, where auto:K counts as 1."
    if "puzzles" in fields:
        fields["puzzles"] |= {"minItems": 1, "maxItems": limits.puzzles}


def up_to(most: int) -> str:
    """A regular expression of the numbers from 1 to ``most``."""
    digits = str(most)
    parts = [f"[1-9][0-9]{{{count}}}" for count in range(len(digits) - 1)]
    for at, digit in enumerate(digits):  # numbers that are less from this digit on
        least = 0 if at else 1
        if int(digit) > least:
            parts.append(f"{digits[:at]}[{least}-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}")
    return "|".join([*parts, digits])


def conditions(models: Mapping[str, Kind]) -> list[Schema]:
    """Which values go together: each schema holds for every request that is not refused for its options."""
    return [
        {"anyOf": [_of_model(name, kind, models) for name, kind in models.items()]},
        {"anyOf": [{"properties": {"breadth": {"type": "integer"}}}, *_halting("ends_early")]},
        {"anyOf": [{"properties": {"suppose": {"const": 0}}}, *_halting("knows_right")]},
    ]


def _of_model(name: str, kind: Kind, models: Mapping[str, Kind]) -> Schema:
    """Returns the schema of the requests that a model answers."""
    properties: Schema = {"task": {"const": kind.task}, "model": {"const": name}}
    if not kind.clues_fixed:
        properties["suppose"] = {"const": 0}
    if not kind.has_rules:
        properties["select"] = {"enum": [rule for rule in SELECTION if not selection_rule(rule).needs_checker]}
    first = next(other for other, its in models.items() if its.task == kind.task) == name
    return {"properties": properties} if first else {"properties": properties, "required": ["model"]}


def _halting(trait: str) -> list[Schema]:
    """Requests whose halting rule has a trait: they name one that has, or leave it to the model."""
    having = [name for name in HALTING if getattr(halting_rule(name), trait)]
    return [
        {"properties": {"halt": {"enum": having}}, "required": ["halt"]},
        {"properties": {"halt": False, "protocol": {"const": "best"}}},
    ]
