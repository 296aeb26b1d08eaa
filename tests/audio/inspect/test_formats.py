"""What bytes are, told from the bytes alone, and the names that uploads get."""

from __future__ import annotations

import io
import struct

import pytest

from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.formats import identify, sniff, upload_name

FRAME = b"\xff\xfb\x90\x64" + b"\0" * 413
ADTS = bytes.fromhex("fff150400a1ffc") + b"\0" * 73
TAG = b"ID3\4\0\0\0\0\2\0" + b"\xff\xfb\x90\x64" * 64


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def track(handler):
    return box(b"trak", box(b"mdia", box(b"hdlr", b"\0" * 8, handler, b"\0" * 12)))


def ftyp(brand, *compatible):
    return box(b"ftyp", brand, b"\0\0\2\0", *compatible)


ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
EBML = b"\x1aE\xdf\xa3\x9fB\x82\x84"
SAMPLES = {
    "MP3, bare": (FRAME * 3, formats.MP3),
    "MP3, the last frame fills the head": (FRAME, formats.MP3),
    "MP3 behind a tag": (TAG + FRAME * 3, formats.MP3),
    "MP3 behind a tag longer than the head": (b"ID3\3\0\0\0\x7f\0\0" + b"\0" * 200, formats.MP3),
    "MP3 behind two tags": (TAG + TAG + FRAME * 3, formats.MP3),
    "MP3 behind padding": (b"\0" * 1000 + FRAME * 3, formats.MP3),
    "tag with nothing known behind it": (TAG + b"\0" * 3000, formats.MP3),
    "Layer II": ((b"\xff\xfd\x90\x04" + b"\0" * 518) * 3, formats.MP2),
    "AAC": (ADTS * 3, formats.AAC),
    "AAC behind a tag": (TAG + ADTS * 3, formats.AAC),
    "WAV": (b"RIFF\0\0\0\0WAVEfmt ", formats.WAV),
    "RF64": (b"RF64\xff\xff\xff\xffWAVEds64", formats.WAV),
    "Wave64": (b"riff.\x91\xcf\x11\xa5\xd6(\xdb", formats.WAVE64),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", formats.AVI),
    "some RIFF": (b"RIFF\0\0\0\0WEBPVP8 ", None),
    "AIFF": (b"FORM\0\0\0\0AIFFCOMM", formats.AIFF),
    "AIFC": (b"FORM\0\0\0\0AIFCFVER", formats.AIFF),
    "M4A": (ftyp(b"M4A ", b"isom"), formats.M4A),
    "M4A by a compatible brand": (ftyp(b"mp42", b"isom", b"M4A "), formats.M4A),
    "audio book with pictures": (ftyp(b"M4B ") + box(b"moov", track(b"soun"), track(b"vide")), formats.M4A),
    "MP4 of sound": (ftyp(b"isom") + box(b"moov", track(b"soun")), formats.M4A),
    "MP4 with video": (ftyp(b"isom") + box(b"moov", track(b"soun"), track(b"vide")), formats.MP4),
    "MP4, unseen": (ftyp(b"isom") + b"\0\0\xff\xffmdat", formats.MP4),
    "MP4, half seen": (ftyp(b"isom") + box(b"moov", track(b"soun"), track(b"vide"))[:60], formats.MP4),
    "MOV": (ftyp(b"qt  ") + box(b"moov", track(b"vide")), formats.MOV),
    "MOV of old": (b"\0\0\0\x08wide\0\0\xff\xffmdat", formats.MOV),
    "AVIF": (ftyp(b"avif"), formats.IMAGE),
    "Ogg Vorbis": (b"OggS\0\2" + b"\0" * 22 + b"\x01vorbis", formats.OGG_VORBIS),
    "Ogg Opus": (b"OggS\0\2" + b"\0" * 22 + b"OpusHead", formats.OGG_OPUS),
    "Ogg Speex": (b"OggS\0\2" + b"\0" * 22 + b"Speex   ", formats.OGG_OTHER),
    "Ogg Theora": (b"OggS\0\2" + b"\0" * 22 + b"\x80theora", formats.OGG_VIDEO),
    "FLAC": (b"fLaC\0\0\0\x22", formats.FLAC),
    "WebM": (EBML + b"webm" + b"\x86\x85V_VP9\x86\x86A_OPUS", formats.WEBM),
    "WebM of sound": (EBML + b"webm" + b"\x86\x86A_OPUS", formats.WEBM_AUDIO),
    "Matroska": (EBML + b"matroska", formats.MKV),
    "Matroska of sound": (EBML + b"matroska\x86\x86A_OPUS", formats.MKA),
    "AMR": (b"#!AMR\n\x04", formats.AMR),
    "AMR-WB": (b"#!AMR-WB\n\x04", formats.AMR),
    "CAF": (b"caff\0\1\0\0desc", formats.CAF),
    "AU": (b".snd\0\0\0\x18", formats.AU),
    "WMA": (ASF + b"\0" * 90, formats.WMA),
    "WMV": (ASF + b"\0" * 90 + ASF_VIDEO, formats.WMV),
    "MPEG-TS": ((b"G" + b"\0" * 187) * 4, formats.MPEG_TS),
    "MPEG-TS of a camera": (b"\0\0\0\0" + (b"G" + b"\xff" * 191) * 4, formats.MPEG_TS),
    "MPEG-PS": (b"\0\0\x01\xba\x44", formats.MPEG_PS),
    "HTML": (b"\xef\xbb\xbf\n <!DOCTYPE html><p>Not found", formats.HTML),
    "HTML without a doctype": (b"<!-- proxy -->\n<HTML lang=en>", formats.HTML),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", formats.XML),
    "JSON": (b' {"error": "no"}', formats.JSON),
    "JSON list": (b"[1, 2]", formats.JSON),
    "playlist": (b"#EXTM3U\n#EXTINF:9\nfile:///etc/passwd", formats.PLAYLIST),
    "list to join": (b"ffconcat version 1.0\nfile x", formats.PLAYLIST),
    "text": ("Grüße, hier ist das Protokoll.".encode(), formats.TEXT),
    "text cut within a character": (("ä" * 600).encode()[:1023], formats.TEXT),
    "text of Latin-1": (b"caf\xe9 ist zu, mehr steht hier nicht", None),
    "PDF": (b"%PDF-1.7", formats.PDF),
    "ZIP": (b"PK\x03\x04", formats.ZIP),
    "gzip": (b"\x1f\x8b\x08", formats.GZIP),
    "PNG": (b"\x89PNG\r\n", formats.IMAGE),
    "JPEG": (b"\xff\xd8\xff\xe0", formats.IMAGE),
    "nothing": (b"", None),
    "zeros": (b"\0" * 5000, None),
    "one byte": (b"\xff", None),
    "no frame follows": (b"junk" + FRAME[:300] + b"\0" * 3000, None),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_say_what_they_are(name):
    """Every format is told by its first bytes, and what is no sound is named as what it is."""
    data, expected = SAMPLES[name]
    assert identify(io.BytesIO(data), len(data)) == expected


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "MP4 of sound" and "tag" not in name])
def test_the_beginning_is_enough_for_most(name):
    """Only behind tags and in an MP4 has to be read further: whether there is video is in its table of contents."""
    head, expected = SAMPLES[name]
    assert sniff(head) == expected


