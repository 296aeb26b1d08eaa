"""What an answer means for a wait, and how a wait ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, JobStatus, Transcript
from airflow_provider_nanostt.polling import COMPLETED, FAILED, REFUSED, TIMED_OUT, JobMonitor, Outcome

JOB = Job("run-1", "Elevenlabs-STT", submitted_at=1_000.0, cost=0.03, charged_minutes=1.0, body={"runId": "run-1"})
RUNNING = JobStatus("processing")
DONE = JobStatus("completed", transcript=Transcript("hello"))


def watch(deadline: float = 2_000.0, poll_interval: float = 5.0) -> JobMonitor:
    return JobMonitor(JOB, poll_interval=poll_interval, deadline=deadline, jitter=lambda: 0.5)


def test_a_running_job_is_left_to_the_schedule():
    """The wait goes on, and when to ask again is not decided here."""
    assert watch().on_response(RUNNING, 1_000.0) is None


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (DONE, COMPLETED, ""),
        (JobStatus("FAILED", error="no speech found"), FAILED, "no speech found"),
        (JobStatus("content_policy_violation"), FAILED, "no reason given"),
    ],
)
def test_a_terminal_status_ends_the_wait(status, kind, message):
    """Done and failed end the wait, in the service's own words."""
    assert watch().on_response(status, 1_000.0) == Outcome(kind, "run-1", status.raw_status, message)


def test_an_unknown_status_counts_as_running_and_is_logged_once():
    """A word nobody has met keeps the wait going, with one remark."""
    waiting = watch()
    assert waiting.on_response(JobStatus("daydreaming"), 1_000.0) is None
    assert "daydreaming" in str(waiting.log_line)
    assert waiting.on_response(JobStatus("daydreaming"), 1_005.0) is None
    assert waiting.log_line is None


def test_a_job_that_still_runs_at_the_deadline_is_left_alone():
    """Until the deadline the wait goes on; at the deadline it is over."""
    waiting = watch(deadline=1_007.0)
    assert waiting.on_response(RUNNING, 1_006.9) is None
    assert waiting.on_response(RUNNING, 1_007.0) == Outcome(TIMED_OUT, "run-1", "processing")


def test_a_wait_that_is_given_up_says_what_was_heard_last():
    """A wait that ends without a last answer still names the last status."""
    waiting = watch()
    waiting.on_response(RUNNING, 1_000.0)
    assert waiting.timed_out("no answer") == Outcome(TIMED_OUT, "run-1", "processing", "no answer")


def test_transient_errors_never_push_the_last_question_past_the_deadline():
    """However long the pause, the job is asked at its deadline."""
    waiting = watch(deadline=1_010.0)
    step = waiting.on_response(errors.ServiceUnavailable("down", status=503, retry_after=3_600.0), 1_000.0)
    assert step == 1_010.0


def test_a_job_that_is_done_after_the_deadline_is_still_taken():
    """A triggerer that was down past the deadline still finds the finished job."""
    assert watch(deadline=1_007.0).on_response(DONE, 9_999.0) == Outcome(COMPLETED, "run-1", "completed")


WEATHER = [
    errors.ConnectError("refused"),
    errors.ReadError("reset"),
    errors.ServiceUnavailable("down", status=502),
    errors.ServiceUnavailable("slow", status=408),
    errors.RateLimited("slow down", status=429),
    errors.ProtocolError("it is not JSON", status=200, body="<html>"),
]


@pytest.mark.parametrize("error", WEATHER, ids=lambda error: type(error).__name__)
def test_transient_errors_never_give_up_a_paid_job(error):
    """Whatever passes by itself is waited out with growing pauses up to a minute, and logged once on each change."""
    waiting, now, pauses, remarks = watch(), 1_000.0, [], []
    for _ in range(8):
        step = waiting.on_response(error, now)
        assert isinstance(step, float)
        pauses.append(step - now)
        remarks.append(waiting.log_line)
        now = step
    assert pauses == sorted(pauses)
    assert pauses[0] >= 5.0
    assert 60.0 <= pauses[-1] <= 75.0
    assert remarks[0] is not None
    assert remarks[1:] == [None] * 7
    assert waiting.on_response(RUNNING, now) is None
    assert "again" in str(waiting.log_line)


