"""Measurements of claims: each is kept as JSON, with its table as CSV, and all are joined in one page of Markdown."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from eqr.data.reading import read_json
from eqr.data.serialise import finite
from eqr.errors import InputError
from eqr.measure.report import csv_text
from eqr.paper.claims.base import Claim, Curve, Measured, Row
from eqr.paper.claims.laboratory import PROTOCOL
from eqr.storage.files import write_text_atomically

CURE = "delete it, and the same command measures the claim again"


def keep(measured: Measured, number: int, folder: Path) -> None:
    """Write the measurement of claim ``number``."""
    record = asdict(measured) | {"rows": [{key: finite(value) for key, value in row.items()} for row in measured.rows]}
    write_text_atomically(folder / f"{number:02}.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    if measured.rows:
        write_text_atomically(folder / f"{number:02}.csv", csv_text(measured.rows))


def kept(number: int, folder: Path, curve: Curve | None = None) -> Measured | None:
    """The measurement of claim ``number``, whatever its settings; None if there is none.

    Raises InputError if the file cannot be read or holds something else, or lacks numbers that the ``curve`` shows.
    """
    path = folder / f"{number:02}.json"
    if not path.exists():
        return None
    values = read_json(path, CURE)
    if not isinstance(values, dict) or not _is_measurement(values) or not _shows(values["rows"], curve):
        raise InputError(f"{path} is not a measurement of this program: {CURE}")
    rows = [{key: math.nan if value is None else value for key, value in row.items()} for row in values["rows"]]
    return Measured(**values | {"rows": rows})


def _is_measurement(values: dict[str, Any]) -> bool:
    """Returns whether these are the fields of Measured, whose rows have numbers and words in the same columns."""
    if values.keys() != {field.name for field in fields(Measured)}:
        return False
    rows, settings = values["rows"], values["settings"]
    words = [values["verdict"], values["why"], *(settings.values() if isinstance(settings, dict) else [None])]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        return False
    cells = (value for row in rows for value in row.values())
    full = all(rows) and all(value is None or isinstance(value, str | int | float) for value in cells)
    return full and all(isinstance(word, str) for word in words)


def _shows(rows: Sequence[Row], curve: Curve | None) -> bool:
    """Returns whether the rows have the columns of a curve, with numbers along its axes."""
    if curve is None:
        return True
    numbers = all(isinstance(row.get(name), int | float | None) for row in rows for name in (curve.x, *curve.y))
    return numbers and all({curve.x, *curve.y, *filter(None, [curve.by])} <= row.keys() for row in rows)


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def page(claims: Sequence[Claim], measured: Mapping[int, Measured], pictures: Mapping[int, str], opening: str) -> str:
    """The whole report; ``pictures`` has the path of each claim's figure, ``opening`` tells how the page was made."""
    lines = ["# The paper's claims, measured", "", opening, "", "| claim | | verdict |", "|---|---|---|"]
    for claim in claims:
        result = measured.get(claim.number)
        lines.append(f"| {claim.number} | {claim.title} | {result.verdict if result else 'not run: out of time'} |")
    for claim in claims:
        lines += ["", f"## {claim.number}. {claim.title}", "", f"**Claim.** {claim.statement}", ""]
        result = measured.get(claim.number)
        if result is None:
            lines += [f"**Here.** {claim.protocol}", "", "**Not run**: the budget was spent. The same command goes on."]
            continue
        lines += [f"**Here.** {_here(claim, result)}", "", f"**{result.verdict.capitalize()}.** {result.why}"]
        if result.rows:
            lines += ["", table(result.rows)]
        if claim.number in pictures:
            lines += ["", f"![{claim.title}]({pictures[claim.number]})"]
    return "\n".join(lines) + "\n"


def _here(claim: Claim, result: Measured) -> str:
    """The protocol and the settings of a measurement, as they were at that time."""
    used = "; ".join(f"{name}: {value}" for name, value in result.settings.items() if name != PROTOCOL)
    return result.settings.get(PROTOCOL, claim.protocol) + (f" Measured with {used}." if used else "")
