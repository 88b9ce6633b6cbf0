"""Records of a run that is killed, resumed, shared by several processes, or disturbed: each item once, in order."""

import json
import resource
import signal
from pathlib import Path

import pytest

from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.storage.records import RecordFile

ITEMS = [f"item {number}" for number in range(10)]


class Together(Ranks):
    """Processes that never wait for each other, so that one test can play all of them."""

    def wait(self) -> None:
        """Go on."""


class Killed(Exception):
    """Stands for a signal that ends the process."""


def work(path: Path, rank: int = 0, size: int = 1, *, resume: bool = True, until: int | None = None) -> list[str]:
    """Writes the records of this process's items; dies after ``until`` of them. Returns the items it was given."""
    given: list[str] = []
    try:
        with RecordFile(path, Together(rank, size), "continue" if resume else "refuse") as file:
            for number, item in file.to_do(ITEMS):
                if len(given) == until:
                    raise Killed
                given.append(item)
                file.write(number, {"item": item})
    except Killed:
        pass
    return given


def read(path: Path) -> list[str]:
    return [json.loads(line)["item"] for line in path.read_text().splitlines()]


def test_a_killed_run_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert work(path, resume=False, until=4) == ITEMS[:4]
    path.write_text(path.read_text() + '{"item": "it')
    assert work(path) == ITEMS[4:]
    assert read(path) == ITEMS
    assert work(path) == []
    assert read(path) == ITEMS


@pytest.mark.parametrize("sizes", [(2, 1), (1, 2), (2, 3), (3, 2)])
def test_a_lost_process_costs_its_part_only_whatever_the_number_of_processes(
    sizes: tuple[int, int], tmp_path: Path
) -> None:
    path, (before, after) = tmp_path / "out.jsonl", sizes
    done = [item for rank in range(before) for item in work(path, rank, before, resume=rank > 0, until=2)]
    assert len(done) == len(set(done)) == 2 * before
    for part in tmp_path.glob("out.jsonl.part1"):
        part.write_text(part.read_text() + "8\t{")
    files = [RecordFile(path, Together(rank, after), "continue") for rank in range(after)]
    for file in reversed(files):  # the first process merges, so it ends last
        file.__enter__()
    given = []
    for file in files:
        for number, item in file.to_do(ITEMS):
            given.append(item)
            file.write(number, {"item": item})
    for file in reversed(files):
        file.__exit__(None, None, None)
    assert sorted(given + done) == ITEMS
    assert read(path) == ITEMS


def test_a_merge_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("".join(f'{{"item": "{item}"}}\n' for item in ITEMS[:7]))
    for rank in (0, 1):
        lines = (f'{at}\t{{"item": "{ITEMS[at]}"}}\n' for at in range(rank, 10, 2))
        path.with_name(f"out.jsonl.part{2 + rank}").write_text("".join(lines))
    assert work(path) == []
    assert read(path) == ITEMS


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine\n")
    with pytest.raises(InputError, match=r"out.jsonl exists: give --resume to go on, or another name"):
        work(path, resume=False)
    with pytest.raises(InputError, match="holds no records of a run"):
        work(path)
    assert path.read_text() == "mine\n"


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with RecordFile(path, Ranks(), "refuse"), pytest.raises(InputError, match="written by another process"):
        work(path)


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    kind, usual = resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(kind, (50, usual[1]))
        with pytest.raises(
            InputError, match=r"(No space left|File too large).*: free space or choose another place, then go on"
        ):
            work(path, resume=False)
    finally:
        resource.setrlimit(kind, usual)
        signal.signal(signal.SIGXFSZ, handler)
    assert work(path) == ITEMS[2:]
    assert read(path) == ITEMS


def test_the_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a regular file"):
        work(tmp_path)
