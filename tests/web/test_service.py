"""What requests get, in this process."""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
import torch
from serving import EASY, FIVE, ROOT, SEVEN, service_of, until, untrained
from starlette.testclient import TestClient

import eqr
from eqr.cli import main
from eqr.data.serialise import as_record
from eqr.engine import SolveConfig
from eqr.engine.policy.halting import HALTING, HaltInputs
from eqr.model import Reasoner
from eqr.storage.checkpoint import load
from eqr.web.app import create_app
from eqr.web.service import EXAMPLES, Service
from eqr.web.stream import Trajectories

BLANK = "." * 81
LONG = {"depth": 100, "halt": "fixed", "breadth": 4}


def solve(client: TestClient, **asked: object) -> list[dict[str, object]]:
    response = client.post("/v1/solve", json={"task": "sudoku", **asked})
    assert response.status_code == 200, response.text
    return response.json()["answers"]


def refused(response: object, status: int, said: str) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["status", "error"]
    assert body["status"] == status
    assert re.search(said, body["error"]), body["error"]
    assert "\n" not in body["error"]


def test_answers_have_the_fields_and_values_of_eqr_solve_json_in_order(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["solve", *EASY[:4], "--depth", "20", "--breadth", "auto:2", "--threads", "1", "--json"])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = solve(client, puzzles=EASY[:4], depth=20, breadth="auto:2")
    assert list(answers[0]) == list(printed[0])
    for answer, line in zip(answers, printed, strict=True):
        assert {**answer, "seconds": 0} == {**line, "seconds": 0}
    assert any(answer["valid"] for answer in answers)


def test_mazes_of_several_sizes_are_answered_in_order(client: TestClient) -> None:
    answers = solve(client, task="maze", puzzles=[FIVE, SEVEN, FIVE.replace("/", "\n")], depth=3)
    assert [answer["question"] for answer in answers] == [text.replace("/", "") for text in (FIVE, SEVEN, FIVE)]
    assert answers[0]["answer"] == answers[2]["answer"]
    assert answers[0]["converged"] is False


def test_a_residual_that_is_not_finite_is_null(service: Service, client: TestClient) -> None:
    model = service.models["mazes"]
    weight = model.blocks[0].state_dict(keep_vars=True)
    kept = {name: tensor.detach().clone() for name, tensor in weight.items()}
    with torch.no_grad():
        for tensor in weight.values():
            tensor.fill_(float("nan"))
    (answer,) = solve(client, task="maze", puzzles=[FIVE], depth=2)
    with torch.no_grad():
        for name, tensor in weight.items():
            tensor.copy_(kept[name])
    assert answer["residual"] is None


