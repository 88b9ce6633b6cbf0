"""Signs that work goes on, shown on a terminal only: a progress bar, and a sign for work whose length is not known."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, total: float | None, hidden: bool = False) -> Iterator[Callable[[float, str], None]]:
    """Yields ``advance(amount, text)``; the bar goes to standard error and disappears when done.

    Without a ``total`` the bar only shows that work goes on, and for how long it has.
    """
    console = Console(file=sys.stderr)  # also while a library's output is redirected
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Text printed meanwhile appears above the bar, unless standard output is redirected.
    above = sys.stdout.isatty()
    hidden = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden, redirect_stdout=above) as progress:
        bar = progress.add_task(title, total=total, text="")
        yield lambda amount, text: progress.update(bar, advance=amount, text=text)


@contextmanager
def waiting(title: str, hidden: bool = False) -> Iterator[None]:
    """Shows that work goes on whose length is not known."""
    with progress_bar(title, None, hidden):
        yield
