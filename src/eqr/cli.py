"""The command line: types are flags (tyro). Reads arguments, calls the library, prints; decides nothing else."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import tyro
from rich.console import Console

from eqr.commands.analyse import Analyse
from eqr.commands.bench import Bench
from eqr.commands.calibrate import Calibrate
from eqr.commands.claims import Claims
from eqr.commands.data import Data
from eqr.commands.eval import Eval
from eqr.commands.export import Export
from eqr.commands.generate import Generate
from eqr.commands.import_reference import ImportReference
from eqr.commands.push import Push
from eqr.commands.serve import Serve
from eqr.commands.solve import Solve
from eqr.commands.submit import Submit
from eqr.commands.sweep import Sweep
from eqr.commands.train import Train
from eqr.distributed import RankLost
from eqr.errors import InputError

Command = (
    Annotated[Solve, tyro.conf.subcommand("solve")]
    | Annotated[Generate, tyro.conf.subcommand("generate")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Analyse, tyro.conf.subcommand("analyse")]
    | Annotated[Claims, tyro.conf.subcommand("claims")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[Submit, tyro.conf.subcommand("submit")]
    | Annotated[ImportReference, tyro.conf.subcommand("import-reference")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Push, tyro.conf.subcommand("push")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
)


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exit code 0 done, 2 bad input, 1 internal error, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"eqr {version('eqr')}")
        return
    try:
        command = tyro.cli(
            Command,
            prog="eqr",
            description="Neural networks that solve puzzles by settling to a fixed point (eqr --version tells which).",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
        )
        command.run()
    except InputError as error:
        Console(stderr=True, soft_wrap=True).print(f"eqr: {error}", markup=False, highlight=False)
        sys.exit(2)
    except RankLost as error:
        print(f"eqr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone (`eqr solve ... | head`): that is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
