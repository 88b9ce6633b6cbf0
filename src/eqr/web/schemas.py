"""Requests and responses as types and as JSON schemas. Knows no engine.

Types are checked here, and nothing is converted. Values that depend on the options of the service (limits, the tasks it
answers) are checked where they are used; ``description`` adds them to the OpenAPI schema.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from eqr.web.problems import Problem

SEEDS = 2**53
"""Seeds are below this number, up to which JavaScript has every integer."""


def _whole(value: Any) -> Any:
    """JSON has no integers: 2.0 is the number 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(gt=-SEEDS, lt=SEEDS), BeforeValidator(_whole)]

OWN: Any = None
"""Default of the options for which a model has its own settings. A request cannot give this value."""


class Asked(BaseModel):
    """How to solve a puzzle."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str = Field(description="Family of the puzzles.")
    model: str = Field("", description="Model that answers; by default the first model of the family.")
    depth: Whole = Field(OWN, description="Most segments that a row may use; by default the model's own setting.")
    breadth: Whole | Annotated[str, Field(max_length=16)] = Field(
        OWN,
        description="Restarts of each puzzle: K, or auto:K to use fewer if more are unlikely to change the answer; by "
        "default the model's own setting.",
    )
    seed: Whole = Field(0, description="Seed of the starts.")
    halt: str = Field(OWN, description="When a row stops; by default the model's own setting.")
    suppose: Whole = Field(
        OWN,
        description="Segments for which an unsure row holds a supposition; needs halt learned. By default the model's "
        "own setting.",
    )
    guesses: Whole = Field(
        OWN,
        description="Most suppositions that a row holds at a time, if it makes any; by default the model's own "
        "setting.",
    )
    protocol: Literal["best", "paper"] = Field(
        "best",
        description="Where depth, breadth, halt, suppose and guesses come from if they are not given: best (the "
        "model's own settings) or paper (one start of fixed depth, without suppositions).",
    )
    select: str = Field("residual", description="Which restart answers.")

    def options(self) -> dict[str, Any]:
        """The options of the engine that the request gives."""
        return self.model_dump(include=OPTIONS & self.model_fields_set)


OPTIONS = {"depth", "breadth", "seed", "halt", "suppose", "guesses", "protocol", "select"}
"""Fields of a request that are fields of ``SolveConfig``."""


class SolveAsked(Asked):
    """Puzzles, and how to solve them."""

    puzzles: list[str | dict[str, Any]] = Field(
        description="Each puzzle row by row, as `eqr solve` reads it, or a problem as an object (docs/your_problem.md)."
    )


class StreamAsked(Asked):
    """One puzzle, and how to solve it."""

    puzzle: str = Field(description="The puzzle row by row, or a problem as JSON, as `eqr solve` reads it.")


Board = str | list[str | None]
"""A board row by row, or the value of each variable of a problem; null where one is to be found."""


class Answer(BaseModel):
    """One answer: the fields of `eqr solve --json`."""

    model_config = ConfigDict(extra="forbid")

    question: Board
    answer: Board
    valid: bool | None = Field(description="Whether the task's checker accepts the answer; null if it has no rules.")
    converged: bool = Field(description="Whether the row had settled.")
    halted: bool = Field(description="True if the halting rule ended the row, false if the depth limit did.")
    residual: float | None = Field(description="Mean relative residual over the last segments; null if not finite.")
    depth: int = Field(description="Segments that the answering row used.")
    restart: int = Field(description="Index of the restart that answers, from 0.")
    restarts: int = Field(description="Number of restarts that were run.")
    seconds: float = Field(description="The puzzle's share of the time of the rows iterated together.")


class Undecided(BaseModel):
    """A puzzle that was not decided in time."""

    model_config = ConfigDict(extra="forbid")

    question: Board
    error: str = Field(description="Why there is no answer, and what to change, in one sentence.")


class Answers(BaseModel):
    """Answers in the order of the puzzles."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="The model that answered.")
    complete: bool = Field(description="False if the time was up before every puzzle was decided.")
    answers: list[Answer | Undecided]


class Segment(BaseModel):
    """One restart after one segment."""

    model_config = ConfigDict(extra="forbid")

    restart: int = Field(description="Index of the restart, from 0.")
    depth: int = Field(description="Segments so far, from 1.")
    answer: str
    confidence: list[float] = Field(description="Probability of each cell's symbol.")
    residual: float | None
    halt_logit: float | None = Field(description="Score of the halting head; above 0, the head calls the answer right.")


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


class OwnSettings(BaseModel):
    """The options of a request that gives none, within the limits of the service."""

    model_config = ConfigDict(extra="forbid")

    depth: int
    breadth: int | str
    halt: str
    suppose: int
    guesses: int


class ModelFacts(BaseModel):
    """One model."""

    model_config = ConfigDict(extra="forbid")

    name: str
    task: str = Field(description="Family of the puzzles.")
    board: str = Field(description="The board that the model was last trained on, as `eqr generate` names it.")
    other_sizes: bool = Field(description="Whether the model takes boards of other sizes.")
    block: str
    parameters: int
    updates_per_segment: int
    settings: OwnSettings


class Offered(BaseModel):
    """The models of the service, and the limits of a request."""

    model_config = ConfigDict(extra="forbid")

    models: list[ModelFacts]
    limits: dict[str, int]


class Health(BaseModel):
    """The engine runs."""

    model_config = ConfigDict(extra="forbid")

    status: str


Kind = TypeVar("Kind", bound=Asked)


def read_json(kind: type[Kind], body: bytes) -> Kind:
    """Parses the body of a request; raises Problem."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None


def read_query(kind: type[Kind], query: Mapping[str, str]) -> Kind:
    """Parses the query of a request, where whole numbers are written in digits; raises Problem."""
    numbers = ("depth", "breadth", "suppose", "guesses", "seed")
    values: dict[str, object] = dict(query)
    digits = {name: re.fullmatch(r"(-?[0-9]{1,18})(\.0+)?", query.get(name, "")) for name in numbers}
    values |= {name: int(match[1]) for name, match in digits.items() if match}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> Problem:
    """A refusal for the first error, in one sentence."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Problem(422, f"the body is not JSON ({first['ctx']['error']}): send an object with task and puzzles")
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][:2]).lstrip(".")
    if first["loc"][:1] == ("breadth",):
        return Problem(422, "breadth: it must be K or auto:K, where K is a number")
    if first["type"] == "extra_forbidden":
        return Problem(422, f"{place[:60]!r}: there is no such field, leave it out")
    sentences = {"missing": "it is missing, give it", "model_type": "it must be an object"}
    sentence = sentences.get(first["type"], first["msg"].replace("Input should be", "it must be"))
    return Problem(422, f"{place or 'the body'}: {sentence}")
