"""Counting what happens, in whatever form this Airflow takes metrics; nothing is counted anywhere else."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

PREFIX = "nanostt"

METRICS = {
    "jobs_waiting": "gauge",
    "requests_per_second": "gauge",
    "polls": "counter",
    "refusals": "counter",
    "noticed_within": "timer",
    "cost_micro_usd": "counter",
    "charged_seconds": "counter",
    "uncertain_submits": "counter",
    "asset_events_failed": "counter",
}
"""Every metric, without the prefix, and its kind; what each means is in ``docs/metrics.md``."""

# Since 3.2 each kind of process sets up a copy of its own, and what goes to the other is lost.
_TASK = ("airflow.sdk.observability.stats", "airflow.stats")
_TRIGGERER = ("airflow.observability.stats", "airflow.stats")


@cache
def _stats(homes: tuple[str, ...]) -> Any:
    for home in homes:
        with suppress(ImportError):
            module = import_module(home)
            return module if hasattr(module, "incr") else module.Stats
    return None


class StatsMeter:
    """Passes counts on to Airflow's metrics, named ``nanostt.<name>``; :data:`METRICS` has the names.

    :param in_triggerer: whether this is the process of a triggerer, and not that of a task.
    """

    def __init__(self, *, in_triggerer: bool = False) -> None:
        self._homes = _TRIGGERER if in_triggerer else _TASK

    def incr(self, name: str, count: int = 1) -> None:
        """Add to a counter."""
        if (stats := _stats(self._homes)) is not None:
            stats.incr(f"{PREFIX}.{name}", count)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        if (stats := _stats(self._homes)) is not None:
            stats.gauge(f"{PREFIX}.{name}", value)

    def timing(self, name: str, seconds: float) -> None:
        """Record a length of time."""
        if (stats := _stats(self._homes)) is not None:
            stats.timing(f"{PREFIX}.{name}", timedelta(seconds=seconds))
