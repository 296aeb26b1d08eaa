"""What the commands share: the connection, names of recordings, the two outputs, and how a problem becomes one line.

Nothing is asked or decided here.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.cli.wording import with_flags
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    from _typeshed import SupportsWrite
    from rich.console import Console

    from airflow_provider_nanostt.hooks import NanoGPTHook

CONN = "nanogpt_default"
KEY_VARIABLE = "NANOGPT_API_KEY"
"""The environment variable with the key; also the id of the connection that is made of it, as messages name it."""

URL_VARIABLE = "NANOGPT_URL"
AddParser = Callable[..., argparse.ArgumentParser]
"""Adds a command: its name, what it is about, and what runs it; it has the options of all, unless it is given other
``parents``."""

_NOBODY_READS = (errno.EPIPE, errno.EIO)
"""Of a pipe whose other end is closed, and of a terminal that is."""

_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: ``ok``, ``warning`` or ``failed``, and what to do about it."""

    name: str
    state: str
    message: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """All of it in one line."""
        message = f"{self.message.rstrip('.')}. {self.remedy}" if self.remedy else self.message
        return escaped(f"{self.name}: {message}")


class OutputLostError(Exception):
    """What a command has to say cannot be written, as on a full disk; the text says why."""


class WrongUsageError(Exception):
    """The arguments cannot be read; the text says why."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """Shows no argument as it is: it may be the name of a file, with control characters in it."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong."""
        raise WrongUsageError(message, self.format_usage())

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:  # noqa: ARG002  argparse gives none
        """Show the help, which nobody needs to read to its end."""
        write(sys.stdout, self.format_help())


@contextmanager
def chosen_connection(given: argparse.Namespace) -> Iterator[None]:
    """Set the id of the connection: the one that is named, else one of the key in the environment, else the default.

    A key is never taken from the command line, which every user of the machine may read.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if given.conn or not key:
        given.conn = given.conn or CONN
        yield
        return
    given.conn = KEY_VARIABLE
    name, url = f"AIRFLOW_CONN_{KEY_VARIABLE}", os.environ.get(URL_VARIABLE, "").strip()
    os.environ[name] = json.dumps({"conn_type": "nanogpt", "password": key, **({"host": url} if url else {})})
    try:
        yield
    finally:
        del os.environ[name]


def from_the_root(name: str) -> str:
    """Return a path as it is from the root, whichever way leads to its folder; an address or a URI as it is."""
    path = Path(name)
    return name if "://" in name else str(path.parent.resolve() / path.name)


def as_given(audio: str) -> str:
    """Return how a person here writes a path: from the working directory, if it is below that."""
    here = f"{Path.cwd()}{os.sep}"
    return escaped(audio.removeprefix(here))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the log lines of Airflow and its providers out of a table."""
    before, given = logging.root.manager.disable, os.environ.get(_LEVEL)
    logging.disable(logging.WARNING)
    # Airflow 2 logs the traceback of a database that is not there; what follows from it is said anyway.
    logging.getLogger("airflow.models.connection").setLevel(logging.CRITICAL)
    os.environ.setdefault(_LEVEL, "ERROR")  # read when Airflow is imported; its own loggers heed nothing else
    try:
        yield
    finally:
        logging.disable(before)
        if given is None:
            del os.environ[_LEVEL]


def connection_check(hook: NanoGPTHook) -> Check:
    """Check that the connection can be used, before anything is asked."""
    conn_id = hook.nanogpt_conn_id
    outside = "Outside a task, Airflow 3 looks in environment variables and secrets backends only: set "
    outside += f"AIRFLOW_CONN_{conn_id.upper()}, or {KEY_VARIABLE} to the key alone."
    return tried("connection", lambda: f"{conn_id!r} leads to {hook.get_conn().config.base_url}", outside)


def connected(conn_id: str) -> NanoGPTHook:
    """Return the hook of a connection.

    :raises InvalidInput: if the connection cannot be used, with what to do about it.
    """
    from airflow_provider_nanostt.hooks import NanoGPTHook

    hook = NanoGPTHook(conn_id)
    check = connection_check(hook)
    if check.state != "ok":
        raise errors.InvalidInput(check.text)
    return hook


def tried(name: str, look: Callable[[], str], remedy: str = "") -> Check:
    """Return what a look says, or why it failed; ``remedy`` is for what is no error of ours."""
    try:
        return Check(name, "ok", look())
    except Exception as error:  # noqa: BLE001  whatever it is, it is what is wrong
        return Check(name, "failed", reason(error), remedy if not isinstance(error, errors.NanoGPTError) else "")


def reason(error: Exception) -> str:
    """Say in words why something failed."""
    says_enough = isinstance(error, errors.NanoGPTError) or type(error).__name__ == "AirflowNotFoundException"
    return with_flags(str(error) if says_enough else errors.describe_exception(error))


def console_on(stream: TextIO) -> Console:
    """Return a console: as wide as the terminal, and one line a row into anything else."""
    from rich.console import Console

    # Brackets in a file's name are no markup. Into a pipe nothing is folded: there, a file is a line.
    return Console(file=stream, width=None if stream.isatty() else 1000, highlight=False, markup=False)


def complain(problem: str) -> None:
    """Say in one line why nothing was done."""
    write(sys.stderr, f"nanostt: {escaped(problem)}\n")


def refuse(given: argparse.Namespace, problem: str, code: int = 2) -> int:
    """Say why a command ends without a result, to programs too; return its exit code."""
    complain(problem)
    if given.json:
        with suppress(OutputLostError):
            write_json(given.out, {"exit_code": code, "problem": escaped(problem)})
    return code


@contextmanager
def printing(stream: TextIO) -> Iterator[Console]:
    """Give a console, and write what is printed on it when the block has ended."""
    console, encoding = console_on(stream), stream.encoding or "utf-8"
    printed = io.BytesIO()
    console.file = io.TextIOWrapper(printed, encoding, "backslashreplace", newline="", write_through=True)
    yield console
    write(stream, printed.getvalue().decode(encoding))


def write(stream: TextIO, text: str) -> None:
    """Write a text; that nobody reads it any more is no failure of the command.

    :raises OutputLostError: if it cannot be written, unless it is for people only.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # Python flushes it once more at its end
        os.close(nowhere)
        if error.errno not in _NOBODY_READS and stream is not sys.stderr:
            raise OutputLostError(f"the output cannot be written: {error.strerror}. What was done is done") from error


def write_json(stream: TextIO, document: Mapping[str, object]) -> None:
    """Write the one document of ``--json``."""
    write(stream, json.dumps(document, indent=1) + "\n")