def test_a_transient_error_at_the_deadline_is_a_timeout_that_names_it():
    """The message has the error."""
    outcome = watch(deadline=1_000.0).on_response(errors.ServiceUnavailable("down", status=502), 1_000.0)
    assert isinstance(outcome, Outcome)
    assert outcome.kind == TIMED_OUT
    assert "502" in outcome.message


def test_retry_after_is_honoured():
    """The service's own wish decides the pause, with a little jitter on top."""
    step = watch().on_response(errors.RateLimited("slow down", status=429, retry_after=17.0), 1_000.0)
    assert isinstance(step, float)
    assert 17.0 <= step - 1_000.0 <= 17.0 * 1.25


def test_one_missing_answer_does_not_lose_a_job():
    """A 404 counts only when it is said three times in a row."""
    waiting, gone = watch(), errors.NotFound("unknown run", status=404)
    assert waiting.on_response(gone, 1_000.0) == 1_005.0
    assert waiting.on_response(RUNNING, 1_005.0) is None
    assert waiting.on_response(gone, 1_010.0) == 1_015.0
    assert waiting.on_response(gone, 1_015.0) == 1_020.0
    outcome = waiting.on_response(gone, 1_020.0)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.error) == (REFUSED, "NotFound")


@pytest.mark.parametrize(
    "error", [errors.AuthError("wrong key", status=401), errors.BadRequest("what?", status=400)], ids=["401", "400"]
)
def test_a_clear_no_ends_the_wait(error):
    """What asking again cannot change is reported at once."""
    outcome = watch().on_response(error, 1_000.0)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.error) == (REFUSED, type(error).__name__)


def test_a_daily_limit_is_waited_out_only_before_the_deadline():
    """A limit that ends in time means one question after its end; one that does not ends the wait."""
    limit = errors.DailyLimitReached("enough", resets_at=1_900.0)
    step = watch(deadline=2_000.0).on_response(limit, 1_000.0)
    assert isinstance(step, float)
    assert 1_900.0 <= step < 2_000.0
    outcome = watch(deadline=1_500.0).on_response(limit, 1_000.0)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.error) == (REFUSED, "DailyLimitReached")


@pytest.mark.parametrize("kind", [COMPLETED, FAILED, TIMED_OUT, REFUSED])
def test_an_event_survives_being_stored(kind):
    """What the trigger fires is plain JSON, and reads back as what it was, with the ticket."""
    outcome = Outcome(kind, "run-1", "processing", "because", "AuthError")
    stored = json.loads(json.dumps(outcome.to_event(JOB)))
    assert Outcome.from_event(stored) == (outcome, JOB)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "job", "run_id", "version"]), inner),
    )
)
def test_an_event_that_cannot_be_read_never_counts_as_success(event):
    """Whatever else arrives as an event ends in a typed error that speaks of the money."""
    with pytest.raises(errors.JobError, match="paid for"):
        Outcome.from_event(event)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (FAILED, errors.TranscriptionFailed, ["run-1", "Elevenlabs-STT", "$0.03", "because"]),
        (TIMED_OUT, errors.TranscriptionTimeout, ["run-1", "processing", "$0.03", "like so"]),
        (REFUSED, errors.JobError, ["run-1", "because", "$0.03", "like so"]),
    ],
)
def test_every_end_names_the_run_the_money_and_the_next_step(kind, error, words):
    """An outcome becomes the error that tells a person what happened."""
    outcome = Outcome(kind, "run-1", "processing", "because")
    raised = outcome.as_error(JOB, waited=60.0, recovery_hint="Pick it up like so.")
    assert type(raised) is error
    assert raised.job == JOB
    for word in words:
        assert word in str(raised)


def test_a_long_wait_is_logged_rarely():
    """A job that takes long gives one line whenever its age has doubled, with age, expectation and status."""
    waiting, lines = watch(deadline=1_000.0 + 40_000.0), []
    for age in range(5, 30_000, 5):
        assert waiting.on_response(RUNNING, 1_000.0 + age) is None
        if waiting.log_line:
            lines.append((age, waiting.log_line.text))
    assert [age for age, _ in lines] == [600, 1_200, 2_400, 4_800, 9_600, 19_200]
    assert lines[0][1] == "Run run-1: submitted 10 min ago, such a job takes about 8 s; it is 'processing'"
