"""What operators and sensors share: telling what a retry mends, and what a kill means."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import Memory

JOB = Job("run-1", "Elevenlabs-STT", 0.0, 0.015)


def operator(**arguments) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", audio_url="https://example.com/a.mp3", **arguments)


def raised(error: errors.NanoGPTError, *, remembers: bool | None = None, **arguments) -> BaseException:
    made = operator(**arguments)
    made._remembers = remembers

    def step():
        raise error

    with pytest.raises(Exception) as caught:  # noqa: PT011  which class it is, is what the tests are about
        made._explained(step)
    return caught.value


WEATHER = [
    errors.ConnectError("refused"),
    errors.ReadError("reset"),
    errors.RateLimited("slow down", status=429),
    errors.DailyLimitReached("used up", resets_at=0.0),
    errors.ServiceUnavailable("busy", status=503),
    errors.StorageUnavailable("slow down"),
    errors.FileChanged("changed while it was sent"),
    errors.LedgerError("cannot be read"),
    errors.ProtocolError("not JSON", status=200),
]
ABOUT_A_JOB = [
    errors.TranscriptionTimeout(job=JOB, last_status="processing", waited=1.0, recovery_hint=""),
    errors.TranscriptionFailed("no speech", job=JOB),
    errors.JobError("the trigger could not go on", job=JOB),
]
FINAL = [
    errors.InvalidInput("no such file"),
    errors.AuthError("wrong key", status=401),
    errors.PaymentRequired("no money"),
    errors.BadRequest("no", status=400),
    errors.AmbiguousSubmit("reset"),
    errors.OrphanedSubmit("a.mp3", estimated_cost=None, before=None),
    errors.InputChanged("a.mp3"),
    errors.JobLost(job=JOB, record="a.mp3"),
]


def name(error: BaseException) -> str:
    return type(error).__name__


@pytest.mark.parametrize("remembers", [True, False, None])
@pytest.mark.parametrize("error", WEATHER, ids=name)
def test_weather_is_open_to_a_retry(error, remembers):
    """Nothing was spent, and another time may go better."""
    assert raised(error, remembers=remembers) is error


@pytest.mark.parametrize("error", ABOUT_A_JOB, ids=name)
def test_a_paid_job_is_open_to_a_retry_only_where_it_is_remembered(error):
    """With a record the retry looks at the job again; without one it would pay."""
    assert raised(error, remembers=True) is error
    for remembers in (False, None):
        final = raised(error, remembers=remembers)
        assert isinstance(final, AirflowFailException)
        assert str(final) == str(error)


@pytest.mark.parametrize("error", FINAL, ids=name)
def test_what_no_retry_mends_is_final(error):
    """It fails for good, with the same words and the cause."""
    final = raised(error, remembers=True)
    assert isinstance(final, AirflowFailException)
    assert (str(final), final.__cause__) == (str(error), error)


def test_resubmit_is_the_users_word():
    """Then an unknown submit is open to a retry; one that an earlier attempt has left still was not asked for."""
    lost = errors.AmbiguousSubmit("reset")
    assert raised(lost, on_ambiguous_submit="resubmit") is lost


def test_errors_of_other_origin_pass():
    """What is not ours is left to Airflow."""

    def step():
        raise KeyError("ti")

    with pytest.raises(KeyError):
        operator()._explained(step)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("files", "the next attempt of this task looks for it before it submits anything"),
        ("task state", "the next attempt of this task looks for it before it submits anything"),
        ("nothing", "nothing remembers it, so a retry or a clear of this task pays once more"),
    ],
)
def test_a_kill_says_what_becomes_of_the_money(kind, words, tmp_path, logged):
    """The next attempt finds the job, or it does not: the log promises no more than is so."""
    memory = Memory(kind, tmp_path)
    context = memory.context()
    if kind == "nothing":
        del context["task_state_store"]
    made = operator(**memory.arguments)
    made._attempt(context)
    made.on_kill()
    told = "\n".join(logged())
    assert "goes on there and stays paid for" in told
    assert words in told


def test_a_kill_before_anything_was_looked_at_promises_nothing_false(logged):
    """Not knowing yet, it says what holds in any case."""
    operator(output_path=str(Path("/results"))).on_kill()
    assert any("looks for it before it submits anything" in line for line in logged())
