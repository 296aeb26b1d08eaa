"""``nanostt estimate``: what recordings would cost, and how each would be sent. Nothing is submitted."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.cli.output import (
    AddParser,
    as_given,
    connected,
    console_on,
    from_the_root,
    printing,
    reason,
    write_json,
)
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.batch import Item

_OVERSIZE = "stage,compress,split"


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


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "show what recordings would cost, and how they would be sent; nothing is submitted"
    add = add_command("estimate", about, run).add_argument
    add("audio", nargs="+", help="a path, a web address, an object storage URI, or a pattern of these")
    add("--model", default=DEFAULT_MODEL, help=f"the service's model id (default {DEFAULT_MODEL})")
    add("--diarize", action="store_true", help="tell speakers apart")
    add("--staging", metavar="URI", help="the folder in which recordings may be staged")
    add(
        "--oversize",
        type=_ways,
        default=_OVERSIZE,
        metavar="WAYS",
        help=f"what may be done with what is too large, in order (default {_OVERSIZE})",
    )


def _ways(text: str) -> tuple[str, ...]:
    """Read ``--oversize``."""
    ways = tuple(way.strip() for way in text.split(",") if way.strip())
    known = _OVERSIZE.split(",")
    if wrong := [way for way in ways if way not in known]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
    return ways


def run(given: argparse.Namespace) -> int:
    """Look at each recording and show it; return 1 if one could not be submitted."""
    from airflow_provider_nanostt.workflow.batch import expand

    service, problem = None, ""
    try:
        service = connected(given.conn)
    except errors.InvalidInput as error:
        problem = str(error)
    found = expand([from_the_root(name) for name in given.audio])
    rows = [_row(service, one, given) for one in _with_progress(found, quiet=given.json)]
    known = [row.usd for row in rows if row.usd is not None]
    whole = len(known) == len(rows)
    if given.json:
        total = {"usd": round(sum(known), 9), "is_complete": whole}
        files = [asdict(row) for row in rows]
        write_json(given.out, {"model": given.model, "problem": problem, "files": files, "total": total})
    else:
        with printing(given.out) as console:
            _show_rows(console, rows, escaped(given.model), sum(known), whole=whole, problem=problem)
    return int(any(row.problem for row in rows))


def _row(service: NanoGPTHook | None, one: Item, given: argparse.Namespace) -> Row:
    from airflow_provider_nanostt.workflow.scripts import estimate

    name = as_given(one.audio)
    try:
        if one.problem is not None:
            raise one.problem
        found = estimate(
            service,
            one.audio,
            model=given.model,
            diarize=given.diarize,
            staging_path=given.staging,
            oversize=given.oversize,
        )
    except Exception as error:  # noqa: BLE001  one that fails must not hide the others
        return Row(name, problem=escaped(reason(error)))
    return Row(
        name,
        minutes=found.minutes,
        price_per_minute=found.price.per_minute,
        price_source=escaped(found.price.source),
        usd=found.usd,
        worst_usd=found.worst_usd,
        method=escaped(found.method),
        length_source=escaped(found.length_source),
    )


def _show_rows(console: Console, rows: list[Row], model: str, total: float, *, whole: bool, problem: str) -> None:
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
    if problem:
        console.print(f"Without the service's catalogue: {problem}")
    if any(row.price_source and row.price_per_minute is None for row in rows):
        console.print(f"Neither the service's catalogue nor the connection has a price for {model}.")


def _with_progress(names: list[Item], *, quiet: bool) -> Iterator[Item]:
    """Go through names behind a progress bar, if there is a person to see it."""
    if quiet or len(names) < 2 or not sys.stderr.isatty():
        yield from names
        return
    from rich.progress import track

    yield from track(names, description="Looking", console=console_on(sys.stderr), transient=True)
