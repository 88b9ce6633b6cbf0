"""Load a running `eqr serve` with many clients at once, and check every answer.

    eqr serve --port 8000 & python examples/load/load.py --data examples/sudoku/puzzles.csv --pid $!
    python examples/load/load.py --data examples/sudoku/puzzles.csv --clients 8 --deep 16 --slow 4 --leaving 4

Each client sends a request of a few puzzles drawn from a CSV (columns question and answer), waits for the answers, and
sends the next request. It counts an answer as

- swapped, if it does not belong to the question sent in its place;
- wrong, if the service calls it valid and it is not the answer of the file (puzzles have one solution);
- unsteady, if the question got a different answer before: other requests must change nothing.

An answer that is not valid counts as not solved, which is a result and not an error. The exit code is 1 if any answer
was swapped, wrong or unsteady.

Beside these clients there may be others, who only make trouble: deep ones ask for 64 restarts of 1,024 segments each,
slow ones ask for a stream of that depth and read a few bytes of it a second, leaving ones hang up before they have an
answer. The latencies are those of the ordinary clients. Needs the packages httpx2 and tyro.
"""

import asyncio
import csv
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2
import tyro


@dataclass(kw_only=True)
class Load:
    """What to send, and for how long."""

    data: Path
    """CSV with the columns question and answer."""
    url: str = "http://127.0.0.1:8000"
    """Where the service listens."""
    task: str = "sudoku"
    """Family of the puzzles."""
    clients: int = 50
    """Number of clients, each with one request under way."""
    seconds: float = 10.0
    """Seconds for which they send requests."""
    puzzles: int = 4
    """Most puzzles in a request."""
    depth: int | None = None
    """Segments a row may use; by default the service's."""
    breadth: str | None = None
    """Restarts of each puzzle, K or auto:K; by default the model's own."""
    deep: int = 0
    """Clients who ask for as much as the service allows."""
    slow: int = 0
    """Clients who hardly read the stream that they asked for."""
    leaving: int = 0
    """Clients who do not wait for their answers."""
    seed: int = 0
    """Seed of the draws of puzzles."""
    pid: int | None = None
    """Process id of the service, to report its memory (Linux)."""


