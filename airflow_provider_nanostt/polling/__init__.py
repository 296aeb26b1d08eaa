"""When to ask for which job, and what the answer means: pure decisions, with the time passed in.

No I/O, no event loop and no sleeping in any module of this package: ``schedule`` says whom to ask now, ``expectation``
how long such a job takes, ``pace`` how fast one may ask, and ``outcome`` what was heard. Loops around it only sleep and
send.
"""

from __future__ import annotations

from airflow_provider_nanostt.polling.expectation import Expectation, expected_seconds
from airflow_provider_nanostt.polling.outcome import (
    COMPLETED,
    FAILED,
    REFUSED,
    TIMED_OUT,
    Outcome,
    Remark,
    Watch,
    is_weather,
    length,
)
from airflow_provider_nanostt.polling.pace import Pacer
from airflow_provider_nanostt.polling.schedule import Schedule

__all__ = [
    "COMPLETED",
    "FAILED",
    "REFUSED",
    "TIMED_OUT",
    "Expectation",
    "Outcome",
    "Pacer",
    "Remark",
    "Schedule",
    "Watch",
    "expected_seconds",
    "is_weather",
    "length",
]
