"""`eqr serve` as a process of its own, and clients that behave badly."""

import http.client
import json
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote

import httpx2
import pytest
import torch
from serving import EASY, FIVE, Process, service_of, until, untrained

import eqr
from eqr.cli import main
from eqr.commands.serve import Serve
from eqr.data.serialise import as_record
from eqr.engine import SolveConfig
from eqr.web.server import listen, serve

FOREVER = "/v1/solve/stream?task=maze&puzzle=" + quote(FIVE) + "&depth=100000000&halt=fixed&breadth=4"


@pytest.fixture(scope="module")
def server(mazes_folder: str) -> Iterator[Process]:
    process = Process("--models", "sudoku", mazes_folder, "--depth", "100000000", "--body-seconds", "1")
    yield process
    process.kill()


def metric(server: Process, name: str) -> float:
    lines = httpx2.get(f"{server.address}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def connect(server: Process, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(text.replace("\n", "\r\n").encode())
    return connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.slow
def test_many_clients_at_once_get_their_own_answers_those_of_eqr_solve(server: Process) -> None:
    draw = random.Random(0)
    model = eqr.load("sudoku")
    expected = {}
    for depth, breadth in ((4, 1), (8, 2), (6, "auto:3")):
        config = eqr.SolveConfig(depth=depth, breadth=breadth)
        solutions = eqr.solve_stream(model, EASY[:8], config, compile="kernel")
        for text, solution in zip(EASY[:8], solutions, strict=True):
            record = as_record(model.task, solution)
            expected[text, depth, breadth] = {**record, "seconds": 0}
    asked = [
        (draw.sample(EASY[:8], draw.randint(1, 4)), *draw.choice([(4, 1), (8, 2), (6, "auto:3")])) for _ in range(40)
    ]

    def ask(request: tuple[list[str], int, int | str]) -> None:
        puzzles, depth, breadth = request
        body = {"task": "sudoku", "puzzles": puzzles, "depth": depth, "breadth": breadth}
        answers = httpx2.post(f"{server.address}/v1/solve", json=body, timeout=60).json()["answers"]
        assert [{**answer, "seconds": 0} for answer in answers] == [expected[p, depth, breadth] for p in puzzles]

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, asked))


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET {FOREVER} HTTP/1.1\nHost: localhost\n\n",
        "POST /v1/solve HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {length}\n\n{body}",
    ],
    ids=["stream", "solve"],
)
def test_a_client_that_leaves_frees_its_rows(server: Process, request_text: str) -> None:
    body = json.dumps({"task": "maze", "puzzles": [FIVE], "depth": 100_000_000, "halt": "fixed", "breadth": 4})
    connection = connect(server, request_text.replace("{length}", str(len(body))).replace("{body}", body))
    until(lambda: metric(server, "eqr_rows_under_way") == 4)
    if request_text.startswith("GET"):
        received = b""
        while received.count(b"event: segment") < 20:
            received += connection.recv(4096)
    connection.close()
    until(lambda: metric(server, "eqr_rows_under_way") == 0)
    assert metric(server, "eqr_rows_waiting") == 0


def test_a_reader_who_takes_nothing_does_not_hold_rows(server: Process) -> None:
    """Unread segments of four rows without end would fill memory: the stream is given up."""
    large = FOREVER.replace(quote(FIVE), quote("S" + "." * (99 * 99 - 2) + "G"))
    connection = connect(server, f"GET {large} HTTP/1.1\nHost: localhost\n\n")
    until(lambda: metric(server, "eqr_rows_under_way") > 0)
    until(lambda: metric(server, "eqr_rows_under_way") == 0)
    connection.close()


def test_a_client_that_leaves_before_its_body_is_whole_is_counted_as_gone(server: Process) -> None:
    gone = 'eqr_requests_total{code="499",path="/v1/solve"}'
    lines = httpx2.get(f"{server.address}/metrics").text.splitlines()
    before = sum(float(line.split()[-1]) for line in lines if line.startswith(gone))
    headers = "POST /v1/solve HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 100\n\n"
    connect(server, headers + '{"task"').close()
    until(lambda: f"{gone} {before + 1}" in httpx2.get(f"{server.address}/metrics").text)


def test_a_slow_body_is_given_up(server: Process) -> None:
    headers = "POST /v1/solve HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 100\n\n"
    started = time.monotonic()
    with connect(server, headers + '{"task"') as connection:
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body did not arrive within 1 s" in answer
    assert 0.9 < time.monotonic() - started < 15


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_ten_megabytes_is_refused(server: Process, chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = iter([b" " * 100_000] * 100) if chunked else b" " * 10_000_000
    headers = {"Content-Type": "application/json"}
    with suppress(BrokenPipeError, ConnectionResetError):  # it stopped reading, and has answered
        connection.request("POST", "/v1/solve", body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"].startswith("the body is larger than 1048576 bytes")
    connection.close()


def test_only_this_machine_is_listened_to_unless_told_otherwise(server: Process) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    assert ", mazes on http" in server.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.slow
def test_told_to_stop_it_answers_what_it_can_and_ends(number: signal.Signals, mazes_folder: str) -> None:
    process = Process("--models", mazes_folder, "--depth", "100000000", "--grace", "1")
    answers: list[httpx2.Response] = []
    asked = {"task": "maze", "puzzles": [FIVE], "depth": 100_000_000, "halt": "fixed"}

    def ask() -> None:
        answers.append(httpx2.post(f"{process.address}/v1/solve", json=asked, timeout=30))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: metric(process, "eqr_rows_under_way") == 1)
    started = time.monotonic()
    process.process.send_signal(number)
    thread.join()
    assert answers[0].status_code == 503
    assert "the service is stopping" in answers[0].json()["error"]
    assert process.ended() == (0, "")
    assert time.monotonic() - started < 10
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(process.address)


def test_the_service_ends_when_its_engine_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> bool:
        raise MemoryError("no memory is left")

    def run() -> None:
        model = untrained()
        with listen("127.0.0.1", 0) as listening, service_of({"mazes": model}) as service:
            service.driver.submit(model, list(model.task.encode(FIVE)), SolveConfig())
            serve(service, listening)

    monkeypatch.setattr("eqr.engine.server.turn", failing)
    with pytest.raises(MemoryError, match="no memory is left"):
        run()


def test_requests_call_models_by_the_last_part_of_what_was_given(
    mazes_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqr.commands.serve.load", lambda given, device: untrained())
    monkeypatch.chdir(mazes_folder)
    assert list(Serve(models=("sudoku", "hf:user/name", "runs/tiny/", "."))._loaded(torch.device("cpu"))) == [
        *("sudoku", "name", "tiny", "mazes")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "--port 99999: it must be from 0 (any free port) to 65535"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 8000"),
        (["--port", "0", "--models", "sudoku", "sudoku"], "another model is called 'sudoku' too"),
        (["--port", "0", "--models", "sudok"], "did you mean 'sudoku'"),
        (["--puzzles", "0"], "--puzzles 0: it must be at least 1"),
        (["--connections", "0"], "--connections 0: it must be at least 1"),
    ],
)
def test_bad_options_get_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert said in error
    assert error.count("\n") == 1


def test_a_port_in_use_gets_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as stop:
        main(["serve", "--port", str(taken.getsockname()[1])])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert "(Address already in use): choose another --port, or end the program that uses it" in error
    assert error.count("\n") == 1


def test_without_the_extra_one_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("eqr.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(SystemExit) as stop:
        main(["serve"])
    assert stop.value.code == 2
    assert "serving needs the extra 'web': pip install 'equilibrium-reasoners[web]'" in capsys.readouterr().err
