"""What a benchmark script hands back: rows of the table, printed for people and, if asked, written as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HERE = Path(__file__).resolve().parent


@dataclass(slots=True)
class Row:
    """One line of the table.

    :param figure: what was measured.
    :param beside: what the others did, or what ours is measured against.
    :param ours: what this provider did.
    :param target: what was to be reached.
    :param met: whether it was; None where nothing was to be reached.
    :param notes: how it was measured and all single values.
    """

    figure: str
    beside: str
    ours: str
    target: str
    met: bool | None
    notes: list[str] = field(default_factory=list)


def run(measure: Callable[[argparse.Namespace], list[Row]], doc: str) -> None:
    """Be the main program of a benchmark script.

    :param measure: does it.
    :param doc: the script's docstring.
    """
    arguments = argparse.ArgumentParser(description=doc.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="a smaller form that shows it works; not a figure")
    arguments.add_argument("--json", type=Path, help="write the rows here, too")
    options = arguments.parse_args()
    rows = measure(options)
    for row in rows:
        verdict = {True: "met", False: "NOT MET", None: "-"}[row.met]
        print(f"{row.figure}\n  beside: {row.beside}\n  ours:   {row.ours}\n  target: {row.target}  -> {verdict}")
        for note in row.notes:
            print(f"  . {note}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")


def in_development() -> None:
    """Go on in the development environment, which `make bench` sets up as well, if this is another one."""
    python = HERE.parent / ".venv" / "bin" / "python"
    if Path(sys.prefix) != python.parents[1] and python.exists():
        os.execv(python, [str(python), *sys.argv])


def fresh(script: str, *arguments: object, timeout: float = 900.0) -> Any:
    """Run a script of this folder in a fresh interpreter and return what it prints last, read as JSON."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=timeout, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@asynccontextmanager
async def lateness(tick: float = 0.005) -> AsyncIterator[list[float]]:
    """Open a block in which a list grows: by how many milliseconds the event loop was late for each tick."""
    loop, late = asyncio.get_running_loop(), list[float]()

    async def tick_on() -> None:
        while True:
            planned = loop.time() + tick
            await asyncio.sleep(tick)
            late.append((loop.time() - planned) * 1000)

    ticker = asyncio.create_task(tick_on())
    await asyncio.sleep(0.5)
    late.clear()
    try:
        yield late
    finally:
        ticker.cancel()
        late.sort()
