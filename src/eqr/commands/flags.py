"""How the dataclass of a command becomes flags: which are for experts, names of values, help, error messages.

A command's dataclass may hold others, which share options among commands. All their fields become one flat list of
flags, so a field's name must be unique within a command. tyro parses the flags and prints the help.
"""

import ast
import difflib
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tyro

from eqr.engine import SolveConfig
from eqr.engine.config import NumberConfig, RowConfig
from eqr.errors import InputError, unknown
from eqr.solvers import Solver, written
from eqr.web.limits import Limits

CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
"""How tyro makes flags of fields: no prefixes, and no second flag that switches a switch off."""
T = TypeVar("T")
Expert: TypeAlias = Annotated[T, "expert"]
"""Type of an option that few users need: the help lists it last."""
EXPERT: dict[type, tuple[str, ...]] = {
    NumberConfig: tuple(field.name for field in fields(NumberConfig)),
    RowConfig: tuple(field.name for field in fields(RowConfig)),
    SolveConfig: ("views", "select", "halt", "suppose", "guesses"),
    Limits: tuple(field.name for field in fields(Limits)),
}
"""Such options of classes that know nothing of the command line."""
Folder: TypeAlias = Annotated[T, tyro.conf.arg(metavar="FOLDER")]
"""Type of an option that names a folder."""
VALUES = {
    "allowed_host": "NAME",
    "answer_column": "NAME",
    "block": "NAME",
    "board": "ROWSxCOLS",
    "breadth": "K|auto:K",
    "breadths": "N,N,...",
    "checker": "MODULE:FUNCTION",
    "config": "FILE",
    "data": "FILE",
    "depths": "N,N,...",
    "device": "DEVICE",
    "eval_data": "FILE",
    "file": "FILE",
    "halt": "NAME",
    "host": "ADDRESS",
    "json": "FILE",
    "model": "MODEL",
    "models": "MODEL",
    "name": "KIND",
    "only": "N,N,...",
    "out": "FILE",
    "png": "FOLDER",
    "preset": "PRESET",
    "puzzle": "PUZZLE",
    "puzzles": "PUZZLE",
    "question_column": "NAME",
    "records": "FILE",
    "report": "FILE",
    "rules": "FILE",
    "select": "NAME",
    "set": "KEY=VALUE",
    "solutions": "FILE",
    "solver": "NAME",
    "source": "SOURCE",
    "start_from": "MODEL",
    "task": "TASK",
    "to": "FOLDER|hf:USER/NAME",
    "trusted_proxy": "ADDRESS",
}
"""Names of the values of options that are text or lists, in help and messages; ``Annotated`` overrides them."""
NUMBERS: dict[frozenset[type], tuple[str, str, Callable[[str], Any]]] = {
    frozenset({int}): ("N", "a whole number", int),
    frozenset({float}): ("X", "a number", float),
}
"""For each type of number: the name of its values, what it is called in messages, and how it is read."""


