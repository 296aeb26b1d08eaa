"""Recordings that go in parts: each part is paid for once, and together they are one transcript."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.emulator import Emulator, Fault
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import hiss, note, wav
from tests.conftest import Memory
from tests.outside import everywhere, killed, record, request

av = pytest.importorskip("av")

ASYNC, SYNC = "Elevenlabs-STT", "gpt-4o-mini-transcribe"
RATE = 8000


def telephone(seconds: int) -> bytes:
    """A WAV of 8 bits: a few words now and then."""
    spoken = bytes(value >> 8 & 0xFF ^ 0x80 for value in note()[::2] + hiss(28, rate=RATE))
    return wav((spoken * (seconds * RATE // len(spoken) + 1))[: seconds * RATE], rate=RATE, width=1)


SHORTER = 10
"""By how much limits and recordings are smaller than the real ones, where it is not the real ones that are shown."""


FRAME = 576
"""Samples of an MP3 frame at this rate."""


def frames(count: int) -> list[bytes]:
    """The telephone as so many MP3 frames, each 72 ms."""
    with (
        av.open(io.BytesIO(), "w", format="mp3") as out,
        av.open(io.BytesIO(telephone(count * FRAME // RATE + 1))) as wave,
    ):
        stream = out.add_stream("libmp3lame", rate=RATE)
        stream.bit_rate = 8_000
        resampler = av.AudioResampler(format="s16p", layout="mono", rate=RATE, frame_size=FRAME)
        pieces = [piece for frame in wave.decode(audio=0) for piece in resampler.resample(frame)]
        return [bytes(packet) for piece in pieces for packet in stream.encode(piece)][:count]


def too_much(folder: Path, shorter: int) -> dict[str, Path]:
    """For each model one that has to go in two parts: too large for two MP3s of 32 kb/s, or too long for the model."""
    large, long = folder / "meeting.wav", folder / "meeting.mp3"
    large.write_bytes(telephone(800 // shorter))
    again_and_again = cycle(frames(1000))  # to encode all of it would say nothing more
    with av.open(str(long), "w") as out:
        stream = out.add_stream("libmp3lame", rate=RATE)
        stream.bit_rate = 8_000
        for number in range(1500 // shorter * RATE // FRAME):
            packet = av.Packet(next(again_and_again))
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = number * FRAME
            out.mux(packet)
    return {ASYNC: large, SYNC: long}


@pytest.fixture(scope="module")
def real_recordings(tmp_path_factory) -> dict[str, Path]:
    """What is too much for the service as it is."""
    return too_much(tmp_path_factory.mktemp("long"), 1)


@pytest.fixture(scope="module")
def short_recordings(tmp_path_factory) -> dict[str, Path]:
    """What is too much for a tenth of the limits."""
    return too_much(tmp_path_factory.mktemp("short"), SHORTER)


@pytest.fixture
def shorter(request: pytest.FixtureRequest, memory: Memory) -> int:
    """1 for a test with the real limits, which one way of remembering is enough for."""
    return 1 if request.node.get_closest_marker("real_limits") and memory.kind == "files" else SHORTER


@pytest.fixture
def recordings(request: pytest.FixtureRequest, monkeypatch, shorter: int) -> dict[str, Path]:
    """For each model one that has to go in two parts, with the limits they are too much for."""
    if shorter == 1:
        return request.getfixturevalue("real_recordings")
    everywhere(monkeypatch, "MAX_UPLOAD_BYTES", MAX_UPLOAD_BYTES // shorter)
    for name, facts in KNOWN_MODELS.items():
        if facts.can.max_seconds is not None:
            can = replace(facts.can, max_seconds=facts.can.max_seconds / shorter)
            monkeypatch.setitem(KNOWN_MODELS, name, replace(facts, can=can))
    return request.getfixturevalue("short_recordings")


@pytest.fixture
def spoken(emulator: Emulator, shorter: int) -> Emulator:
    """Each part says which it is."""
    for number in (1, 2):
        length = (400.0 + number) / shorter
        emulator.script(f"*.part-{number:03d}.mp3", text=f"This is part {number}.", duration=length)
    return emulator


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def attempt(memory: Memory, run_task: Any, recordings: dict[str, Path]) -> Any:
    """Run one attempt of the task to its end, through the triggerer."""

    def run(model: str = SYNC, instance: dict[str, Any] | None = None, **arguments: Any) -> Any:
        codec = "mp3" if model == ASYNC else "opus"
        given = {
            "poll_interval": 0.03,
            "deferrable": True,
            "audio_preparation": {"codec": codec},
            "audio": str(recordings[model]),
        }
        return run_task(
            lambda: TranscribeOperator(task_id="transcribe", model=model, **{**given, **memory.arguments, **arguments}),
            memory.context(**(instance or {})),
        )

    return run


REAL = pytest.mark.real_limits
only_files = pytest.mark.parametrize("memory", ["files"], indirect=True)


def text_of(result: dict[str, Any]) -> str:
    if "files" in result:
        return str(json.loads(Path(result["files"]["json"]).read_text())["text"])
    return str(result["transcription"])


def parts(emulator: Emulator) -> list[str]:
    """Which parts were charged."""
    return sorted(charge.source.removeprefix("meeting.") for charge in emulator.charges)


WHOLE = "This is part 1. This is part 2."
ONCE = ["part-001.mp3", "part-002.mp3"]


@pytest.mark.parametrize(
    ("model", "deferrable"),
    [
        pytest.param(SYNC, True, marks=[REAL, pytest.mark.long]),
        pytest.param(ASYNC, True, marks=[REAL, pytest.mark.long]),
        (ASYNC, False),
    ],
)
def test_the_parts_become_one_transcript(spoken: Emulator, attempt, memory, shorter, model, deferrable):
    """Texts in order, times of the whole recording, costs and minutes summed; one charge a part."""
    result = attempt(model, deferrable=deferrable)
    assert text_of(result) == WHOLE
    assert [charge.source for charge in spoken.charges] == ["meeting.part-001.mp3", "meeting.part-002.mp3"]
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in spoken.charges))
    assert result["charged_minutes"] == pytest.approx(sum(charge.minutes for charge in spoken.charges))
    assert result["model"] == model
    told = [float(request.fields["actualDuration"]) for request in spoken.requests if request.endpoint == "/transcribe"]
    assert sum(told) * 60 == pytest.approx((800 if model == ASYNC else 1500) / shorter, abs=0.5)
    if memory.kind == "files":
        document = json.loads(Path(result["files"]["json"]).read_text())
        assert [part["runId"] for part in document["raw"]["parts"]] == document_runs(document)
        if model == ASYNC:
            first, second = (part["start"] for part in document["raw"]["parts"])
            assert first == 0.0
            assert 300 < second * shorter < 500
            starts = [word["start"] for word in document["words"] if word["text"].strip() == "part"]
            assert starts[0] < 400 / shorter
            assert starts[1] > second


def document_runs(document: dict[str, Any]) -> list[Any]:
    return [part["answer"].get("runId") or part["runId"] for part in document["raw"]["parts"]]


@only_files
@pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="Airflow 2 executes in the main thread only")
@pytest.mark.parametrize("model", [SYNC, ASYNC])
def test_two_attempts_at_the_same_instant_pay_for_each_part_once(spoken: Emulator, attempt, memory, model):
    """They split it in the same places; who is second takes over the jobs of the first, or its retry does."""
    spoken.fail("/transcribe", Fault(kind="slow", delay=0.1, times=10))
    together = Barrier(2)

    def run(_: int) -> Any:
        together.wait()
        for _ in range(5):
            with suppress(errors.SubmittedElsewhere):
                return attempt(model, deferrable=False)
        return None

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    assert [text_of(result) for result in results] == [WHOLE, WHOLE]
    assert parts(spoken) == ONCE


@pytest.mark.parametrize("model", [SYNC, ASYNC])
def test_a_second_run_of_the_same_task_pays_nothing(spoken: Emulator, attempt, model):
    """The result is there; where it was not kept, every part is fetched again for nothing."""
    first = attempt(model)
    again = attempt(model)
    assert text_of(again) == text_of(first) == WHOLE
    assert again["cost_usd"] == pytest.approx(first["cost_usd"])
    assert parts(spoken) == ONCE


@only_files
@pytest.mark.parametrize(("model", "step"), [(SYNC, "answered"), (ASYNC, "submitted")])
def test_killed_between_the_parts_the_retry_pays_only_what_is_missing(spoken: Emulator, attempt, model, step):
    """What each part has come to is found where it left it; the recording is cut in the same place."""
    with killed(after=record(step)):
        attempt(model)
    assert parts(spoken) == ONCE[:1]
    assert text_of(attempt(model)) == WHOLE
    assert parts(spoken) == ONCE


def test_killed_between_charge_and_record_the_next_attempt_names_the_part(spoken: Emulator, attempt):
    """Nobody knows of that part whether it was charged, so nothing is paid again before a person has looked."""
    with killed(before=record("answered"), nth=2):
        attempt()
    with pytest.raises(AirflowFailException, match=r"meeting\.mp3 \(part 2 of 2\)"):
        attempt()
    assert parts(spoken) == ONCE
    assert text_of(attempt(recovery_policy={"on_ambiguous_submit": "resubmit"})) == WHOLE
    assert parts(spoken) == [*ONCE, "part-002.mp3"]


@pytest.mark.parametrize("charged", [False, True])
def test_the_parts_that_are_known_explain_their_charges(spoken: Emulator, attempt, hours_pass, charged):
    """With 'verify', an uncertain part is submitted again only if it was not charged; the others are not."""
    policy = {"on_ambiguous_submit": "verify"}
    which = request("/transcribe")
    with killed(after=which, nth=2) if charged else killed(before=which, nth=2):
        attempt(recovery_policy=policy)
    assert parts(spoken) == (ONCE if charged else ONCE[:1])
    if charged:
        with pytest.raises(AirflowFailException, match=r"\(part 2 of 2\).*rose by 2 requests .* explains 1 requests"):
            attempt(recovery_policy=policy)
    else:
        assert text_of(attempt(recovery_policy=policy)) == WHOLE
    assert parts(spoken) == ONCE


@only_files
@pytest.mark.parametrize("model", [SYNC, ASYNC])
def test_killed_while_landing_nothing_is_paid_again(spoken: Emulator, attempt, model):
    """What every part has come to is there; it is put together once more."""
    with killed(before=record("written")):
        attempt(model)
    assert text_of(attempt(model)) == WHOLE
    assert parts(spoken) == ONCE


@only_files
def test_one_part_that_fails_is_the_only_one_paid_again(spoken: Emulator, attempt):
    """The task fails with the service's reason; the retry submits that part anew and keeps the others."""
    spoken.script("*.part-002.mp3", status="failed", error="too much noise", duration=402.0)
    with pytest.raises(errors.TranscriptionFailed, match="too much noise"):
        attempt(ASYNC)
    spoken.script("*.part-002.mp3", text="This is part 2.", duration=402.0)
    result = attempt(ASYNC)
    assert text_of(result) == WHOLE
    assert parts(spoken) == [*ONCE, "part-002.mp3"]
    assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in spoken.charges))