def test_seed_halt_select_and_model_are_those_asked_for(client: TestClient) -> None:
    asked = {"puzzles": EASY[:1], "depth": 5, "breadth": 3, "model": "sudoku", "select": "first", "halt": "fixed"}
    one, other = (solve(client, seed=seed, **asked)[0] for seed in (1, 2))
    model = eqr.load("sudoku")
    for seed, answer in ((1, one), (2, other)):
        config = SolveConfig(depth=5, breadth=3, seed=seed, halt="fixed", select="first")
        (alone,) = eqr.solve(model, model.task.encode(EASY[:1]), config)
        assert (answer["residual"], answer["restart"]) == (alone.residual, 0)
    assert one["residual"] != other["residual"]
    assert one["depth"] == 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"puzzles": [BLANK, BLANK[1:]]}, r"puzzles\[1\]: puzzle '\.+' has 80 cells, a sudoku puzzle has 81"),
        ({"puzzles": ["11" + BLANK[2:]]}, r"puzzles\[0\]: digit 1 is given 2 times in row 1"),
        ({"puzzles": ["\x00\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace")]}, r"puzzles\[0\]"),
        ({"task": "maze", "puzzles": [FIVE, FIVE.replace("S", ".")]}, r"puzzles\[1\]: the maze has no S"),
        ({"puzzles": []}, "puzzles is empty"),
        ({"puzzles": [BLANK] * 9}, "9 puzzles are given: this service takes 8 at a time"),
        ({"puzzles": [BLANK], "depth": 101}, "depth is 101: this service allows at most 100"),
        ({"puzzles": [BLANK], "depth": 0}, "depth is 0: it must be 1 or more"),
        ({"puzzles": [BLANK], "depth": 10**400}, "depth"),
        (
            {"puzzles": [BLANK], "suppose": 6, "halt": "either"},
            "suppose is 6: rows must know when they are right: use halt learned",
        ),
        ({"puzzles": [BLANK], "suppose": 101, "halt": "learned"}, "suppose is 101: this service allows at most 100"),
        ({"puzzles": [BLANK], "guesses": 101}, "guesses is 101: this service allows at most 100"),
        ({"puzzles": [BLANK], "guesses": 0}, "guesses is 0: it must be 1 or more"),
        (
            {"task": "maze", "puzzles": [FIVE], "suppose": 6, "halt": "learned"},
            "suppose is 6: a guess cannot become a clue in maze",
        ),
        ({"puzzles": [BLANK], "depth": True}, "depth: it must be a valid integer"),
        ({"puzzles": [BLANK], "breadth": "auto:9"}, "breadth is 9: this service allows at most 8"),
        ({"puzzles": [BLANK], "breadth": "4"}, "breadth is '4': give the number itself"),
        ({"puzzles": [BLANK], "breadth": "many"}, "breadth is many"),
        ({"puzzles": [BLANK], "breadth": None}, "breadth: it must be K or auto:K, where K is a number"),
        ({"puzzles": [BLANK] * 8, "breadth": 8}, "puzzles x breadth is 64 rows: this service takes 60"),
        ({"puzzles": [BLANK], "breadth": "auto:2", "halt": "fixed"}, "needs rows that halt"),
        ({"puzzles": [BLANK], "breadth": "auto:2", "protocol": "paper"}, "needs rows that halt"),
        ({"puzzles": [BLANK], "protocol": "worst"}, "protocol: it must be 'best' or 'paper'"),
        ({"puzzles": [BLANK], "halt": None}, "halt: it must be a valid string"),
        ({"puzzles": [BLANK], "select": "best"}, "selection rule 'best' is not known"),
        ({"puzzles": [BLANK], "seed": -1}, "seed is -1"),
        ({"puzzles": [BLANK], "task": "chess"}, "task 'chess' is not answered here: choose one of maze, sudoku"),
        ({"puzzles": [BLANK], "model": "mazes"}, "model 'mazes' does not answer sudoku: choose sudoku"),
        ({"puzzles": [BLANK], "deep": 4}, "'deep': there is no such field"),
        ({"puzzles": [BLANK, 7]}, r"puzzles\[1\]: it must be a valid string"),
        ({"puzzles": {}}, "puzzles: it must be a valid"),
        ({}, "puzzles: it is missing, give it"),
    ],
)
def test_what_cannot_be_used_is_422_in_one_sentence(client: TestClient, asked: dict[str, object], said: str) -> None:
    refused(client.post("/v1/solve", json={"task": "sudoku", **asked}), 422, said)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        '{"task": "sudoku", "puzzles": ["é"]}'.encode("latin-1"),
        b'{"task": "sudoku", "puzzles": ["\\ud800"]}',
        b'{"task": "sudoku", "puzzles": [NaN]}',
        b'{"task": "sudoku", "puzzles": [], "depth": NaN}',
        b'{"task": "sudoku", "puzzles": [], "depth": ' + b"9" * 20_000 + b"}",
        b'{"task": "sudoku", "puzzles": [], "seed": 1e999}',
        b"[" * 40_000,
        b'{"a":' * 9_000,
    ],
)
def test_garbage_is_422_in_one_sentence(client: TestClient, body: bytes) -> None:
    refused(client.post("/v1/solve", content=body, headers={"content-type": "application/json"}), 422, ".")


def test_a_body_that_is_too_large_or_no_json_is_refused(client: TestClient) -> None:
    json_type = {"content-type": "application/json"}
    refused(client.post("/v1/solve", content=b" " * 50_001, headers=json_type), 413, "larger than 50000 bytes")
    pieces = (b" " * 1000 for _ in range(51))
    refused(client.post("/v1/solve", content=pieces, headers=json_type), 413, "larger than 50000 bytes")
    refused(client.post("/v1/solve", content=b"{}", headers={"content-type": "text/plain"}), 415, "must be JSON")


def test_a_full_queue_is_429_and_says_when_to_come_again(service: Service, client: TestClient) -> None:
    model = service.models["sudoku"]
    board = model.task.parse(EASY[0])
    held = service.driver.submit(model, [torch.from_numpy(board).long()] * 60, SolveConfig(depth=100_000, halt="fixed"))
    until(lambda: service.driver.rows > 0)
    response = client.post("/v1/solve", json={"task": "sudoku", "puzzles": EASY[:8], "breadth": 7})
    refused(response, 429, "the queue is full")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    stream = client.get("/v1/solve/stream", params={"task": "sudoku", "puzzle": EASY[0], "depth": 1})
    assert stream.status_code == 200  # a few rows still fit
    held.cancel()
    until(lambda: service.driver.rows == 0)


