"""The generated puzzles of a run, made once and kept in its folder. A damaged file is made anew."""

import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from eqr.data.files import Puzzles, collect, load_puzzles, save_puzzles
from eqr.data.reading import NUMPY
from eqr.distributed import Ranks
from eqr.storage.files import write_atomically
from eqr.tasks import Task
from eqr.terminal.console import progress_bar


def puzzle_pool(task: Task, folder: Path, seed: int, count: int, ranks: Ranks) -> Puzzles:
    """Returns ``count`` generated puzzles, made once by the first process and kept in the run's folder."""
    path = folder / f"pool-{task.name}-{seed}-{count}.npz"
    if ranks.first:
        damage = damage_of(path, task, count) if path.exists() else None
        if damage is not None:
            print(f"notice: {path} is damaged ({damage}) and is made again", file=sys.stderr)
        if damage is not None or not path.exists():
            stream = task.generate(seed, workers=os.cpu_count() or 1)
            with progress_bar("generating training puzzles", count) as progress:
                pool = collect(task, stream, count, progress)
            write_atomically(path, lambda part: save_puzzles(pool, part))
    ranks.wait()
    return load_puzzles(path, task)


def damage_of(path: Path, task: Task, count: int) -> str | None:
    """Returns what is wrong with a file of ``count`` puzzles, None if nothing is.

    Arrays are read only if they have the right shape, so a file cannot declare more than the memory holds.
    """
    boards = (count, task.layout.width)
    try:
        with zipfile.ZipFile(path) as file:
            questions, answers = (_array(file, name, boards, np.uint8) for name in ("questions", "answers"))
            _array(file, "ratings", (count,), np.int64)
    except OSError as error:
        return error.strerror or str(error)
    except (*NUMPY, zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        return str(error)[:80]
    clues = (questions > 0) & task.layout.clues_fixed
    wrong = (questions > task.layout.symbols) | (answers > task.layout.symbols) | (answers == 0)
    wrong |= clues & (questions != answers)
    return f"row {int(wrong.any(1).argmax())} is no puzzle with its answer" if wrong.any() else None


def _array(file: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """Reads an array as ``np.savez`` writes it; raises ValueError unless it has this shape and type."""
    with file.open(f"{name}.npy") as part:
        if npy.read_magic(part) != (1, 0):
            raise ValueError(f"{name} has another format")
        declared, by_columns, kind = npy.read_array_header_1_0(part)
        if declared != shape or by_columns or kind != np.dtype(dtype):
            raise ValueError(f"{name} has another shape or type")
        # One byte more: a checksum is compared at the end of a part.
        data = part.read(int(np.prod(shape)) * kind.itemsize + 1)
    return np.frombuffer(data, dtype).reshape(shape)
