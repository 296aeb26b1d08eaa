"""For Airflow 3.3 and newer: a retry policy that tells what passes by itself from what no retry mends. Only that."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_nanostt.api import errors

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context

_WEATHER = (
    errors.TransportError,
    errors.RateLimited,
    errors.ServiceUnavailable,
    errors.StorageUnavailable,
    errors.FileChanged,
    errors.LedgerError,
)
_FINAL = (
    errors.InvalidInput,
    errors.ApiError,
    errors.AmbiguousSubmit,
    errors.ProtocolError,
    errors.InputChanged,
    errors.ResultTooLarge,
    errors.JobLost,
    errors.LedgerMissing,
)
_AFTER_RESET = 60.0
_LONGEST_ASKED = 86_400.0


def _resubmits(context: Context | None) -> bool:
    task = (context or {}).get("task")
    return getattr(task, "on_ambiguous_submit", "fail") == "resubmit"


class NanoGPTRetryPolicy(RetryPolicy):
    """Retry weather, fail at once on what a retry cannot mend, and wait for the reset of a day limit.

    ``TranscribeOperator(..., retries=3, retry_policy=NanoGPTRetryPolicy())``. Errors of other origin keep the task's
    own retry behaviour, as does what the ledger makes safe to repeat (a wait that timed out, a job that failed).

    :param delay: pause before a retry after bad weather; None keeps the task's ``retry_delay``.
    """

    def __init__(self, delay: timedelta | None = None) -> None:
        self.delay = delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure; of a batch, about what has stopped it."""
        if isinstance(exception, errors.BatchIncomplete) and isinstance(exception.__cause__, errors.NanoGPTError):
            exception = exception.__cause__
        if isinstance(exception, errors.DailyLimitReached):
            wait = timedelta(seconds=max(0.0, exception.resets_at - time.time()) + _AFTER_RESET)
            return RetryDecision.retry(wait, reason=f"The day's limit of the key is used up; retrying in {wait}")
        if isinstance(exception, _WEATHER) and not isinstance(exception, errors.LedgerMissing):
            return RetryDecision.retry(self._pause(exception), reason=f"{type(exception).__name__} passes by itself")
        if type(exception) is errors.AmbiguousSubmit and _resubmits(context):
            return RetryDecision.retry(self.delay, reason="on_ambiguous_submit is 'resubmit'")
        if isinstance(exception, _FINAL):
            return RetryDecision.fail(reason=f"{type(exception).__name__}: a retry cannot mend it, or would pay again")
        return RetryDecision.default()

    def _pause(self, error: errors.NanoGPTError) -> timedelta | None:
        """Return the pause, made longer where the service has asked for more."""
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        if asked is None:
            return self.delay
        return max(self.delay or timedelta(), timedelta(seconds=min(asked, _LONGEST_ASKED)))

    def serialize(self) -> dict[str, Any]:
        """Return the policy as JSON."""
        return {"delay": None if self.delay is None else self.delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NanoGPTRetryPolicy:
        """Read it back."""
        delay = data.get("delay")
        return cls(None if delay is None else timedelta(seconds=delay))