def test_a_client_that_fills_its_part_gets_429_while_others_are_served() -> None:
    with service_of({"mazes": untrained()}, queue=1000, client_queue=60, depth=10_000_000) as service:
        app = create_app(service)
        many, few = (TestClient(app, client=(address, 50000)) for address in ("192.0.2.1", "192.0.2.2"))
        held = service.submit(*held_of(service, 50), client="192.0.2.1")
        until(lambda: service.driver.rows > 0)
        asked = {"task": "maze", "puzzles": [FIVE] * 40, "depth": 2}
        refused(many.post("/v1/solve", json=asked), 429, r"your requests fill their part of the queue \(60 rows\)")
        stream = {"task": "maze", "puzzle": FIVE, "depth": 2, "breadth": 40, "halt": "fixed"}
        refused(many.get("/v1/solve/stream", params=stream), 429, "your requests fill their part")
        assert few.post("/v1/solve", json=asked).status_code == 200
        assert few.get("/v1/solve/stream", params=stream).status_code == 200
        held.cancel()


def held_of(service: Service, puzzles: int) -> tuple[Reasoner, list[torch.Tensor], SolveConfig]:
    """Work that does not end."""
    model = service.models["mazes"]
    puzzle = torch.from_numpy(model.task.parse(FIVE)).long()
    return model, [puzzle] * puzzles, SolveConfig(depth=10_000_000, halt="fixed")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/v1/models", "/metrics", "/openapi.json", "/static/main.js"]
)
def test_head_gets_the_headers_of_get(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    same = {"content-type", "content-security-policy"}
    assert {name: head.headers[name] for name in same} == {name: get.headers[name] for name in same}


def test_head_of_a_stream_does_no_work(service: Service) -> None:
    with service_of({"mazes": untrained()}, depth=10_000_000) as service:
        client = TestClient(create_app(service))
        asked = {"task": "maze", "puzzle": FIVE, "depth": 10_000_000, "halt": "fixed"}
        head = client.head("/v1/solve/stream", params=asked)
        assert (head.status_code, head.headers["content-type"][:17]) == (200, "text/event-stream")
        until(lambda: service.driver.rows == service.driver.waiting == 0)
        refused_head = client.head("/v1/solve/stream", params={**asked, "halt": "never"})
        assert (refused_head.status_code, refused_head.content) == (422, b"")
        refused(client.get("/healthz/no"), 404, "not found")
        assert client.head("/v1/solve").status_code == 405


def test_when_time_is_up_the_answer_is_503_and_the_rows_are_free() -> None:
    with service_of({"mazes": untrained()}, seconds=1, depth=10_000_000) as service:
        client = TestClient(create_app(service))
        asked = {"task": "maze", "depth": 10_000_000, "halt": "fixed"}
        started = time.monotonic()
        refused(client.post("/v1/solve", json={**asked, "puzzles": [FIVE, SEVEN]}), 503, "time is up after 1 s")
        assert time.monotonic() - started < 10
        until(lambda: service.driver.rows == 0)
        events = client.get("/v1/solve/stream", params={**asked, "puzzle": FIVE}).text
        kind, data = events.rstrip().split("\n\n")[-1].split("\n")
        assert kind == "event: error"
        assert json.loads(data.removeprefix("data: "))["status"] == 503
        until(lambda: service.driver.rows == 0)


def first_to_rest(inputs: HaltInputs) -> torch.Tensor:
    """Stops the third of three rows at depth 5, and no other row."""
    return (inputs.depth == 5) & (torch.arange(len(inputs.depth)) == 2)


def test_when_time_is_up_the_decided_puzzles_are_answered_and_the_others_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(HALTING, "first to rest", first_to_rest)
    others = [FIVE.replace("..#/#.", "#.#/#."), FIVE.replace("#.#.#", "#...#"), FIVE]
    with service_of({"mazes": untrained()}, seconds=2, depth=10_000_000) as service:
        client = TestClient(create_app(service))
        asked = {"task": "maze", "depth": 10_000_000, "halt": "first to rest", "breadth": 1}
        response = client.post("/v1/solve", json={**asked, "puzzles": [*others, SEVEN]})
        assert response.status_code == 200
        body = response.json()
        assert body["complete"] is False
        assert [answer["question"] for answer in body["answers"]] == [
            text.replace("/", "") for text in (*others, SEVEN)
        ]
        *late, answer, last = body["answers"]
        for other in (*late, last):
            assert list(other) == ["question", "error"]
            assert other["error"].startswith("time is up after 2 s: ask for fewer puzzles")
        assert (answer["depth"], answer["halted"]) == (5, True)
        until(lambda: service.driver.rows == 0)
        counted = [value for name, value in metrics_of(client).items() if name.startswith("eqr_puzzles_total")]
        assert sum(counted) == 1
        body = client.post("/v1/solve", json={**asked, "puzzles": [FIVE], "depth": 5}).json()
        assert body["complete"] is True


def test_a_stopped_engine_is_503_everywhere() -> None:
    with service_of({"mazes": untrained()}) as service:
        client = TestClient(create_app(service))
        assert client.get("/healthz").json() == {"status": "ok"}
    refused(client.post("/v1/solve", json={"task": "maze", "puzzles": [FIVE]}), 503, "stopping")
    refused(client.get("/v1/solve/stream", params={"task": "maze", "puzzle": FIVE}), 503, "stopping")
    refused(client.get("/healthz"), 503, "stopping")


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [block.split("\n") for block in text.rstrip().split("\n\n")]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]


