"""When a watcher rings, and what it says: at most once for each scan, and again after a while. The clock is passed in.

An event is a bell, no list of work: a run lists the recordings itself. Airflow 3.1 to 3.3 gives an event that comes
while a run waits to be created to no run at all, a run may fail, and a triggerer may die between ringing and being
heard. So a bell is repeated a few times; a run that finds everything transcribed costs nothing but its listing.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_nanostt.assets.arrivals import Look

REPEAT_AFTER_SECONDS = (15 * 60.0, 4 * 3600.0, 24 * 3600.0)
"""After a bell, as long as it was the last one."""
_MAX_NAME_CHARS = 4_000
"""Of all names together: the event is stored and logged."""


class Bell:
    """Turns looks into events.

    :param pattern: for which recordings it rings.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = display(pattern)
        self._repeated = 0
        self._last: float | None = None
        self._repeats: tuple[float, ...] = REPEAT_AFTER_SECONDS[:1]  # for what an earlier process has rung

    def ring(self, look: Look, now: float) -> dict[str, object] | None:
        """Return the event that follows from a look, None for none.

        :param now: seconds of a clock that goes on evenly.
        """
        if self._last is None:
            self._last = now
        if look.new:
            self._last, self._repeated, self._repeats = now, 0, REPEAT_AFTER_SECONDS
        elif not look.total or not self._repeats or now < self._last + self._repeats[0]:
            return None
        else:
            self._repeated, self._repeats = self._repeated + 1, self._repeats[1:]
        return {
            "pattern": self._pattern,
            "new": look.new,
            "total": look.total,
            "names": _few(look.names),
            "repeated": self._repeated,
            "mark": look.mark,
        }


def _few(names: Iterable[str]) -> list[str]:
    """Return names as they may be shown, as many as an event may hold."""
    shown = [display(name).encode("utf-8", "backslashreplace").decode() for name in names]
    return [name for name, used in zip(shown, accumulate(map(len, shown)), strict=True) if used <= _MAX_NAME_CHARS]
