"""When to ask for which job, and what the answer means: pure decisions, with the time passed in.

No I/O, no event loop and no sleeping in any module of this package: ``schedule`` says whom to ask now,
``duration_model`` how long such a job takes, ``rate_limiter`` how fast one may ask, and ``outcome`` what an answer
means. Loops around it only sleep and send.
"""

from __future__ import annotations

from airflow_provider_nanostt.polling.duration_model import SurvivalModel, describe_wait, expected_seconds, is_short
from airflow_provider_nanostt.polling.outcome import COMPLETED, FAILED, REFUSED, TIMED_OUT, JobMonitor, Outcome
from airflow_provider_nanostt.polling.rate_limiter import RateLimiter
from airflow_provider_nanostt.polling.schedule import Schedule

__all__ = [
    "COMPLETED",
    "FAILED",
    "REFUSED",
    "TIMED_OUT",
    "JobMonitor",
    "Outcome",
    "RateLimiter",
    "Schedule",
    "SurvivalModel",
    "describe_wait",
    "expected_seconds",
    "is_short",
]
