"""A progress bar, shown on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """Yields ``advance(amount, text)``; the bar goes to standard error and disappears when done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    # Text printed meanwhile appears above the bar, unless standard output is redirected.
    above = sys.stdout.isatty()
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden, redirect_stdout=above) as progress:
        bar = progress.add_task(title, total=total, text="")
        yield lambda amount, text: progress.update(bar, advance=amount, text=text)
