"""Reads the configuration that a trainer writes beside its weights: one small YAML file of plain values.

Aliases and tags are refused: aliases let a short file stand for an endless one, and tags name classes.
"""

from pathlib import Path
from typing import Any

from eqr.data.reading import read_limited
from eqr.errors import InputError, missing_extra, shown

BESIDE = "all_config.yaml"
"""Name of the file that the trainers of HRM and TRM write beside their weights."""
MOST_BYTES, MOST_DEPTH = 2**15, 20
NESTING = {"MappingStartEvent": 1, "SequenceStartEvent": 1, "MappingEndEvent": -1, "SequenceEndEvent": -1}


def read_config(path: Path) -> dict[object, object]:
    """Returns the configuration of a run; raises InputError unless it is a YAML file that describes a network."""
    cure = f"give the {BESIDE} of the run"
    try:
        import yaml  # belongs to an extra
    except ImportError:
        raise missing_extra(f"reading {path}", "import") from None
    text = read_limited(path, cure, MOST_BYTES)
    try:
        _refuse_all_but_plain(path, yaml.parse(text, Loader=yaml.SafeLoader))
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark, problem = (
            getattr(error, "problem_mark", None),
            getattr(error, "problem", None) or str(error).splitlines()[0],
        )
        place = f"{path}, line {mark.line + 1}," if mark else f"{path}"
        raise InputError(f"{place} is not YAML ({shown(problem)}): {cure}") from None
    except InputError:
        raise
    except (ValueError, OverflowError) as error:  # a date or a number in form alone
        raise InputError(f"{path} has an impossible value ({shown(str(error))}): {cure}") from None
    if not isinstance(config, dict) or not isinstance(config.get("arch"), dict):
        raise InputError(f"{path} describes no network, it has no mapping `arch`: {cure}")
    return config


def _refuse_all_but_plain(path: Path, events: Any) -> None:
    """Raises InputError at an alias, a tag, or a value nested too deep, before anything is made of the file."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += NESTING.get(kind, 0)
        fault = "an alias" if kind == "AliasEvent" else "a tag" if getattr(event, "tag", None) else ""
        if fault or depth > MOST_DEPTH:
            line = event.start_mark.line + 1
            fault = fault or f"a value more than {MOST_DEPTH} levels deep"
            raise InputError(f"{path}, line {line}, has {fault}, which no configuration needs: write plain values")
