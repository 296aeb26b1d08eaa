"""Lengths of recordings as they are met in the wild: within 1 %, or honestly unknown."""

from __future__ import annotations

import errno
import io
import random
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.audio.inspect import formats, packets
from airflow_provider_nanostt.audio.inspect.containers import Doubtful
from airflow_provider_nanostt.audio.inspect.duration import MAX_SECONDS, Length, measure
from airflow_provider_nanostt.audio.inspect.packets import add_up, by_packets, refuse_other_files
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.sources import WebAddress

av = pytest.importorskip("av")

from tests.audio import odd_files  # noqa: E402 - it needs PyAV
from tests.audio.range_server import RangeServer  # noqa: E402

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
R, U = "right", "unknown"
OUTCOMES = {
    # name: with PyAV, without
    "cbr-with-header.mp3": (R, R),
    "cbr-without-header.mp3": (R, R),
    "vbr-with-header.mp3": (R, R),
    "vbr-without-header.mp3": (R, R),
    "cover-art.mp3": (R, R),
    "cover-art-larger-than-the-sound.mp3": (R, R),
    "truncated.mp3": (R, R),
    "two-joined.mp3": (R, R),
    "junk-and-tags.mp3": (R, R),
    "adts.aac": (R, R),
    "adts-truncated.aac": (R, R),
    "moov-last.m4a": (R, R),
    "moov-first.m4a": (R, R),
    "fragmented.m4a": (R, U),
    "truncated.m4a": (R, U),
    "never-finished.m4a": (U, U),
    "cover-art.m4a": (R, R),
    "opus.ogg": (R, R),
    "chained.ogg": (R, R),
    "the-same-twice.ogg": (R, R),
    "truncated.ogg": (R, R),
    "cut-out-of-a-stream.ogg": (R, R),
    "plain.wav": (R, R),
    "piped.wav": (R, R),
    "piped-by-sox.wav": (R, R),
    "truncated.wav": (R, R),
    "mulaw.wav": (R, R),
    "adpcm.wav": (R, U),
    "whole.flac": (R, R),
    "piped.flac": (R, R),
    "truncated.flac": (R, U),
    "whole.aiff": (R, R),
    "truncated.aiff": (R, R),
    "live.webm": (R, U),
    "voice.amr": (R, R),
    "renamed-wav.mp3": (R, R),
    "renamed-ogg.m4a": (R, R),
    "error-page.mp3": (U, U),
    "error.xml.mp3": (U, U),
    "error.json.wav": (U, U),
    "playlist.mp3": (U, U),
    "noise.mp3": (U, U),
    "empty.mp3": (U, U),
    "ten-thousand-hours.ogg": (R, R),
    "ten-thousand-hours.m4a": (U, U),
}


@pytest.fixture(scope="session")
def files():
    made = {file.name: file for file in odd_files.everything()}
    assert made.keys() == OUTCOMES.keys()
    return made


@pytest.fixture
def without_pyav(monkeypatch):
    """Let PyAV seem not to be installed."""
    monkeypatch.setitem(sys.modules, "av", None)


def length_of(data, **how):
    file = io.BytesIO(data)
    return measure(file, len(data), formats.identify(file, len(data)), **how)


def verdict(file, length):
    if length.seconds is None:
        assert length.source
        return U
    return R if file.seconds and length.seconds == pytest.approx(file.seconds, rel=0.01) else "wrong"


@pytest.mark.parametrize("name", OUTCOMES)
def test_lengths_with_pyav(files, name):
    """Whatever has sound in it is measured within 1 %, and everything else is unknown with a reason."""
    assert verdict(files[name], length_of(files[name].data)) == OUTCOMES[name][0]


@pytest.mark.parametrize("name", OUTCOMES)
def test_lengths_without_pyav(files, without_pyav, name):
    """What needs packets is unknown without the extra; nothing becomes wrong."""
    assert verdict(files[name], length_of(files[name].data)) == OUTCOMES[name][1]


@pytest.mark.parametrize("name", OUTCOMES)
def test_lengths_from_a_few_places(files, name):
    """What may not be read whole is right or unknown, never wrong."""
    assert verdict(files[name], length_of(files[name].data, whole=False)) in (R, U)


DAMAGED = (
    "cbr-with-header.mp3 cbr-without-header.mp3 vbr-with-header.mp3 vbr-without-header.mp3 cover-art.mp3 adts.aac "
    "moov-last.m4a moov-first.m4a fragmented.m4a opus.ogg chained.ogg plain.wav adpcm.wav whole.flac piped.flac "
    "live.webm voice.amr whole.aiff"
)


