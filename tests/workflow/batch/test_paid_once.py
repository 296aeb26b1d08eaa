"""What a batch costs: attempts, kills, other runs and lost answers pay for no recording twice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.emulator import Fault
from tests.conftest import fire
from tests.outside import killed, ledger_file, output, reading, record, request
from tests.workflow.at_once import claimed_elsewhere
from tests.workflow.batch.conftest import ASYNC, PRICE, SYNC, Batch, once, text_of

MODELS = pytest.mark.parametrize("model", [SYNC, ASYNC])


def assert_all_landed(batch: Batch, audio: list[str]) -> None:
    """One row, one transcript of its own and one charge for each."""
    assert [row["audio"] for row in batch.rows] == audio
    assert batch.texts == [text_of(one.rpartition("/")[2]) for one in audio]
    assert batch.charged == once(audio)


@MODELS
def test_a_retry_does_only_what_is_missing(batch: Batch, model):
    """What failed for want of its file is submitted; what has landed is left as it is."""
    audio = [*batch.recordings(3), str(batch.folder / "late.wav")]
    with pytest.raises(AirflowFailException, match="1 of 4"):
        batch.run(audio, model=model)
    first = [Path(row["files"]["json"].removeprefix("file://")).stat().st_mtime_ns for row in batch.rows[:3]]
    batch.recording("late.wav")
    result = batch.run(audio, model=model)
    assert (result["written"], result["cost_usd"]) == (4, pytest.approx(4 * PRICE[model]))
    assert [Path(row["files"]["json"].removeprefix("file://")).stat().st_mtime_ns for row in batch.rows[:3]] == first
    assert_all_landed(batch, audio)


def test_a_slow_look_at_a_record_does_not_undo_what_was_recorded_since(batch: Batch, monkeypatch):
    """However late a storage answers that there is no record, a job that was accepted meanwhile stays recorded."""
    audio, read = batch.urls(3), object_storage.read
    batch.emulator.fail("/transcribe", Fault(kind="slow", delay=0.3, times=3))
    slowed: set[str] = set()

    def read_slowly(path: Any) -> bytes | None:
        found = read(path)
        if "-item-" in path.name and path.name not in slowed:
            slowed.add(path.name)
            end = time.monotonic() + 0.5
            while batch.submits < 3 and time.monotonic() < end:
                time.sleep(0.01)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(object_storage, "read", read_slowly)
        trigger = deferred(batch, audio)
    assert resume(batch, audio, fire(trigger))["written"] == 3
    assert_all_landed(batch, audio)


KILLS: dict[str, tuple[str, dict[str, Any]]] = {
    "before any submit": (ASYNC, {"before": record("intended")}),
    "with some tickets recorded": (ASYNC, {"after": record("submitted"), "nth": 3}),
    "with some answers recorded": (SYNC, {"after": record("answered"), "nth": 3}),
    "with some landed": (SYNC, {"after": record("written"), "nth": 3}),
    "while landing one": (SYNC, {"before": output(), "nth": 2}),
    "before the deferral": (ASYNC, {"before": ledger_file("*.batch.jsonl")}),
    "while resuming": (ASYNC, {"after": reading("*.batch.jsonl")}),
    "while fetching": (ASYNC, {"after": reading("*.answers/*.json"), "nth": 3}),
    "while landing what was waited for": (ASYNC, {"before": record("written"), "nth": 3}),
    "before the manifest": (ASYNC, {"before": output("manifest.*")}),
}


@pytest.mark.parametrize("at", KILLS)
@pytest.mark.parametrize("max_parallel", [1, 8])
def test_killed_anywhere_the_retry_pays_only_what_is_missing(batch: Batch, at, max_parallel):
    """Wherever the process ends, the next one finds what was paid for, and every recording is charged once."""
    model, then = KILLS[at]
    audio = batch.recordings(10)
    with killed(**then):
        batch.run(audio, model=model, max_parallel=max_parallel)
    killed_at = len(batch.emulator.charges)
    result = batch.run(audio, model=model, max_parallel=max_parallel)
    assert_all_landed(batch, audio)
    assert result["cost_usd"] == pytest.approx(10 * PRICE[model])
    assert killed_at == 10 or model == SYNC or at in ("before any submit", "with some tickets recorded")


def test_killed_while_waiting_in_the_worker(batch: Batch):
    """Jobs that were waited for in the worker are found again by the retry."""
    audio = batch.recordings(6)
    with killed(after=record("written"), nth=3):
        batch.run(audio, deferrable=False)
    assert batch.run(audio, deferrable=False)["written"] == 6
    assert_all_landed(batch, audio)


def test_killed_between_charge_and_ticket_only_that_one_fails(batch: Batch):
    """Nobody knows whether it was charged, so it is named and never submitted again; all the others land."""
    audio = batch.recordings(5)
    with killed(before=record("submitted"), nth=3):
        batch.run(audio, max_parallel=1)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="1 of 5 recordings") as caught:
            batch.run(audio)
        assert "call-002.wav: An earlier attempt submitted this and never recorded an answer" in str(caught.value)
        assert batch.statuses == ["written", "written", "failed", "written", "written"]
    assert batch.charged == once(audio)
    assert batch.run(audio, recovery_policy={"on_ambiguous_submit": "resubmit"})["written"] == 5
    assert batch.charged == {**once(audio), "call-002.wav": 2}


@MODELS
def test_a_lost_answer_is_never_submitted_again(batch: Batch, model):
    """The others land, the task fails without a retry and names it; so does every later attempt."""
    audio = batch.recordings(5)
    batch.emulator.fail("/transcribe", Fault(kind="reset", after_charge=True, match="call-003"))
    for words in ("No readable answer to a paid request", "never recorded an answer"):
        with pytest.raises(AirflowFailException, match=rf"call-003\.wav: .*{words}"):
            batch.run(audio, model=model)
        assert batch.statuses == ["written", "written", "written", "failed", "written"]
        assert batch.charged == once(audio)


def test_a_gateway_that_loses_everything_is_not_fed_a_whole_night(batch: Batch):
    """After a few lost answers in a row nothing more is submitted; what was not begun is done by a later attempt."""
    audio = batch.urls(200)
    batch.emulator.fail("/transcribe", Fault(status=502, envelope="html", times=1000))
    with pytest.raises(AirflowFailException, match="200 of 200"):
        batch.run(audio, max_parallel=4)
    assert batch.submits <= 5 + 4
    assert batch.statuses.count("failed") + batch.statuses.count("not_started") == 200


def refused(status: int, code: str | None = None) -> Fault:
    return Fault(status=status, envelope="error_object", code=code, times=10_000, match="call-01")


@pytest.mark.parametrize(
    ("trouble", "retry", "words"),
    [
        (refused(401), False, "API key"),
        (refused(402), False, "Add funds"),
        (refused(429, "daily_usd_limit_exceeded"), True, "resets at"),
        (refused(429), True, "429"),
    ],
    ids=["key", "balance", "day", "rate"],
)
@pytest.mark.parametrize("on_item_error", ["fail", "continue"])
def test_trouble_that_meets_everything_stops_the_rest(batch: Batch, trouble, retry, words, on_item_error):
    """What was accepted before it lands; the rest is left without a request for each, and the task fails."""
    audio = batch.urls(24)
    batch.emulator.fail("/transcribe", trouble)
    with pytest.raises(errors.BatchIncomplete if retry else AirflowFailException, match=words):
        batch.run(audio, on_item_error=on_item_error, max_parallel=8)
    statuses = batch.statuses
    assert statuses[:10] == ["written"] * 10
    assert statuses[19:] == ["not_started"] * 5
    assert batch.submits <= 10 + 8 * 30  # a refusal for being too quick is waited out for minutes by each thread
    batch.emulator.clear_faults()
    assert batch.run(audio)["written"] == 24
    assert_all_landed(batch, audio)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("model", [ASYNC, SYNC])
def test_no_item_is_left_behind_while_the_service_says_later(batch: Batch, hours_pass, model, status):
    """Some recordings are refused again and again, for minutes: all land in one attempt, each charged once."""
    audio = batch.urls(12)
    batch.emulator.fail("/transcribe", Fault(status=status, times=60, retry_after=5))
    batch.emulator.fail("/transcribe", Fault(status=status, times=15, retry_after=20, match="call-007"))
    assert batch.run(audio, model=model)["written"] == 12
    assert_all_landed(batch, audio)


def test_a_batch_killed_while_it_is_refused_leaves_nothing_uncertain(batch: Batch, hours_pass):
    """What is being refused when the worker is killed was certainly not charged: the next attempt submits all of it."""
    audio = batch.urls(12)
    batch.emulator.fail("/transcribe", Fault(status=429, times=1000, retry_after=1))
    with killed(before=record("intended"), nth=40):
        batch.run(audio)
    batch.emulator.clear_faults()
    assert batch.run(audio)["written"] == 12
    assert_all_landed(batch, audio)


@pytest.mark.parametrize("what", ["wrong key", "no balance", "dead host"])
def test_nothing_is_begun_where_nothing_can_be(batch: Batch, monkeypatch, what):
    """One look is enough to leave all of a night's recordings alone; the next attempt does them."""
    audio = batch.urls(40)
    with monkeypatch.context() as patch:
        if what == "no balance":
            batch.emulator.set_balance(0.0)
        else:
            broken = {"password": "sk-nano-wrong"} if what == "wrong key" else {"host": "http://127.0.0.1:1/api"}
            patch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**batch.emulator.connection, **broken}))
        before = len(batch.emulator.requests)
        with pytest.raises(errors.BatchIncomplete if what == "dead host" else AirflowFailException):
            batch.run(audio)
        assert len(batch.emulator.requests) - before < 30
    assert batch.statuses == ["not_started"] * 40
    batch.emulator.set_balance(100.0)
    assert batch.run(audio)["written"] == 40
    assert_all_landed(batch, audio)


