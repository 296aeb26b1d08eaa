"""What a batch may cost, and what one run leaves to the next."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException, AirflowSkipException
from tests.conftest import fire
from tests.outside import Event, counted, killed, output, reading, record
from tests.workflow.batch.conftest import ASYNC, PRICE, SYNC, Batch, once, text_of

MONDAY, TUESDAY = {"run_id": "monday"}, {"run_id": "tuesday"}
NIGHTLY: dict[str, Any] = {"skip_existing": True}


# Limits


@pytest.mark.parametrize("model", [SYNC, ASYNC])
@pytest.mark.parametrize("max_parallel", [1, 8])
@pytest.mark.parametrize("on_item_error", ["fail", "continue"])
def test_a_limit_stops_before_the_file_that_would_exceed_it(batch: Batch, model, max_parallel, on_item_error):
    """Always the same files, however many threads; what is left is named, and costs nothing."""
    audio = batch.recordings(12)
    limit = {"max_cost_usd": 7.5 * PRICE[model], "max_parallel": max_parallel, "model": model}
    if on_item_error == "fail":
        with pytest.raises(AirflowFailException, match="5 of 12 recordings") as caught:
            batch.run(audio, **limit)
        assert "call-007.wav: This would cost more than max_cost" in str(caught.value)
        assert "call-011.wav: The batch stopped before this" in str(caught.value)
    else:
        result = batch.run(audio, **limit, on_item_error="continue")
        assert (result["written"], result["not_started"], result["failed"]) == (7, 5, 0)
        assert result["cost_usd"] <= limit["max_cost_usd"]
    assert batch.statuses == ["written"] * 7 + ["not_started"] * 5
    assert {row["error_type"] for row in batch.rows[7:]} == {"CostLimit"}
    assert batch.charged == once(audio[:7])


def test_a_retry_has_no_new_limit(batch: Batch):
    """What earlier attempts have cost counts, also that of recordings further down the list."""
    audio = [str(batch.folder / "late.wav"), *batch.recordings(4)]
    limit = {"max_cost_usd": 4.5 * PRICE[ASYNC]}
    with pytest.raises(AirflowFailException, match="does not exist"):
        batch.run(audio, **limit)
    batch.recording("late.wav")
    with pytest.raises(AirflowFailException, match=r"max_cost.*went to earlier submits"):
        batch.run(audio, **limit)
    assert batch.statuses == ["not_started"] + ["written"] * 4
    assert batch.run(audio, max_cost_usd=5.5 * PRICE[ASYNC])["cost_usd"] == pytest.approx(5 * PRICE[ASYNC])
    assert batch.charged == once(audio)


@pytest.mark.parametrize(("unknown", "landed"), [("allow", 2), ("fail", 0), ("worst", 0)])
def test_recordings_of_unknown_length(batch: Batch, unknown, landed):
    """What has no length passes or is left, as the user says."""
    result = batch.run(
        batch.urls(2),
        actual_duration=None,
        max_cost_usd=1.0,
        cost_limits={"unknown_length": unknown},
        on_item_error="continue",
    )
    assert (result["written"], result["not_started"]) == (landed, 2 - landed)


DEARER = 0.3
CHANGES: dict[str, Any] = {
    "dearer": lambda emulator: emulator.set_model(SYNC, per_minute=DEARER),
    "vanished": lambda emulator: emulator.set_model(SYNC, per_minute=DEARER, listed=False),
    "async": lambda emulator: emulator.set_model(SYNC, per_minute=DEARER, mode="async"),
    "no catalogue": lambda emulator: (
        emulator.set_model(SYNC, per_minute=DEARER),
        emulator.fail("/v1/audio-models", status=503, times=1000),
    ),
}


@pytest.mark.parametrize("max_parallel", [1, 4])
@pytest.mark.parametrize("change", CHANGES)
def test_a_limit_holds_against_what_is_charged(batch: Batch, change, max_parallel):
    """Whatever becomes of the model in the midst of it: nothing is sent after the charge that passes the limit."""
    is_submitted, seen = record("answered"), []

    def change_it(event: Event) -> bool:
        if is_submitted(event):
            seen.append(event)
            if len(seen) == 3:
                CHANGES[change](batch.emulator)
        return False

    limit = 9.5 * PRICE[SYNC]
    with counted(change_it):
        batch.run(
            batch.recordings(12), model=SYNC, max_cost_usd=limit, max_parallel=max_parallel, on_item_error="continue"
        )
    costs = [charge.cost for charge in batch.emulator.charges]
    passed = [sum(costs[: number + 1]) > limit for number in range(len(costs))]
    assert 0 < passed.count(True) <= max_parallel
    assert batch.statuses.count("not_started") == 12 - len(costs)


def test_unknown_lengths_stop_at_what_is_charged(batch: Batch):
    """Where they may cost anything, the limit still holds against what they have cost."""
    result = batch.run(
        batch.urls(6),
        actual_duration=None,
        max_cost_usd=2.5 * PRICE[ASYNC],
        max_parallel=1,
        cost_limits={"unknown_length": "allow"},
        on_item_error="continue",
    )
    assert (result["written"], result["not_started"]) == (3, 3)
    assert "nothing is left of it" in batch.rows[3]["error"]


@pytest.mark.parametrize("limit", [None, 100.0])
def test_a_record_is_read_once(batch: Batch, limit):
    """Whatever the limit is: a second look while the item is submitted could make its job be forgotten."""
    read = reading(".nanostt/*-item-*.json")

    def slowly(event: Event) -> bool:
        return read(event) and not time.sleep(0.05)

    with counted(slowly) as seen:
        batch.run(batch.recordings(6), max_cost_usd=limit, deferrable=False)
    assert set(Counter(event.name for event in seen).values()) == {1}
    assert batch.statuses == ["written"] * 6


def test_the_account_must_have_what_the_batch_costs(batch: Batch):
    """It stops where the money would end, before the service has to say so."""
    batch.emulator.set_balance(3.5 * PRICE[ASYNC])
    with pytest.raises(AirflowFailException, match=r"2 of 5(.|\n)*The account has"):
        batch.run(batch.recordings(5), cost_limits={"check_balance_above": 0.0})
    assert batch.statuses == ["written"] * 3 + ["not_started"] * 2


# Other runs


def test_the_next_night_pays_only_for_what_is_new(batch: Batch):
    """With ``skip_existing`` a run leaves alone what another has landed, and its row says so."""
    audio = batch.recordings(4)
    batch.run(audio[:3], MONDAY, **NIGHTLY)
    before = {path: path.stat().st_mtime_ns for path in batch.memory.folder.glob("*.wav")}
    result = batch.run(audio, TUESDAY, **NIGHTLY)
    assert batch.statuses == ["skipped"] * 3 + ["written"]
    assert batch.charged == once(audio)
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert (result["skipped"], result["written"], result["cost_usd"]) == (3, 1, pytest.approx(PRICE[ASYNC]))
    assert [row["cost_usd"] for row in batch.rows] == [0.0, 0.0, 0.0, pytest.approx(PRICE[ASYNC])]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_without_it_each_run_is_its_own(batch: Batch):
    """Another run transcribes, and pays for, everything once more; the first run's files stay."""
    audio = batch.recordings(2)
    batch.run(audio, MONDAY)
    first = [row["files"]["json"] for row in batch.rows]
    assert batch.run(audio, TUESDAY)["written"] == 2
    assert {row["files"]["json"] for row in batch.rows} & set(first) == set()
    assert batch.charged == dict.fromkeys(once(audio), 2)


