"""Loggers of one's own: `eqr.train(..., on_record=to_csv("log.csv"))` calls them with every record of the log.

A record is a dict: "event" (start, train or eval), "step", "minutes", and figures. A run without a logger has its
records too, in log.jsonl of its folder and in what `eqr.train` returns.
"""

import csv


def figures(record):
    """The numbers of a record, by name."""
    skipped = ("step", "minutes")
    return {name: value for name, value in record.items() if isinstance(value, int | float) and name not in skipped}


def to_csv(path):
    """One line for each figure: step, minutes, event, name, value."""

    def log(record):
        with open(path, "a", newline="") as file:
            place = (record["step"], record["minutes"], record["event"])
            csv.writer(file).writerows((*place, *figure) for figure in figures(record).items())

    return log


def to_tensorboard(folder):
    """The same for TensorBoard (pip install tensorboard)."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder)

    def log(record):
        for name, value in figures(record).items():
            writer.add_scalar(f"{record['event']}/{name}", value, record["step"])
        writer.flush()

    return log