@pytest.mark.parametrize("trouble", [401, 402])
def test_a_stopped_retry_still_tells_of_what_has_landed(batch: Batch, trouble):
    """What lies in its place is told with its files, whatever the service says to the rest."""
    audio = [str(batch.folder / "late.wav"), *batch.recordings(4)]
    with pytest.raises(AirflowFailException):
        batch.run(audio)
    batch.recording("late.wav")
    batch.emulator.fail("/transcribe", Fault(status=trouble, times=100))
    with pytest.raises(AirflowFailException):
        batch.run(audio, max_parallel=1)
    assert batch.statuses == ["not_started", *["written"] * 4]


def test_without_money_what_is_paid_for_lands(batch: Batch):
    """Jobs of a killed attempt are fetched, though nothing new can be submitted."""
    audio = batch.recordings(6)
    with killed(after=record("submitted"), nth=3):
        batch.run(audio[::-1], max_parallel=1)
    paid = len(batch.emulator.charges)  # three, and what the thread had begun before the end was known
    assert paid in (3, 4)
    batch.emulator.set_balance(0.0)
    with pytest.raises(AirflowFailException, match=f"{6 - paid} of 6"):
        batch.run(audio, max_parallel=1)
    assert batch.statuses == ["not_started"] * (6 - paid) + ["written"] * paid


