"""Recordings that go in parts: each part is paid for once, and together they are one transcript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger import Ledger
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import hiss, note, wav
from tests.conftest import Memory

pytest.importorskip("av")

ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"
SECONDS = 1600.0  # in MP3 at 32 kb/s, three uploads


class Killed(BaseException):
    """The end of a task process, as far as the code in it can tell."""


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A telephone recording of 27 minutes: a few words now and then."""
    rate = 8000
    spoken = bytes(value >> 8 & 0xFF ^ 0x80 for value in note()[::2] + hiss(28, rate=rate))
    turns = (spoken * (int(SECONDS * rate) // len(spoken) + 1))[: int(SECONDS * rate)]
    file = tmp_path_factory.mktemp("long") / "meeting.wav"
    file.write_bytes(wav(turns, rate=rate, width=1))
    return file


@pytest.fixture
def spoken(emulator: Emulator) -> Emulator:
    """Each part says which it is."""
    for number in (1, 2, 3):
        emulator.script(f"*.part-{number:03d}.mp3", text=f"This is part {number}.", duration=500.0 + number)
    return emulator


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def attempt(memory: Memory, run_task: Any, long: Path) -> Any:
    """Run one attempt of the task to its end, through the triggerer."""

    def run(instance: dict[str, Any] | None = None, **arguments: Any) -> Any:
        given = {"model": ASYNC, "poll_interval": 0.1, "deferrable": True, "codec": "mp3", "audio": str(long)}
        return run_task(
            lambda: TranscribeOperator(task_id="transcribe", **{**given, **memory.arguments, **arguments}),
            memory.context(**(instance or {})),
        )

    return run


def text_of(result: dict[str, Any]) -> str:
    if "files" in result:
        return str(json.loads(Path(result["files"]["json"]).read_text())["text"])
    return str(result["transcription"])


WHOLE = "This is part 1. This is part 2. This is part 3."


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, *, before: bool) -> None:
    """End the process at the given call of a function."""
    original, calls = getattr(owner, name), []

    def last(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            monkeypatch.setattr(owner, name, original)
            if before:
                raise Killed
            original(*arguments, **named)
            raise Killed
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, last)


@pytest.mark.parametrize("model", [ASYNC, SYNC])
@pytest.mark.parametrize("deferrable", [True, False])
def test_the_parts_become_one_transcript(spoken: Emulator, attempt, model, deferrable):
    """Texts in order, times of the whole recording, costs and minutes summed; one charge a part."""
    result = attempt(model=model, deferrable=deferrable)
    assert text_of(result) == WHOLE
    assert [charge.source for charge in spoken.charges] == [f"meeting.part-00{n}.mp3" for n in (1, 2, 3)]
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in spoken.charges))
    assert result["charged_minutes"] == pytest.approx(sum(charge.minutes for charge in spoken.charges))
    assert result["model"] == model
    if "segments" in result and model == ASYNC:
        starts = [segment["start"] for segment in result["segments"]]
        assert starts[0] < 100
        assert 450 < starts[1] < 620
        assert 950 < starts[2] < 1200


def test_each_part_says_how_long_it_is(spoken: Emulator, attempt):
    """actualDuration of the parts adds up to the recording."""
    attempt()
    told = [float(request.fields["actualDuration"]) for request in spoken.requests if request.endpoint == "/transcribe"]
    assert sum(told) * 60 == pytest.approx(SECONDS, abs=0.5)


def test_a_second_run_of_the_same_task_pays_nothing(spoken: Emulator, attempt):
    """The result is there; without a kept result, every part is fetched again for nothing."""
    first = attempt()
    again = attempt()
    assert text_of(again) == text_of(first) == WHOLE
    assert again["cost_usd"] == pytest.approx(first["cost_usd"])
    assert len(spoken.charges) == 3


@pytest.mark.parametrize("part", [1, 2, 3])
def test_killed_between_the_tickets_the_retry_pays_only_what_is_missing(
    spoken: Emulator, attempt, monkeypatch, part
):
    """Each ticket is found where its part left it; the recording is cut in the same places."""
    kill_at(monkeypatch, Ledger, "submitted", part, before=False)
    with pytest.raises(Killed):
        attempt()
    assert len(spoken.charges) == part
    assert text_of(attempt()) == WHOLE
    assert sorted(charge.source for charge in spoken.charges) == [f"meeting.part-00{n}.mp3" for n in (1, 2, 3)]


