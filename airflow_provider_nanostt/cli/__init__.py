"""The command ``nanostt``: what recordings would cost and what would be done with them, and whether all is set up.

One module for each command, with a function that adds its parser and one that runs it; what they share is in
``output``. They show what the hook says: nothing is decided here. With ``--json`` there is nothing else on the standard
output.
"""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from airflow_provider_nanostt import __version__
from airflow_provider_nanostt.cli import costs, doctor, emulator, estimate, models, transcribe
from airflow_provider_nanostt.cli.output import (
    CONN,
    KEY_VARIABLE,
    OutputLostError,
    Parser,
    WrongUsageError,
    chosen_connection,
    complain,
    quiet,
    refuse,
    write,
)

_COMMANDS = (transcribe, estimate, models, costs, doctor, emulator)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: those of the command line, if None.
    :return: 0 if all went well, 1 if a recording could not be submitted or a check failed, 2 if nothing could be done,
        130 after Ctrl-C; ``nanostt transcribe`` has more.
    """
    given = argparse.Namespace(out=sys.stdout, code=None)
    given.json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    if isinstance(given.out, io.TextIOWrapper):
        given.out.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks hides nothing else
    try:
        _read(arguments, given)
        # Some versions of Airflow log to the standard output.
        with redirect_stdout(sys.stderr), quiet(), chosen_connection(given):
            given.code = given.run(given)
            return int(given.code)
    except WrongUsageError as error:
        write(sys.stderr, error.usage)
        return refuse(given, str(error))
    except OutputLostError as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        return refuse(given, "interrupted", 128 + signal.SIGINT) if given.code is None else int(given.code)
    finally:
        write(sys.stderr, "")  # what Airflow has left in its buffer; where nobody reads it, Python would end with 120


def _read(arguments: Sequence[str] | None, given: argparse.Namespace) -> None:
    """Read the arguments.

    :raises WrongUsageError: if they cannot be read.
    """
    parser = _parser()
    _, others = parser.parse_known_args(arguments, given)
    if others and not given.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    given.others = others


def _parser() -> Parser:
    parser = Parser(prog="nanostt", description="Speech-to-text with NanoGPT: prices and set-up.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = Parser(add_help=False)
    shared.set_defaults(passes_on=False)
    shared.add_argument(
        "--conn",
        metavar="ID",
        help=f"the Airflow connection (default: the key in {KEY_VARIABLE}, else {CONN})",
    )
    shared.add_argument("--json", action="store_true", help="print one JSON document and nothing else")

    def add_command(name: str, about: str, run: Callable[[argparse.Namespace], int], **own: Any) -> Parser:
        made: Parser = commands.add_parser(name, help=about, description=about, **{"parents": [shared], **own})
        made.set_defaults(run=run)
        return made

    for command in _COMMANDS:
        command.add_parser(add_command)
    return parser
