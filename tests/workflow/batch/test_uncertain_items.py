"""``on_ambiguous_submit="verify"`` in batches and for videos: all uncertain items are compared once, together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.emulator import Emulator, Fault
from airflow_provider_nanostt.operators import YouTubeTranscribeOperator
from tests.outside import killed, pauses, record, request
from tests.workflow.batch.conftest import ASYNC, SYNC, Batch, once
from tests.workflow.test_uncertain import spend

MODELS = pytest.mark.parametrize("model", [SYNC, ASYNC])
POLICY = {"on_ambiguous_submit": "verify"}


@pytest.fixture(autouse=True)
def minutes_pass(hours_pass):
    """The clock goes on by what the pauses would have taken."""


@pytest.fixture
def verifying(batch: Batch) -> Batch:
    """A batch that compares."""
    batch.usual["recovery_policy"] = POLICY
    return batch


def lost(batch: Batch, audio: list[str], names: dict[str, bool], **arguments: Any) -> None:
    """Let the answers of some items be lost, each before or after it was charged."""
    for name, is_charged in names.items():
        batch.emulator.fail("/transcribe", Fault(kind="reset", after_charge=is_charged, match=name))
    with pytest.raises(Exception, match=f"{len(names)} of {len(audio)}"):
        batch.run(audio, **arguments)


@MODELS
def test_all_that_never_arrived_is_submitted_again(verifying: Batch, model):
    """The items that were charged in the same run are explained by their records; the wait is one for all."""
    audio = verifying.recordings(8)
    lost(verifying, audio, dict.fromkeys(("call-002", "call-004", "call-007"), False), model=model)
    skipped = pauses.skipped
    assert verifying.run(audio, model=model)["written"] == 8
    assert verifying.charged == once(audio)
    assert pauses.skipped - skipped < 2000
    assert sum(one.endpoint == "/v1/usage" for one in verifying.emulator.requests) == 2  # once in each run


@MODELS
def test_if_one_was_charged_all_of_them_fail(verifying: Batch, model):
    """Nobody can tell which: none is submitted again, and what else is missing is done."""
    audio = verifying.recordings(6)
    lost(verifying, audio, {"call-001": False, "call-003": True}, model=model)
    audio.append(verifying.recording("late.wav"))
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="2 of 7") as caught:
            verifying.run(audio, model=model)
        assert str(caught.value).count("it was charged, or somebody else uses the account") == 2
    assert verifying.charged == once([name for name in audio if "call-001" not in name])


def test_what_an_earlier_night_left_is_compared_from_its_own_figures(verifying: Batch):
    """Those of a later one have its charge in them already."""
    audio = verifying.recordings(3)
    lost(verifying, audio[:2], {"call-001": True})
    verifying.emulator.fail("/transcribe", Fault(kind="reset", match="call-002"))
    for _ in range(2):
        with pytest.raises(Exception, match="2 of 3"):
            verifying.run(audio)
    assert verifying.charged == once(audio[:2])


def test_uncertain_submits_of_two_keys_are_not_compared(verifying: Batch, monkeypatch):
    """The figures of one say nothing of the other."""
    audio = verifying.recordings(2)
    lost(verifying, audio[:1], {"call-000": False})
    mine = {**verifying.emulator.connection, "extra": {"requests_per_second": 10_000}}
    other = {**mine, "password": verifying.emulator.add_key()}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(other))
    verifying.emulator.fail("/transcribe", Fault(kind="reset", after_charge=True, match="call-001"))
    with pytest.raises(Exception, match="2 of 2"):
        verifying.run(audio)
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(mine))
    with pytest.raises(AirflowFailException, match="same key"):
        verifying.run(audio)
    assert verifying.charged == once(audio[1:])


def test_killed_with_many_under_way(verifying: Batch):
    """What the process left without an answer is compared together; in part charged, it is left to a person."""
    audio = verifying.recordings(10)
    with killed(before=request("/transcribe"), nth=4):
        verifying.run(audio)
    under_way = 10 - len(verifying.charged)
    assert under_way > 0
    assert verifying.run(audio)["written"] == 10
    assert verifying.charged == once(audio)
    more = [*audio, *(verifying.recording(f"more-{number}.wav") for number in range(3))]
    with killed(before=record("submitted"), nth=2):
        verifying.run(more, max_parallel=1)
    with pytest.raises(AirflowFailException, match=r"1 of 13(.|\n)*more-1\.wav"):
        verifying.run(more)
    assert verifying.charged == once(more)


@pytest.mark.parametrize("late", ["usage_delay", "balance_delay"])
def test_late_figures_pay_nothing_twice(verifying: Batch, late):
    """Neither of the two decides alone."""
    verifying.emulator.keep_books(**{late: 10**5})
    audio = verifying.recordings(3)
    lost(verifying, audio, {"call-001": True})
    with pytest.raises(AirflowFailException, match="neither figure is what the ledger explains"):
        verifying.run(audio)
    assert verifying.charged == once(audio)


def test_somebody_else_with_the_key_leaves_all_undecided(verifying: Batch):
    """A charge of no record may be that of an item."""
    audio = verifying.recordings(3)
    lost(verifying, audio, {"call-001": False, "call-002": False})
    spend(verifying.emulator)
    with pytest.raises(AirflowFailException, match="somebody else"):
        verifying.run(audio)
    assert verifying.charged == {**once(audio[:1]), "other.mp3": 1}


def test_force_waits_for_nothing(verifying: Batch):
    """It submits whatever is recorded, so nothing is compared."""
    audio = verifying.recordings(3)
    lost(verifying, audio, {"call-001": True})
    skipped = pauses.skipped
    assert verifying.run(audio, force=True)["written"] == 3
    assert pauses.skipped - skipped < 60
    assert verifying.charged == dict.fromkeys(once(audio), 2)


def test_an_item_that_another_run_has_answered_meanwhile_is_not_submitted(verifying: Batch, monkeypatch):
    """Its record is read again after the wait; the charge of the other run explains its own."""
    verifying.usual["skip_existing"] = True
    audio = verifying.recordings(3)
    lost(verifying, audio, {"call-001": True, "call-002": False})
    (charge,) = (one for one in verifying.emulator.charges if one.source == "call-001.wav")
    folder = verifying.memory.folder / ".nanostt"
    texts = {path: json.loads(path.read_text()) for path in folder.glob("*-item-*.json")}
    (path,) = (path for path, value in texts.items() if "call-001" in value["source"])

    def answered(seconds: float) -> None:
        if seconds > 100:
            job = {"run_id": charge.run_id, "model": ASYNC, "submitted_at": charge.time, "cost": charge.cost}
            path.write_text(json.dumps({**texts[path], "state": "submitted", "job": job, "cost": charge.cost}))
            pauses.skipped += seconds

    monkeypatch.setattr("time.sleep", answered)
    with pytest.raises(AirflowFailException, match=r"1 of 3(.|\n)*call-001\.wav.*another attempt was at it meanwhile"):
        verifying.run(audio, deferrable=False)
    assert verifying.charged == once(audio)


@pytest.mark.parametrize("charged", [False, True])
def test_videos_are_compared_together(emulator: Emulator, files, charged):
    """Up to ten go with one request, whose answer is lost for all of them."""
    urls = [f"https://www.youtube.com/watch?v=video{number:06d}" for number in range(4)]
    for url in urls:
        emulator.script(url, text="This is a talk.", title="A talk")
    run = lambda: YouTubeTranscribeOperator(  # noqa: E731
        task_id="t", urls=urls, recovery_policy=POLICY, **files.arguments
    ).execute(files.context())
    which = request("/youtube-transcribe")
    with killed(after=which) if charged else killed(before=which):
        run()
    if charged:
        with pytest.raises(AirflowFailException, match=r"4 of 4(.|\n)*rose by 4 requests"):
            run()
    else:
        run()
    assert len(emulator.charges) == 4


def test_no_record_has_figures_without_the_rule(batch: Batch):
    """And the service is not asked for any."""
    batch.run(batch.recordings(2))
    records = [json.loads(path.read_text()) for path in Path(batch.memory.folder / ".nanostt").glob("*-item-*.json")]
    assert [one["usage_before"] for one in records] == [None, None]
    assert not any(one.endpoint == "/v1/usage" for one in batch.emulator.requests)
