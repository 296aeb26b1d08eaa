"""AudioTracks from outside are read, damaged ones too, and nothing else is."""

from __future__ import annotations

import io
import random
import struct
from array import array

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare import decoding
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, open_track, packet_seconds, resampled
from tests.audio.sounds import RATE, av, encoded, note, raw_wav, talk, wav


def heard(recording):
    """All of a recording's sound, 16 kHz mono, and what is known of it afterwards."""
    with open_track(io.BytesIO(recording)) as found:
        sound = array("h")
        for frame in resampled(found):
            sound.frombytes(bytes(frame.planes[0])[: 2 * frame.samples])
    return sound, found


def loudest(sound):
    return max(map(abs, sound))


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "concat, safe": "ffconcat version 1.0\nfile note.wav\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="audio/mp4"><Representation id="1"><BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "an address": "file://{path}",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_and_addresses_are_refused(kind, tmp_path, monkeypatch):
    """A playlist could read the worker's disk or reach hosts that only the worker can reach."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.wav").write_bytes(wav(note()))
    (tmp_path / "list.m3u8").write_text(PLAYLISTS[kind].format(path=tmp_path / "note.wav"))
    with (
        (tmp_path / "list.m3u8").open("rb") as source,
        pytest.raises(InvalidInput, match=r"'list.m3u8' is not a recording"),
        open_track(source),
    ):
        pass


@pytest.mark.parametrize("junk", [b"", b"<html><body>404 Not Found</body></html>" * 20, bytes(5000)])
def test_bytes_that_are_not_a_recording_are_refused(junk):
    """An error page under an audio file's name, for example."""
    with (
        pytest.raises(InvalidInput, match="the recording is not a recording that can be read here"),
        open_track(io.BytesIO(junk)),
    ):
        pass


def test_a_file_without_a_name_of_its_own_is_read_from_its_first_byte(tmp_path):
    """Temporary files have numbers for names, and others may have read from the file before."""
    with (tmp_path / "note.wav").open("w+b", buffering=0) as named:
        named.write(wav(note()))
        named.read()
        with open(named.fileno(), "rb", closefd=False) as numbered, open_track(numbered) as found:
            assert found.name == "the recording"
            assert sum(frame.samples for frame in found.frames()) == len(note())
        with open_track(named) as found:
            assert found.name == "'note.wav'"


@pytest.mark.parametrize(
    ("codec", "container", "rate", "layout"),
    [
        ("libopus", "ogg", 48_000, "mono"),
        ("libopus", "webm", 48_000, "stereo"),
        ("libmp3lame", "mp3", 44_100, "stereo"),
        ("aac", "adts", 22_050, "mono"),
        ("aac", "ipod", 44_100, "stereo"),
        ("aac", "mpegts", 44_100, "mono"),
        ("flac", "flac", 16_000, "mono"),
        ("alac", "ipod", 44_100, "5.1"),
        ("pcm_s16be", "aiff", 11_025, "mono"),
        ("pcm_mulaw", "au", 8_000, "mono"),
        ("ac3", "ac3", 48_000, "5.1"),
        ("mp2", "mpeg", 44_100, "mono"),
        ("adpcm_ima_wav", "wav", 22_050, "stereo"),
    ],
)
def test_odd_formats_sound_as_long_as_they_are(codec, container, rate, layout):
    """Whatever the phone system, the browser or the camera writes: decoded or by its packets, it is twelve seconds."""
    recording = encoded(note(), codec, container, rate=rate, layout=layout)
    sound, found = heard(recording)
    assert len(sound) / RATE == pytest.approx(len(note()) / RATE, abs=0.15)
    assert loudest(sound) > 3000
    assert found.broken == 0
    with open_track(io.BytesIO(recording)) as again:
        total = sum(packet_seconds(again, packet) for packet in again.packets())
    assert total == pytest.approx(len(note()) / RATE, abs=0.15)


