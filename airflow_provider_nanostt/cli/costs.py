"""``nanostt costs``: what the service says was spent, by day and model, beside what the ledgers below folders have."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.cli.output import AddParser, connected, printing, reason, refuse, write_json
from airflow_provider_nanostt.cli.wording import counted
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    from rich.console import Console

    from airflow_provider_nanostt.workflow.spending import Spending

_WHY = (
    "More at the service: other users of the key, other folders, tasks without output_path. More in the ledgers: "
    "refunds, another key, charges that the service has not added up yet. A charge near midnight may be counted on the "
    "next day."
)


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "show what this key has spent, by day and model, beside what the ledgers below folders say"
    add = add_command("costs", about, run).add_argument
    add("folders", nargs="*", metavar="FOLDER", help="an output_path, or a folder above several")
    add("--since", type=_day, required=True, metavar="DATE", help="the first day, as 2026-11-01 (UTC)")
    add("--until", type=_day, metavar="DATE", help="the last day (default today)")


def _day(text: str) -> date:
    """Read ``--since`` and ``--until``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-01") from None


def run(given: argparse.Namespace) -> int:
    """Ask, read and show; return 2 if the service or a folder does not answer."""
    today = datetime.now(UTC).date()
    last = min(given.until or today, today)
    folders = [name if "://" in name else str(Path(name).absolute()) for name in given.folders]
    try:
        found = connected(given.conn).spending(given.since, last, folders)
    except errors.NanoGPTError as error:
        return refuse(given, reason(error))
    notes = _notes(found, with_ledgers=bool(folders))
    if given.json:
        document = {"since": str(given.since), "until": str(last), "net_usd": found.usage.net_cost, "notes": notes}
        days = [{**asdict(row), "difference": round(row.difference, 9)} for row in found.rows]
        write_json(given.out, {**document, "rows": days})
    else:
        with printing(given.out) as console:
            _show(console, found, with_ledgers=bool(folders))
            for note in notes:
                console.print(note)
    return 0


def _show(console: Console, found: Spending, *, with_ledgers: bool) -> None:
    from rich import box
    from rich.table import Table

    table = Table("day", "model", box=box.SIMPLE)
    for name in ("requests", "spent", "refunded", *(("submits", "ledgers say", "difference") * with_ledgers)):
        table.add_column(name, justify="right")
    for row in found.rows:
        spent = ["nothing"] if row.usd is None else [errors.usd(row.usd)]
        cells = [str(row.requests), *spent, errors.usd(row.refunded) if row.refunded else ""]
        if with_ledgers:
            cells += [str(row.submits), errors.usd(row.ledger_usd), _signed(row.difference)]
        table.add_row(row.day, escaped(row.model), *cells)
    console.print(table)


def _notes(found: Spending, *, with_ledgers: bool) -> list[str]:
    """Return what the figures mean, as sentences."""
    usage, rows = found.usage, found.rows
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
    for count, what, about in (
        (found.unread, "record", "cannot be read, or cannot be true: counted as nothing"),
        (sum(row.unknown for row in rows), "submit", "of unknown cost, counted as nothing"),
        (sum(row.uncertain for row in rows), "submit", "that may or may not have been charged, counted as nothing"),
    ):
        if count:
            notes.append(f"{counted(count, what)} {about}.")
    return [*notes, _WHY] if abs(difference) > 1e-6 else notes


def _signed(usd: float) -> str:
    return "none" if abs(usd) < 5e-7 else f"{'+' if usd > 0 else '-'}{errors.usd(abs(usd))}"