@only_files
def test_a_part_that_is_submitted_again_counts_against_the_limit(spoken: Emulator, attempt):
    """What the failed submit has cost is spent: the next try pays for the part only if all of it fits the limit."""
    spoken.script("*.part-002.mp3", status="failed", error="too much noise", duration=402.0)
    with pytest.raises(errors.TranscriptionFailed, match="too much noise"):
        attempt(ASYNC)
    spent = sum(charge.cost for charge in spoken.charges)
    spoken.script("*.part-002.mp3", text="This is part 2.", duration=402.0)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="would cost more than max_cost_usd"):
            attempt(ASYNC, max_cost_usd=spent * 1.01)
    assert parts(spoken) == ONCE
    assert text_of(attempt(ASYNC, max_cost_usd=spent * 2)) == WHOLE
    assert parts(spoken) == [*ONCE, "part-002.mp3"]


def test_a_refused_part_leaves_the_others_paid_for(spoken: Emulator, attempt):
    """Out of funds half way: what was accepted is kept, and the next attempt goes on where it stopped."""
    spoken.fail("/transcribe", status=402, match="part-002")
    with pytest.raises(AirflowFailException, match="402"):
        attempt()
    assert parts(spoken) == ONCE[:1]
    assert text_of(attempt()) == WHOLE
    assert parts(spoken) == ONCE


