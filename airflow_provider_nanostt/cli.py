"""The command ``nanostt``: what recordings would cost and what would be done with them, and whether all is set up.

It shows what the hook says: nothing is submitted or decided here. With ``--json`` there is nothing else on the standard
output.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from airflow_provider_nanostt import __version__
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from airflow_provider_nanostt.audio.find import Found
    from airflow_provider_nanostt.hooks import NanoGPTHook

_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"
_CONN = "nanogpt_default"
_OVERSIZE = "stage,compress,split"
_SCHEMES = ("s3", "gs", "abfs")


@dataclass(frozen=True, slots=True)
class Row:
    """One recording; None for what is not known, and the problem if it could not be submitted.

    Its texts have no control characters, and bytes that are no text are escaped.
    """

    file: str
    minutes: float | None = None
    price_per_minute: float | None = None
    price_source: str = ""
    usd: float | None = None
    worst_usd: float | None = None
    method: str = ""
    length_source: str = ""
    problem: str = ""


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


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without writing it to the terminal as it is: an argument may be the name of a file."""

    def error(self, message: str) -> NoReturn:
        super().error(escaped(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: those of the command line, if None.
    :return: 0 if all went well, 1 if a recording could not be submitted or a check failed, 2 if nothing could be done.
    """
    given = _parser().parse_args(arguments)
    given.out = sys.stdout
    if isinstance(given.out, io.TextIOWrapper):
        given.out.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks hides nothing else
    with redirect_stdout(sys.stderr), _quiet():  # some versions of Airflow log to the standard output
        return int(given.run(given))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log lines of Airflow and its providers out of a table."""
    before, given = logging.root.manager.disable, os.environ.get(_LEVEL)
    logging.disable(logging.WARNING)
    os.environ.setdefault(_LEVEL, "ERROR")  # read when Airflow is imported; its own loggers heed nothing else
    try:
        yield
    finally:
        logging.disable(before)
        if given is None:
            del os.environ[_LEVEL]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nanostt", description="Speech-to-text with NanoGPT: prices and set-up.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = _Parser(add_help=False)
    shared.add_argument("--conn", default=_CONN, metavar="ID", help=f"the Airflow connection (default {_CONN})")
    shared.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    about = "show what recordings would cost, and how they would be sent; nothing is submitted"
    estimate = commands.add_parser("estimate", parents=[shared], help=about, description=about)
    estimate.add_argument(
        "audio", nargs="+", help="a path, a web address, an object storage URI, or a pattern of these"
    )
    estimate.add_argument("--model", default=DEFAULT_MODEL, help=f"the service's model id (default {DEFAULT_MODEL})")
    estimate.add_argument("--diarize", action="store_true", help="tell speakers apart")
    estimate.add_argument("--staging", metavar="URI", help="the folder in which recordings may be staged")
    estimate.add_argument(
        "--oversize",
        type=_ways,
        default=_OVERSIZE,
        metavar="WAYS",
        help=f"what may be done with what is too large, in order (default {_OVERSIZE})",
    )
    estimate.set_defaults(run=_estimate)
    about = "check connection, balance, catalogue and extras"
    doctor = commands.add_parser("doctor", parents=[shared], help=about, description=about)
    doctor.set_defaults(run=_doctor)
    return parser


def _ways(text: str) -> tuple[str, ...]:
    """Read ``--oversize``."""
    ways = tuple(way.strip() for way in text.split(",") if way.strip())
    known = _OVERSIZE.split(",")
    if wrong := [way for way in ways if way not in known]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
    return ways


def _estimate(given: argparse.Namespace) -> int:
    from airflow_provider_nanostt.audio.find import find
    from airflow_provider_nanostt.hooks import NanoGPTHook

    hook = NanoGPTHook(given.conn)
    connection = _connection(hook)
    if connection.state != "ok":
        print(f"nanostt: {connection.text}", file=sys.stderr)  # noqa: T201  a command line speaks
        return 2
    found = [one for pattern in given.audio for one in find(pattern, may_be_relative=True)]
    rows = [_row(hook, one, given) for one in _with_progress(found, quiet=given.json)]
    known = [row.usd for row in rows if row.usd is not None]
    whole = len(known) == len(rows)
    if given.json:
        total = {"usd": round(sum(known), 9), "is_complete": whole}
        _write_json(given.out, {"model": given.model, "files": [asdict(row) for row in rows], "total": total})
    else:
        _show_rows(_console(given.out), rows, escaped(given.model), sum(known), whole=whole)
    return int(any(row.problem for row in rows))


def _row(hook: NanoGPTHook, one: Found, given: argparse.Namespace) -> Row:
    name = one.audio
    try:
        if one.problem is not None:
            raise one.problem
        found = hook.estimate(
            name, model=given.model, diarize=given.diarize, staging_path=given.staging, oversize=given.oversize
        )
    except Exception as error:  # noqa: BLE001  one that fails must not hide the others
        return Row(escaped(name), problem=escaped(_reason(error)))
    return Row(
        escaped(name),
        minutes=found.minutes,
        price_per_minute=found.price.per_minute,
        price_source=escaped(found.price.source),
        usd=found.usd,
        worst_usd=found.worst_usd,
        method=escaped(found.method),
        length_source=escaped(found.length_source),
    )


def _show_rows(console: Console, rows: list[Row], model: str, total: float, *, whole: bool) -> None:
    from rich import box
    from rich.table import Table

    table = Table("file", box=box.SIMPLE, caption_justify="left")
    for name in ("minutes", "model", "per minute", "cost"):
        table.add_column(name, justify="left" if name == "model" else "right")
    table.add_column("what would be done")
    for row in rows:
        if row.problem:
            table.add_row(row.file, "", model, "", "", f"cannot be submitted: {row.problem}")
            continue
        minutes = "unknown" if row.minutes is None else f"{row.minutes:.2f}"
        price = "unknown" if row.price_per_minute is None else errors.usd(row.price_per_minute)
        worst = "unknown" if row.worst_usd is None else f"up to {errors.usd(row.worst_usd)}"
        cost = worst if row.usd is None else errors.usd(row.usd)
        method = row.method if row.minutes is not None else f"{row.method}; {row.length_source}"
        table.add_row(row.file, minutes, model, price, cost, method)
    console.print(table)
    console.print("Total: " + (errors.usd(total) if whole else f"at least {errors.usd(total)}" if total else "unknown"))
    for source in dict.fromkeys(row.price_source for row in rows if row.price_per_minute is not None):
        console.print(f"Prices from {source}.")
    if any(row.price_source and row.price_per_minute is None for row in rows):
        console.print(f"Neither the service's catalogue nor the connection has a price for {model}.")


def _doctor(given: argparse.Namespace) -> int:
    checks = list(_checks(given.conn))
    if given.json:
        _write_json(given.out, {"checks": [asdict(check) for check in checks]})
    else:
        console = _console(given.out)
        styles = {"ok": "green", "warning": "yellow", "failed": "red"}
        for check in checks:
            console.print(f"{check.state:<8}", style=styles[check.state], end="")
            console.print(check.text)
    return int(any(check.state == "failed" for check in checks))


def _checks(conn_id: str) -> Iterator[Check]:
    from airflow_provider_nanostt.hooks import NanoGPTHook

    yield _airflow()
    hook = NanoGPTHook(conn_id)
    connection = _connection(hook)
    yield connection
    if connection.state == "ok":
        yield _tried("key and balance", lambda: f"the account holds {errors.usd(hook.balance().usd)}")
        yield _tried("catalogue", lambda: f"{len(hook.models())} speech-to-text models with their prices")
    yield _extra("audio", "av", "recordings can be converted, compressed and split")
    yield _extra("emulator", "pocketsphinx", "a local NanoGPT can be started")
    yield _storages()


def _connection(hook: NanoGPTHook) -> Check:
    conn_id = hook.nanogpt_conn_id
    outside = "Outside a task, Airflow 3 looks in environment variables and secrets backends only: set "
    outside += f"AIRFLOW_CONN_{conn_id.upper()}."
    return _tried("connection", lambda: f"{conn_id!r} leads to {hook.get_conn().config.base_url}", outside)


def _tried(name: str, look: Callable[[], str], remedy: str = "") -> Check:
    try:
        return Check(name, "ok", look())
    except Exception as error:  # noqa: BLE001  whatever it is, it is what is wrong
        return Check(name, "failed", _reason(error), remedy if not isinstance(error, errors.NanoGPTError) else "")


def _airflow() -> Check:
    found = version("apache-airflow")
    major, minor = (int(part) for part in found.split(".")[:2])
    if (major, minor) < (2, 11):
        return Check("Airflow", "failed", f"{found} is not supported", "2.11 is the oldest that is.")
    if (major, minor) < (3, 3):
        keep = "Give operators an output_path: before 3.3 nothing else remembers what was paid for."
        return Check("Airflow", "warning", f"{found}.", keep)
    return Check("Airflow", "ok", f"{found}; what was paid for is remembered in the task's state, and in output_path")


def _extra(extra: str, package: str, use: str) -> Check:
    name = f"extra [{extra}]"
    try:
        return Check(name, "ok", f"{use} ({package} {version(package)})")
    except PackageNotFoundError:
        return Check(name, "warning", "not installed.", f"With 'airflow-provider-nanostt[{extra}]' {use}.")


def _storages() -> Check:
    from airflow_provider_nanostt.common import object_storage

    there = []
    for scheme in _SCHEMES:
        try:
            _ = object_storage.resolve(f"{scheme}://bucket/key").fs
        except (errors.InvalidInput, ImportError, ValueError):
            continue
        except Exception:  # noqa: BLE001, S110  it is there, and lacks a connection, say
            pass
        there.append(f"{scheme}://")
    if not there:
        needs = "Install the Airflow provider of yours, such as apache-airflow-providers-amazon[s3fs]."
        return Check("object storage", "warning", "none is installed.", needs)
    return Check("object storage", "ok", ", ".join(there))


def _with_progress(names: list[Found], *, quiet: bool) -> Iterator[Found]:
    """Go through names behind a progress bar, if there is a person to see it."""
    if quiet or len(names) < 2 or not sys.stderr.isatty():
        yield from names
        return
    from rich.progress import track

    yield from track(names, description="Looking", console=_console(sys.stderr), transient=True)


def _reason(error: Exception) -> str:
    says_enough = isinstance(error, errors.NanoGPTError) or type(error).__name__ == "AirflowNotFoundException"
    return str(error) if says_enough else errors.describe_exception(error)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    # Brackets in a file's name are no markup. Into a pipe nothing is folded: there, a file is a line.
    return Console(file=stream, width=None if stream.isatty() else 1000, highlight=False, markup=False)


def _write_json(stream: TextIO, document: dict[str, Any]) -> None:
    stream.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
