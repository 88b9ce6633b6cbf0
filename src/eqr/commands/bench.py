"""``eqr bench``: speed of the blocks on this machine."""

import json
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from eqr.bench import SIZES, measure
from eqr.console import progress_bar
from eqr.runtime import can_compile, pick_device, set_threads


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure updates per second of each block on the CPU, and compare with plain matrix products of the same sizes."""

    compile: bool = True
    """Compile the update with torch.compile."""
    threads: int | None = None
    """CPU threads; all by default."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the table."""
        threads, compile = set_threads(self.threads), self.compile and can_compile(pick_device("cpu"))
        with progress_bar("measuring", len(SIZES)) as advance:
            speeds = []
            for block in SIZES:
                speeds.append(measure(block, compile))
                advance(1, block)
        if self.json:
            rows = [{**asdict(speed), "share": speed.share} for speed in speeds]
            print(json.dumps({"threads": threads, "compiled": compile, "blocks": rows}, indent=2))
            return
        title = f"{threads} threads, {'compiled' if compile else 'eager'}"
        columns = ("block", "parameters", "rows", "updates/s", "GFLOP/s", "torch.mm GFLOP/s", "share")
        table = Table(*columns, title=title, title_justify="left")
        for speed in speeds:
            rates = (f"{speed.updates_per_second:.0f}", f"{speed.gflops:.1f}", f"{speed.mm_gflops:.1f}")
            table.add_row(speed.block, f"{speed.parameters:,}", str(speed.rows), *rates, f"{speed.share:.0%}")
        Console().print(table)