def test_killed_between_charge_and_ticket_the_next_attempt_names_the_part(spoken: Emulator, attempt, monkeypatch):
    """Nobody knows of that part whether it was charged, so nothing is paid again before a person has looked."""
    kill_at(monkeypatch, Ledger, "submitted", 2, before=True)
    with pytest.raises(Killed):
        attempt()
    with pytest.raises(AirflowFailException, match=r"meeting\.wav \(part 2 of 3\)"):
        attempt()
    assert len(spoken.charges) == 2
    assert text_of(attempt(on_ambiguous_submit="resubmit")) == WHOLE
    assert len(spoken.charges) == 4


def test_killed_while_landing_nothing_is_paid_again(spoken: Emulator, attempt, monkeypatch):
    """All tickets are there; the parts are fetched and put together once more."""
    kill_at(monkeypatch, Ledger, "landed", 1, before=True)
    with pytest.raises(Killed):
        attempt()
    assert text_of(attempt()) == WHOLE
    assert len(spoken.charges) == 3


def test_one_part_that_fails_is_the_only_one_paid_again(spoken: Emulator, attempt):
    """The task fails with the service's reason; the retry submits that part anew and keeps the others."""
    spoken.script("*.part-002.mp3", status="failed", error="too much noise", duration=502.0)
    with pytest.raises(errors.TranscriptionFailed, match="too much noise"):
        attempt()
    spoken.script("*.part-002.mp3", text="This is part 2.", duration=502.0)
    result = attempt()
    assert text_of(result) == WHOLE
    assert sorted(charge.source for charge in spoken.charges) == [f"meeting.part-00{n}.mp3" for n in (1, 2, 2, 3)]
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in spoken.charges))


def test_a_refused_part_leaves_the_others_paid_for(spoken: Emulator, attempt):
    """Out of funds half way: what was accepted is kept, and the next attempt goes on where it stopped."""
    spoken.fail("/transcribe", status=402, match="part-002")
    with pytest.raises(AirflowFailException, match="balance|funds"):
        attempt()
    assert len(spoken.charges) == 1
    assert text_of(attempt()) == WHOLE
    assert len(spoken.charges) == 3


def test_force_pays_for_every_part_once_more(spoken: Emulator, attempt):
    """And a retry of the forced attempt does not do so again."""
    attempt()
    forced = {"max_tries": 5}
    assert text_of(attempt(forced, force=True)) == WHOLE
    assert len(spoken.charges) == 6
    assert text_of(attempt(forced, force=True)) == WHOLE
    assert len(spoken.charges) == 6


def test_other_options_are_another_recording(spoken: Emulator, attempt):
    """A changed language submits every part anew, and says in the cost what the first time has cost."""
    attempt()
    assert text_of(attempt(language="de")) == WHOLE
    assert len(spoken.charges) == 6


def test_one_ticket_cannot_stand_for_many(spoken: Emulator, attempt):
    """wait=False is refused before anything is paid for."""
    with pytest.raises(AirflowFailException, match="3 parts.*wait=False"):
        attempt(wait=False)
    assert list(spoken.charges) == []


def test_the_whole_recording_counts_against_the_limit(spoken: Emulator, attempt):
    """max_cost is about all parts together, and is refused before the first."""
    with pytest.raises(AirflowFailException, match=r"max_cost = \$0\.5.*26\.67 min"):
        attempt(max_cost=0.5)
    assert list(spoken.charges) == []
    assert text_of(attempt(max_cost="0.81")) == WHOLE


def test_a_transcript_in_parts_can_be_got_by_hand(spoken: Emulator, attempt, memory):
    """Each part's record holds its ticket."""
    attempt()
    if memory.kind == "files":
        records = [json.loads(file.read_text()) for file in (memory.folder / ".nanostt").glob("*-part-*.json")]
    else:
        (state,) = memory.states.values()
        records = [state.get(f"nanostt-part-00{n}") for n in (1, 2, 3)]
    transcripts = [NanoGPTHook().wait(record["job"]["run_id"]) for record in records]
    assert sorted(transcript.text for transcript in transcripts if isinstance(transcript, Transcript)) == [
        f"This is part {n}." for n in (1, 2, 3)
    ]