@pytest.mark.parametrize(
    ("then", "parallel"),
    [({"after": record("submitted")}, 1), ({"before": output()}, 8), ({"before": record("written")}, 8)],
    ids=["submitting", "writing", "recording"],
)
def test_what_a_killed_run_has_paid_for_is_the_next_run_s(batch: Batch, then, parallel):
    """The next night attaches to its jobs, and pays nothing for them; the first one's retry finds them, too."""
    audio = batch.recordings(5)
    with killed(**then, nth=3):
        batch.run(audio, MONDAY, max_parallel=parallel, **NIGHTLY)
    paid = len(batch.emulator.charges)
    result = batch.run(audio, TUESDAY, **NIGHTLY)
    assert result["written"] + result["skipped"] == 5
    assert batch.charged == once(audio)
    assert result["cost_usd"] == pytest.approx((5 - paid) * PRICE[ASYNC])
    result = batch.run(audio, MONDAY, **NIGHTLY)
    assert result["cost_usd"] == pytest.approx(paid * PRICE[ASYNC])
    assert batch.charged == once(audio)


def test_changed_content_is_paid_anew(batch: Batch):
    """A recording that was replaced is another recording, and its transcript replaces the old one."""
    audio = batch.recordings(2)
    batch.run(audio, MONDAY, **NIGHTLY)
    batch.recording("other.wav")
    Path(audio[1]).write_bytes((batch.folder / "other.wav").read_bytes())
    batch.script("call-001.wav", text="These words are new.")
    result = batch.run(audio, TUESDAY, **NIGHTLY)
    assert batch.statuses == ["skipped", "written"]
    assert batch.texts == [text_of("call-000.wav"), "These words are new."]
    assert len(list(batch.memory.folder.glob("*.json"))) == 2
    assert result["cost_usd"] == pytest.approx(PRICE[ASYNC])
    assert len(batch.emulator.charges) == 3


