"""How recordings stand while a command is at work on them: a board on a terminal, plain lines elsewhere.

It takes in what a batch says of its items, from any thread, and what it logs. Nothing here raises: what is shown is
worth less than what it is about.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TextIO

from airflow_provider_nanostt.cli.output import console_on
from airflow_provider_nanostt.cli.wording import with_flags
from airflow_provider_nanostt.common.errors import format_duration, usd
from airflow_provider_nanostt.common.urls import escaped, redact
from airflow_provider_nanostt.workflow.batch import ManifestRow
from airflow_provider_nanostt.workflow.batch.item import Pending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, Group
    from rich.live import Live

    from airflow_provider_nanostt.workflow.batch.run import Stage

SENDING = ("uploading", "submitting")
_BY_ADDRESS = ("url", "presign")
_STYLES = {"written": "green", "failed": "red", "waiting": "cyan", "uploading": "yellow", "submitting": "yellow"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a recording stands.

    :param word: in one word.
    :param detail: what is known beside it.
    :param expected_at: when its transcript is expected, epoch seconds; None if it is not waited for.
    """

    word: str
    detail: str = ""
    expected_at: float | None = None
    is_over: bool = False

    @classmethod
    def of(cls, stage: Stage, method: str) -> Standing:
        """Say what a stage means.

        :param method: how the recording gets to the service; empty if that is not known.
        """
        if stage == "sending":
            return cls("submitting" if method in _BY_ADDRESS else "uploading")
        if isinstance(stage, Pending):
            return cls("waiting", expected_at=stage.expected_at)
        if isinstance(stage, ManifestRow):
            cost = "" if stage.cost_usd is None else usd(stage.cost_usd)
            return cls(stage.status.replace("_", " "), with_flags(stage.error or cost), is_over=True)
        estimate = stage.estimate
        minutes = "length unknown" if estimate.minutes is None else f"{estimate.minutes:.2f} min"
        return cls("measured", f"{minutes}, {usd(estimate.usd)}")

    def describe(self, now: float) -> str:
        """Say what is known beside the word; ``now`` is in epoch seconds."""
        if self.expected_at is None:
            return escaped(self.detail)
        rest = self.expected_at - now
        return f"about {format_duration(rest)} more" if rest >= 1.0 else "any moment now"


class Stages:
    """Shows how recordings stand; it is also where a batch logs.

    :param names: of the recordings, by their numbers.
    :param stream: where it shows them.
    :param is_quiet: show only what is out of the ordinary.
    """

    def __init__(self, names: Sequence[str], stream: TextIO, *, is_quiet: bool) -> None:
        self._names = names
        self._stream = stream
        self._is_quiet = is_quiet
        self._standings: dict[int, Standing] = {}
        self._methods: dict[int, str] = {}
        self._lock = threading.RLock()
        self._live: Live | None = None
        self.errors: list[str] = []

    def on_stage(self, number: int, stage: Stage) -> None:
        """Take in how a recording stands now."""
        with self._lock, suppress(Exception):
            if not isinstance(stage, str | Pending | ManifestRow):
                self._methods[number] = stage.estimate.method
            standing = Standing.of(stage, self._methods.get(number, ""))
            self._standings.pop(number, None)  # the last to change is the last of them
            self._standings[number] = standing
            if self._live is None and not self._is_quiet:
                detail = standing.describe(time.time())
                self.say(f"{self._names[number]}: {standing.word}{detail and ': '}{detail}")

    @property
    def sending(self) -> int:
        """How many recordings are being sent just now."""
        return sum(one.word in SENDING for one in list(self._standings.values()))

    def debug(self, text: str, /, *arguments: object) -> None:
        """Pass over it."""

    def info(self, text: str, /, *arguments: object) -> None:
        """Show what the batch as a whole says."""
        if not self._is_quiet:
            self.warning(text, *arguments)

    def warning(self, text: str, /, *arguments: object) -> None:
        """Show what is out of the ordinary."""
        self.say(escaped(with_flags(redact(text % arguments))))

    def error(self, text: str, /, *arguments: object) -> None:
        """Keep it until the end: mostly it is what the recording's own line says."""
        self.errors.append(escaped(redact(text % arguments)))

    def say(self, line: str) -> None:
        """Show a line that stays."""
        with suppress(Exception):
            if self._live is not None:
                self._live.console.print(line)
            else:
                self._stream.write(f"{line}\n")
                self._stream.flush()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the board for the length of a block, if there is a terminal that can."""
        console = console_on(self._stream)
        if self._is_quiet or not self._stream.isatty() or console.is_dumb_terminal:
            yield
            return
        from rich.live import Live

        self._live = Live(console=console, get_renderable=partial(self._board, console), transient=True)
        try:
            with suppress(Exception):
                self._live.start()
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Take the board away; the terminal is as it was."""
        live, self._live = self._live, None
        if live is not None:
            with suppress(Exception):
                live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a question for the length of a block."""
        live = self._live
        self.close()
        yield
        if live is not None:
            self._live = live
            live.start()

    def _board(self, console: Console) -> Group:
        """Return the recordings that are at work and those that ended last, as many as the terminal has lines for."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            standings = dict(self._standings)
        size = console.size
        room, columns = max(1, size.height - 3), max(10, size.width // 2 - 12)
        at_work = [number for number, one in standings.items() if not one.is_over]
        ended = [number for number, one in standings.items() if one.is_over]
        seen = sorted(at_work[:room] + ended[len(ended) - max(0, room - len(at_work)) :])
        table = Table.grid(padding=(0, 2))
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        now = time.time()
        for number in seen:
            one = standings[number]
            table.add_row(
                _end_of(self._names[number], columns), one.word, one.describe(now), style=_STYLES.get(one.word, "")
            )
        counts = Counter(one.word for one in standings.values())
        counts["to look at"] = len(self._names) - len(standings)
        return Group(table, Text(", ".join(f"{count} {word}" for word, count in counts.items() if count), style="bold"))


def _end_of(name: str, columns: int) -> str:
    """Return a name that fits into so many columns, without its beginning if it is too long."""
    from rich.cells import cell_len

    if cell_len(name) <= columns:
        return name
    while cell_len(name) >= columns:
        name = name[1:]
    return f"…{name}"
