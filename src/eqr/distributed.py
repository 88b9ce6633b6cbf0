"""The processes of one run: their ranks, the tensors they exchange, and how one notices that another is gone."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from eqr.errors import InputError, RankLost, missing_extra
from eqr.runtime import pick_device

T = TypeVar("T")
WEEK = timedelta(days=7)
"""Longest wait of a process for others that share its puzzles: they may have harder ones."""


@dataclass(frozen=True)
class Ranks:
    """The processes that work on one run; a single process unless torchrun started several."""

    rank: int = 0
    size: int = 1
    fabric: Any = None
    """Lightning Fabric if there are several processes, else None."""

    @property
    def first(self) -> bool:
        """True for the process that writes files and talks to the user."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Returns this process's part of ``count`` slots; raises InputError unless all parts are equal."""
        if count % self.size:
            raise InputError(
                f"{count} slots cannot be divided evenly among {self.size} processes: set a multiple, --set slots=N"
            )
        part = count // self.size
        return range(self.rank * part, (self.rank + 1) * part)

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over the processes, element by element; every process gets the same sum."""
        if self.size == 1:
            return values
        total = values.to(self.fabric.device, copy=True)
        self._joined(lambda: torch.distributed.all_reduce(total))
        return total.to(values.device)

    def gather(self, values: Tensor) -> Tensor:
        """Returns the tensors of all processes, joined along the first axis in the order of the ranks."""
        if self.size == 1:
            return values
        part = values.to(self.fabric.device).contiguous()
        joined = part.new_empty(self.size * len(part), *part.shape[1:])
        self._joined(lambda: torch.distributed.all_gather_into_tensor(joined, part))
        return joined.to(values.device)

    def wait(self) -> None:
        """Waits until every process has called it."""
        if self.size > 1:
            self._joined(self.fabric.barrier)

    def _joined(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RankLost(
                f"process {self.rank} of {self.size} lost another process ({str(error).splitlines()[0][:120]}): "
                "see the other's message; continue a training run with --resume"
            ) from error


@contextmanager
def joined_ranks(device: str, patience: timedelta) -> Iterator[tuple[Ranks, torch.device]]:
    """Yields the processes that torchrun started, or this process alone, and this process's device.

    The processes leave together; after an error a process leaves at once. A process that waits for another longer than
    ``patience`` considers it dead. Raises InputError without the extra ``train``, which brings Lightning Fabric.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_WORLD_SIZE" in os.environ else 1
    if size == 1:
        yield Ranks(), pick_device(device)
        return
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError:
        raise missing_extra("a run of several processes", "train") from None
    kind, local = pick_device(device).type, int(os.environ["LOCAL_WORLD_SIZE"])
    strategy = DDPStrategy(timeout=patience)
    fabric = Fabric(accelerator=kind, devices=local, num_nodes=size // local, strategy=strategy)
    if sys.stderr.isatty() and os.environ.get("RANK") == "0":
        print(f"waiting for {size} processes", file=sys.stderr)
    fabric.launch()
    ranks = Ranks(fabric.global_rank, size, fabric)
    try:
        yield ranks, fabric.device
        ranks.wait()
    finally:
        # Otherwise threads of gloo may still run when the interpreter exits, which aborts the process.
        torch.distributed.destroy_process_group()