def test_force_pays_for_every_part_once_more(spoken: Emulator, attempt):
    """And a retry of the forced attempt does not do so again."""
    attempt()
    forced = {"max_tries": 5}
    assert text_of(attempt(instance=forced, force=True)) == WHOLE
    assert parts(spoken) == sorted(ONCE * 2)
    assert text_of(attempt(instance=forced, force=True)) == WHOLE
    assert len(spoken.charges) == 4


def test_other_options_are_another_recording(spoken: Emulator, attempt):
    """A changed language submits every part anew, and counts what the first time has cost."""
    first = attempt()
    again = attempt(language="de")
    assert text_of(again) == WHOLE
    assert len(spoken.charges) == 4
    assert again["cost_usd"] == pytest.approx(2 * first["cost_usd"])


@only_files
def test_one_ticket_cannot_stand_for_many(spoken: Emulator, attempt):
    """wait_for_completion=False is refused before anything is paid for."""
    with pytest.raises(AirflowFailException, match=r"2 parts.*wait_for_completion=False"):
        attempt(wait_for_completion=False)
    assert list(spoken.charges) == []


@only_files
@REAL
def test_the_whole_recording_counts_against_the_limit(spoken: Emulator, attempt):
    """max_cost_usd is about all parts together, and is refused before the first."""
    with pytest.raises(AirflowFailException, match=r"max_cost_usd = \$0\.07.*25\.00 min"):
        attempt(max_cost_usd=0.07)
    assert list(spoken.charges) == []
    assert text_of(attempt(max_cost_usd="0.08")) == WHOLE


def test_a_part_can_be_got_by_hand(spoken: Emulator, attempt, memory):
    """Each part's record holds its ticket."""
    attempt(ASYNC)
    if memory.kind == "files":
        records = [json.loads(file.read_text()) for file in (memory.folder / ".nanostt").glob("*-part-*.json")]
    else:
        (state,) = memory.states.values()
        records = [state.get(f"nanostt-part-00{n}") for n in (1, 2)]
    transcripts = [NanoGPTHook().wait(Job.from_json(record["job"])) for record in records]
    assert sorted(transcript.text for transcript in transcripts) == ["This is part 1.", "This is part 2."]
