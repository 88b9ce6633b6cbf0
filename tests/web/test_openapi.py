"""The service keeps to its own description: generated requests, good and bad, get described answers and no failure."""

from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import FIVE, SEVEN, untrained
from starlette.testclient import TestClient

from eqr.engine import SolveConfig, SolveServer
from eqr.model import ModelConfig, Reasoner
from eqr.web.app import create_app
from eqr.web.limits import Limits
from eqr.web.service import Service

# Schemathesis draws some of its values by the random module while a strategy of Hypothesis runs.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisWarning")
LIMITS = Limits(puzzles=8, depth=100, breadth=8, queue=60)
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
    assert body["depth"] == {**body["depth"], "minimum": 1, "maximum": 100, "default": 64}
    assert body["puzzles"] == {**body["puzzles"], "minItems": 1, "maxItems": 8}
    assert body["breadth"]["anyOf"][0]["maximum"] == 8
    assert body["task"]["enum"] == ["maze", "sudoku"]
    assert body["protocol"] == {**body["protocol"], "enum": ["best", "paper"], "default": "best"}
    assert [name for name in body if "default" not in body[name]] == [
        *("task", "model", "breadth", "halt", "suppose", "puzzles")
    ]
    assert set(paths["/v1/solve"]["post"]["responses"]) == {"200", "408", "413", "415", "422", "429", "503"}
    query = {one["name"]: one for one in paths["/v1/solve/stream"]["get"]["parameters"]}
    assert [name for name, one in query.items() if one["required"]] == ["task", "puzzle"]
    assert query["depth"]["schema"]["maximum"] == 100