def test_a_ledger_that_cannot_be_written_stops_everything(batch: Batch, bucket):
    """Nothing is submitted that nobody could find again."""
    audio = batch.recordings(20)
    bucket.trouble["wb"] = OSError("the disk is full")
    with pytest.raises(OSError, match="the disk is full"):
        batch.run(audio, output_path="s3://bucket/results")
    assert batch.submits == 0


def test_one_damaged_record_is_one_item_s_matter(batch: Batch):
    """The item of a record that cannot be read fails and says so; the others go on."""
    audio = batch.recordings(4)
    batch.run(audio)
    (record,) = [file for file in (batch.memory.folder / ".nanostt").glob("*item*") if "call-002" in file.read_text()]
    record.write_text("{")
    with pytest.raises(errors.BatchIncomplete, match=r"call-002\.wav: The ledger"):
        batch.run(audio)
    assert batch.statuses == ["written", "written", "failed", "written"]
    assert batch.charged == once(audio)


# After the wait


def deferred(batch: Batch, audio: list[str], **arguments: Any) -> Any:
    """Submit everything, and return the trigger."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011  Airflow's way to defer has moved
        batch.make(audio, **arguments).execute(batch.memory.context())
    return caught.value.trigger


def resume(batch: Batch, audio: list[str], event: Any, **arguments: Any) -> Any:
    return batch.make(audio, **arguments).execute_complete(batch.memory.context(), event=event)


def test_the_resume_looks_at_no_recording(batch: Batch):
    """It goes by the file that was left: recordings may be gone by then, or be on another machine."""
    audio = batch.recordings(4)
    event = fire(deferred(batch, [*audio, "/nowhere.wav"]))
    for one in audio:
        Path(one).unlink()
    with pytest.raises(AirflowFailException, match="1 of 5"):
        resume(batch, ["/another.wav"], event)
    assert [row["audio"] for row in batch.rows] == [*audio, "/nowhere.wav"]
    assert batch.statuses == ["written"] * 4 + ["failed"]


def test_a_state_file_that_is_gone_loses_nothing(batch: Batch):
    """The resume fails without a retry, which could pay again elsewhere; a clear finds each recording's record."""
    audio = batch.recordings(4)
    event = fire(deferred(batch, audio))
    (state,) = (batch.memory.folder / ".nanostt").glob("*.batch.jsonl")
    state.unlink()
    with pytest.raises(AirflowFailException, match=r"batch\.jsonl is not there any more"):
        resume(batch, audio, event)
    assert len(batch.emulator.charges) == 4
    assert batch.run(audio)["written"] == 4
    assert_all_landed(batch, audio)