def test_a_stream_tells_every_segment_of_every_restart_and_then_the_answer(client: TestClient) -> None:
    asked = {"task": "sudoku", "puzzle": EASY[0], "depth": 25, "breadth": 3, "seed": 5}
    response = client.get("/v1/solve/stream", params=asked)
    assert response.headers["content-type"].startswith("text/event-stream")
    *segments, (kind, done) = events_of(response.text)
    assert kind == "done"
    assert all(kind == "segment" for kind, _ in segments)
    (record,) = solve(client, puzzles=EASY[:1], depth=25, breadth=3, seed=5)
    assert {**done["record"], "seconds": 0} == {**record, "seconds": 0}
    assert done["restart"] == record["restart"]
    for restart in range(3):
        mine = [data for _, data in segments if data["restart"] == restart]
        assert [data["depth"] for data in mine] == list(range(1, len(mine) + 1))
        assert len(mine[0]["confidence"]) == 81
        if restart == done["restart"]:
            assert mine[-1]["answer"] == record["answer"]
            assert len(mine) == record["depth"]
            last = [data["residual"] for data in mine[-3:]]
            assert sum(last) / len(last) == pytest.approx(record["residual"], rel=1e-4)


def test_what_a_reader_leaves_unread_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.web.stream.BACKLOG", 50 * 3300)  # bytes: fifty segments of 25 cells

    async def unread(service: Service) -> Trajectories:
        config = SolveConfig(depth=10_000_000, halt="fixed", breadth=2)
        (read,) = service.read("mazes", [FIVE], config)
        trajectories = Trajectories(service, "mazes", read, config)
        while not trajectories.ended:
            await asyncio.sleep(0.01)
        return trajectories

    with service_of({"mazes": untrained()}) as service:
        left = asyncio.run(unread(service))
        assert left.future.cancelled()
        assert 50 <= len(left.told) < 5000  # what the engine told before it saw
        until(lambda: service.driver.rows == 0)


def test_the_example_of_the_description_is_the_first_of_the_repository() -> None:
    sudokus = (ROOT / "examples/sudoku/puzzles.csv").read_text().splitlines()
    assert EXAMPLES["sudoku"] in sudokus[1].split(",")
    lines = (ROOT / "examples/maze/mazes.txt").read_text().splitlines()
    assert EXAMPLES["maze"] in "".join(line for line in lines if line and not line.startswith("# "))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"task": "sudoku"}, "puzzle: it is missing"),
        ({"task": "sudoku", "puzzle": "1"}, r"puzzles\[0\]: puzzle '1' has 1 cells"),
        ({"task": "sudoku", "puzzle": BLANK, "depth": "many"}, "depth: it must be a valid integer"),
        ({"task": "sudoku", "puzzle": BLANK, "breadth": "0"}, "breadth is 0"),
        ({"task": "sudoku", "puzzle": BLANK, "colour": "red"}, "'colour': there is no such field"),
    ],
)
def test_a_stream_refuses_as_solving_does(client: TestClient, query: dict[str, str], said: str) -> None:
    refused(client.get("/v1/solve/stream", params=query), 422, said)


def test_models_and_limits_are_told(client: TestClient) -> None:
    offered = client.get("/v1/models").json()
    assert [(model["name"], model["task"], model["other_sizes"]) for model in offered["models"]] == [
        ("sudoku", "sudoku", False),
        ("mazes", "maze", True),
    ]
    assert offered["limits"] == {"puzzles": 8, "depth": 100, "breadth": 8}
    # The Sudoku model's own breadth is auto:32: the limit of this service cuts it.
    assert [model["settings"] for model in offered["models"]] == [
        {"depth": 64, "breadth": "auto:8", "halt": "learned", "suppose": 3, "guesses": 2},
        {"depth": 64, "breadth": 1, "halt": "residual", "suppose": 0, "guesses": 2},
    ]