def test_another_format_is_written_without_paying(batch: Batch):
    """What has landed is written once more in what is wanted now."""
    audio = batch.recordings(2)
    batch.run(audio, MONDAY, **NIGHTLY)
    batch.run(audio, TUESDAY, **NIGHTLY, formats=("json", "txt"))
    assert batch.statuses == ["skipped"] * 2
    assert all(Path(row["files"]["txt"].removeprefix("file://")).exists() for row in batch.rows)
    assert batch.charged == once(audio)


def test_a_name_that_is_taken_stays_with_its_owner(batch: Batch):
    """A recording of the same name that comes in a later night does not move the files of the first."""
    first = batch.recording("b/call.wav")
    batch.run([first], MONDAY, **NIGHTLY)
    (file,) = (row["files"]["json"] for row in batch.rows)
    batch.run([batch.recording("a/call.wav"), first], TUESDAY, **NIGHTLY)
    assert batch.statuses == ["written", "skipped"]
    assert batch.rows[1]["files"]["json"] == file
    assert batch.rows[0]["files"]["json"] != file
    assert len(list(batch.memory.folder.glob("call*.json"))) == 2


def test_a_changed_model_names_the_first_run(batch: Batch, caplog):
    """A clear with another model pays anew; the log tells of the first job and what that cost; the row has both."""
    (audio,) = batch.recordings(1)
    batch.run([audio])
    first = batch.rows[0]["run_id"]
    with caplog.at_level("DEBUG"):
        result = batch.run([audio], model=SYNC)
    assert [charge.model for charge in batch.emulator.charges] == [ASYNC, SYNC]
    assert result["cost_usd"] == pytest.approx(PRICE[ASYNC] + PRICE[SYNC])
    (record,) = (batch.memory.folder / ".nanostt").glob("*item*.json")
    assert json.loads(record.read_text())["history"][0]["run_id"] == first
    with pytest.raises(AirflowFailException, match="on_changed_input is 'fail'"):
        batch.run([audio], recovery_policy={"on_changed_input": "fail"})


def test_what_is_only_written_otherwise_is_not_paid_again(batch: Batch):
    """Other names of speakers and files for an item cost nothing."""
    audio = batch.recording("a.wav")
    batch.run([{"audio": audio, "diarize": True}])
    batch.run([{"audio": audio, "diarize": True, "speaker_names": {"Speaker 1": "Agent"}, "name": "monday"}])
    assert batch.rows[0]["speakers"] == ["Agent"]
    assert batch.rows[0]["files"]["json"].endswith("monday.json")
    assert batch.charged == {"a.wav": 1}


def test_force_submits_everything_once_more(batch: Batch):
    """Once for a clear, and not again in its retries."""
    audio = batch.recordings(2)
    batch.run(audio)
    for tries in (4, 4):
        batch.run(audio, {"max_tries": tries}, force=True)
    assert batch.charged == dict.fromkeys(once(audio), 2)


# Files that are still being written


SETTLED = {**NIGHTLY, "settle": 7}


@pytest.mark.parametrize("where", ["in the triggerer", "in the worker"])
def test_a_half_written_file_is_charged_by_a_later_run(batch: Batch, monkeypatch: pytest.MonkeyPatch, where):
    """It has no row, costs nothing, and is written whole when it is whole."""
    whole = batch.recording("whole.wav")
    growing = Path(batch.recording("growing.wav"))
    seen: list[int] = []

    def grow(*_: object) -> None:
        if not seen:
            growing.write_bytes(growing.read_bytes() + b"\0" * 800)
        seen.append(batch.submits)

    waits = 0 if where == "in the triggerer" else 7
    batch.before_resume = None if waits else grow
    with monkeypatch.context() as patched:
        if waits:
            sleep = time.sleep
            patched.setattr(time, "sleep", lambda seconds: grow() if seconds == 7 else sleep(seconds))
        assert batch.run(f"{batch.folder}/*.wav", MONDAY, **SETTLED, max_worker_wait=waits)["total"] == 1
    assert (seen[0], batch.texts, batch.charged) == (0, [text_of("whole.wav")], once([whole]))
    result = batch.run(f"{batch.folder}/*.wav", TUESDAY, **{**SETTLED, "settle": 0.1})
    assert (result["written"], result["skipped"]) == (1, 1)
    assert batch.charged == once([whole, str(growing)])


