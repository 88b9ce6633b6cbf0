"""The processes of one run: who they are, what they share, and how one learns that another is gone."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from eqr.errors import InputError, RankLost
from eqr.runtime import pick_device

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes that work on one run; one alone unless torchrun started several."""

    rank: int = 0
    size: int = 1
    fabric: Any = None
    """Lightning Fabric, when there are several."""

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """This process's part of ``count`` things; raises InputError unless all parts are equal."""
        if count % self.size:
            raise InputError(
                f"{count} slots cannot be shared by {self.size} processes: choose a multiple, --set slots=N"
            )
        part = count // self.size
        return range(self.rank * part, (self.rank + 1) * part)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, element by element; the same in all of them."""
        if self.size == 1:
            return values
        total = values.to(self.fabric.device, copy=True)
        self._joined(lambda: torch.distributed.all_reduce(total))
        return total.to(values.device)

    def gather(self, values: Tensor) -> Tensor:
        """Their tensors, joined along the first axis in the order of the processes."""
        if self.size == 1:
            return values
        part = values.to(self.fabric.device).contiguous()
        joined = part.new_empty(self.size * len(part), *part.shape[1:])
        self._joined(lambda: torch.distributed.all_gather_into_tensor(joined, part))
        return joined.to(values.device)

    def wait(self) -> None:
        """Wait for all."""
        if self.size > 1:
            self._joined(self.fabric.barrier)

    def _joined(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RankLost(
                f"process {self.rank} of {self.size} lost another one ({str(error).splitlines()[0][:120]}): "
                "see that one's message; a training run goes on with --resume"
            ) from error


@contextmanager
def joined_ranks(device: str, patience: timedelta) -> Iterator[tuple[Ranks, torch.device]]:
    """The processes torchrun started, if it did, and this one's device. All leave together; after an error at once.

    A process that waits for another longer than ``patience`` takes it for dead. Raises InputError without the extra
    ``train``, which brings Lightning Fabric.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_WORLD_SIZE" in os.environ else 1
    if size == 1:
        yield Ranks(), pick_device(device)
        return
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError:
        raise InputError(
            "several processes need the extra 'train': pip install 'equilibrium-reasoners[train]'"
        ) from None
    kind, local = pick_device(device).type, int(os.environ["LOCAL_WORLD_SIZE"])
    strategy = DDPStrategy(timeout=patience)
    fabric = Fabric(accelerator=kind, devices=local, num_nodes=size // local, strategy=strategy)
    fabric.launch()
    ranks = Ranks(fabric.global_rank, size, fabric)
    try:
        yield ranks, fabric.device
        ranks.wait()
    finally:
        # Else threads of gloo may still run when the interpreter ends, which aborts the process.
        torch.distributed.destroy_process_group()