@dataclass
class Seen:
    """Counts of the answers, and the latencies."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    """How often deep clients were answered, slow ones came to an end, and leaving ones left."""
    latencies: list[float] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)

    def judge(self, sent: list[tuple[str, str]], answers: list[dict[str, object]]) -> None:
        """Check the answers of one request."""
        if len(answers) != len(sent):
            self.counts["swapped"] += 1
        for (question, known), answer in zip(sent, answers, strict=False):
            self.counts["puzzles"] += 1
            self.counts["swapped"] += answer["question"] != question
            if "error" in answer:  # the request ran out of time
                self.errors["undecided"] += 1
                continue
            text = str(answer["answer"])
            self.counts["solved"] += answer["valid"] is True
            self.counts["wrong"] += answer["valid"] is True and text != known
            self.counts["unsteady"] += self.first.setdefault(question, text) != text


def options(load: Load) -> dict[str, object]:
    """The options of an ordinary request."""
    breadth = int(load.breadth) if load.breadth and load.breadth.isdecimal() else load.breadth
    given = {"task": load.task, "depth": load.depth, "breadth": breadth}
    return {name: value for name, value in given.items() if value is not None}


async def client(load: Load, rows: list[tuple[str, str]], seen: Seen, number: int, end: float) -> None:
    """Send requests until the time is up."""
    draw = random.Random(load.seed * 1_000_003 + number)
    async with httpx2.AsyncClient(base_url=load.url, timeout=120) as session:
        while time.perf_counter() < end:
            sent = [draw.choice(rows) for _ in range(draw.randint(1, load.puzzles))]
            started = time.perf_counter()
            try:
                response = await session.post("/v1/solve", json={**options(load), "puzzles": [q for q, _ in sent]})
            except httpx2.HTTPError as error:
                seen.errors[type(error).__name__] += 1
                continue
            seen.counts["requests"] += 1
            if response.status_code == 200:
                seen.latencies.append(time.perf_counter() - started)
                seen.judge(sent, response.json()["answers"])
            else:
                seen.errors[str(response.status_code)] += 1
                await asyncio.sleep(float(response.headers.get("retry-after", 0)))


DEEP = {"depth": 1024, "halt": "fixed"}


async def deep(load: Load, rows: list[tuple[str, str]], seen: Seen, number: int, end: float) -> None:
    """Ask for far more than there is time for; gives up when the time is up."""
    async with httpx2.AsyncClient(base_url=load.url, timeout=120) as session:
        while (left := end - time.perf_counter()) > 0:
            puzzles = [rows[(number + place) % len(rows)][0] for place in range(64)]
            asked = {"task": load.task, "puzzles": puzzles, "breadth": 64, **DEEP}
            with suppress(TimeoutError, httpx2.HTTPError):
                async with asyncio.timeout(left):
                    response = await session.post("/v1/solve", json=asked)
                    seen.others[f"deep {response.status_code}"] += 1
                    await asyncio.sleep(float(response.headers.get("retry-after", 0)))


async def slow(load: Load, rows: list[tuple[str, str]], seen: Seen, number: int, end: float) -> None:
    """Ask for a stream and read a few bytes of it a second."""
    asked = {"task": load.task, "puzzle": rows[number % len(rows)][0], "breadth": "4", "depth": "1024", "halt": "fixed"}
    while time.perf_counter() < end:
        with suppress(OSError):
            reader, writer = await opened(load, f"GET /v1/solve/stream?{urlencode(asked)} HTTP/1.1")
            while time.perf_counter() < end and await reader.read(64):
                await asyncio.sleep(0.5)
            seen.others["slow"] += 1
            writer.close()


async def leaving(load: Load, rows: list[tuple[str, str]], seen: Seen, number: int, end: float) -> None:
    """Ask, and hang up: sometimes with half a request, sometimes with a whole one."""
    draw = random.Random(number)
    while time.perf_counter() < end:
        body = json.dumps({"task": load.task, "puzzles": [draw.choice(rows)[0]], **DEEP})
        length = len(body) + draw.choice([0, 10])
        with suppress(OSError):
            first = f"POST /v1/solve HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}"
            _, writer = await opened(load, first, body)
            await asyncio.sleep(draw.random())
            writer.close()
            seen.others["left"] += 1


async def opened(load: Load, first: str, body: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request has been sent."""
    url = urlsplit(load.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=4096)
    writer.write(f"{first}\r\nHost: {url.netloc}\r\n\r\n{body}".encode())
    await writer.drain()
    return reader, writer


def resident(pid: int | None) -> str:
    """Memory of the service, as text."""
    if pid is None:
        return "not asked for"
    status = Path(f"/proc/{pid}/status").read_text()
    return f"{int(status.split('VmRSS:')[1].split()[0]) / 1024:.0f} MB"


async def run(load: Load) -> int:
    """Load the service and print the figures; returns how many answers were swapped, wrong or unsteady."""
    with load.data.open() as file:
        rows = [(row["question"], row["answer"]) for row in csv.DictReader(file)]
    seen, before, started = Seen(), resident(load.pid), time.perf_counter()
    kinds = {client: load.clients, deep: load.deep, slow: load.slow, leaving: load.leaving}
    end = started + load.seconds
    await asyncio.gather(*(kind(load, rows, seen, n, end) for kind, count in kinds.items() for n in range(count)))
    seconds, counts = time.perf_counter() - started, seen.counts
    bad = counts["swapped"] + counts["wrong"] + counts["unsteady"]
    beside = f"{load.deep} deep, {load.slow} slow, {load.leaving} leaving"
    print(f"{load.clients} clients beside {beside}, {seconds:.1f} s, {options(load)}")
    print(f"requests    {counts['requests']} ({counts['requests'] / seconds:.1f}/s)")
    print(f"puzzles     {counts['puzzles']} ({counts['puzzles'] / seconds:.1f}/s), {counts['solved']} solved")
    print(f"errors      {sum(seen.errors.values())} {dict(seen.errors) or ''}")
    print(f"wrong       {counts['wrong']}, swapped {counts['swapped']}, unsteady {counts['unsteady']}")
    if seen.latencies:
        ordered = sorted(seen.latencies)
        p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
        print(f"latency     p50 {p50:.3f} s, p99 {p99:.3f} s, most {ordered[-1]:.3f} s")
    print(f"others      {dict(seen.others) or ''}")
    print(f"memory      {before} before, {resident(load.pid)} after")
    return bad


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(run(tyro.cli(Load, description=__doc__))) else 0)
