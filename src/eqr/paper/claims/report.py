"""Measurements of claims: each is kept as JSON, with its table as CSV, and all are joined in one page of Markdown."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from eqr.data.limited import read_json
from eqr.data.serialise import finite
from eqr.errors import InputError
from eqr.measure.report import csv_text
from eqr.paper.claims.base import Claim, Measured, Row
from eqr.paper.claims.laboratory import PROTOCOL
from eqr.storage.files import write_text_atomically


def keep(measured: Measured, number: int, folder: Path) -> None:
    """Write the measurement of claim ``number``."""
    record = asdict(measured) | {"rows": [{key: finite(value) for key, value in row.items()} for row in measured.rows]}
    write_text_atomically(folder / f"{number:02}.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    if measured.rows:
        write_text_atomically(folder / f"{number:02}.csv", csv_text(measured.rows))


def kept(number: int, folder: Path) -> Measured | None:
    """The measurement of claim ``number``, whatever its settings; None if there is none."""
    path = folder / f"{number:02}.json"
    if not path.exists():
        return None
    again = "delete it, to measure the claim again"
    record = read_json(path, again)
    try:
        measured = Measured(**record)
        rows = [{key: math.nan if value is None else value for key, value in row.items()} for row in measured.rows]
    except (TypeError, AttributeError):
        raise InputError(f"{path} is no measurement of a claim: {again}") from None
    return replace(measured, rows=rows)


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
