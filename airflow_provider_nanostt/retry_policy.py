"""For Airflow 3.3 and newer: a retry policy that follows the errors' own ``retry``. Nothing else lives here."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.parsing import parse_mapping

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context

_AFTER_RESET = 60.0
_LONGEST_ASKED = 86_400.0


def _on_ambiguous_submit(context: Context | None) -> str:
    try:
        policy = parse_mapping("recovery_policy", getattr((context or {}).get("task"), "recovery_policy", None))
    except errors.InvalidInput:
        return ""
    return str(policy.get("on_ambiguous_submit")).strip()


class NanoGPTRetryPolicy(RetryPolicy):
    """Retry what passes by itself, fail at once on what a retry cannot fix, and wait for the reset of a day limit.

    ``TranscribeOperator(..., retries=3, retry_policy=NanoGPTRetryPolicy())``. On errors of other origin it has no
    opinion, nor on what the ledger makes safe to repeat (a wait that timed out, a job that failed): the task's own
    retry behaviour stays, or the next policy of a ``ChainRetryPolicy`` is asked.

    :param delay: pause before a retry; None keeps the task's ``retry_delay``.
    :param max_reschedules: how many day limits in a row are waited for without using one of the task's ``retries``,
        where Airflow can do that (3.4 and newer); 0 retries instead, as older versions do.
    """

    def __init__(self, delay: timedelta | None = None, *, max_reschedules: int = 7) -> None:
        self.delay = delay
        self.max_reschedules = max_reschedules

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure; of a batch, about the error that has stopped it."""
        error = exception.__cause__ if isinstance(exception, errors.BatchIncomplete) else exception
        if not isinstance(error, errors.NanoGPTError) or error.retry == "ledger":
            return RetryDecision.default()
        if isinstance(error, errors.DailyLimitReached):
            return self._after_reset(error)
        if error.retry == "yes":
            return RetryDecision.retry(self._pause(error), reason=f"{type(error).__name__} passes by itself")
        rule = _on_ambiguous_submit(context)
        if type(error) is errors.AmbiguousSubmit and error.may_be_retried(rule):
            return RetryDecision.retry(self.delay, reason=f"on_ambiguous_submit is {rule!r}")
        return RetryDecision.fail(reason=f"{type(error).__name__}: a retry cannot fix it, or would pay again")

    def _after_reset(self, error: errors.DailyLimitReached) -> RetryDecision:
        """Wait for the reset: without using a try, where this Airflow can."""
        wait = timedelta(seconds=max(0.0, error.resets_at - time.time()) + _AFTER_RESET)
        reason = f"The day's limit of the key is used up; going on in {wait}"
        reschedule = getattr(RetryDecision, "reschedule", None)
        if reschedule is None or self.max_reschedules < 1:
            return RetryDecision.retry(wait, reason=reason)
        decision: RetryDecision = reschedule(wait, max_reschedules=self.max_reschedules, reason=reason)
        return decision

    def _pause(self, error: errors.NanoGPTError) -> timedelta | None:
        """Return the pause, made longer where the service has asked for more."""
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        if isinstance(error, errors.SubmittedElsewhere) and error.until is not None:
            asked = max(0.0, error.until - time.time())
        if asked is None:
            return self.delay
        return max(self.delay or timedelta(), timedelta(seconds=min(asked, _LONGEST_ASKED)))

    def serialize(self) -> dict[str, Any]:
        """Return the policy as JSON."""
        delay = None if self.delay is None else self.delay.total_seconds()
        return {"delay": delay, "max_reschedules": self.max_reschedules}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NanoGPTRetryPolicy:
        """Read it back."""
        delay = data.get("delay")
        return cls(None if delay is None else timedelta(seconds=delay), max_reschedules=data.get("max_reschedules", 7))