@dataclass(frozen=True)
class Flag:
    """One option or positional argument of a command."""

    owner: type
    """The dataclass that declares it, or a subclass."""
    field: str
    hint: Any
    """The type, with its annotations."""
    default: Any
    """MISSING if the option is required."""

    @property
    def notes(self) -> tuple[Any, ...]:
        """The arguments of ``Annotated`` besides the type."""
        return getattr(self.hint, "__metadata__", ())

    @property
    def kinds(self) -> frozenset[Any]:
        """The types that a value may have, apart from None."""
        bare = self.hint.__origin__ if self.notes else self.hint
        return frozenset(get_args(bare) if get_origin(bare) in (Union, UnionType) else [bare]) - {NoneType}

    @property
    def choices(self) -> tuple[str, ...]:
        """All values, if only some words are values."""
        words = [get_args(kind) if get_origin(kind) is Literal else () for kind in self.kinds]
        return sum(words, ()) if all(words) else ()

    @property
    def is_list(self) -> bool:
        """Whether the option takes any number of values."""
        return any(get_origin(kind) in (list, tuple) for kind in self.kinds)

    @property
    def is_switch(self) -> bool:
        """Whether the option takes no value."""
        return self.kinds == {bool}

    @property
    def is_positional(self) -> bool:
        """Whether the value stands without a flag."""
        return tyro.conf.Positional in self.notes

    @property
    def is_expert(self) -> bool:
        """Whether the help lists the option last."""
        return "expert" in self.notes or any(self.field in EXPERT.get(base, ()) for base in self.owner.__mro__)

    @property
    def spelt(self) -> tuple[str, ...]:
        """The flag as it is typed, and its other spellings; empty for a positional argument."""
        if self.is_positional:
            return ()
        name = next((note.name for note in self.notes if getattr(note, "name", None)), self.field)
        aliases = (alias for note in self.notes for alias in getattr(note, "aliases", None) or ())
        return (f"--{name.replace('_', '-')}", *aliases)

    @property
    def value(self) -> str:
        """The name of the value, such as FILE."""
        given = next((note.metavar for note in self.notes if getattr(note, "metavar", None)), None)
        number = NUMBERS.get(self.kinds)
        return given or (number[0] if number else "|".join(self.choices) or VALUES.get(self.field, "TEXT"))

    @property
    def called(self) -> str:
        """The option with its value, as messages write it: ``--data FILE``."""
        return " ".join([*self.spelt[:1], *([] if self.is_switch else [self.value])])

    def help(self, siblings: Sequence["Flag"]) -> str:
        """The docstring of the field on one line; names of ``siblings`` between double backticks become flags."""
        spelt = {flag.field: flag.spelt[0] for flag in siblings if flag.spelt}
        text = next((docs[self.field] for base in self.owner.__mro__ if self.field in (docs := docs_of(base))), "")
        return re.sub("``(.+?)``", lambda name: spelt.get(name[1], f"`{name[1]}`"), " ".join(text.split()))

    def annotated(self) -> Any:
        """The type with all that tyro is to know of the option."""
        shown = "(required)" if self.default is MISSING else self._default_shown
        if self.is_switch:
            return Annotated[self.hint, tyro.conf.arg(help_behavior_hint=shown)]
        if self.is_list:
            several = f"[{self.value} ...]" if self.is_positional else f"{self.value} [{self.value} ...]"
            return Annotated[self.hint, tyro.conf.arg(metavar=several, help_behavior_hint=shown)]
        # The value is read here. With Any tyro accepts each default, MISSING too; with str the shell completes files.
        kind = Any if self.kinds in NUMBERS else Any | str
        named = tyro.conf.arg(metavar=self.value, help_behavior_hint=shown)
        return Annotated[(kind, *self.notes, self._reading(), named)]

    def _default_shown(self, text: str) -> str:
        return "" if self.is_switch or self.default is None or not text else f"(default: {text})"

    def _reading(self) -> tyro.constructors.PrimitiveConstructorSpec[Any]:
        def read(words: list[str]) -> Any:
            _, called, number = NUMBERS.get(self.kinds, ("", "", None))
            if self.choices and words[0] not in self.choices:
                raise unknown(self.field, words[0], self.choices)
            if number is None:
                return int(words[0]) if int in self.kinds and words[0].isdecimal() and len(words[0]) < 10 else words[0]
            try:
                return number(words[0])
            except ValueError:
                place = self.spelt[0] if self.spelt else self.value
                raise InputError(f"{place} {words[0]}: {called} is needed") from None

        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar=self.value,
            instance_from_str=read,
            is_instance=lambda value: True,
            str_from_instance=lambda value: [_written(value)],
        )


@cache
def flags_of(command: type) -> list[Flag]:
    """Returns all flags of a command, in the order of their declaration."""
    return list(_flags(command, MISSING))


def _flags(kind: type, instance: Any) -> Iterator[Flag]:
    """Yields the flags of a dataclass and of the dataclasses in it; ``instance`` has their defaults, or is MISSING."""
    for field, hint in _hinted(kind):
        default = getattr(instance, field.name, MISSING)
        if default is MISSING:
            default = field.default_factory() if field.default_factory is not MISSING else field.default
        if is_dataclass(hint):
            yield from _flags(cast(type, hint), default)
        else:
            yield Flag(kind, field.name, hint, default)


