"""What operators and sensors share: reading flags and times, telling what a retry mends, and what a kill means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.waiting import boolean, positive_seconds, unrendered
from tests.conftest import Memory

JOB = Job("run-1", "Elevenlabs-STT", 0.0, 0.015)


def operator(**arguments) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", audio_url="https://example.com/a.mp3", **arguments)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        (False, False),
        ("True", True),
        (" yes ", True),
        ("1", True),
        (1, True),
        ("on", True),
        ("False", False),
        ("no", False),
        ("0", False),
        (0, False),
        ("off", False),
        ("", False),
        ("None", False),
        (None, False),
    ],
)
def test_flags_may_be_what_a_template_makes_of_them(value, meaning):
    """Text that means yes or no is read as such."""
    assert boolean("force", value) is meaning


@pytest.mark.parametrize("value", ["perhaps", "2", 2, "{{ params.force }}", ["True"]])
def test_what_is_no_flag_is_refused(value):
    """A flag that spends money is not guessed."""
    with pytest.raises(errors.InvalidInput, match=r"force=.* is neither true nor false"):
        boolean("force", value)


@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), ("0.5", 0.5), (timedelta(minutes=2), 120.0)])
def test_times_may_be_numbers_text_or_timedeltas(value, seconds):
    """All of them are seconds in the end."""
    assert positive_seconds("timeout", value) == seconds


@pytest.mark.parametrize("value", [0, -1, "", "soon", None, timedelta(0), "nan", "inf", True])
def test_what_is_no_positive_time_is_refused(value):
    """The message names the argument and the value."""
    with pytest.raises(errors.InvalidInput, match=r"timeout=.* is not a positive number of seconds"):
        positive_seconds("timeout", value)


@pytest.mark.parametrize(("value", "meaning"), [("", None), ("None", None), (None, None), ("a", "a"), (0, 0), ({}, {})])
def test_what_a_template_renders_from_nothing_is_nothing(value, meaning):
    """Airflow renders a missing value to the empty text or to "None"."""
    assert unrendered(value) == meaning


def raised(error: errors.NanoGPTError, *, remembers: bool | None = None, **arguments) -> BaseException:
    made = operator(**arguments)
    made._remembers = remembers

    def step():
        raise error

    with pytest.raises(Exception) as caught:  # noqa: PT011  which class it is, is what the tests are about
        made._explained(step)
    return caught.value


WEATHER = [
    errors.NotConnected("refused"),
    errors.ConnectionLost("reset"),
    errors.RateLimited("slow down", status=429),
    errors.DailyLimitReached("used up", resets_at=0.0),
    errors.ServiceUnavailable("busy", status=503),
    errors.StorageUnavailable("slow down"),
    errors.LedgerError("cannot be read"),
]
ABOUT_A_JOB = [
    errors.TranscriptionTimeout(job=JOB, last_status="processing", waited=1.0, pick_up=""),
    errors.TranscriptionFailed("no speech", job=JOB),
    errors.JobError("the trigger could not go on", job=JOB),
]
FINAL = [
    errors.InvalidInput("no such file"),
    errors.AuthError("wrong key", status=401),
    errors.PaymentRequired("no money"),
    errors.BadRequest("no", status=400),
    errors.ProtocolError("not JSON", status=200),
    errors.AmbiguousSubmit("reset"),
    errors.EarlierSubmitUnknown("a.mp3", likely_cost=None, before=None),
    errors.InputChanged("a.mp3"),
    errors.JobLost(job=JOB, told="a.mp3"),
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
    operator(output=str(Path("/results"))).on_kill()
    assert any("looks for it before it submits anything" in line for line in logged())