def movie(*handlers):
    return ftyp(b"isom") + box(b"mdat", b"\0" * 50_000) + box(b"moov", *map(track, handlers))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (movie(b"soun"), formats.M4A),
        (movie(b"vide", b"soun"), formats.MP4),
        (movie(b"soun")[:-30], formats.MP4),
        (ftyp(b"M4A ") + b"\0\0\xff\xffmdat", formats.M4A),
        (b"ID3\3\0\0\0\0\x7f\0" + b"\xff\xfb" * 8128 + ADTS * 9, formats.AAC),
        (b"ID3\3\0\0\0\0\x7f\0" + b"\0" * 16256 + TAG + FRAME * 9, formats.MP3),
        (b"ID3\3\0\0\0\0\x7f\0" + b"\0" * 16256 + b"ID3\3\0\0\0\0\x7f\0" + b"\0" * 16256 + FRAME * 9, formats.MP3),
        (b"ID3\3\0\0\0\x7f\0\0" + b"\0" * 400, formats.MP3),
        (TAG + FRAME * 9, formats.MP3),
        (b"", None),
    ],
)
def test_a_file_is_searched_where_its_head_says_too_little(data, expected):
    """Tags of any size are passed over, and an MP4's tracks are found at its end."""
    assert identify(io.BytesIO(data), len(data)) == expected


def test_what_the_service_takes():
    """Audio models take five formats; the video model takes four more, and nobody takes the rest."""
    known = [value for value in vars(formats).values() if isinstance(value, formats.Format)]
    audio = {kind.suffix for kind in known if kind.accepted(takes_video=False)}
    video = {kind.suffix for kind in known if kind.accepted(takes_video=True)}
    assert audio == {".mp3", ".wav", ".m4a", ".ogg", ".aac"}
    assert video - audio == {".mp4", ".mov", ".mkv", ".avi"}
    assert not formats.HTML.is_media
    assert formats.FLAC.is_media


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("call.mp3", formats.MP3, "call.mp3"),
        ("Call.MP3", formats.MP3, "Call.mp3"),
        ("call.mp3", formats.WAV, "call.wav"),
        ("talk.opus", formats.OGG_OPUS, "talk.ogg"),
        ("book.m4b", formats.M4A, "book.m4a"),
        ("film.mp4", formats.MP4, "film.mp4"),
        ("film.mp4", formats.M4A, "film.m4a"),
        ("talk.oga", formats.OGG_OTHER, "talk.oga"),
        ("talk.webm", formats.WEBM_AUDIO, "talk.webm"),
        ("v1.2", formats.MP3, "v1.2.mp3"),
        ("call", formats.WAV, "call.wav"),
        ("call.xyz", None, "call.xyz"),
        ("", None, "audio"),
        (".mp3", formats.MP3, "audio.mp3"),
        ("../../etc/passwd", formats.MP3, "passwd.mp3"),
        ("C:\\calls\\a.wav", formats.WAV, "a.wav"),
        ('a"b\r\nX: y;%0a.mp3', formats.MP3, "a_bX_ y__0a.mp3"),
        ("Besprechung Größe.mp3", formats.MP3, "Besprechung Größe.mp3"),
        ("\u202egpj.mp3", formats.MP3, "gpj.mp3"),
        ("x" * 300 + ".mp3", formats.MP3, "x" * 116 + ".mp3"),
    ],
)
def test_names_of_uploads_are_safe_and_true(given, kind, expected):
    """The suffix agrees with the bytes, and nothing in a name is a path, a header or too long."""
    assert upload_name(given, kind) == expected
