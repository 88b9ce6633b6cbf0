"""The service keeps to its own description: generated requests, good and bad, get described answers and no failure."""

import re
from collections import Counter
from collections.abc import Iterator

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import FIVE, SEVEN, untrained
from starlette.testclient import TestClient

from eqr.engine import SolveConfig, SolveServer
from eqr.model import ModelConfig, Reasoner
from eqr.web.app import create_app
from eqr.web.description import up_to
from eqr.web.limits import Limits
from eqr.web.service import Service

# Schemathesis draws some of its values by the random module while a strategy of Hypothesis runs.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisWarning")
LIMITS = Limits(puzzles=8, depth=100, breadth=8, queue=64)
MODELS = {
    "sudoku": Reasoner(ModelConfig(task="sudoku", block="relation", channels=4, updates_per_segment=1)).eval(),
    "mazes": untrained(),
}
DRIVER = SolveServer(list(MODELS.values()), SolveConfig(), LIMITS.queue)
APP = create_app(Service(MODELS, DRIVER, LIMITS))
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
# A puzzle may break rules that no schema can state (a digit twice in a row): then what fits the schema is refused.
UNSAID = [positive_data_acceptance]


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    with DRIVER:
        yield


OPERATIONS_BY_PATH = TestClient(APP).get("/openapi.json").json()["paths"]
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]


# One test for each operation: schemathesis' own parametrization gives all of them one name, of which xdist runs one.
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_generated_requests_find_nothing(operation: APIOperation) -> None:
    seen: Counter[int] = Counter()
    good_and_bad = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @given(case=good_and_bad)
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def check(case: Case) -> None:
        seen[case.call_and_validate(excluded_checks=UNSAID).status_code] += 1

    check()
    if operation.path.startswith("/v1/solve"):
        assert seen[422] >= 30


PUZZLES = {"sudoku": "." * 81, "maze": FIVE}
CONDITIONS = jsonschema_rs.validator_for(
    {"allOf": OPERATIONS_BY_PATH["/v1/solve"]["post"]["requestBody"]["content"]["application/json"]["schema"]["allOf"]}
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_what_fits_the_description_is_answered(operation: APIOperation) -> None:
    """Every combination of options that the schema allows, with a puzzle that is one."""
    seen: Counter[object] = Counter()

    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def check(case: Case) -> None:
        asked = {"/v1/solve": case.body, "/v1/solve/stream": case.query}.get(operation.path)
        if asked is not None:
            asked |= {"puzzles": [PUZZLES[asked["task"]]]} if "puzzles" in asked else {"puzzle": PUZZLES[asked["task"]]}
            # OpenAPI cannot say of the parameters of a query which values go together.
            assume(CONDITIONS.is_valid(asked))
            seen.update(dict.fromkeys(asked, 1))
        assert case.call_and_validate().status_code == 200

    check()
    if operation.path.startswith("/v1/solve"):
        assert min(seen[name] for name in ("model", "halt", "breadth", "suppose", "select", "protocol")) >= 1


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"task": "maze", "model": "mazes"}, True),
        ({"task": "maze", "model": "sudoku"}, False),
        ({"task": "maze"}, True),
        ({"task": "maze", "suppose": 3}, False),
        ({"task": "sudoku", "suppose": 3}, True),
        ({"task": "sudoku", "suppose": 3, "halt": "residual"}, False),
        ({"task": "maze", "suppose": 0, "halt": "residual"}, True),
        ({"task": "sudoku", "suppose": 3, "protocol": "paper"}, False),
        ({"task": "sudoku", "breadth": "auto:2", "protocol": "paper"}, False),
        ({"task": "sudoku", "breadth": "auto:2", "protocol": "paper", "halt": "either"}, True),
        ({"task": "sudoku", "breadth": "auto:2", "halt": "fixed"}, False),
        ({"task": "sudoku", "breadth": "auto:2"}, True),
        ({"task": "sudoku", "breadth": 2, "halt": "fixed"}, True),
    ],
)
def test_the_description_says_which_values_go_together(asked: dict[str, object], fits: bool) -> None:
    assert CONDITIONS.is_valid(asked) is fits
    body = {**asked, "puzzles": [PUZZLES[str(asked["task"])]], "depth": 1}
    assert TestClient(APP).post("/v1/solve", json=body).status_code == (200 if fits else 422)


@pytest.mark.parametrize("most", [1, 7, 10, 64, 99, 100, 105, 1234])
def test_numbers_up_to_a_limit_as_a_regular_expression(most: int) -> None:
    matching = [n for n in range(3 * most + 20) if re.fullmatch(up_to(most), str(n))]
    assert matching == list(range(1, most + 1))
    assert not re.fullmatch(up_to(most), "01")


@pytest.mark.parametrize(
    ("path", "method", "asked"),
    [
        ("/v1/solve", "POST", {"body": {"task": "maze", "puzzles": [FIVE, SEVEN], "depth": 3, "breadth": "auto:2"}}),
        ("/v1/solve/stream", "GET", {"query": {"task": "maze", "puzzle": FIVE, "depth": 3, "breadth": 2}}),
    ],
)
def test_a_good_request_gets_what_is_described(path: str, method: str, asked: dict[str, object]) -> None:
    """Hardly any that is generated is a puzzle."""
    case = SCHEMA[path][method].Case(**asked, media_type="application/json" if "body" in asked else None)
    assert case.call_and_validate().status_code == 200


def test_limits_are_told_to_those_who_read_the_description() -> None:
    paths = TestClient(APP).get("/openapi.json").json()["paths"]
    body = paths["/v1/solve"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert body["depth"] == {**body["depth"], "minimum": 1, "maximum": 100}
    assert body["puzzles"] == {**body["puzzles"], "minItems": 1, "maxItems": 8}
    assert body["breadth"]["anyOf"][0]["maximum"] == 8
    assert body["task"]["enum"] == ["maze", "sudoku"]
    assert body["protocol"] == {**body["protocol"], "enum": ["best", "paper"], "default": "best"}
    assert [name for name in body if "default" not in body[name]] == [
        *("task", "model", "depth", "breadth", "halt", "suppose", "guesses", "puzzles")
    ]
    assert set(paths["/v1/solve"]["post"]["responses"]) == {"200", "403", "408", "413", "415", "422", "429", "503"}
    query = {one["name"]: one for one in paths["/v1/solve/stream"]["get"]["parameters"]}
    assert [name for name, one in query.items() if one["required"]] == ["task", "puzzle"]
    assert query["depth"]["schema"]["maximum"] == 100
