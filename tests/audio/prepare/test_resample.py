"""Sound in one form, whatever form a recording has."""

from __future__ import annotations

import io
from array import array

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare import decoding
from airflow_provider_nanostt.audio.prepare.decoding import open_track, resampled
from tests.audio.sounds import RATE, encoded, note, raw_wav, wav


def made(recording, **form):
    """The frames of a recording in a form."""
    with open_track(io.BytesIO(recording)) as found:
        return list(resampled(found, **form))


@pytest.mark.parametrize("count", [2, 3, 6, 16])
def test_a_voice_on_any_channel_is_heard(count):
    """Recorders of calls and meetings put each speaker on a channel, and say nothing of a subwoofer."""
    voice = note()[: 3 * RATE]
    for channel in {0, count // 2, 2 % count, count - 1}:
        many = array("h", bytes(2 * count * len(voice)))
        many[channel::count] = voice
        frames = made(raw_wav(many.tobytes(), tag=1, rate=RATE, channels=count, width=2))
        assert sum(frame.samples for frame in frames) == len(voice)
        peak = max(max(memoryview(frame.planes[0]).cast("h")[: frame.samples]) for frame in frames)
        assert peak > max(voice) / count / 2


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("recording", ["mono", "stereo"])
def test_frames_have_the_form_asked_for(channels, planar, recording):
    """Encoders take frames of one size and layout, and only the last may be shorter."""
    source = wav(note()) if recording == "mono" else encoded(note(), "aac", "ipod", rate=44_100, layout="stereo")
    frames = made(source, channels=channels, frame_size=960, planar=planar)
    assert {frame.samples for frame in frames[:-1]} == {960}
    assert {frame.sample_rate for frame in frames} == {RATE}
    assert {frame.layout.name for frame in frames} == {"stereo" if channels == 2 else "mono"}
    assert {frame.format.name for frame in frames} == {"s16p" if planar else "s16"}


def test_sound_that_cannot_be_converted_is_refused(monkeypatch):
    """FFmpeg's error is passed on, as a refusal."""
    monkeypatch.setattr(decoding, "RATE", -1)
    with pytest.raises(InvalidInput, match="sound that cannot be converted"):
        made(wav(note()))
