"""Counting what happens, in whatever form this Airflow takes metrics; nothing is counted anywhere else."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any

PREFIX = "nanostt"

# The triggerer sets up the first of these that it has; a task process the same under airflow.sdk.
_HOMES = ("airflow.observability.stats", "airflow.stats")


@cache
def _stats() -> Any:
    for home in _HOMES:
        with suppress(ImportError):
            module = import_module(home)
            return module if hasattr(module, "incr") else module.Stats
    return None


class StatsMeter:
    """Passes counts on to Airflow's metrics, named ``nanostt.<name>``.

    ``jobs_waiting`` and ``requests_per_second`` are gauges, ``polls`` and ``refusals`` counters. ``noticed_within`` is
    the time between the last two questions for a job that had finished, which bounds how late that was noticed.
    """

    def incr(self, name: str, count: int) -> None:
        """Add to a counter."""
        if (stats := _stats()) is not None:
            stats.incr(f"{PREFIX}.{name}", count)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        if (stats := _stats()) is not None:
            stats.gauge(f"{PREFIX}.{name}", value)

    def timing(self, name: str, seconds: float) -> None:
        """Record a length of time."""
        if (stats := _stats()) is not None:
            stats.timing(f"{PREFIX}.{name}", timedelta(seconds=seconds))
