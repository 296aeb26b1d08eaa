"""Trouble that stops a batch, and trouble that is of one item only."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.errors import LedgerError
from airflow_provider_nanostt.workflow.circuit_breaker import CircuitBreaker


def refusal(kind: type[errors.ApiError], status: int) -> errors.ApiError:
    return kind("no", status=status)


@pytest.mark.parametrize(
    "error",
    [
        refusal(errors.AuthError, 401),
        refusal(errors.PaymentRequired, 402),
        errors.DailyLimitReached("no", resets_at=0.0),
        errors.ConnectError("no route"),
        refusal(errors.RateLimited, 429),
        LedgerError.of("the record cannot be read", OSError("disk")),
    ],
)
def test_trouble_that_meets_every_item_stops_at_once(error):
    """Key, account, limit, connection and ledger are the same for all."""
    breaker = CircuitBreaker()
    assert breaker.record_failure(error)
    assert not breaker.record_failure(error)
    with pytest.raises(type(error)):
        breaker.raise_if_open()


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInput("no such file"),
        refusal(errors.BadRequest, 400),
        errors.TranscriptionFailed("noise"),
        errors.OrphanedSubmit("a.mp3", estimated_cost=None, before=None),
        errors.FileChanged("a.mp3 has changed"),
        errors.LedgerMissing("/results/.nanostt/x.json"),
        LedgerError.of("the record cannot be read", ValueError("not JSON")),
        RuntimeError("anything"),
    ],
)
def test_trouble_of_one_item_never_does(error):
    """However many items have it."""
    breaker = CircuitBreaker()
    assert not any(breaker.record_failure(error) for _ in range(100))
    breaker.raise_if_open()


def test_trouble_again_and_again_stops():
    """A gateway that loses each answer is not asked a thousand times; one that loses some is gone on with."""
    error = errors.AmbiguousSubmit("read timeout")
    breaker = CircuitBreaker()
    for _ in range(20):
        assert not any(breaker.record_failure(error) for _ in range(4))
        breaker.record_success()
    assert [breaker.record_failure(error) for _ in range(5)] == [False] * 4 + [True]


def test_transcripts_that_were_asked_for_in_vain_count_for_more():
    """Each has cost minutes: after two of them the service is out of reach."""
    error = errors.JobError("was refused")
    error.__cause__ = errors.ConnectError("no route")
    assert CircuitBreaker().record_failure(error)
    slow = errors.JobError("not finished")
    slow.__cause__ = refusal(errors.ServiceUnavailable, 503)
    breaker = CircuitBreaker()
    assert [breaker.record_failure(slow), breaker.record_failure(slow)] == [False, True]
    assert not CircuitBreaker().record_failure(errors.JobError("still running"))


def test_threads_that_meet_the_same_trouble_came_to_nothing_for_it():
    """An item under way when another thread stopped the batch has the same reason, and is not blamed itself."""
    breaker = CircuitBreaker()
    assert not breaker.caused(refusal(errors.AuthError, 401))
    breaker.record_failure(refusal(errors.AuthError, 401))
    assert breaker.caused(refusal(errors.AuthError, 401))
    assert not breaker.caused(errors.InvalidInput("no such file"))


def test_without_money_what_is_paid_for_may_still_be_asked_for():
    """A question costs nothing; with a wrong key it would be of no use."""
    poor, locked = CircuitBreaker(), CircuitBreaker()
    poor.stop(refusal(errors.PaymentRequired, 402))
    locked.stop(refusal(errors.AuthError, 401))
    assert (CircuitBreaker().may_ask, poor.may_ask, locked.may_ask) == (True, True, False)
