"""What is made of a recording is heard: of several tracks the one with sound, of channels that cancel one of them."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio import sandbox
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare import making
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.transcode import Part
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import RATE, channels, encoded, hiss, inverted, lag, note, recoded, samples, talk, wav

SPOKEN, _ = talk(3)
NOTHING = array("h", bytes(2 * len(SPOKEN)))
HALF = len(SPOKEN) // 2


def planned(file, **preparation) -> tuple[LocalFile, UploadPlan]:
    source = LocalFile(file)
    rules = PreparationRules(**preparation)
    return source, plan_upload(source, probe(source), model="Elevenlabs-STT", diarize=False, preparation=rules)


def submitted(file, plan=None, **preparation) -> list[tuple[float, array[int]]]:
    """Return when the parts begin that would be submitted, and what a listener hears, who mixes their channels."""
    source, usual = planned(file, **preparation)
    options = PrepareOptions(PreparationRules(**preparation))
    with prepared_audio(source, probe(source), plan or usual, options) as parts:
        return [(part.start, samples(Path(part.audio.data).read_bytes())) for part in parts]


def power(sound: array[int]) -> float:
    return sum(value * value for value in sound[::7]) / len(sound[::7])


def assert_heard(parts, spoken=SPOKEN):
    """The speech is where it was, and about as loud, at its beginning and at its end."""
    for start, sound in parts:
        for at in (2.0, len(sound) / RATE - 8.0):
            there = spoken[int((start + at) * RATE) : int((start + at + 5) * RATE)]
            assert abs(lag(spoken[int(start * RATE) :], sound, at=at)) < 0.1
            assert power(sound[int(at * RATE) : int((at + 5) * RATE)]) > power(there) / 8


CANCELLING = {
    "inverted": (SPOKEN, inverted(SPOKEN)),
    "all but inverted": (SPOKEN, inverted(SPOKEN, 0.99)),
    "inverted from the middle on": (SPOKEN, SPOKEN[:HALF] + inverted(SPOKEN[HALF:])),
    "inverted beside a silent third": (SPOKEN, inverted(SPOKEN), NOTHING),
    "two pairs": (SPOKEN, inverted(SPOKEN), NOTHING, NOTHING),
    "two pairs in turn": (
        SPOKEN[:HALF] + NOTHING[HALF:],
        inverted(SPOKEN[:HALF]) + NOTHING[HALF:],
        NOTHING[:HALF] + SPOKEN[HALF:],
        NOTHING[:HALF] + inverted(SPOKEN[HALF:]),
    ),
}


@pytest.mark.parametrize("kind", CANCELLING)
@pytest.mark.parametrize("codec", ["opus", "mp3"])
def test_channels_that_cancel_each_other_are_heard(kind, codec, tmp_path):
    """A cable with its poles exchanged: the louder channel stands for a mix that would be silent."""
    file = tmp_path / "call.wav"
    file.write_bytes(wav(channels(*CANCELLING[kind]), channels=len(CANCELLING[kind])))
    assert_heard(submitted(file, UploadPlan("compress"), codec=codec))


@pytest.mark.parametrize(("codec", "container"), [("flac", "flac"), ("libopus", "webm"), ("aac", "matroska")])
def test_channels_that_cancel_are_heard_where_two_are_kept(codec, container, tmp_path):
    """Whoever hears two channels may mix them, so such a recording is neither copied nor kept in stereo."""
    file = tmp_path / "call.bin"
    file.write_bytes(recoded(wav(channels(SPOKEN, inverted(SPOKEN)), channels=2), codec, container))
    assert planned(file)[1].method == "convert"
    assert_heard(submitted(file))
    assert_heard(submitted(file, UploadPlan("split", "", 20.0)))


TRACKS = {
    "empty": (NOTHING, SPOKEN),
    "empty, with another behind": (NOTHING, SPOKEN, NOTHING),
    "of faint noise": (hiss(len(SPOKEN) / RATE, 6), SPOKEN),
    "that soon falls silent": (note()[:RATE] + NOTHING[RATE:], SPOKEN),
    "that speaks": (SPOKEN, hiss(len(SPOKEN) / RATE, 400)),
}


@pytest.mark.parametrize("first", TRACKS)
@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libopus", "matroska"),
        *(
            pytest.param(*one, marks=pytest.mark.long)
            for one in (("flac", "matroska"), ("aac", "ipod"), ("aac", "mov"))
        ),
    ],
)
def test_of_several_tracks_the_one_with_sound_is_taken(first, codec, container, tmp_path):
    """Recorders of screens have a track for a microphone that nobody has plugged in."""
    file = tmp_path / "capture.bin"
    file.write_bytes(encoded(SPOKEN, codec, container, rate=48_000, tracks=TRACKS[first]))
    assert planned(file)[1].method in ("convert", "compress")
    assert_heard(submitted(file))


@pytest.mark.parametrize("kind", ["inverted", "first track empty"])
def test_a_recording_is_split_by_what_is_heard(kind, tmp_path):
    """Where the mix or the first track is silent from end to end, it is still cut where nobody speaks."""
    file = tmp_path / "long.bin"
    if kind == "inverted":
        file.write_bytes(wav(channels(SPOKEN, inverted(SPOKEN)), channels=2))
    else:
        file.write_bytes(encoded(SPOKEN, "libopus", "matroska", rate=48_000, tracks=[NOTHING, SPOKEN]))
    parts = submitted(file, UploadPlan("split", "", 15.0))
    assert_heard(parts)
    assert len(parts) == 3
    quiet = [array("h", SPOKEN[int((start - 0.1) * RATE) : int((start + 0.1) * RATE)]) for start, _ in parts[1:]]
    assert all(max(map(abs, around)) < 1000 for around in quiet)


@pytest.mark.parametrize(("codec", "container", "tracks"), [("libopus", "matroska", 3), ("aac", "ipod", 2)])
def test_the_longest_of_several_tracks_counts(codec, container, tracks, tmp_path):
    """A price for the second that is silent would be none for the hour that is submitted; an empty one has none."""
    file = tmp_path / "capture.bin"
    voices = [NOTHING[:RATE], note(), array("h")][:tracks]
    file.write_bytes(encoded(note(), codec, container, rate=48_000, tracks=voices))
    length = probe(LocalFile(file)).length
    assert length.seconds == pytest.approx(len(note()) / RATE, abs=0.15)
    assert length.tracks == tracks
    ((_, sound),) = submitted(file)
    assert len(sound) / RATE == pytest.approx(length.seconds, abs=0.15)


def test_several_tracks_go_as_they_are_where_nothing_else_is_possible(tmp_path, monkeypatch):
    """Without the extra nobody can listen to them here; the log says what to expect."""
    file = tmp_path / "call.m4a"
    file.write_bytes(encoded(note(), "aac", "ipod", rate=48_000, tracks=[NOTHING[: len(note())], note()]))
    monkeypatch.setattr("airflow_provider_nanostt.audio.sandbox.is_possible", lambda: False)
    plan = planned(file)[1]
    assert plan.method == "upload"
    assert "2 sound tracks" in plan.reason


@pytest.mark.parametrize("sound", [NOTHING, hiss(len(SPOKEN) / RATE, 30), array("h", (v // 300 for v in SPOKEN))])
@pytest.mark.parametrize("method", ["convert", "compress", "split"])
def test_a_silent_or_quiet_recording_is_no_error(sound, method, tmp_path):
    """Nobody spoke, or far away; what is made of that is as quiet."""
    file = tmp_path / "quiet.flac"
    file.write_bytes(encoded(sound, "flac", "flac"))
    parts = submitted(file, UploadPlan(method, "", 30.0))
    assert sum(len(made) for _, made in parts) == pytest.approx(len(sound), abs=RATE / 5)


@pytest.mark.parametrize("sound", [hiss(len(SPOKEN) / RATE, 30), hiss(len(SPOKEN) / RATE, 300)])
def test_a_constant_below_all_sound_is_not_heard(sound, tmp_path):
    """Cheap recorders add one; encoders take it away, and nothing is missing then."""
    file = tmp_path / "offset.wav"
    file.write_bytes(wav(array("h", (3000 + value for value in sound))))
    assert submitted(file, UploadPlan("compress"))


@pytest.mark.airflow
@pytest.mark.parametrize("silent_from", [0, 60])
def test_what_was_made_silent_is_not_paid_for(emulator: Emulator, tmp_path, monkeypatch, silent_from):
    """Whatever makes speech inaudible, the error has both loudnesses, and the service hears nothing of it."""
    spoken = (SPOKEN * 5)[: 150 * RATE]
    file = tmp_path / "call.wav"
    file.write_bytes(wav(spoken))

    def broken(_, output, **__) -> Part:
        path = output.folder / "part-001.ogg"
        loud = spoken[: silent_from * RATE]
        silent = array("h", bytes(2 * (len(spoken) - len(loud))))
        path.write_bytes(encoded(loud + silent, "libopus", "ogg", rate=48_000, bit_rate=20_000))
        return Part(path, 0.0, len(spoken) / RATE)

    def here(work, opened, *, read, progress, **given):
        """Work in this process; a child would not know of the change."""
        del given["cpu_seconds"]
        return read(work(opened, progress, **given))

    monkeypatch.setattr(sandbox, "run", here)
    monkeypatch.setattr(making, "compress", broken)
    with pytest.raises(
        (AirflowFailException, InvalidInput), match=r"call\.wav.* of -\d+ dB .* has -[89]\d dB; nothing"
    ):
        TranscribeOperator(task_id="transcribe", audio=str(file), model="Whisper-Large-V3").execute({})
    assert [request for request in emulator.requests if request.endpoint == "/transcribe"] == []
