"""``on_ambiguous_submit="verify"``: an uncertain submit is sent again only if the service's figures show no charge."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import Memory
from tests.outside import killed, pauses, record, request

ASYNC = "Elevenlabs-STT"
COST = 0.015
VERIFY = {"recovery_policy": {"on_ambiguous_submit": "verify"}, "actual_duration": 0.5}


@pytest.fixture(autouse=True)
def minutes_pass(hours_pass):
    """The clock goes on by what the pauses would have taken."""


@pytest.fixture
def job_seconds() -> float:
    """A job is done at once: the clock that goes on by itself would outrun it."""
    return 0.0


@pytest.fixture
def attempt(emulator: Emulator, memory: Memory, run_task: Any, wav: Any) -> Any:
    """Run one attempt of the task to its end, through the triggerer."""

    def run(instance: dict[str, Any] | None = None, **arguments: Any) -> Any:
        usual = {"model": ASYNC, "poll_interval": 0.03, "deferrable": True, "audio_path": str(wav)}
        given = {**usual, **VERIFY, **memory.arguments, **arguments}
        context = memory.context(**(instance or {}))
        return run_task(lambda: TranscribeOperator(task_id="transcribe", **given), context)

    return run


def spend(emulator: Emulator) -> None:
    """Let somebody else use the key."""
    emulator.script("other.mp3", duration=30.0)
    NanoGPTHook().transcribe(audio_url="https://192.0.2.7/other.mp3", model=ASYNC)


def lose(attempt: Any, *, charged: bool) -> None:
    """End an attempt around its submit."""
    which = request("/transcribe")
    with killed(after=which) if charged else killed(before=which):
        attempt()


def refusal(attempt: Any, **arguments: Any) -> str:
    with pytest.raises(AirflowFailException) as caught:
        attempt(**arguments)
    assert isinstance(caught.value.error, errors.OrphanedSubmit)
    return str(caught.value)


def test_what_never_arrived_is_submitted_again(emulator: Emulator, attempt, logged):
    """Killed before the request left: both figures show no charge, and the log says so."""
    lose(attempt, charged=False)
    assert emulator.charges == []
    assert attempt()["cost_usd"] == pytest.approx(COST)
    assert len(emulator.charges) == 1
    told = "\n".join(logged())
    assert "figures show no charge for it, so this submits again" in told
    assert "the balance fell by $0 and the key's usage rose by 0 requests" in told


def test_what_was_charged_fails_with_the_figures(emulator: Emulator, memory, attempt):
    """Killed after the charge: the message has what balance and usage show, however often it is tried."""
    lose(attempt, charged=True)
    for _ in range(2):
        told = refusal(attempt)
        for word in ("it was charged", "fell by $0.015", "rose by 1 requests and $0.015", "explains 0", "now: $99.98"):
            assert word in told
    assert len(emulator.charges) == 1
    assert memory.record["state"] == "intended"


def test_a_lost_answer_is_open_to_a_retry_that_compares(emulator: Emulator, attempt):
    """The attempt that loses the answer leaves the decision to the next one."""
    for after_charge in (False, True):
        emulator.fail("/transcribe", kind="reset", after_charge=after_charge)
        with pytest.raises(errors.AmbiguousSubmit):
            attempt({"task_id": str(after_charge)})
    refusal(attempt, instance={"task_id": "True"})
    assert len(emulator.charges) == 1


def test_nothing_is_compared_before_it_has_settled(emulator: Emulator, attempt):
    """It waits as long as the submit can be on its way, and then for the service's records."""
    lose(attempt, charged=False)
    began, skipped = time.time(), pauses.skipped
    attempt()
    assert pauses.skipped - skipped == pytest.approx(time.time() - began, abs=60)
    assert 900 <= pauses.skipped - skipped <= 1800


@pytest.mark.parametrize("late", ["usage_delay", "balance_delay"])
@pytest.mark.parametrize("seconds", [60, 550, 5000, 10**6])
def test_late_figures_never_pay_twice(emulator: Emulator, attempt, late, seconds):
    """What comes within the wait is seen; what comes later contradicts the other figure."""
    emulator.keep_books(**{late: seconds})
    lose(attempt, charged=True)
    told = refusal(attempt)
    assert ("it was charged" if seconds < 1000 else "balance and usage disagree") in told
    assert len(emulator.charges) == 1