def _hinted(kind: type) -> list[tuple[Any, Any]]:
    """The fields of a dataclass with their types."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in fields(kind) if field.init]


@cache
def docs_of(kind: type) -> dict[str, str]:
    """Returns the docstrings below the fields that a class itself declares."""
    if kind is object:
        return {}
    (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: doc.value.value
        for field, doc in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant) and isinstance(doc.value.value, str)
    }


def registry() -> tyro.constructors.ConstructorRegistry:
    """Makes tyro read a command (a dataclass with ``run``) by its flat list of flags."""
    rules = tyro.constructors.ConstructorRegistry()

    @rules.struct_rule
    def flat(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
        if isinstance(getattr(info.type, "experts", None), tuple):
            return tyro.constructors.StructConstructorSpec(instantiate=dict, fields=info.type.experts)
        if not is_dataclass(info.type) or not hasattr(info.type, "run"):
            return None
        return _spec(info.type)

    return rules


def _spec(command: type) -> tyro.constructors.StructConstructorSpec:
    """The fields of a command for tyro: common flags as its own, the flags for experts in a group called expert."""
    flags = flags_of(command)
    common = tuple(_field(flag, flags) for flag in flags if not flag.is_expert)
    experts = tuple(_field(flag, flags) for flag in flags if flag.is_expert)
    # tyro heads a group with the name of the field that holds it: "expert options".
    group = type("Expert", (), {"experts": experts, "__doc__": "Rarely needed."})
    grouped = (tyro.constructors.StructFieldSpec("expert", group, tyro.MISSING_NONPROP),) if experts else ()

    def made(expert: dict[str, Any] | None = None, **values: Any) -> Any:
        values |= expert or {}
        for flag in flags:
            if values[flag.field] is MISSING:
                raise InputError(f"{flag.called} is needed: {flag.help(flags)}")
        return _made(command, values)

    return tyro.constructors.StructConstructorSpec(instantiate=made, fields=(*common, *grouped))


def _field(flag: Flag, siblings: Sequence[Flag]) -> tyro.constructors.StructFieldSpec:
    return tyro.constructors.StructFieldSpec(
        flag.field, flag.annotated(), flag.default, lambda: flag.help(siblings) or None
    )


def _made(kind: type, values: dict[str, Any]) -> Any:
    """Makes a dataclass, and the dataclasses in it, from the values of the flags."""
    return kind(
        **{
            field.name: _made(cast(type, hint), values) if is_dataclass(hint) else values[field.name]
            for field, hint in _hinted(kind)
        }
    )


def _written(value: Any) -> str:
    if isinstance(value, Solver):
        return written(value)
    return str(getattr(value, "name", value))


def refuse_unknown(name: str, command: type, options: Sequence[str]) -> None:
    """Raises InputError for a word that looks like an option but is none of the command's, or lacks its value."""
    known = {spelt: flag for flag in flags_of(command) for spelt in flag.spelt}
    for option, after in pairwise([*options, "--"]):
        given, equals, _ = option.partition("=")
        given = given.replace("_", "-")
        if not re.match("--[a-z]", given) or given == "--help":
            continue
        if given not in known:
            close = difflib.get_close_matches(given, known, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"option {given} is not known: {hint}{see(name)}")
        if equals and known[given].is_switch:
            raise InputError(f"{option}: {given} takes no value; {see(name)}")
        if after.startswith("--") and not (equals or known[given].is_switch or known[given].is_list):
            raise InputError(f"{given} needs a value: give {known[given].called}; {see(name)}")


def see(name: str) -> str:
    """Returns the clause that points to the help of a command."""
    return f"`eqr {name} --help` lists the options"


def tidied(text: str) -> str:
    """Returns the help that tyro prints: wrapped, with single backticks, without spaces at the ends of lines."""
    width = shutil.get_terminal_size().columns
    lines = (line.rstrip() for line in text.replace("``", "`").splitlines())
    # tyro wraps tables only. An empty default gets a line of its own where the text before it fills the last line.
    wrapped = "\n".join(line if line.startswith(" ") else textwrap.fill(line, width) for line in lines)
    return re.sub(r"\n\n(?=  -)", "\n", wrapped).strip("\n") + "\n"
