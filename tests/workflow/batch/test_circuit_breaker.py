"""What stops a batch, and what is one item's own matter."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.errors import LedgerError
from airflow_provider_nanostt.workflow.batch.circuit_breaker import CircuitBreaker


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
def test_what_would_meet_every_item_stops_at_once(error):
    """Key, account, limit, connection and ledger are the same for all."""
    brake = CircuitBreaker()
    assert brake.met(error)
    assert not brake.met(error)
    with pytest.raises(type(error)):
        brake.check()


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInput("no such file"),
        refusal(errors.BadRequest, 400),
        errors.TranscriptionFailed("noise"),
        errors.OrphanedSubmit("a.mp3", estimated_cost=None, before=None),
        LedgerError.of("the record cannot be read", ValueError("not JSON")),
        RuntimeError("anything"),
    ],
)
def test_what_is_one_item_s_matter_never_does(error):
    """However many items have it."""
    brake = CircuitBreaker()
    assert not any(brake.met(error) for _ in range(100))
    brake.check()


def test_trouble_again_and_again_stops():
    """A gateway that loses each answer is not asked a thousand times; one that loses some is gone on with."""
    error = errors.AmbiguousSubmit("read timeout")
    brake = CircuitBreaker()
    for _ in range(20):
        assert not any(brake.met(error) for _ in range(4))
        brake.record_success()
    assert [brake.met(error) for _ in range(5)] == [False] * 4 + [True]


def test_transcripts_that_were_asked_for_in_vain_count_for_more():
    """Each has cost minutes: after two of them the service is out of reach."""
    error = errors.JobError("was refused")
    error.__cause__ = errors.ConnectError("no route")
    assert CircuitBreaker().met(error)
    slow = errors.JobError("not finished")
    slow.__cause__ = refusal(errors.ServiceUnavailable, 503)
    brake = CircuitBreaker()
    assert [brake.met(slow), brake.met(slow)] == [False, True]
    assert not CircuitBreaker().met(errors.JobError("still running"))


def test_threads_that_meet_the_same_are_told_so():
    """What was under way when another thread stopped the batch came to nothing for the same reason."""
    brake = CircuitBreaker()
    assert not brake.caused(refusal(errors.AuthError, 401))
    brake.met(refusal(errors.AuthError, 401))
    assert brake.caused(refusal(errors.AuthError, 401))
    assert not brake.caused(errors.InvalidInput("no such file"))


def test_without_money_what_is_paid_for_may_still_be_asked_for():
    """A question costs nothing; with a wrong key it would be of no use."""
    poor, locked = CircuitBreaker(), CircuitBreaker()
    poor.stop(refusal(errors.PaymentRequired, 402))
    locked.stop(refusal(errors.AuthError, 401))
    assert (CircuitBreaker().may_ask, poor.may_ask, locked.may_ask) == (True, True, False)
