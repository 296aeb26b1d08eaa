"""``nanostt costs``: what the service says was spent, by day and model, beside what the ledgers below folders have."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.cli.output import connection_check, console_on, reason, write_json
from airflow_provider_nanostt.common.urls import display, escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from airflow_provider_nanostt.api.models import Usage
    from airflow_provider_nanostt.cli.output import AddParser
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.spending import SpendingRow, Submit


_WHY = (
    "More at the service: other users of the key, other folders, tasks without output_path. More in the ledgers: "
    "refunds, another key, charges that the service has not added up yet. A charge near midnight may be counted on the "
    "next day."
)


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "show what this key has spent, by day and model, beside what the ledgers below folders say"
    parser = add_command("costs", help=about, description=about)
    add = parser.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="an output_path, or a folder above several")
    add("--since", type=_day, required=True, metavar="DATE", help="the first day, as 2026-11-01 (UTC)")
    add("--until", type=_day, metavar="DATE", help="the last day (default today)")
    parser.set_defaults(run=run)


def _day(text: str) -> date:
    """Read ``--since`` and ``--until``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-01") from None


def run(given: argparse.Namespace) -> int:
    """Ask, read and show; return 2 if the service or a folder does not answer."""
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.spending import compare

    today = datetime.now(UTC).date()
    last = min(given.until or today, today)
    hook = NanoGPTHook(given.conn)
    connection = connection_check(hook)
    try:
        if connection.state != "ok":
            raise errors.InvalidInput(connection.text)
        submits, unread = _read_ledgers(given.folders, given.since, last)
        usage = hook.usage(given.since, last)
        rows = compare(usage.rows or (), submits, _labels(hook))
    except errors.NanoGPTError as error:
        print(f"nanostt: {escaped(reason(error))}", file=sys.stderr)  # noqa: T201  a command line speaks
        return 2
    notes = _notes(usage, rows, unread, with_ledgers=bool(given.folders))
    if given.json:
        document = {"since": str(given.since), "until": str(last), "net_usd": usage.net_cost, "notes": notes}
        days = [{**asdict(row), "difference": round(row.difference, 9)} for row in rows]
        write_json(given.out, {**document, "rows": days})
    else:
        _show(console_on(given.out), rows, with_ledgers=bool(given.folders))
        for note in notes:
            console_on(given.out).print(note)
    return 0


def _read_ledgers(folders: Sequence[str], first: date, last: date) -> tuple[list[Submit], int]:
    """Return the submits of a range of days, and how many records cannot be read."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.ledger.reading import records_below
    from airflow_provider_nanostt.workflow.spending import submits_in

    found: list[list[Submit] | None] = []
    for name in folders:
        path = object_storage.resolve(name if "://" in name else str(Path(name).absolute()))
        some = records_below(path, submits_in)
        if not some:
            raise errors.InvalidInput(f"there is no ledger below {display(name)!r}")
        found += some
    submits = [submit for some in found for submit in some or () if first <= submit.day <= last]
    return submits, sum(some is None for some in found)


def _labels(hook: NanoGPTHook) -> dict[str, str]:
    """Return the ids of models by the names under which the service counts them."""
    entries = (hook.known_models().listed or {}).values()
    names = Counter(one.name for one in entries)
    return {one.name: one.id for one in entries if names[one.name] == 1}


def _show(console: Console, rows: list[SpendingRow], *, with_ledgers: bool) -> None:
    from rich import box
    from rich.table import Table

    table = Table("day", "model", box=box.SIMPLE)
    for name in ("requests", "spent", "refunded", *(("submits", "ledgers say", "difference") * with_ledgers)):
        table.add_column(name, justify="right")
    for row in rows:
        spent = ["nothing"] if row.usd is None else [errors.usd(row.usd)]
        cells = [str(row.requests), *spent, errors.usd(row.refunded) if row.refunded else ""]
        if with_ledgers:
            cells += [str(row.submits), errors.usd(row.ledger_usd), _signed(row.difference)]
        table.add_row(row.day, escaped(row.model), *cells)
    console.print(table)


def _notes(usage: Usage, rows: list[SpendingRow], unread: int, *, with_ledgers: bool) -> list[str]:
    """Return what the figures mean, as sentences."""
    spent = usage.net_cost if usage.rows is None else sum(row.usd or 0.0 for row in rows)
    notes = [f"The service says {errors.usd(spent)} in all, net of refunds."]
    if usage.rows is None:
        notes.append("Its figures by day and model cannot be read, or do not add up; only its total is shown.")
    if usage.as_of is not None:
        notes.append(f"Its figures are of {datetime.fromtimestamp(usage.as_of, UTC):%Y-%m-%d %H:%M} UTC.")
    if not with_ledgers:
        return notes
    ledgers = sum(row.ledger_usd for row in rows)
    difference = (spent or 0.0) - ledgers
    notes.append(f"The ledgers say {errors.usd(ledgers)}; the difference is {_signed(difference)}.")
    for count, what in (
        (unread, "records cannot be read"),
        (sum(row.unknown for row in rows), "submits have no known cost, and count as nothing"),
        (sum(row.uncertain for row in rows), "submits may or may not have been charged, and count as nothing"),
    ):
        if count:
            notes.append(f"{count} {what}.")
    return [*notes, _WHY] if abs(difference) > 1e-6 else notes


def _signed(usd: float) -> str:
    return "none" if abs(usd) < 5e-7 else f"{'+' if usd > 0 else '-'}{errors.usd(abs(usd))}"