def test_the_service_out_of_reach_at_the_resume(batch: Batch, hours_pass):
    """With nothing handed over: after two in vain no other is asked for; all stays paid for, and the retry lands it."""
    audio = batch.urls(15)
    event = fire(deferred(batch, audio))
    batch.forget_answers()
    before = len(batch.emulator.requests)
    batch.emulator.fail("/transcribe/status", Fault(status=503, times=10_000))
    with pytest.raises(errors.BatchIncomplete, match="15 of 15"):
        resume(batch, audio, event)
    asked = {one.fields["runId"] for one in batch.emulator.requests[before:] if one.endpoint == "/transcribe/status"}
    assert len(asked) == 2
    assert batch.statuses == ["failed"] * 15
    assert all(row["retry"] and row["run_id"] for row in batch.rows)
    batch.emulator.clear_faults()
    assert batch.run(audio)["written"] == 15
    assert_all_landed(batch, audio)


def test_the_service_out_of_reach_at_the_retry(batch: Batch, logged):
    """Jobs that nobody answers for count as running; they are not asked for one by one before the wait."""
    audio = batch.urls(24)
    deferred(batch, audio)
    before = len(batch.emulator.requests)
    batch.emulator.fail("/transcribe/status", Fault(status=503, times=10_000))
    trigger = deferred(batch, audio)
    assert len(batch.emulator.requests) - before < 8 * 6 + 3
    assert 1 <= sum("counts as still running" in line for line in logged()) < 8
    batch.emulator.clear_faults()
    assert resume(batch, audio, fire(trigger))["written"] == 24
    assert_all_landed(batch, audio)


def test_a_job_that_failed_at_the_service_is_submitted_anew_by_the_retry(batch: Batch):
    """The service refunds it; the retry pays for that one again, and for nothing else."""
    audio = batch.recordings(4)
    batch.script("call-001.wav", status="failed", error="noise")
    with pytest.raises(errors.BatchIncomplete, match=r"call-001\.wav: .*noise"):
        batch.run(audio)
    batch.script("call-001.wav")
    assert batch.run(audio)["written"] == 4
    assert batch.charged == {**once(audio), "call-001.wav": 2}
    assert batch.texts == [text_of(Path(one).name) for one in audio]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_still_running_at_the_deadline(batch: Batch, deferrable):
    """The others land, it stays paid for, and the retry waits on."""
    audio = [*batch.recordings(3), batch.recording("long.wav", processing_seconds=4.0)]
    with pytest.raises(errors.BatchIncomplete, match=r"long\.wav: Run .* was not finished") as caught:
        batch.run(audio, timeout=1.5, deferrable=deferrable)
    assert "To fetch it later" in str(caught.value)
    assert batch.statuses == ["written"] * 3 + ["failed"]
    assert batch.run(audio, deferrable=deferrable)["written"] == 4
    assert_all_landed(batch, audio)


def test_the_end_of_a_day_in_the_worker(batch: Batch):
    """A worker does not wait for midnight: what is paid for is left to the retry."""
    audio = batch.urls(4)
    batch.emulator.fail(
        "/transcribe/status",
        Fault(status=429, envelope="error_object", code="daily_requests_limit_exceeded", times=100),
    )
    with pytest.raises(errors.BatchIncomplete, match="resets at"):
        batch.run(audio, deferrable=False)
    assert batch.statuses == ["failed"] * 4
    batch.emulator.clear_faults()
    assert batch.run(audio)["written"] == 4
    assert_all_landed(batch, audio)


def test_in_a_batch_it_is_a_row_of_its_own(batch: Batch):
    """The row says who has it; the others land, and a retry has it, too, once the other is done."""
    audio = batch.recordings(3)
    with killed(before=request("/transcribe"), nth=2):
        batch.run(audio, max_parallel=1)
    records = {file: json.loads(file.read_text()) for file in (batch.memory.folder / ".nanostt").glob("*-item-*")}
    ((file, orphan),) = ((file, record) for file, record in records.items() if record["state"] == "intended")
    file.write_text(json.dumps(claimed_elsewhere(orphan, time.time() + 600)))
    with pytest.raises(errors.BatchIncomplete, match="1 of 3 recordings") as caught:
        batch.run(audio)
    assert caught.value.retry == "yes"
    assert batch.statuses == ["written", "elsewhere", "written"]
    assert "run manual__1, try 1 on worker-7" in batch.rows[1]["error"]
    assert batch.rows[1]["retry"] is True
    file.unlink()
    assert batch.run(audio)["written"] == 3
    assert batch.charged == once(audio)
