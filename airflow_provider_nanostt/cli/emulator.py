"""``nanostt emulator``: starts the local NanoGPT, with the options of ``nanostt-emulator``.

In this process, but by its name: neither knows the other's code, and no other command loads it.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec

from airflow_provider_nanostt.cli.output import AddParser, complain

_MODULE = "airflow_provider_nanostt.emulator"
_ABSENT = (
    "the extra [emulator] is not installed, so no audio would be recognised. Install it with: pip install "
    "'airflow-provider-nanostt[emulator]' - or add --recogniser none, for scripted transcripts only"
)
_NEEDS_NOTHING = ("-h", "--help", "none", "--recogniser=none")


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "start a local NanoGPT; its options are those of nanostt-emulator"
    add_command("emulator", about, run, parents=[], add_help=False).set_defaults(conn=None, passes_on=True)


def run(given: argparse.Namespace) -> int:
    """Become the emulator; return 2 if what it needs is not installed."""
    if find_spec("pocketsphinx") is not None or any(one in _NEEDS_NOTHING for one in given.others):
        os.execv(sys.executable, [sys.executable, "-m", _MODULE, *given.others])  # noqa: S606  our own interpreter
    complain(_ABSENT)
    return 2
