"""A person is asked before a batch spends more than the user allows by themselves, and what was approved holds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException, AirflowSkipException, can_ask_people
from airflow_provider_nanostt.api import errors
from tests.outside import Event, StateStore, counted, failing, killed, ledger_file, reading, record
from tests.workflow.batch.conftest import ASYNC, PRICE, SYNC, Batch, once
from tests.workflow.batch.required_actions import APPROVE, NOBODY, REJECT, Task

needs_people = pytest.mark.skipif(not can_ask_people(), reason="needs the Required actions of Airflow 3.1")
EACH = PRICE[ASYNC]


def records(batch: Batch) -> list[dict[str, Any]]:
    """The records of what was asked."""
    return [json.loads(path.read_text()) for path in (batch.memory.folder / ".nanostt").glob("*.approval")]


@needs_people
@pytest.mark.parametrize("model", [SYNC, ASYNC])
def test_nothing_is_submitted_before_somebody_approves(task: Task, batch: Batch, model):
    """The question has the figures of the whole list; then each recording is paid for once."""
    audio, before = batch.recordings(6), []
    task.before_answer = lambda: before.append((batch.submits, len(batch.emulator.charges)))
    result = task.run(audio, APPROVE, approve_above=0.001, model=model)
    assert before == [(0, 0)]
    assert (result["written"], batch.charged) == (6, once(audio))
    (question,) = task.actions.asked
    assert question.options == [APPROVE, REJECT]
    assert "6 recordings" in question.subject
    assert f"| uploaded as it is | 6 | 3.0 | ${6 * PRICE[model]:g}" in question.body


@needs_people
def test_it_is_recorded_who_approved_what_and_when(task: Task, batch: Batch):
    """Beside the ledger: the person, the moment, the sum, and which list it was."""
    task.run(batch.recordings(6), APPROVE, approve_above=0)
    (kept,) = records(batch)
    approved = kept["approved"]
    assert (approved["user_id"], approved["user_name"], approved["answer"]) == ("7", "ada", "approved")
    assert approved["asked_at"] <= approved["answered_at"]
    assert approved["expected_usd"] == pytest.approx(6 * EACH)
    assert 6 * EACH <= approved["usd"] <= 6 * EACH * 1.02 + 0.01
    assert (len(approved["items"]), len(approved["digest"]), kept["version"]) == (6, 16, 1)


@needs_people
@pytest.mark.parametrize("above", [6 * EACH, "0.5", None, ""])
def test_what_costs_no_more_asks_nobody(task: Task, batch: Batch, above):
    """At the threshold, below it, and without one."""
    assert task.run(batch.recordings(6), approve_above=above)["written"] == 6


@needs_people
@pytest.mark.parametrize("above", ["0", 0, "{{ params.above }}"])
def test_zero_asks_for_whatever_costs_anything(task: Task, batch: Batch, above):
    """As a number, as text, and by a template."""
    made = batch.make([], approve_above=above)
    made.render_template_fields({"params": {"above": "0"}})
    audio = batch.recordings(1)
    task.run(audio, APPROVE, approve_above=made.approve_above)
    assert task.run(audio, approve_above=made.approve_above)["cost_usd"] == pytest.approx(EACH)
    assert batch.charged == once(audio)


@needs_people
@pytest.mark.parametrize("word", [REJECT, NOBODY])
@pytest.mark.parametrize(("on_reject", "kind"), [("fail", AirflowFailException), ("skip", AirflowSkipException)])
def test_without_an_approval_nothing_is_submitted(task: Task, batch: Batch, word, on_reject, kind):
    """The task fails without a retry, or is skipped, and says why; a clear asks again."""
    audio, options = batch.recordings(3), {"on_reject": on_reject, "response_timeout": 60}
    reason = "ada has rejected" if word == REJECT else "Nobody has answered in time"
    with pytest.raises(kind, match=f"{reason}.*nothing was submitted"):
        task.run(audio, word, approve_above=0, approval_options=options)
    assert (batch.submits, batch.emulator.charges) == (0, [])
    assert records(batch)[0]["history"][0]["answer"] == ("rejected" if word == REJECT else "timed_out")
    assert task.run(audio, APPROVE, approve_above=0, approval_options=options)["written"] == 3


@needs_people
def test_retries_and_clears_of_the_same_list_do_not_ask_again(task: Task, batch: Batch):
    """In another order, a rounded cent dearer, with less in it: one question, and each is paid for once."""
    audio = batch.recordings(5)
    with killed(before=record("intended"), nth=3):
        task.run(audio, APPROVE, approve_above=0)
    assert task.run(audio[::-1], approve_above=0, actual_duration=0.501)["written"] == 5
    assert task.run(audio[:2], approve_above=0)["written"] == 2
    assert (len(task.actions.asked), batch.charged) == (1, once(audio))


@needs_people
@pytest.mark.parametrize(("before", "questions"), [(record("intended"), 1), (ledger_file("*.approval"), 2)])
def test_a_kill_after_the_approval_pays_for_nothing_twice(task: Task, batch: Batch, before, questions):
    """Once it is recorded, which is the first thing that the task does then, nobody is asked again."""
    audio = batch.recordings(2)
    with killed(before=before, nth=questions):
        task.run(audio, APPROVE, approve_above=0)
    assert task.run(audio, *[APPROVE] * (questions - 1), approve_above=0)["written"] == 2
    assert (len(task.actions.asked), batch.charged) == (questions, once(audio))


@needs_people
@pytest.mark.parametrize("change", ["longer", "dearer"])
def test_more_than_was_approved_asks_again(task: Task, batch: Batch, change):
    """Another recording, or the same for more money; what is paid for already costs nothing more."""
    audio = batch.recordings(4)
    task.run(audio[:2], APPROVE, approve_above=0)
    if change == "longer":
        task.run(audio, APPROVE, approve_above=0)
    else:
        task.run(audio[:2], APPROVE, approve_above=0, force=True, actual_duration=1.0)
    (_, second) = task.actions.asked
    assert f"Earlier tries have spent ${2 * EACH:g}" in second.body
    assert ("2 transcribed or paid for already" in second.body) == (change == "longer")
    assert sum(batch.charged.values()) == 4


@needs_people
def test_a_list_that_grew_while_it_waited_is_asked_for_anew(task: Task, batch: Batch):
    """The pattern is looked at again after the approval, before anything is submitted."""
    batch.recordings(2)
    task.before_answer = lambda: batch.recording("late.wav")
    result = task.run(f"{batch.folder}/*.wav", APPROVE, APPROVE, approve_above=0)
    assert result["written"] == 3
    assert ["2 rec" in task.actions.asked[0].subject, "3 rec" in task.actions.asked[1].subject] == [True, True]


@needs_people
@pytest.mark.parametrize("change", ["longer", "dearer"])
def test_where_airflow_keeps_the_old_text_only_what_was_approved_is_spent(task: Task, batch: Batch, change):
    """Before 3.4 a person would see the old figures, so they are not asked to approve others by them."""
    task.actions.refreshes = False
    batch.recordings(3)
    later = {"longer": 0.5, "dearer": 5.0}[change]

    def grow() -> None:
        batch.recording("a-late-one.wav")
        batch.usual["actual_duration"] = later

    task.before_answer = grow
    result = task.run(f"{batch.folder}/*.wav", APPROVE, approve_above=0, on_item_error="continue")
    statuses = {Path(row["audio"]).name: (row["status"], row["error_type"]) for row in batch.rows}
    assert statuses["a-late-one.wav"] == ("not_started", "CostLimit")
    assert result["written"] == (3 if change == "longer" else 0)
    assert sum(charge.cost for charge in batch.emulator.charges) <= records(batch)[0]["approved"]["usd"]
    assert len(task.actions.asked) == 1


@needs_people
def test_where_airflow_keeps_the_text_of_a_rejected_list_another_is_not_asked_for(task: Task, batch: Batch):
    """A person would approve figures that they do not see."""
    task.actions.refreshes = False
    audio = batch.recordings(3)
    with pytest.raises(AirflowFailException):
        task.run(audio[:2], REJECT, approve_above=0)
    with pytest.raises(AirflowFailException, match=r"cannot be asked.*Nothing was submitted.*new DAG run"):
        task.run(audio, approve_above=0)
    assert batch.submits == 0


@needs_people
def test_the_limit_of_the_batch_is_in_the_question(task: Task, batch: Batch):
    """What max_cost_usd does not allow is not asked for, and not submitted."""
    audio = batch.recordings(4)
    limits = {"approve_above": 0, "max_cost_usd": 2.5 * EACH, "on_item_error": "continue"}
    assert task.run(audio, APPROVE, **limits)["written"] == 2
    (question,) = task.actions.asked
    assert f"max_cost_usd is ${2.5 * EACH:g}" in question.body
    assert f"up to ${2.5 * EACH:g}" in question.subject
    assert task.run(audio, **limits)["written"] == 2
    assert task.run(audio, approve_above=1, max_cost_usd=0.5)["written"] == 4


@needs_people
def test_what_the_service_charges_beyond_the_estimate_ends_the_batch(task: Task, batch: Batch):
    """What was approved is held against what was charged; a retry asks for the rest."""
    audio = batch.recordings(4, duration=300.0)
    limits = {"approve_above": 0, "max_parallel": 1, "on_item_error": "continue"}
    result = task.run(audio, APPROVE, **limits)
    assert (result["written"], result["not_started"]) == (1, 3)
    assert {row["error"].partition("=")[0] for row in batch.rows[1:2]} == {
        "This would cost more than what was approved "
    }
    with pytest.raises(AirflowFailException):
        task.run(audio, APPROVE, **{**limits, "on_item_error": "fail"})
    assert len(task.actions.asked) == 2


@needs_people
def test_the_threshold_is_the_limit_where_nobody_was_asked(task: Task, batch: Batch):
    """A list that turns out dearer than it looked does not go beyond what needs no approval."""
    audio = batch.recordings(4, duration=300.0)
    result = task.run(audio, approve_above=4 * EACH, max_parallel=1, on_item_error="continue")
    assert (result["written"], result["not_started"]) == (1, 3)
    assert "more than approve_above" in batch.rows[1]["error"]


@needs_people
def test_a_storage_that_does_not_answer_is_no_answer(task: Task, batch: Batch):
    """Whether somebody has approved is not known, so nothing is asked and nothing submitted; a retry may help."""
    with failing(reading("*.approval"), OSError("no answer")), pytest.raises(errors.LedgerError, match="approval"):
        task.run(batch.recordings(1), approve_above=0)
    assert (task.actions.asked, batch.submits) == ([], 0)


@needs_people
def test_what_another_run_has_written_costs_nothing(task: Task, batch: Batch):
    """With skip_existing only the new recording is asked for."""
    audio = batch.recordings(3)
    batch.run(audio[:2], {"run_id": "yesterday"}, skip_existing=True)
    assert task.run(audio, APPROVE, approve_above=0, skip_existing=True)["skipped"] == 2
    (question,) = task.actions.asked
    assert "on transcribing one recording" in question.subject
    assert "2 transcribed or paid for already" in question.body


@needs_people
def test_recordings_of_unknown_length_are_counted_as_the_user_says(task: Task, batch: Batch):
    """Where they may cost any amount somebody is asked, whatever the threshold."""
    urls = batch.urls(2)
    options = {"actual_duration": None, "approve_above": 50, "cost_limits": {"unknown_length": "allow"}}
    assert task.run(urls, APPROVE, **options)["written"] == 2
    (question,) = task.actions.asked
    assert "2 of unknown cost" in question.body
    assert "any amount" in question.body


@needs_people
def test_what_cannot_be_submitted_is_said(task: Task, batch: Batch):
    """A recording that is missing, one that is there twice and a pattern that finds nothing are counted."""
    audio = batch.recordings(1)
    given = [*audio, *audio, str(batch.folder / "missing.wav"), str(batch.folder / "*.ogg")]
    task.run(given, APPROVE, approve_above=0, on_item_error="continue")
    (question,) = task.actions.asked
    for text in ("1 cannot be submitted", "1 repeated in the list", "1 found no recording"):
        assert text in question.body


@needs_people
def test_a_refused_key_asks_nobody(task: Task, batch: Batch, monkeypatch):
    """Nothing could be submitted anyway."""
    wrong = {**batch.emulator.connection, "password": "sk-nano-ffffffff-0000-4000-8000-000000000000"}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(wrong))
    with pytest.raises(AirflowFailException):
        task.run(batch.recordings(2), approve_above=0)
    assert task.actions.asked == []


@needs_people
def test_each_file_is_read_once_where_nobody_has_to_be_asked(task: Task, batch: Batch):
    """The look that makes the estimate is the one that the submit goes by."""
    audio = batch.recordings(3)

    def is_of_a_recording(event: Event) -> bool:
        return reading("call-*.wav")(event)

    with counted(is_of_a_recording) as without:
        batch.run(audio, {"run_id": "without"})
    with counted(is_of_a_recording) as seen:
        task.run(audio, approve_above=50)
    assert len(seen) == len(without)


@needs_people
def test_users_and_timeout_are_airflows(task: Task, batch: Batch):
    """Ids, or ids with names; the time to answer in seconds."""
    options = {"assigned_users": ["7", {"id": "8", "name": "grace"}], "response_timeout": 90}
    task.run(batch.recordings(1), APPROVE, approve_above=0, approval_options=options)
    (question,), (wait,) = task.actions.asked, task.waits
    assert [(one.id, one.name) for one in question.assigned_users] == [("7", "7"), ("8", "grace")]
    trigger = getattr(wait, "trigger", None)
    assert (trigger is None and wait.timeout.total_seconds() == 90) or trigger.timeout_datetime is not None


@needs_people
def test_no_secret_of_an_address_is_shown_or_kept(task: Task, batch: Batch):
    """Neither in the question nor in the record of it."""
    url = batch.script("https://192.0.2.7/call.mp3?token=hunter2secret")
    task.run([url], APPROVE, approve_above=0)
    (question,) = task.actions.asked
    assert "call.mp3" in question.body
    assert "hunter2" not in question.subject + question.body + json.dumps(records(batch))


BROKEN: list[Any] = [
    b"",
    b"{",
    b"[]",
    {"version": 2},
    {"version": 1, "approved": {"usd": 1e9}},
    {"approved": {"answer": "rejected"}},
    {"approved": {"user_id": ""}},
    {"approved": {"usd": -1}},
    {"approved": {"usd": "inf"}},
    {"approved": {"items": [1]}},
    {"approved": {"digest": "0" * 16}},
]


@needs_people
@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_record_is_no_approval(task: Task, batch: Batch, broken):
    """Somebody is asked again, and then it is whole."""
    audio = batch.recordings(2)
    with pytest.raises(AirflowFailException):
        task.run([*audio, str(batch.folder / "missing.wav")], APPROVE, approve_above=0)
    batch.recording("missing.wav")
    (path,) = (batch.memory.folder / ".nanostt").glob("*.approval")
    if isinstance(broken, dict):
        whole = json.loads(path.read_text())
        approved = broken.get("approved")
        part = broken if "version" in broken else {"approved": {**whole["approved"], **approved}}
        broken = json.dumps({**whole, **part}).encode()
    path.write_bytes(broken)
    task.run([*audio, str(batch.folder / "missing.wav")], APPROVE, approve_above=0)
    assert len(task.actions.asked) == 2
    assert records(batch)[0]["approved"]["user_id"] == "7"


@needs_people
@pytest.mark.parametrize("forged", ["another sum", "from nothing"])
def test_where_airflow_keeps_state_a_forged_approval_is_none(task: Task, batch: Batch, forged):
    """Whoever can write into the folder cannot approve; from 3.3 on."""
    task.state = StateStore()
    audio = batch.recordings(4)
    task.run(audio[:2], APPROVE, approve_above=0)
    (path,) = (batch.memory.folder / ".nanostt").glob("*.approval")
    value = json.loads(path.read_text())
    if forged == "another sum":
        value["approved"]["usd"] = 1000.0
    else:
        task.state.delete("nanostt-approval")
    path.write_text(json.dumps(value))
    with pytest.raises(AirflowFailException, match="rejected"):
        task.run(audio[:2], REJECT, approve_above=0, force=True)
    assert sum(batch.charged.values()) == 2


@needs_people
def test_a_clear_that_removes_the_state_does_not_ask_again(task: Task, batch: Batch):
    """As one of Airflow 3.4 does: then the record counts, as it does where there is no such state."""
    task.state = StateStore()
    audio = batch.recordings(3)
    with killed(before=record("intended")):
        task.run(audio, APPROVE, approve_above=0)
    task.state, task.clears = StateStore(), 1
    assert task.run(audio, approve_above=0)["written"] == 3
    assert (len(task.actions.asked), batch.charged) == (1, once(audio))


@needs_people
@pytest.mark.parametrize("word", [REJECT, NOBODY])
def test_who_declines_more_leaves_what_was_approved(task: Task, batch: Batch, word):
    """What is approved, and may be paid for, is written; the rest is not begun."""
    audio = batch.recordings(4)
    with killed(before=record("submitted"), nth=2):
        task.run(audio[:2], APPROVE, approve_above=0, max_parallel=1)
    verify = {"recovery_policy": {"on_ambiguous_submit": "resubmit"}, "on_item_error": "continue"}
    result = task.run(audio, word, approve_above=0, **verify)
    assert (result["written"], result["not_started"]) == (2, 2)


@pytest.mark.skipif(can_ask_people(), reason="this Airflow can ask")
def test_an_airflow_that_cannot_ask_says_so(batch: Batch):
    """Before anything is submitted."""
    with pytest.raises(AirflowFailException, match=r"approve_above needs Airflow 3\.1"):
        batch.run(batch.recordings(1), approve_above=0)
    assert batch.submits == 0


@needs_people
def test_a_question_after_a_pause_is_about_what_was_there_before(task: Task, batch: Batch):
    """What arrives while somebody thinks is for a later run, and nothing is waited for a second time."""
    batch.recordings(2)
    task.before_answer = lambda: batch.recording("late.wav")
    result = task.run(f"{batch.folder}/*.wav", APPROVE, approve_above=0, settle=60)
    assert (result["written"], len(task.actions.asked)) == (2, 1)
    assert task.deferred.count("PauseTrigger") == 1
    assert "late.wav" not in batch.charged


@needs_people
def test_what_was_not_there_at_the_first_look_is_left_after_the_answer(task: Task, batch: Batch, monkeypatch):
    """A first look that saw no file holds, too: what comes while somebody is asked is left for a later run."""
    sleep, waited = time.sleep, []
    monkeypatch.setattr(time, "sleep", lambda seconds: waited.append(seconds) if seconds == 7 else sleep(seconds))
    urls = batch.urls(2)
    task.before_answer = lambda: batch.recording("late.wav")
    result = task.run([*urls, f"{batch.folder}/*.wav"], APPROVE, approve_above=0, settle=7)
    assert (result["written"], batch.charged) == (2, once(urls))
    assert (waited, "PauseTrigger" in task.deferred) == ([], False)


@needs_people
def test_a_first_look_that_is_gone_after_the_answer_is_made_again_without_a_slot(task: Task, batch: Batch, monkeypatch):
    """Nobody is asked twice, nothing is paid for in the pause, and each recording once after it."""
    sleep, waited = time.sleep, []
    monkeypatch.setattr(time, "sleep", lambda seconds: waited.append(seconds) if seconds == 7 else sleep(seconds))
    audio = batch.recordings(2)

    def remove() -> None:
        assert batch.submits == 0
        for look in (batch.memory.folder / ".nanostt").glob("*.look"):
            look.unlink()

    task.before_answer = remove
    result = task.run(audio, APPROVE, approve_above=0, settle=7)
    assert (result["written"], batch.charged) == (2, once(audio))
    assert task.deferred == ["PauseTrigger", "PauseTrigger", "BatchTrigger"]
    assert (waited, len(task.actions.asked)) == ([], 1)
