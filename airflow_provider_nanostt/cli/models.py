"""``nanostt models``: which models there are, what they cost and can do, and whether the built-in table is right."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import Difference, KnownModels, ModelFacts
from airflow_provider_nanostt.cli.output import AddParser, connected, printing, reason, refuse, write_json
from airflow_provider_nanostt.cli.wording import counted
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    import argparse

    from rich.console import Console


_WORDS = {True: "yes", False: "no", None: "not documented"}


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "list models with price, speakers, times and limits; without a connection, those of the built-in table"
    what = "compare the built-in table with the service's catalogue; the exit code is 1 if a price differs"
    add_command("models", about, run).add_argument("--check", action="store_true", help=what)


def run(given: argparse.Namespace) -> int:
    """Show the models; with ``--check`` return 1 if a price of the table is wrong, 2 if nobody can say so."""
    known, problem = _ask(given.conn)
    if given.check and known.listed is None:
        return refuse(given, problem)
    differences = known.differences() if given.check else []
    if given.json:
        document: dict[str, object] = {"source": known.source, "problem": escaped(problem)}
        document["models"] = [_row(one) for one in known.all()]
        if given.check:
            document["differences"] = [asdict(one) for one in differences]
        write_json(given.out, document)
    elif given.check:
        with printing(given.out) as console:
            _show_differences(console, known, differences)
    else:
        with printing(given.out) as console:
            _show(console, known, problem)
    return int(any(one.is_price for one in differences))


def _ask(conn_id: str) -> tuple[KnownModels, str]:
    """Return what is known of the models, and why that is only the table, if it is."""
    try:
        known = connected(conn_id).known_models()
    except errors.NanoGPTError as error:
        return KnownModels(), reason(error)
    return known, "" if known.listed is not None else "the service did not give its catalogue"


def _row(one: ModelFacts) -> dict[str, object]:
    return {
        "id": escaped(one.id),
        "usd_per_minute": one.price.per_minute,
        "price_source": escaped(one.price.source),
        "usd_per_minute_for_limits": one.price.for_limit,
        **asdict(one.can),
    }


def _show(console: Console, known: KnownModels, problem: str) -> None:
    from rich import box
    from rich.table import Table

    table = Table("model", box=box.SIMPLE)
    table.add_column("per minute", justify="right")
    for name in ("speakers", "times", "video", "longest", "largest file"):
        table.add_column(name)
    for one in known.all():
        price = "unknown" if one.price.per_minute is None else errors.usd(one.price.per_minute)
        longest = "" if one.can.max_seconds is None else errors.format_duration(one.can.max_seconds)
        largest = "" if one.can.max_bytes is None else f"{one.can.max_bytes / 1e6:g} MB"
        flags = (_WORDS[flag] for flag in (one.can.diarizes, one.can.gives_times, one.can.takes_video))
        table.add_row(escaped(one.id), price, *flags, longest, largest)
    console.print(table)
    if problem:
        console.print(f"Without the service's catalogue: {escaped(problem)}")
    for source in dict.fromkeys(one.price.source for one in known.all()):
        some = [escaped(one.id) for one in known.all() if one.price.source == source != known.source]
        console.print(f"Prices from {source}" + (f": {', '.join(some)}." if some else "."))
    for one in known.all():
        if one.price.at_most is not None:
            text = f"{errors.usd(one.price.at_most)}, {one.price.at_most_source}"
            console.print(f"A limit counts {escaped(one.id)} at the highest price seen: {escaped(text)}.")


def _show_differences(console: Console, known: KnownModels, differences: list[Difference]) -> None:
    for one in differences:
        console.print(escaped(f"{one.model}: {one.what} is {one.table} in the table, {one.catalogue} in the catalogue"))
    prices = sum(one.is_price for one in differences)
    facts = counted(len(differences) - prices, "other fact")
    console.print(f"{counted(prices, 'price')} and {facts} differ from {known.source}.")