@pytest.mark.parametrize("name", DAMAGED.split())
def test_what_was_cut_joined_or_has_a_strange_end_is_never_wrong(files, name):
    """Wherever a file ends, and whatever is appended: what can be decoded is its length, or that is unknown."""
    data = files[name].data
    noise = random.Random(9).randbytes(40_000)
    cuts = [data[: int(len(data) * part)] for part in (0.03, 0.3, 0.7, 0.97, 0.995)]
    for variant in (*cuts, data + data, data + b"\0" * 50_000, data + noise):
        kind = formats.identify(io.BytesIO(variant), len(variant))
        lengths = [length_of(variant, whole=whole).seconds for whole in (True, False)]
        if any(lengths):
            true = odd_files.played(variant, kind.demuxer)
            for seconds in filter(None, lengths):
                assert seconds == pytest.approx(true, rel=0.012, abs=0.15)


def test_lengths_over_the_web(files):
    """The same files behind a web server are right or unknown, in a few requests each."""
    told_right = 0
    with RangeServer({name: file.data for name, file in files.items()}) as server, pytest.MonkeyPatch.context() as env:
        env.setenv("no_proxy", "*")
        for name, file in files.items():
            server.seen.clear()
            server.sent = 0
            outcome = verdict(file, probe(WebAddress(server.url(name), allow_private=True)).length)
            assert outcome in (R, U), name
            assert len(server.seen) <= 5, name
            assert server.sent <= 512 * 1024, name
            told_right += outcome == R
    assert told_right >= 25


RARE = {
    "sound.wma": ("asf", "wmav2", {"bit_rate": 64_000}),
    "live.wma": ("asf", "wmav2", {"bit_rate": 64_000, "pipe": True}),
    "sound.w64": ("w64", "pcm_s16le", {}),
    "sound.aifc": ("aiff", "pcm_mulaw", {}),
    "live.aiff": ("aiff", "pcm_s16be", {"pipe": True}),
}


@pytest.fixture(scope="session")
def rare():
    """Files in formats that few use, as FFmpeg writes them."""
    return {name: odd_files.encode(kind, codec, **how) for name, (kind, codec, how) in RARE.items()}


@pytest.mark.parametrize("name", RARE)
@pytest.mark.parametrize("part", [1, 0.7, 0.3, 1.5, 2])
def test_rare_formats_are_right_or_unknown(rare, monkeypatch, name, part):
    """Whole, cut off or joined, with PyAV or without, read whole or in a few places."""
    data = (rare[name] * 2)[: int(len(rare[name]) * part)]
    true = None if name == "live.aiff" else odd_files.played(data, formats.sniff(data).demuxer)  # no player reads it
    found = [length_of(data), length_of(data, whole=False)]
    monkeypatch.setitem(sys.modules, "av", None)
    found.append(length_of(data))
    for length in found:
        assert length.seconds is None or (true and length.seconds == pytest.approx(true, rel=0.01, abs=0.1))
    if part == 1 and name.startswith("sound"):
        assert [length.seconds for length in found] == pytest.approx([odd_files.SECONDS] * 3, rel=0.01)


def test_a_format_that_only_pyav_can_measure_names_the_extra(files, without_pyav):
    """A user who lacks it learns what to install."""
    assert "[audio]" in length_of(files["live.webm"].data).source
    assert "whole file" in length_of(files["live.webm"].data, whole=False).source


def test_minutes_are_what_the_service_counts():
    """A length knows its minutes, unless it is unknown."""
    assert Length(90.0, "x").minutes == 1.5
    assert Length(None, "x").minutes is None


class Broken(io.BytesIO):
    """A file on a disk that fails."""

    def read(self, *_):
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_makes_the_length_unknown():
    """What cannot be read cannot be measured."""
    length = measure(Broken(), 1000, formats.WAV)
    assert length == Length(None, "the file cannot be read: Input/output error")


@pytest.mark.parametrize("kind", [kind for kind in vars(formats).values() if isinstance(kind, formats.Format)])
@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"\0",
    ],
)
def test_a_playlist_opens_nothing_under_any_name(kind, data):
    """Whatever a file is taken for, it is read by the reader of that format alone."""
    assert measure(io.BytesIO(data), len(data), kind).seconds is None


def test_pyav_may_open_nothing_else():
    """Should a reader ask for another file all the same, it is refused."""
    with pytest.raises(PermissionError, match="not followed"):
        refuse_other_files("file:///etc/passwd", 0)


def test_a_claim_of_more_samples_than_bytes_is_not_read_further(monkeypatch):
    """FFmpeg would reserve memory for every sample a table of contents claims, so it is not shown the file."""
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("it was read further"))
    bomb = odd_files.patched(odd_files.m4a(seconds=3), b"stsz", 4, struct.pack(">II", 1, 0x7FFFFFFF))
    assert "more pieces than it has bytes" in length_of(bomb).source
    crowd = odd_files.boxed(b"ftyp", b"M4A \0\0\0\0") + odd_files.boxed(b"moov", odd_files.boxed(b"trak") * 65)
    assert "more tracks" in length_of(crowd + odd_files.boxed(b"mdat", b"x")).source