def test_the_longest_settle_holds_no_slot(batch: Batch):
    """The task is deferred, nothing is paid for meanwhile, and what it has noted is gone in the end."""
    audio, context = batch.recordings(2), batch.memory.context(**MONDAY)
    with pytest.raises(BaseException) as left:  # noqa: PT011  Airflow's sign of a deferral is no error
        batch.make(audio, **NIGHTLY, settle=600).execute(context)
    assert type(left.value).__name__ == "TaskDeferred"
    assert batch.submits == 0
    assert batch.run(audio, MONDAY, **NIGHTLY, settle=600)["written"] == 2
    assert not list(batch.memory.folder.glob(".nanostt/*.look"))


def test_a_first_look_that_was_removed_is_made_again(batch: Batch, monkeypatch: pytest.MonkeyPatch):
    """Who comes back and does not find it waits once more, without a slot, and takes nothing that was seen once."""
    audio, paid, waited = batch.recordings(2), [], []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: waited.append(seconds) if seconds == 7 else sleep(seconds))

    def remove_once() -> None:
        for path in batch.memory.folder.glob(".nanostt/*.look") if not paid else ():
            path.unlink()
        paid.append(batch.submits)

    batch.before_resume = remove_once
    assert batch.run(audio, **SETTLED)["written"] == 2
    assert (paid[:2], waited) == ([0, 0], [])


def test_a_pause_outlives_a_triggerer_a_worker_and_another_run(batch: Batch):
    """Two runs pause over one folder, one is killed after the pause: each recording is paid for once, and written."""
    audio, pattern = batch.recordings(3), f"{batch.folder}/*.wav"
    here = {**SETTLED, "max_worker_wait": 3600}
    contexts = [batch.memory.context(**one) for one in (MONDAY, TUESDAY)]
    paused = []
    for context in contexts:
        with pytest.raises(BaseException) as left:  # noqa: PT011  Airflow's sign of a deferral is no error
            batch.make(pattern, **SETTLED).execute(context)
        paused.append(left.value)
    events = [fire(one.trigger) for one in paused]
    assert [fire(one.trigger) for one in paused] == events  # as another triggerer does after the first was killed
    assert batch.submits == 0
    with killed(after=record("submitted"), nth=2):
        getattr(batch.make(pattern, **here, max_parallel=1), paused[0].method_name)(contexts[0], event=events[0])
    result = getattr(batch.make(pattern, **here), paused[1].method_name)(contexts[1], event=events[1])
    assert (result["written"], batch.charged) == (3, once(audio))
    batch.run(pattern, MONDAY, **{**here, "settle": 0.1})
    assert batch.charged == once(audio)
    assert sorted(batch.texts) == sorted(text_of(Path(one).name) for one in audio)


@pytest.mark.parametrize(("given", "settle"), [("*.flac", 600.0), ("*.wav", 0.0)])
def test_nothing_is_waited_for_without_need(batch: Batch, given: str, settle: float):
    """Where nothing was found, and without ``settle``."""
    batch.recordings(1)
    resumed: list[int] = []
    batch.before_resume = lambda: resumed.append(batch.submits)
    batch.run(f"{batch.folder}/{given}", **{**NIGHTLY, "settle": settle})
    assert 0 not in resumed


def test_a_dry_run_that_begins_in_the_pause_pays_for_nothing(batch: Batch, monkeypatch: pytest.MonkeyPatch):
    """The task goes on to its end, and says what it would have submitted."""
    audio = batch.recordings(1)
    batch.before_resume = lambda: monkeypatch.setenv("NANOSTT_DRY_RUN", "1")
    with pytest.raises(AirflowSkipException):
        batch.run(audio, **SETTLED)
    assert batch.submits == 0


@pytest.mark.parametrize(("settle", "words"), [(-1, "non-negative number of seconds"), (601, "at most 600 seconds")])
def test_a_settle_that_cannot_be_is_refused(batch: Batch, settle, words):
    """Before anything is looked at: the worker waits for it."""
    with pytest.raises(AirflowFailException, match=words):
        batch.run(batch.recordings(1), settle=settle)
    assert batch.submits == 0
