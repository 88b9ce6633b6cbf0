"""What is sent and what comes back, as types and as JSON schemas. Knows no engine.

Types are checked here, and nothing is converted. What depends on the options of the service (limits, the tasks it
answers) is checked where it is used, and told to OpenAPI by ``described``.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eqr.engine.policy.halting import HALTING
from eqr.engine.policy.selection import SELECTION
from eqr.web.limits import Limits
from eqr.web.problems import Problem

SEEDS = 2**53
"""Seeds are below this, the numbers that JavaScript has too."""
Whole = Annotated[int, Field(gt=-SEEDS, lt=SEEDS)]


class Asked(BaseModel):
    """How a puzzle is to be solved."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str = Field(description="Family of the puzzles.")
    model: str = Field("", description="Model that answers; the first of the family if none is named.")
    depth: Whole = Field(64, description="Segments a row may use at most.")
    breadth: Whole | Annotated[str, Field(max_length=16)] = Field(
        1, description="Restarts of each puzzle: K, or auto:K to stop at fewer as soon as the evidence enough_restarts."
    )
    seed: Whole = Field(0, description="Seed of the starts.")
    halt: str = Field("residual", description="When a row stops.")
    suppose: Whole = Field(0, description="Segments for which an unsure row holds a supposition; needs halt learned.")
    select: str = Field("residual", description="Which restart answers.")


class SolveAsked(Asked):
    """Puzzles, and how they are to be solved."""

    puzzles: list[str] = Field(description="Each as `eqr solve` reads it, row by row.")


class StreamAsked(Asked):
    """One puzzle, and how it is to be solved."""

    puzzle: str = Field(description="As `eqr solve` reads it, row by row.")


class Answer(BaseModel):
    """One answer: the fields of `eqr solve --json`."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    valid: bool | None = Field(description="Whether the task's checker accepts the answer; null if it has no rules.")
    converged: bool = Field(description="Whether the row had settled.")
    halted: bool = Field(description="Whether the halting rule ended the row, not the limit of depth.")
    residual: float | None = Field(description="Mean relative residual over the last segments; null if not finite.")
    depth: int = Field(description="Segments the answering row used.")
    restart: int = Field(description="Which restart answers, from 0.")
    restarts: int = Field(description="Restarts that were run.")
    seconds: float = Field(description="The puzzle's share of the time of rows iterated together.")


class Answers(BaseModel):
    """Answers in the order of the puzzles."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="The model that answered.")
    answers: list[Answer]


class Segment(BaseModel):
    """One restart after one segment."""

    model_config = ConfigDict(extra="forbid")

    restart: int = Field(description="From 0.")
    depth: int = Field(description="Segments so far, from 1.")
    answer: str
    confidence: list[float] = Field(description="Probability of each cell's symbol.")
    residual: float | None
    halt_logit: float | None = Field(description="Score of the halting head: above 0 it holds the answer right.")


def events() -> dict[str, Any]:
    """The JSON schema of one event of a stream."""
    answer = {"$ref": "#/components/schemas/Answer"}
    done = {"type": "object", "properties": {"restart": {"type": "integer"}, "record": answer}}
    contents = {
        "segment": Segment.model_json_schema(),
        "done": {**done, "required": ["restart", "record"], "description": "The restart that answers, and its answer."},
        "error": {"$ref": "#/components/schemas/Refusal"},
    }
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "event": {"const": name},
                    "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
                },
                "required": ["event", "data"],
            }
            for name, content in contents.items()
        ]
    }


class ModelFacts(BaseModel):
    """One model."""

    model_config = ConfigDict(extra="forbid")

    name: str
    task: str = Field(description="Family of the puzzles.")
    board: str = Field(description="The board it was trained on last, as `eqr generate` names it.")
    other_sizes: bool = Field(description="Whether it takes boards of other sizes.")
    block: str
    parameters: int
    updates_per_segment: int


class Offered(BaseModel):
    """What the service has, and what a request may ask for."""

    model_config = ConfigDict(extra="forbid")

    models: list[ModelFacts]
    limits: dict[str, int]


class Health(BaseModel):
    """The engine runs."""

    model_config = ConfigDict(extra="forbid")

    status: str


Kind = TypeVar("Kind", bound=Asked)


def read_json(kind: type[Kind], body: bytes) -> Kind:
    """What a body asks for; raises Problem."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None


def read_query(kind: type[Kind], query: Mapping[str, str]) -> Kind:
    """What a query asks for: whole numbers are written in digits. Raises Problem."""
    numbers = ("depth", "breadth", "suppose", "seed")
    values: dict[str, object] = dict(query)
    values |= {name: int(query[name]) for name in numbers if re.fullmatch(r"-?[0-9]{1,18}", query.get(name, ""))}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> Problem:
    """The first thing that is wrong, in one sentence."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Problem(422, f"the body is not JSON ({first['ctx']['error']}): send an object with task and puzzles")
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][:2]).lstrip(".")
    if first["loc"][:1] == ("breadth",):
        return Problem(422, "breadth: it must be a number, or auto: and a number")
    if first["type"] == "extra_forbidden":
        return Problem(422, f"{place[:60]!r}: there is no such field, leave it out")
    said = {"missing": "it is needed, give it", "model_type": "it must be an object"}
    what = said.get(first["type"], first["msg"].replace("Input should be", "it must be"))
    return Problem(422, f"{place or 'the body'}: {what}")


def described(kind: type[Asked], limits: Limits, models: Mapping[str, str], example: str) -> dict[str, Any]:
    """The JSON schema of ``kind`` under these limits, for models and their tasks; the first answers ``example``."""
    schema = kind.model_json_schema()
    fields = schema["properties"]
    for field in fields.values():
        field.pop("title")
    fields["task"] |= {"enum": sorted(set(models.values())), "examples": [next(iter(models.values()))]}
    fields["model"].pop("default")
    fields["model"]["enum"] = list(models)
    fields["halt"]["enum"], fields["select"]["enum"] = list(HALTING), list(SELECTION)
    for name, least, most in (("depth", 1, limits.depth), ("suppose", 0, limits.depth), ("seed", 0, SEEDS - 1)):
        fields[name] = {"type": "integer", "minimum": least, "maximum": most} | {
            key: value for key, value in fields[name].items() if key in ("default", "description")
        }
    fields["breadth"]["anyOf"] = [
        {"type": "integer", "minimum": 1, "maximum": limits.breadth},
        {"type": "string", "pattern": "^auto:[1-9][0-9]*$"},
    ]
    if "puzzles" in fields:
        fields["puzzles"] |= {"minItems": 1, "maxItems": limits.puzzles}
    if example:
        name, value = ("puzzles", [example]) if "puzzles" in fields else ("puzzle", example)
        fields[name]["examples"] = [value]
    return schema