@pytest.mark.parametrize(
    ("limit", "most"),
    [("MAX_READ_BYTES", 0), ("MAX_READ_SECONDS", 0), ("MAX_PACKETS", 10), ("MAX_READ_BYTES", 5000)],
)
def test_reading_on_and_on_ends(files, monkeypatch, limit, most):
    """PyAV is shown the end of the file once a limit is reached, and the length is unknown."""
    webm = files["live.webm"].data
    kind = formats.identify(io.BytesIO(webm), len(webm))
    assert by_packets(io.BytesIO(webm), print, demuxer=kind.demuxer, name=kind.name)["seconds"]
    monkeypatch.setattr(packets, limit, most)
    with pytest.raises(Doubtful):
        by_packets(io.BytesIO(webm), print, demuxer=kind.demuxer, name=kind.name)


@dataclass
class Packet:
    size: int
    pts: int | None
    duration: int | None
    is_discard: bool = False


def sum_of(rows):
    found = add_up([Packet(*row) for row in rows], Fraction(1), lambda: False)
    return found.seconds, found.payload


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(10, 0, 1), (10, 1, 1)], (2.0, 20)),
        ([(10, 0, 1), (10, 5, 1)], (6.0, 20)),
        ([(10, 0, None), (10, 1, None), (10, 2, 1)], (3.0, 30)),
        ([(10, 7, 2), (10, 0, 2)], (4.0, 20)),
        ([(10, None, 2), (0, 2, 9), (10, 2, 2, True)], (2.0, 10)),
    ],
)
def test_packets_are_added_up(rows, expected):
    """Durations count, and pauses between them; times that start again do not."""
    assert sum_of(rows) == expected


@pytest.mark.parametrize("rows", [[(10, 0, 11)], [(10, None, None)], [], [(10, 5, None), (10, 0, 1)]])
def test_packets_that_say_nothing_of_their_length(rows):
    """A single packet of more than ten seconds, or none with a length, is not believed."""
    with pytest.raises(Doubtful):
        sum_of(rows)


@pytest.mark.parametrize(
    "data",
    [
        b"FORM\0\0\0\x10AIFF" + b"COMM\0\0\0\x12" + b"\0" * 4,
        b"FORM\0\0\0\x2eAIFFCOMM\0\0\0\x12\0\1\xff\xff\xff\xff\0\x10" + b"\x40\x0b\xfa" + b"\0" * 23,
        ASF + b"\0" * 60,
        ASF
        + struct.pack("<QIH", 200, 1, 0x201)
        + bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
        + struct.pack("<Q", 104)
        + b"\0" * 16
        + struct.pack("<Q", 158)
        + b"\xff" * 80,
    ],
)
def test_headers_that_make_no_sense_are_not_believed(data, without_pyav):
    """Fields that are cut off or absurd make the length unknown."""
    assert length_of(data).seconds is None


@pytest.mark.parametrize(("ticks", "seconds"), [(1024, 3), (200_000, None), (1, None)])
def test_the_bit_rate_that_a_header_implies_is_checked(without_pyav, ticks, seconds):
    """Claims that agree with each other are not believed if no recording has so few or so many bits a second."""
    sound = odd_files.m4a(seconds=3).replace(b"edts", b"free")
    claim = odd_files.patched(sound, b"stts", 12, struct.pack(">I", ticks))
    found = length_of(odd_files.patched(claim, b"mdhd", 16, struct.pack(">I", 130 * ticks + 204)))
    assert found.seconds == (seconds and pytest.approx(seconds, rel=0.02))
    assert seconds or "kb/s" in found.source or "do not fit its codec" in found.source


def test_headers_that_are_cut_within_a_field_are_malformed(without_pyav):
    """No error, but a reason."""
    assert "malformed" in length_of(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0").source


def test_pictures_without_sound_have_no_length():
    """A film without sound is nothing to transcribe."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for _ in range(5):
            out.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        out.mux(stream.encode(None))
    assert "no sound" in length_of(target.getvalue()).source


@pytest.fixture(scope="session")
def seeds(files):
    short = [odd_files.m4a(seconds=3), odd_files.opus(2), odd_files.wav(seconds=1)]
    names = ("vbr-with-header.mp3", "adts.aac", "whole.flac", "whole.aiff", "adpcm.wav", "voice.amr")
    return [*short, *(files[name].data[:20_000] for name in names)]


@given(data=st.data())
def test_damage_never_raises(seeds, data):
    """Whatever bytes are damaged, cut or doubled: an answer, and no claim beyond four days."""
    damaged = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, min(len(damaged) - 1, 4000)) | st.integers(0, len(damaged) - 1))
        damaged[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4) | st.just(b"\xff" * 4))
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged
    for whole in (True, False):
        length = length_of(bytes(damaged), whole=whole)
        assert length.seconds is None or 0 < length.seconds <= MAX_SECONDS


@given(
    st.binary(max_size=600),
    st.sampled_from([kind for kind in vars(formats).values() if isinstance(kind, formats.Format)]),
)
def test_no_bytes_ever_raise(data, kind):
    """Bytes that are nothing at all are unknown, whatever they are taken for."""
    length = measure(io.BytesIO(data), len(data), kind, whole=False)
    assert length.seconds is None or length.seconds > 0
    formats.sniff(data)
