"""Clients who connect and send little, nothing, or nonsense; and a machine without room for more connections."""

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode

import httpx2
import pytest
from serving import EASY, FIVE, Process, until

HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-More: "


@pytest.fixture(scope="module")
def server(mazes_folder: str) -> Iterator[Process]:
    process = Process("--models", mazes_folder, "--header-seconds", "2", "--connections", "40", "--depth", "100000000")
    yield process
    process.kill()


def connect(server: Process, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


def refusal(answer: bytes) -> dict[str, object]:
    head, body = answer.split(b"\r\n\r\n", 1)
    headers = head.decode().lower().split("\r\n")
    assert "content-type: application/json" in headers
    assert "x-content-type-options: nosniff" in headers
    assert f"content-length: {len(body)}" in headers
    said = json.loads(body)
    assert list(said) == ["status", "error"]
    assert head.startswith(f"HTTP/1.1 {said['status']} ".encode())
    return said


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"\x16\x03\x01\x02nonsense\r\n\r\n", 400, "not valid HTTP (illegal request line)"),
        (b"GET /\r\n\r\n", 400, "not valid HTTP"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "not valid HTTP (Missing mandatory Host: header)"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400, "not valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400, "not valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not valid HTTP"),
        (b"GET /" + b"a" * 100_000, 431, "larger than 65536 bytes"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000, 431, "larger than 65536 bytes"),
    ],
)
def test_bytes_that_are_no_request_are_refused_in_the_shape_of_all_refusals(
    server: Process, sent: bytes, status: int, said: str
) -> None:
    with connect(server, sent) as connection:
        answer = refusal(received(connection))
    assert answer["status"] == status
    assert said in str(answer["error"])
    assert httpx2.get(f"{server.address}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("sent", [b"G", HALF], ids=["a byte", "half"])
def test_headers_that_do_not_come_end_the_connection(server: Process, first: bytes, sent: bytes) -> None:
    with connect(server, first) as connection:
        answer = b""
        while first and not answer.endswith(b"}"):
            answer += connection.recv(4096)
        started = time.monotonic()
        connection.sendall(sent)
        said = refusal(received(connection))
        assert 1.5 < time.monotonic() - started < 15
    assert said["error"] == "the headers did not arrive within 2 s: send them at once"


def test_a_client_that_sends_nothing_is_told_so_too(server: Process) -> None:
    with connect(server) as connection:
        assert refusal(received(connection))["status"] == 408


def test_a_byte_now_and_then_does_not_prolong_the_limit(server: Process) -> None:
    started = time.monotonic()
    with connect(server, HALF) as connection:
        connection.settimeout(0.1)
        answer = b""
        while time.monotonic() - started < 15 and b"408" not in answer:
            connection.sendall(b"x")
            try:
                answer += connection.recv(4096)
            except TimeoutError:
                continue
        connection.settimeout(10)
        answer += received(connection)
    assert refusal(answer)["status"] == 408


def test_idle_connections_give_way_to_new_ones_and_requests_under_way_do_not(server: Process) -> None:
    asked = urlencode({"task": "maze", "puzzle": FIVE, "depth": 100_000_000, "halt": "fixed"})
    with ExitStack() as held:
        busy = held.enter_context(
            connect(server, f"GET /v1/solve/stream?{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        )
        assert busy.recv(10)
        for _ in range(200):
            held.enter_context(connect(server, HALF))
        for _ in range(5):
            assert httpx2.get(f"{server.address}/healthz").json() == {"status": "ok"}
        assert busy.recv(10)


def test_when_all_connections_have_requests_under_way_new_ones_are_refused(server: Process) -> None:
    asked = urlencode({"task": "maze", "puzzle": FIVE, "depth": 100_000_000, "halt": "fixed"})
    with ExitStack() as held:
        for _ in range(40):
            busy = connect(server, f"GET /v1/solve/stream?{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            held.enter_context(busy)
            assert busy.recv(10)
        with connect(server) as late:
            answer = refusal(received(late))
        assert answer["status"] == 503
    until(lambda: healthy(server))


def healthy(server: Process) -> bool:
    try:
        return httpx2.get(f"{server.address}/healthz").status_code == 200
    except httpx2.HTTPError:  # turned away, while connections are being closed
        return False


@pytest.mark.parametrize("trusted", [True, False])
def test_behind_a_trusted_proxy_clients_are_told_apart(trusted: bool, mazes_folder: str) -> None:
    options = ["--trusted-proxy", "127.0.0.0/8"] if trusted else []
    process = Process("--models", mazes_folder, "--client-queue", "40", "--rows", "2", "--depth", "1000000", *options)
    work = {"task": "maze", "puzzle": FIVE, "depth": 1_000_000, "halt": "fixed", "breadth": 40}
    asked = {"task": "maze", "puzzles": [FIVE] * 30, "depth": 1}
    try:
        request = (
            f"GET /v1/solve/stream?{urlencode(work)} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        )
        with connect(process, request.encode()) as held:
            assert held.recv(10)
            statuses = []
            for client in ("192.0.2.1", "192.0.2.2"):
                headers = {"x-forwarded-for": client}
                statuses.append(httpx2.post(f"{process.address}/v1/solve", json=asked, headers=headers).status_code)
        assert statuses == [429, 200 if trusted else 429]
    finally:
        process.kill()


FEW_FILES = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
import eqr.web.connections
eqr.web.connections.SPARE_FILES = {spare}
sys.argv = ["eqr", *sys.argv[1:]]
from eqr.cli import main
main()
"""


@pytest.mark.parametrize("spare", [64, -1000], ids=["within the limit", "beyond the limit"])
def test_at_the_limit_of_open_files_the_service_answers_and_its_log_stays_small(spare: int, mazes_folder: str) -> None:
    """With too few spare files, accepting itself fails."""
    command = [sys.executable, "-c", FEW_FILES.format(spare=spare), "serve", "--models", mazes_folder, "--port", "0"]
    process = Process(command=[*command, "--header-seconds", "4", "--threads", "1"])
    try:
        with ExitStack() as held:
            for _ in range(300):
                held.enter_context(connect(process, HALF))
            end = time.monotonic() + 3
            answered = 0
            while time.monotonic() < end:
                answered += healthy(process)
            assert answered > 3
        until(lambda: healthy(process))
    finally:
        process.process.terminate()
        code, log = process.ended()
    assert code == 0
    assert len(log) < 5_000
    assert "Traceback" not in log


def test_the_limit_of_open_files_is_raised_to_what_connections_need() -> None:
    code = (
        "import resource as r; from eqr.web.connections import most_connections as most\n"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (128, min(hard, 1024)))\n"
        "print(most(300), r.getrlimit(r.RLIMIT_NOFILE)[0], most(2000), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 1024
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "364", "960", "1024"]


@pytest.mark.slow
@pytest.mark.parametrize(("streams", "breadth"), [(16, 1), (8, 64)])
def test_a_small_request_beside_deep_ones_that_read_nothing_is_answered_soon(streams: int, breadth: int) -> None:
    """It took 58 s when rows kept their slots to their ends; a busy machine may need seconds."""
    process = Process("--models", "sudoku")
    asked = urlencode({"task": "sudoku", "puzzle": HARD, "depth": 1024, "breadth": breadth, "halt": "fixed"})
    body = {"task": "sudoku", "puzzles": EASY[:1], "depth": 16}
    try:
        alone = httpx2.post(f"{process.address}/v1/solve", json=body, timeout=90).json()
        with ExitStack() as held:
            for _ in range(streams):
                request = f"GET /v1/solve/stream?{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                busy = held.enter_context(connect(process, request.encode()))
                assert busy.recv(10)
            for _ in range(3):
                started = time.monotonic()
                beside = httpx2.post(f"{process.address}/v1/solve", json=body, timeout=90).json()
                assert time.monotonic() - started < 5
                assert [{**one, "seconds": 0} for one in beside["answers"]] == [
                    {**one, "seconds": 0} for one in alone["answers"]
                ]
    finally:
        process.kill()
