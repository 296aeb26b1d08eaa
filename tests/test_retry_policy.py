"""Retry, wait or fail: the policy's decision about each kind of failure."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow has retry policies since 3.3")

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule

from airflow_provider_nanostt.operators.options import RecoveryPolicy
from airflow_provider_nanostt.retry_policy import NanoGPTRetryPolicy
from tests.api.test_errors import EVERY_ERROR

JOB = Job("run-1", "Elevenlabs-STT", 0.0, 0.015)
DELAY = timedelta(seconds=90)
CAN_RESCHEDULE = hasattr(RetryDecision, "reschedule")
WAITS = "reschedule" if CAN_RESCHEDULE else "retry"
"""What becomes of a day limit: since 3.4 Airflow can wait without using one of the task's retries."""


def decided(error: BaseException, policy: NanoGPTRetryPolicy | None = None, **context):
    policy = policy or NanoGPTRetryPolicy(DELAY)
    return policy.evaluate(exception=error, try_number=1, max_tries=3, context=context or None)


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectError("refused"),
        errors.ReadError("reset"),
        errors.RateLimited("slow down", status=429),
        errors.ServiceUnavailable("busy", status=503),
        errors.StorageUnavailable("slow down"),
        errors.FileChanged("changed while it was sent"),
        errors.LedgerError("cannot be read"),
        errors.ProtocolError("not JSON", status=200),
    ],
    ids=lambda error: type(error).__name__,
)
def test_transient_errors_are_retried(error):
    """What passes by itself is tried again, after the policy's pause or the task's own."""
    assert decided(error).action.value == "retry"
    assert decided(error).retry_delay == DELAY
    assert decided(error, NanoGPTRetryPolicy()).retry_delay is None
    assert type(error).__name__ in decided(error).reason