@pytest.mark.parametrize(
    ("tag", "rate", "channels", "width"),
    [(1, 8_000, 1, 1), (1, 192_000, 6, 3), (1, 16_000, 3, 2), (1, 7_350, 7, 4), (3, 11_025, 16, 8), (6, 8_000, 2, 1)],
)
def test_odd_sample_formats_rates_and_layouts_are_read(tag, rate, channels, width):
    """Half a second is half a second with any number of channels, widths from one to eight bytes, at any rate."""
    sound, _ = heard(raw_wav(bytes(rate // 2 * channels * width), tag=tag, rate=rate, channels=channels, width=width))
    assert len(sound) == pytest.approx(RATE / 2, abs=20)


def test_the_sound_of_a_video_is_read():
    """Pictures are passed over; only the sound track counts."""
    sound, _ = heard(encoded(note(), "aac", "mov", rate=44_100, video=True))
    assert len(sound) / RATE == pytest.approx(len(note()) / RATE, abs=0.15)


def test_the_first_track_is_the_recording():
    """Recordings with several tracks have one that players play; it counts unless it is silent beside another."""
    recording = encoded(note(), "libmp3lame", "matroska", tracks=[note()[: 6 * RATE], note()])
    assert len(heard(recording)[0]) / RATE == pytest.approx(6, abs=0.15)
    recording = encoded(note(), "libmp3lame", "matroska", tracks=[array("h", bytes(2 * 6 * RATE)), note()])
    assert len(heard(recording)[0]) / RATE == pytest.approx(12, abs=0.15)


def test_a_video_without_sound_is_refused():
    """There is nothing to transcribe."""
    recording = encoded(note(), "aac", "mov", rate=44_100, video=True, tracks=[])
    with pytest.raises(InvalidInput, match="has no sound tracks"):
        heard(recording)


def test_a_rate_that_changes_on_the_way_is_followed():
    """Two files laid end to end, as some recorders do after a pause."""
    recording = encoded(note(), "libmp3lame", "mp3", rate=16_000) + encoded(note(), "libmp3lame", "mp3", rate=44_100)
    assert len(heard(recording)[0]) / RATE == pytest.approx(2 * len(note()) / RATE, abs=0.3)


@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("aac", "adts"), ("flac", "flac")])
def test_damage_in_the_middle_is_skipped_and_counted(codec, container):
    """A bad sector costs a moment, not the transcript."""
    recording = bytearray(encoded(note(), codec, container))
    noise, third = random.Random(4), len(recording) // 3
    for _ in range(6):
        at = noise.randrange(third, 2 * third)
        recording[at : at + 60] = noise.randbytes(60)
    sound, found = heard(bytes(recording))
    assert found.broken > 0
    assert len(sound) / RATE == pytest.approx(len(note()) / RATE, abs=3)


def test_a_truncated_file_gives_what_is_there():
    """An upload that broke off is transcribed as far as it goes."""
    recording = encoded(note(), "libopus", "ogg", rate=48_000)
    sound, _ = heard(recording[: len(recording) // 2])
    assert 4 < len(sound) / RATE < 8


def damaged(recording, intact):
    """An M4A of which only the first part of the sound can be decoded."""
    start, end = recording.index(b"mdat") + 4, recording.index(b"moov") - 4
    start += int((end - start) * intact)
    return recording[:start] + b"\xff" * (end - start) + recording[end:]


def test_a_file_that_is_mostly_damage_is_refused():
    """Half a transcript of half a recording helps nobody and is paid for in full."""
    recording = encoded(talk(4)[0], "aac", "ipod", rate=44_100)
    with pytest.raises(InvalidInput, match=r"is damaged: 1,001 of 1,\d+ packets"):
        heard(damaged(recording, 0.1))


def test_damage_that_leaves_less_than_half_is_refused_in_the_end():
    """Short files never reach the number of breaks that ends long ones early."""
    recording = encoded(note(), "aac", "ipod", rate=44_100)
    with pytest.raises(InvalidInput, match="is damaged"):
        heard(damaged(recording, 0.3))
    assert len(heard(damaged(recording, 0.8))[0]) / RATE > 8


def test_a_track_in_which_nothing_can_be_decoded_is_refused():
    """Noise under the name of a codec is no sound."""
    with pytest.raises(InvalidInput, match=r"nothing can be decoded|is damaged"):
        heard(damaged(encoded(note(), "aac", "ipod", rate=44_100), 0))


def test_a_recording_that_is_too_long_is_given_up(monkeypatch):
    """Kilobytes may decode to days."""
    monkeypatch.setattr(decoding, "MAX_SECONDS", 3.6)
    with pytest.raises(InvalidInput, match=r"longer than 0\.001 hours"):
        heard(wav(note()))


def test_too_many_packets_are_given_up(monkeypatch):
    """A file of countless empty packets never gets any longer."""
    monkeypatch.setattr(decoding, "MAX_PACKETS", 10)
    with pytest.raises(InvalidInput, match="more than 10 packets"):
        heard(wav(note()))


def test_a_frame_of_minutes_is_refused():
    """A frame of a thousand samples at eight a second would fill the memory once it is brought to the usual rate."""
    recording = encoded(note(), "pcm_s16le", "matroska")
    recording = recording.replace(struct.pack(">d", RATE), struct.pack(">d", 8.0))
    with pytest.raises(InvalidInput, match="8 samples per second, too few for sound"):
        heard(recording)


def test_silent_bombs_are_bounded_before_the_memory_is(monkeypatch):
    """Ten minutes of FLAC silence in kilobytes stop at the bound, not after it."""
    recording = encoded(array("h", bytes(2 * 600 * RATE)), "flac", "flac")
    assert len(recording) * 100 < 2 * 600 * RATE
    monkeypatch.setattr(decoding, "MAX_SECONDS", 60)
    with open_track(io.BytesIO(recording)) as found:
        with pytest.raises(InvalidInput, match="longer than"):
            list(found.frames())
        assert found.seconds < 70


def test_a_source_that_fails_says_so_itself():
    """A lost connection to a bucket is not a damaged file: it may work the next time."""

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 100_000:
                raise ConnectionResetError("the bucket is gone")
            return super().read(size)

    with (
        open_track(Failing(wav(talk(3)[0]))) as found,
        pytest.raises(ConnectionResetError, match="the bucket is gone"),
    ):
        list(found.frames())


def test_the_end_of_a_wav_that_promises_more_is_the_end():
    """Piped WAV files claim four gigabytes."""
    recording = bytearray(wav(note()))
    recording[4:8] = recording[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert len(heard(bytes(recording))[0]) == len(note())


def test_tags_in_another_encoding_do_not_matter():
    """Old tags are Latin-1 and say they are not."""
    tag = b"TPE1" + struct.pack(">I", 5) + b"\0\0" + b"\x03\xe9\xe8\xff\xfe"
    head = b"ID3\x04\0\0" + bytes([0, 0, 0, len(tag)]) + tag
    assert len(heard(head + encoded(note(), "libmp3lame", "mp3"))[0]) / RATE == pytest.approx(12, abs=0.3)


def test_a_codec_nobody_knows_is_refused():
    """Better now than a transcript of nothing."""
    recording = encoded(note(), "libmp3lame", "matroska").replace(b"A_MPEG/L3", b"A_OTHER/9")
    with pytest.raises(InvalidInput, match=r"a codec that cannot be decoded here|nothing can be decoded"):
        heard(recording)


def test_reading_that_fails_for_ever_ends():
    """A demuxer that neither goes on nor ends is left after a while, with what there was."""

    class Stuck:
        format = av.format.ContainerFormat("wav", "r")

        def demux(self, _):
            raise av.error.InvalidDataError(1, "stuck")

    with open_track(io.BytesIO(wav(note()))) as found:
        stuck = AudioTrack(Stuck(), found.stream, "it")
        assert list(stuck.packets()) == []
        assert stuck.broken == 100


def test_packets_without_a_length_count_for_nothing():
    """The empty packet at the end has none, and what has no time base has none that can be known."""
    with open_track(io.BytesIO(wav(note()))) as found:
        assert [packet_seconds(found, packet) for packet in found.packets()][-1] == 0
        assert packet_seconds(found, av.Packet(b"abc")) == 0
