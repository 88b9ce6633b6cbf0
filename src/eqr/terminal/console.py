"""A progress bar, shown on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, total: float, hidden: bool = False) -> Iterator[Callable[[float, str], None]]:
    """Yields ``advance(amount, text)``; the bar goes to standard error and disappears when done."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Text printed meanwhile appears above the bar, unless standard output is redirected.
    above = sys.stdout.isatty()
    hidden = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden, redirect_stdout=above) as progress:
        bar = progress.add_task(title, total=total, text="")
        yield lambda amount, text: progress.update(bar, advance=amount, text=text)
