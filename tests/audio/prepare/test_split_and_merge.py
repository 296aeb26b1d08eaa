"""A recording that was split says the same as one that was not: real speech, a real recogniser, through the API."""

from __future__ import annotations

import difflib
import io
import time
from array import array
from pathlib import Path

import pytest

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job, Submission
from airflow_provider_nanostt.api.transport import Client
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.audio.prepare.muxer import CONTENT_TYPES
from airflow_provider_nanostt.audio.prepare.silence import measure_loudness
from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
from airflow_provider_nanostt.audio.prepare.transcode import Output, split_compress, split_copy
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.outputs.merge import merge
from tests.audio.sounds import SAMPLES, encoded, hiss, note, samples

pytest.importorskip("pocketsphinx")


@pytest.fixture(scope="module")
def listener():
    """A local NanoGPT that really listens, the same for all: what it heard before makes no difference to it."""
    with Emulator(speed=1000.0) as running:
        yield running


def transcribed(emulator, uploads):
    """The transcripts of these uploads, submitted together."""
    with Client(Config(emulator.api_key, emulator.url)) as client:
        jobs = [client.send(endpoints.submit(Submission(upload, "Elevenlabs-STT", "en"))) for upload in uploads]
        return [finished(client, job) for job in jobs]


def finished(client, job):
    assert isinstance(job, Job)
    for _ in range(6000):
        status = client.send(endpoints.status(job))
        if status.is_terminal:
            assert status.transcript is not None, status.error
            return status.transcript
        time.sleep(0.02)
    raise AssertionError("the job never ended")


@pytest.fixture(scope="module")
def recording():
    """Half a minute: three texts with pauses between, as MP3."""
    office = samples((SAMPLES / "closed-office.ogg").read_bytes())
    spoken = array("h")
    for text in (office, note(), office):
        spoken += text + hiss(0.8)
    return encoded(spoken, "libmp3lame", "mp3", bit_rate=64_000)


@pytest.fixture(scope="module")
def unsplit(listener, recording):
    (transcript,) = transcribed(listener, [Upload("whole.mp3", "audio/mpeg", recording)])
    assert len(transcript.words) > 80
    return transcript


@pytest.mark.long
@pytest.mark.parametrize("way", ["copied", "compressed"])
def test_the_merged_transcript_is_that_of_the_unsplit_recording(way, listener, recording, unsplit, tmp_path):
    """At least 98 % of the words, each within 0.3 seconds of where it was, and the cost of all parts together."""
    loudness = measure_loudness(io.BytesIO(recording))
    cuts = plan_split_points(loudness.seconds, loudness.silences(), 16.0, quietest=loudness.quietest)
    assert len(cuts) >= 2
    parts = (
        split_copy(io.BytesIO(recording), Output(tmp_path), cuts)
        if way == "copied"
        else split_compress(io.BytesIO(recording), Output(tmp_path, 60_000), cuts, seconds=loudness.seconds)
    )
    transcripts = transcribed(
        listener,
        [Upload(part.path.name, CONTENT_TYPES[part.path.suffix], Path(part.path).read_bytes()) for part in parts],
    )
    merged = merge([(part.start, transcript) for part, transcript in zip(parts, transcripts, strict=True)])

    before = [word for word in unsplit.words if word.type == "word"]
    after = [word for word in merged.words if word.type == "word"]
    same = difflib.SequenceMatcher(
        None, [word.text.lower() for word in before], [word.text.lower() for word in after], autojunk=False
    )
    pairs = [
        (before[block.a + at], after[block.b + at]) for block in same.get_matching_blocks() for at in range(block.size)
    ]
    assert len(pairs) >= 0.98 * max(len(before), len(after))
    assert max(abs(one.start - other.start) for one, other in pairs) <= 0.3
    assert max(abs(one.end - other.end) for one, other in pairs) <= 0.3
    starts = [word.start for word in after]
    assert starts == sorted(starts)
    assert "".join(word.text for word in merged.words) == merged.text
    assert merged.cost == pytest.approx(sum(transcript.cost for transcript in transcripts))