@pytest.mark.parametrize(("asked", "pause"), [(600, 600), (10, 90), (10**9, 86_400)])
def test_the_service_may_ask_for_a_longer_pause(asked, pause):
    """Retry-After counts where it is longer than the policy's pause, up to a day."""
    decision = decided(errors.RateLimited("slow down", status=429, retry_after=asked))
    assert decision.retry_delay == timedelta(seconds=pause)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInput("no such file"),
        errors.LedgerMissing("/srv/out/.nanostt/x.json"),
        errors.AuthError("wrong key", status=401),
        errors.PaymentRequired("no money"),
        errors.BadRequest("no", status=400),
        errors.NotFound("no", status=404),
        errors.Conflict("no", status=409),
        errors.PayloadTooLarge("no", status=413),
        errors.Redirected("no", status=307),
        errors.AmbiguousSubmit("reset"),
        errors.OrphanedSubmit("call.wav", estimated_cost=None, before=None),
        errors.InputChanged("call.wav"),
        errors.JobLost(job=JOB, record="call.wav"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_no_retry_fixes_fail_at_once(error):
    """Key, balance, bad input, and whatever a retry would pay for again."""
    assert decided(error).action.value == "fail"
    assert type(error).__name__ in decided(error).reason


@pytest.mark.parametrize(
    "error",
    [
        errors.TranscriptionTimeout(job=JOB, last_status="processing", waited=1.0, recovery_hint=""),
        errors.TranscriptionFailed("no speech", job=JOB),
        errors.JobError("refused", job=JOB),
        KeyError("anything else"),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_everything_else_keeps_the_tasks_own_retries(error):
    """What the ledger makes safe to repeat, and errors of other origin."""
    assert decided(error).action.value == "default"


@pytest.mark.parametrize("ahead", [7200.0, -10.0])
@pytest.mark.parametrize("most", [0, 1, 7])
def test_a_day_limit_is_waited_out(monkeypatch, ahead, most):
    """Until a minute after the limit ends, whatever the pause is otherwise, and so many times where a try is saved."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    error = errors.DailyLimitReached("used up", resets_at=1_700_000_000.0 + ahead)
    decision = decided(error, NanoGPTRetryPolicy(DELAY, max_reschedules=most))
    assert decision.action.value == (WAITS if most else "retry")
    assert decision.retry_delay == timedelta(seconds=max(0.0, ahead) + 60)
    if CAN_RESCHEDULE:
        assert decision.max_reschedules == (most or None)


@pytest.mark.skipif(not CAN_RESCHEDULE, reason="Airflow has ChainRetryPolicy since 3.4")
def test_others_are_asked_where_it_has_no_opinion():
    """In a chain it decides about the service's errors, and about what it does not know the next policy does."""
    from airflow.sdk import ChainRetryPolicy

    last = ExceptionRetryPolicy([RetryRule(KeyError, RetryAction.FAIL), RetryRule(errors.JobError, RetryAction.RETRY)])
    chain = ChainRetryPolicy([NanoGPTRetryPolicy(DELAY), last])
    limit = errors.DailyLimitReached("used up", resets_at=time.time())
    expected = {
        limit: "reschedule",
        errors.RateLimited("slow down", status=429): "retry",
        errors.AuthError("wrong key", status=401): "fail",
        errors.TranscriptionFailed("no speech", job=JOB): "retry",  # by the last of the chain
        KeyError("of the DAG's own"): "fail",
        ValueError("of nobody"): "default",
    }
    assert {error: decided(error, chain).action.value for error in expected} == expected


def test_a_batch_is_retried_as_the_error_that_stopped_it():
    """A day limit waits for its reset, a wrong key fails; items that failed alone keep the task's own retries."""

    def incomplete(cause):
        error = errors.BatchIncomplete(2, 3, "  a.mp3: gone", manifest="manifest.jsonl", retry="yes")
        error.__cause__ = cause
        return decided(error).action.value

    limit = errors.DailyLimitReached("used up", resets_at=1_700_000_000.0)
    assert incomplete(limit) == WAITS
    assert incomplete(errors.AuthError("wrong key", status=401)) == "fail"
    assert incomplete(None) == "default"


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        ({"on_ambiguous_submit": "resubmit"}, "retry"),
        ('{"on_ambiguous_submit": "resubmit"}', "retry"),
        ({"on_ambiguous_submit": "fail"}, "fail"),
        ({"on_ambiguous_submit": "verify"}, "fail"),
        ("{not JSON", "fail"),
        (None, "fail"),
    ],
)
def test_the_users_word_on_unknown_submits_holds(policy, action):
    """With on_ambiguous_submit='resubmit' the operator asks for a retry, and the policy does not stand in its way."""
    task = SimpleNamespace(recovery_policy=policy)
    assert decided(errors.AmbiguousSubmit("reset"), task=task).action.value == action
    orphan = errors.OrphanedSubmit("call.wav", estimated_cost=None, before=None)
    assert decided(orphan, task=task).action.value == "fail"


def test_what_can_be_compared_is_retried():
    """With on_ambiguous_submit='verify', if there is a record of it: without one a retry would pay again."""
    task = SimpleNamespace(recovery_policy={"on_ambiguous_submit": "verify"})
    assert decided(errors.AmbiguousSubmit("reset", record="call.wav"), task=task).action.value == "retry"
    orphan = errors.OrphanedSubmit("call.wav", estimated_cost=None, before=None)
    assert decided(orphan, task=task).action.value == "fail"


def test_an_operators_word_reaches_the_policy():
    """However the group of options was given."""
    from airflow_provider_nanostt.operators import TranscribeOperator

    for given in ({"on_ambiguous_submit": "resubmit"}, RecoveryPolicy(on_ambiguous_submit="resubmit")):
        made = TranscribeOperator(task_id="t", audio="call.wav", recovery_policy=given)
        assert decided(errors.AmbiguousSubmit("reset"), task=made).action.value == "retry"


def odd(retry: errors.RetryWorth) -> errors.NanoGPTError:
    """An error of a class that no list can know."""
    return type(f"Odd_{retry}", (errors.NanoGPTError,), {"retry": retry})("odd")


@pytest.mark.parametrize(
    "error", [*EVERY_ERROR, odd("yes"), odd("ledger"), odd("no")], ids=lambda one: type(one).__name__
)
def test_the_policy_follows_the_errors(error):
    """Each says by itself whether another try is worth it; the task's own retries are for what needs a record."""
    expected = {"yes": "retry", "ledger": "default", "no": "fail"}[error.retry]
    if isinstance(error, errors.BatchIncomplete):  # it goes by the error that has stopped the batch
        expected = "default"
    if isinstance(error, errors.DailyLimitReached):
        expected = WAITS
    assert decided(error).action.value == expected


@pytest.mark.parametrize("policy", [NanoGPTRetryPolicy(), NanoGPTRetryPolicy(timedelta(minutes=5), max_reschedules=2)])
def test_it_travels_as_json(policy):
    """What the DAG processor stores is the policy the worker gets."""
    again = NanoGPTRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    assert (again.delay, again.max_reschedules) == (policy.delay, policy.max_reschedules)


def test_operators_take_it():
    """It is an argument like Airflow's own policies."""
    from airflow_provider_nanostt.operators import TranscribeOperator

    made = TranscribeOperator(task_id="t", audio_url="https://example.com/a.mp3", retry_policy=NanoGPTRetryPolicy())
    assert isinstance(made.retry_policy, NanoGPTRetryPolicy)