def test_a_usage_that_says_that_it_is_old_is_asked_again(emulator: Emulator, attempt):
    """An answer from a cache counts from the time that it names; one that stays old is not believed."""
    emulator.keep_books(usage_delay=300, tells_delay=True)
    lose(attempt, charged=False)
    attempt()
    assert len(emulator.charges) == 1
    emulator.keep_books(usage_delay=10**5, tells_delay=True)
    lose(lambda: attempt({"run_id": "2"}), charged=False)
    assert "have not settled" in refusal(attempt, instance={"run_id": "2"})
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("hiding", [{"usage_hides": "note.wav"}, {"balance_hides": "note.wav"}])
def test_one_false_figure_is_not_enough(emulator: Emulator, attempt, hiding):
    """If one of the two never shows the charge, they disagree."""
    emulator.keep_books(**hiding)
    lose(attempt, charged=True)
    assert "disagree" in refusal(attempt)
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("charged", [False, True])
def test_whoever_else_spends_makes_it_fail(emulator: Emulator, attempt, charged):
    """A charge that no record explains may be this one's."""
    lose(attempt, charged=charged)
    spend(emulator)
    before = len(emulator.charges)
    assert "somebody else" in refusal(attempt)
    assert len(emulator.charges) == before


def test_money_that_was_added_makes_it_fail(emulator: Emulator, attempt):
    """Not even an amount that hides the charge exactly."""
    lose(attempt, charged=True)
    emulator.keep_books(balance_off=COST)
    assert "disagree" in refusal(attempt)
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("at", ["/v1/usage", "/check-balance"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_figures_that_cannot_be_had_never_lead_to_a_submit(emulator: Emulator, attempt, at, when):
    """Whether they were not there before the submit, or are not there now."""
    if when == "before":
        emulator.fail(at, status=503, times=100)
    lose(attempt, charged=False)
    emulator.clear_faults()
    if when == "after":
        emulator.fail(at, status=503, times=1000)
    told = refusal(attempt)
    assert ("not on record" if when == "before" else "cannot be had") in told
    assert emulator.charges == []


def test_an_intent_of_another_policy_has_no_figures(emulator: Emulator, attempt):
    """Only a submit under the same rule can be decided by it."""
    with killed(before=request("/transcribe")):
        attempt(recovery_policy=None)
    assert "not on record" in refusal(attempt)
    assert emulator.charges == []


def test_another_key_shows_nothing_of_the_first(emulator: Emulator, attempt, monkeypatch):
    """Its usage and its balance are its own."""
    lose(attempt, charged=True)
    other = {**emulator.connection, "password": emulator.add_key()}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(other))
    assert "not the one that submitted" in refusal(attempt)
    assert len(emulator.charges) == 1


def test_a_likely_cost_that_is_not_known_cannot_be_looked_for(emulator: Emulator, attempt):
    """It could be too small to show."""
    arguments = {"audio_path": None, "audio_url": "https://192.0.2.7/note.mp3", "actual_duration": None}
    with killed(before=request("/transcribe")):
        attempt(**arguments)
    assert "likely cost is not known" in refusal(attempt, **arguments)
    assert emulator.charges == []


@pytest.mark.parametrize("charged", [False, True])
def test_charges_of_the_folder_are_explained(emulator: Emulator, files, run_task, wav, tmp_path, charged):
    """Other tasks that write into the folder are known: they neither hide the charge nor look like it."""

    def run(task_id: str, **arguments: Any) -> Any:
        usual = {"model": ASYNC, "poll_interval": 0.03, "deferrable": True, "audio_path": str(wav)}
        given = {**usual, **VERIFY, **files.arguments, **arguments}
        return run_task(lambda: TranscribeOperator(task_id="t", **given), files.context(task_id=task_id))

    run("before")
    lose(lambda: run("lost"), charged=charged)
    pauses.skipped += 300  # clocks of machines may differ by a minute
    run("after")
    if charged:
        with pytest.raises(AirflowFailException, match=r"rose by 2 requests .* explains 1 requests and \$0\.015"):
            run("lost")
    else:
        run("lost")
    assert len(emulator.charges) == 3


def test_every_submit_that_follows_is_approved(emulator: Emulator, attempt):
    """The limit holds for it as for any other."""
    lose(attempt, charged=False)
    with pytest.raises(AirflowFailException, match="max_cost_usd"):
        attempt(max_cost_usd=0.001)
    assert emulator.charges == []


def test_off_by_default_nothing_more_is_asked(emulator: Emulator, attempt):
    """Without the rule no usage is asked for, and no record has any."""
    attempt(recovery_policy=None)
    assert not any(request.endpoint == "/v1/usage" for request in emulator.requests)
    assert len(emulator.charges) == 1


def test_killed_once_the_job_is_recorded_nothing_is_compared(emulator: Emulator, attempt):
    """A job that is known is not uncertain."""
    with killed(after=record("submitted")):
        attempt()
    attempt()
    assert len(emulator.charges) == 1
