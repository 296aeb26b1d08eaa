"""How often a local recording is read: once to identify and probe it, once to find where to split it."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import pytest

from airflow_provider_nanostt.audio.inspect.probe import identify_and_probe, probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from tests.audio import odd_files
from tests.audio.sounds import av, wav

COUNTER = Path("/proc/self/io")
pytestmark = pytest.mark.skipif(not COUNTER.exists(), reason="the system does not count what a process reads")

MEGABYTE = 1_000_000


def bytes_read() -> int:
    """Return the bytes that this process has read from files so far."""
    return int(COUNTER.read_text().split()[1])


def three_hours(file: Path) -> Path:
    """Silence, of which only the header takes room on the disk."""
    header, size = wav(b"", rate=2000, width=1), 3 * 3600 * 2000
    with file.open("wb") as out:
        out.write(header[:4] + struct.pack("<I", 36 + size) + header[8:-4] + struct.pack("<I", size))
        out.truncate(len(header) + size)
    return file


def again_and_again(data: bytes, container: str, options: dict[str, str] | None = None) -> bytes:
    """The packets of a recording over and over, in one file of megabytes."""
    target = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(target, "w", format=container, options=options or {}) as out:
        stream = source.streams.audio[0]
        packets = [(bytes(packet), packet.duration) for packet in source.demux(stream) if packet.size]
        copy, at = out.add_stream_from_template(stream), 0
        for body, duration in packets * (3 * MEGABYTE // len(data)):
            packet = av.Packet(body)
            packet.stream, packet.time_base, packet.is_keyframe = copy, stream.time_base, True
            packet.pts = packet.dts = at
            packet.duration = duration
            at += duration
            out.mux(packet)
    return target.getvalue()


def opus_in_webm() -> bytes:
    return again_and_again(odd_files.encode("webm", "libopus", rate=48_000, seconds=5), "webm", {"live": "1"})


def aac_in_fragments() -> bytes:
    return again_and_again(odd_files.m4a(seconds=5), "ipod", {"movflags": "frag_keyframe+empty_moov"})


FORMATS = {
    # All but the last say nothing of their length in a header: they have to be read to their end to be measured.
    "without-header.mp3": lambda: odd_files.mp3("vbr") * 10,
    "frames.aac": lambda: odd_files.encode("adts", "aac") * 10,
    "joined.ogg": lambda: odd_files.opus() * 20,
    "live.webm": opus_in_webm,
    "fragments.m4a": aac_in_fragments,
    "voice.amr": lambda: b"#!AMR\n" + (b"\x3c" + bytes(31)) * 100_000,
    "whole.flac": lambda: odd_files.encode("flac", "flac"),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Make a recording by its name, large enough for headers not to matter."""

    def make(name: str) -> LocalFile:
        file = tmp_path_factory.mktemp("long") / name
        if name == "three-hours.wav":
            return LocalFile(three_hours(file))
        file.write_bytes(FORMATS[name]())
        return LocalFile(file)

    return make


@pytest.mark.parametrize("name", ["three-hours.wav", *FORMATS])
def test_to_identify_and_probe_a_recording_it_is_read_once(recording, name):
    """Its digest and its length come from the same pass, whatever the format; only headers and ends are read again."""
    source = recording(name)
    identify_and_probe(source)  # what is imported on the way is not counted
    before = bytes_read()
    version, info = identify_and_probe(source)
    read = bytes_read() - before
    assert version == source.version()
    assert info.length.seconds
    assert info.size <= read <= info.size + 512 * 1024


def test_a_recording_that_is_known_is_not_read(recording):
    """Of a recording whose version is on record, only headers are read."""
    source = recording("three-hours.wav")
    known = source.version()
    before = bytes_read()
    assert source.has_version(known)
    probe(source)
    assert bytes_read() - before < 512 * 1024


@pytest.mark.parametrize(
    ("name", "seconds"),
    [pytest.param("three-hours.wav", 1200.0, marks=pytest.mark.long), ("without-header.mp3", 120.0)],
)
def test_until_its_parts_are_made_a_recording_is_read_twice(recording, tmp_path, monkeypatch, name, seconds):
    """Once for digest and length, once to listen; the parts are written in one more pass, and listened to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source, reads = recording(name), []

    def progress(_: float) -> None:
        has_parts = any(tmp_path.glob("*/part-*"))
        reads.append((has_parts, bytes_read()))

    preparation = PreparationRules(oversize=("split",))
    options = PrepareOptions(preparation, progress=progress)
    short = LocalFile(tmp_path / "short.wav")
    short.path.write_bytes(wav(bytes(8000 * 40), rate=8000, width=1))
    with prepared_audio(short, identify_and_probe(short)[1], UploadPlan("split", "", 30.0), options):
        reads.clear()  # what is imported on the way is not counted
    before = bytes_read()
    version, info = identify_and_probe(source)
    plan_upload(source, info, model="Whisper-Large-V3", diarize=False, preparation=preparation)
    with prepared_audio(source, info, UploadPlan("split", "", seconds), options) as parts:
        assert len(parts) > 1
        made = sum(part.audio.size for part in parts)
    until_parts = max(count for has_parts, count in reads if not has_parts) - before
    assert version.size == info.size
    assert until_parts <= 2 * info.size + MEGABYTE
    assert bytes_read() - before <= 3 * info.size + made + 2 * MEGABYTE
