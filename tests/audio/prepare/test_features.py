"""What is in a container decides: what FFmpeg reads is heard, and what is encrypted is not paid for."""

from __future__ import annotations

import io
import struct
from array import array
from pathlib import Path

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import RATE, av, encoded, lag, note, samples, wav

RULES = PreparationRules()


def submitted(file) -> tuple[str, bytes]:
    """Return the method and what would be uploaded."""
    source = LocalFile(file)
    info = probe(source)
    plan = plan_upload(source, info, model="Elevenlabs-STT", diarize=False, preparation=RULES)
    with prepared_audio(source, info, plan, PrepareOptions(RULES)) as (part,):
        return plan.method, Path(part.audio.data).read_bytes()


CONVERTED = [
    ("ac3", "ac3", 48_000),
    ("eac3", "eac3", 48_000),
    ("wavpack", "wv", 16_000),
    ("tta", "tta", 16_000),
    ("aac", "latm", 44_100),
    ("pcm_u8", "voc", 16_000),
    ("pcm_s16le", "voc", 16_000),
    ("libmp3lame", "flv", 44_100),
    ("pcm_s32le", "sox", 16_000),
    ("pcm_s16le", "nut", 16_000),
    ("pcm_s16le", "ircam", 16_000),
    ("ac3", "rm", 44_100),
    ("ac3", "ipod", 48_000),
    ("flac", "mp4", 44_100),
    ("libopus", "mp4", 48_000),
    ("libmp3lame", "wav", 44_100),
    ("adpcm_ima_wav", "wav", 22_050),
]


@pytest.mark.parametrize(("codec", "container", "rate"), CONVERTED)
def test_what_ffmpeg_reads_is_converted(codec, container, rate, tmp_path):
    """Whatever the name says; the speech in what is made is where it was."""
    file = tmp_path / "recording.bin"
    file.write_bytes(encoded(note(), codec, container, rate=rate))
    method, made = submitted(file)
    assert method == "convert"
    assert abs(lag(note(), samples(made), at=5.0)) < 0.15


@pytest.mark.parametrize(
    ("codec", "container", "padding"),
    [
        ("libmp3lame", "mp3", bytes(8000)),
        ("libmp3lame", "mp3", bytes(60_000)),
        ("libmp3lame", "mp3", b"\xff" * 8000),
        ("aac", "adts", bytes(8000)),
        ("aac", "adts", bytes(60_000)),
    ],
)
def test_padding_before_the_first_frame_is_no_obstacle(codec, container, padding, tmp_path):
    """Recorders that reserve room for a header leave zeros; its length is that of the sound."""
    file = tmp_path / "padded"
    file.write_bytes(padding + encoded(note(), codec, container, rate=44_100))
    assert probe(LocalFile(file)).length.seconds == pytest.approx(len(note()) / RATE, abs=0.15)
    method, made = submitted(file)
    assert method == "upload"
    assert abs(lag(note(), samples(made), at=5.0)) < 0.15


def test_an_ogg_with_a_skeleton_is_sound(tmp_path):
    """A Skeleton track describes the others; it is no picture."""
    data = encoded(note(), "libopus", "ogg", rate=48_000)
    first = data.index(b"OggS", 1)
    fishead = b"fishead\0" + struct.pack("<HH", 3, 0) + bytes(52)
    page = b"OggS\0\2" + bytes(8) + b"\x77\0\0\0" + bytes(4) + bytes(4) + bytes([1, len(fishead)]) + fishead
    checked = page[:22] + struct.pack("<I", _checksum(page)) + page[26:]
    file = tmp_path / "talk.ogg"
    file.write_bytes(checked + data[:first] + data[first:])
    method, made = submitted(file)
    assert method == "upload"
    assert abs(lag(note(), samples(made), at=5.0)) < 0.1


def _checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def _locked_mp4() -> bytes:
    """An MP4 as a shop sells it."""
    file, key = io.BytesIO(), "76a6c65c5ea762046bd749a2e632ccbb"
    how = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    with av.open(file, "w", format="mp4", options=how) as out:
        stream = out.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(array("f", [0.1] * 1024).tobytes())
        frame.sample_rate = RATE
        for at in range(50):
            frame.pts = 1024 * at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def _locked_asf() -> bytes:
    data = encoded(note(), "wmav2", "asf", rate=44_100, bit_rate=64_000)
    lock = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<Q", 40) + bytes(16)
    size, count = struct.unpack_from("<QI", data, 16)
    return data[:16] + struct.pack("<QI", size + 40, count + 1) + data[28:30] + lock + data[30:]


def _locked_ts() -> bytes:
    data = bytearray(encoded(note(), "aac", "mpegts", rate=44_100))
    for at in range(0, len(data), 188):
        if int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF == 0x100:
            data[at + 3] |= 0x80
    return bytes(data)


LOCKED = {
    "Common Encryption": _locked_mp4,
    "iTunes": lambda: _locked_mp4().replace(b"enca", b"drms"),
    "Audible": lambda: _locked_mp4().replace(b"enca", b"aavd").replace(b"isom", b"M4B ", 1),
    "Windows Media": _locked_asf,
    "transport stream": _locked_ts,
}


@pytest.mark.airflow
@pytest.mark.parametrize("name", LOCKED)
def test_what_is_encrypted_is_refused_before_anything_is_sent(emulator: Emulator, tmp_path, name):
    """The error says that it is encrypted and how; the service hears nothing of it."""
    file = tmp_path / "book.m4a"
    file.write_bytes(LOCKED[name]())
    with pytest.raises((AirflowFailException, InvalidInput), match=rf"book\.m4a.*{name}.*encrypted"):
        TranscribeOperator(task_id="transcribe", audio=str(file), model="Whisper-Large-V3").execute({})
    assert [request for request in emulator.requests if request.endpoint == "/transcribe"] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"OFR \x0f\0\0\0" + bytes(900), "OptimFROG, which neither the service nor FFmpeg here reads"),
        (b"MThd\0\0\0\6" + bytes(900), "MIDI, which has notes and no sound"),
        (bytes(4) + b"\x57\x90\x75\x36" + bytes(900), "an Audible book.*encrypted"),
        (b"ID3\4\0\0\0\0\7\x68" + bytes(1000) + wav(note()), "WAV behind tags or padding, which no decoder reads"),
        (bytes(500_000), "unrecognised format"),
    ],
)
def test_what_nobody_reads_is_named(data, message, tmp_path):
    """Rather than called unrecognised, where it is known."""
    file = tmp_path / "recording"
    file.write_bytes(data)
    with pytest.raises(InvalidInput, match=message):
        submitted(file)