def test_a_request_without_options_gets_the_best_settings_of_the_model(client: TestClient) -> None:
    hard = "4.....5.8.3..........7......2.....6.....5.8......1.......6.3.7.5..2.....1.8......"
    model = eqr.load("sudoku")
    for asked, config in (
        ({}, SolveConfig(breadth="auto:8")),
        ({"depth": 5}, SolveConfig(breadth="auto:8", depth=5)),
        ({"halt": "residual"}, SolveConfig(halt="residual", breadth="auto:8", suppose=0)),
        ({"suppose": 0, "breadth": 2}, SolveConfig(halt="learned", breadth=2, suppose=0)),
        ({"protocol": "paper", "depth": 7}, SolveConfig(halt="fixed", breadth=1, suppose=0, depth=7)),
    ):
        (answer,) = solve(client, puzzles=[hard], **asked)
        (alone,) = eqr.solve(model, [hard], config)
        assert {**answer, "seconds": 0} == {**as_record(model.task, alone), "seconds": 0}, asked
        assert answer["valid"] or asked


def test_own_settings_are_cut_to_the_limits_and_given_ones_refused() -> None:
    with service_of({"sudoku": load("sudoku")}, depth=2, breadth=1, queue=2) as service:
        client = TestClient(create_app(service))
        (facts,) = client.get("/v1/models").json()["models"]
        assert facts["settings"] == {"depth": 2, "breadth": "auto:1", "halt": "learned", "suppose": 2, "guesses": 2}
        answers = solve(client, puzzles=EASY[:2])
        assert [answer["depth"] <= 2 and answer["restarts"] == 1 for answer in answers] == [True, True]
        for asked in ({"breadth": 2}, {"depth": 64}, {"suppose": 3}):
            refused(client.post("/v1/solve", json={"task": "sudoku", "puzzles": EASY[:1], **asked}), 422, "at most")
        schema = client.get("/openapi.json").json()["paths"]["/v1/solve"]["post"]["requestBody"]
        fields = schema["content"]["application/json"]["schema"]["properties"]
        assert fields["depth"]["maximum"] == 2


def metrics_of(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_metrics_count_what_was_done(client: TestClient) -> None:
    before = metrics_of(client)
    solve(client, puzzles=EASY[:2], depth=3, breadth=2, halt="fixed")
    client.post("/v1/solve", json={})
    after = metrics_of(client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more('eqr_requests_total{code="200",path="/v1/solve"}') == 1
    assert more('eqr_requests_total{code="422",path="/v1/solve"}') == 1
    assert more('eqr_request_seconds_count{path="/v1/solve"}') == 2
    verdicts = [f'eqr_puzzles_total{{model="sudoku",valid="{valid}"}}' for valid in ("true", "false")]
    assert sum(after.get(name, 0) - before.get(name, 0) for name in verdicts) == 2
    assert (more("eqr_segments_total"), more("eqr_updates_total"), more("eqr_rows_ended_total")) == (12, 48, 4)
    assert (after["eqr_rows_under_way"], after["eqr_rows_waiting"]) == (0, 0)


def test_the_page_is_served_with_a_strict_policy_and_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    static = Path(eqr.__file__).parent / "web" / "static"
    for file in static.iterdir():
        response = client.get(f"/static/{file.name}")
        assert response.status_code == 200
        assert response.text == file.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org)", response.text)
        assert not re.search(r"style=|on(click|load|input)=|<script>", response.text)
    refused(client.get("/static/../app.py"), 404, "not found")
    refused(client.get("/nothing"), 404, "not found")
    refused(client.put("/v1/solve"), 405, "method not allowed")


def test_the_description_for_people_is_served_with_all_its_files(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy == client.get("/").headers["content-security-policy"].replace(
        "img-src 'self'", "img-src 'self' data:"
    )
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"static/swagger/swagger-ui-bundle.js", "static/swagger/swagger-ui.css", "openapi.json"} < set(files)
    for file in files:
        assert "//" not in file
        assert client.get(f"/{file.removeprefix('./')}").status_code == 200, file
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', client.get("/static/swagger/swagger-ui-bundle.js").text)
    assert version is not None
    assert int(version[1]) >= 5  # earlier versions do not read OpenAPI 3.1
