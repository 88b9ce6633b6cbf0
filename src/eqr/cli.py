"""The command line: reads the first words, imports the command that they name, reports errors. Decides nothing else.

tyro makes flags from types. A command's module is imported only when the command runs, since torch takes a second.
"""

import ast
import contextlib
import errno
import gc
import inspect
import io
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import cast

from eqr.errors import DISTRIBUTION, InputError, RankLost, printable, unknown

COMMANDS = {
    "solve": "Solve",
    "generate": "Generate",
    "data": "Data",
    "train": "Train",
    "eval": "Eval",
    "calibrate": "Calibrate",
    "sweep": "Sweep",
    "analyse": "Analyse",
    "claims": "Claims",
    "serve": "Serve",
    "submit": "Submit",
    "import-reference": "ImportReference",
    "export": "Export",
    "push": "Push",
    "bench": "Bench",
}
"""Name of each command, and its class in the module of ``commands`` with the command's name."""
SHELLS = ("bash", "zsh", "fish")
USAGE = """usage: eqr [--import MODULE] COMMAND [OPTIONS]

Neural networks that solve puzzles by settling to a fixed point.

commands:
{commands}

options:
  --import MODULE   import a module that registers tasks, blocks, solvers or rules; may be given several times
  --version         print the version
  --completion SHELL
                    print a script that completes commands and options in bash, zsh or fish (docs/commands.md)
  -h, --help        print this; `eqr COMMAND --help` lists the options of a command
"""


def start() -> None:
    """The program ``eqr``: as ``main``, but Ctrl-C ends it at once while modules are imported or the interpreter ends.

    There an interruption would show where Python was, or be lost in a library's code.
    """
    signal.signal(signal.SIGINT, _leave)
    gc.disable()  # until the command runs: the many objects of imports stay, and to look for garbage in them takes long
    main()


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exit codes: 0 done, 2 bad input, 1 internal error, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _open_streams()
        try:
            _run(arguments)
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except InputError as error:
        _fail(error, 2)
    except RankLost as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the pipe has ended (`eqr solve ... | head`), which is not an error.
        _drop_output()
        sys.exit(0)
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        _drop_output()
        _fail(f"standard output cannot be written ({error.strerror}): make room, or send it to another place", 2)


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writing to a full disk. With the name of a file they are that file's."""


def _fail(error: object, code: int) -> None:
    with contextlib.suppress(OSError):  # standard error may be full as well
        print(f"eqr: {printable(str(error))}", file=sys.stderr, flush=True)  # texts of files may be in the message
    sys.exit(code)


def _drop_output() -> None:
    """Lets the rest of the output go nowhere: Python writes it when it ends, and would fail again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """Opens standard streams that the caller has closed; raises InputError if there is no standard output."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - open until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise InputError("standard output is closed: open it, or send it to /dev/null")


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(130)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Makes Ctrl-C raise KeyboardInterrupt in the body, so that a command can save its work."""
    before = signal.getsignal(signal.SIGINT)
    if before is not _leave:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _leave)


def _run(arguments: list[str]) -> None:
    modules: list[str] = []
    while arguments and arguments[0] == "--import":
        if len(arguments) < 2:
            raise InputError("--import: the name of a module is needed")
        modules.append(arguments[1])
        arguments = arguments[2:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(commands="\n".join(f"  {name:17} {_summary(name)}" for name in COMMANDS)), end="")
        sys.exit(0 if arguments else 2)
    if arguments == ["--version"]:
        print(f"eqr {version(DISTRIBUTION)}")
        return
    if arguments[0] == "--completion":
        _complete(" ".join(arguments[1:]))
        return
    name, *options = arguments
    if name not in COMMANDS:
        raise unknown("option" if name.startswith("-") else "command", name, COMMANDS)
    command = _parsed(name, options, modules)
    if not gc.isenabled():
        gc.freeze()  # nor looks the interpreter for garbage in them when it ends
        gc.enable()
    with _interruptible():
        command.run()  # type: ignore[attr-defined]


def _module(name: str) -> str:
    return name.replace("-", "_")


def _summary(name: str) -> str:
    """The first line of a command's docstring, read without importing its module."""
    tree = ast.parse((Path(__file__).parent / "commands" / f"{_module(name)}.py").read_text(encoding="utf-8"))
    (command,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == COMMANDS[name])
    return (ast.get_docstring(command) or "").partition("\n")[0]


def _class_of(name: str) -> type:
    return cast(type, vars(import_module(f"eqr.commands.{_module(name)}"))[COMMANDS[name]])


def _parsed(name: str, options: list[str], modules: list[str]) -> object:
    """Makes the command from its options; raises InputError if they cannot be used, exits after ``--help``."""
    import tyro

    from eqr.commands.flags import CONFIG, refuse_unknown, registry, see, tidied
    from eqr.commands.plugins import load_plugins

    load_plugins(modules)
    command = _class_of(name)
    refuse_unknown(name, command, options)
    shown, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(errors):
            return tyro.cli(
                command,
                prog=f"eqr {name}",
                description=inspect.getdoc(command),
                args=options,
                config=CONFIG,
                registry=registry(),
            )
    except SystemExit as stop:
        if not stop.code:
            print(tidied(shown.getvalue()), end="")
            raise
        cause: BaseException | None = stop
        while cause is not None and not isinstance(cause, InputError):  # tyro wraps the errors of our dataclasses
            cause = cause.__cause__ or cause.__context__
        raise cause or InputError(f"{_sentence(errors.getvalue())}: {see(name)}") from None


def _sentence(box: str) -> str:
    """Returns the message in the box that tyro prints: the first paragraph below the title, on one line."""
    lines = (line.strip(" -") for line in box.splitlines())
    text = " ".join(itertools.takewhile(bool, itertools.islice(itertools.dropwhile(bool, lines), 1, None)))
    return text[:1].lower() + text[1:].rstrip(".")


def _complete(shell: str) -> None:
    """Prints the script that completes commands and options in a shell."""
    import tyro

    from eqr.commands.flags import CONFIG, registry

    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    tyro.extras.subcommand_cli_from_dict(
        {name: _class_of(name) for name in COMMANDS},
        prog="eqr",
        args=["--tyro-print-completion", shell],
        config=CONFIG,
        registry=registry(),
    )
