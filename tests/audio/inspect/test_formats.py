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


def ogg(*packets):
    """The first page of each stream, one after the other."""
    heads = [b"OggS\0\2" + b"\0" * 8 + bytes([serial]) + b"\0" * 11 for serial in range(len(packets))]
    return b"".join(head + bytes([1, len(packet)]) + packet for head, packet in zip(heads, packets, strict=True))


def tone(*entries):
    """A track of sound whose codecs have these four letters."""
    stsd = box(b"stsd", struct.pack(">II", 0, len(entries)), *(box(entry, b"\0" * 28) for entry in entries))
    return box(b"trak", box(b"mdia", box(b"hdlr", b"\0" * 8, b"soun", b"\0" * 12), box(b"minf", box(b"stbl", stsd))))


def riff_wav(tag):
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, tag, 1, 8000, 8000, 1, 8)


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
    "Ogg Vorbis": (ogg(b"\x01vorbis"), formats.OGG_VORBIS),
    "Ogg Opus": (ogg(b"OpusHead"), formats.OGG_OPUS),
    "Ogg Speex": (ogg(b"Speex   "), formats.OGG_OTHER),
    "Ogg Theora": (ogg(b"\x80theora"), formats.OGG_VIDEO),
    "Ogg Opus with Skeleton": (ogg(b"fishead\0" + b"\0" * 56, b"OpusHead"), formats.OGG_OPUS),
    "Ogg Vorbis with Skeleton behind": (ogg(b"\x01vorbis", b"fishead\0"), formats.OGG_VORBIS),
    "Ogg Opus with Kate": (ogg(b"\x80kate\0\0", b"OpusHead"), formats.OGG_OPUS),
    "Ogg Dirac": (ogg(b"OpusHead", b"BBCD\0"), formats.OGG_VIDEO),
    "Ogg VP8": (ogg(b"OVP80\1", b"OpusHead"), formats.OGG_VIDEO),
    "OGM": (ogg(b"\x01vorbis", b"\x01video\0\0"), formats.OGG_VIDEO),
    "Opus named in a comment": (ogg(b"Speex   OpusHead"), formats.OGG_OTHER),
    "M4A of AAC": (ftyp(b"M4A ") + box(b"moov", tone(b"mp4a")), formats.M4A),
    "M4A of AC-3": (ftyp(b"M4A ") + box(b"moov", tone(b"ac-3")), formats.M4A_OTHER),
    "MP4 of Opus": (ftyp(b"isom") + box(b"moov", tone(b"Opus")), formats.M4A_OTHER),
    "WAV of PCM": (riff_wav(1), formats.WAV),
    "WAV of MP3": (riff_wav(0x55), formats.WAV_OTHER),
    "WAV of ADPCM": (riff_wav(2), formats.WAV_OTHER),
    "MP3 behind much padding": (b"\0" * 60_000 + FRAME * 3, formats.MP3),
    "MP3 behind more padding than FFmpeg takes": (b"\0" * 100_000 + FRAME * 3, None),
    "MP3 behind padding of ones": (b"\xff" * 8000 + FRAME * 3, formats.MP3),
    "MP3 behind tag and padding": (TAG + b"\0" * 8000 + FRAME * 3, formats.MP3),
    "AAC behind padding": (b"\0" * 8000 + ADTS * 3, formats.AAC),
    "AC-3": ((b"\x0b\x77\0\0\x14\x40" + b"\1" * 400) * 3, formats.AC3),
    "E-AC-3": ((b"\x0b\x77\1\x7f\x3f\x86" + b"\1" * 400) * 3, formats.EAC3),
    "DTS": (b"\x7f\xfe\x80\x01\xfc", formats.DTS),
    "LATM": ((b"\x56\xe0\x20" + b"\1" * 32) * 3, formats.LATM),
    "WavPack": (b"wvpk\0\1\0\0", formats.WAVPACK),
    "True Audio": (b"TTA1\1\0", formats.TTA),
    "Monkey's Audio": (b"MAC \x96\x0f", formats.MONKEYS),
    "Musepack": (b"MP+\x07", formats.MUSEPACK),
    "Creative Voice": (b"Creative Voice File\x1a\x1a\0", formats.VOC),
    "Flash audio": (b"FLV\1\4\0\0\0\x09", formats.FLV_AUDIO),
    "Flash video": (b"FLV\1\5\0\0\0\x09", formats.FLV),
    "MIDI": (b"MThd\0\0\0\6", formats.MIDI),
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


TOLD_FURTHER_ON = {name for name in SAMPLES if name.startswith(("MP4 of", "M4A of", "WAV of")) or "padding" in name}


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in TOLD_FURTHER_ON and "tag" not in name])
def test_the_beginning_is_enough_for_most(name):
    """Only behind tags and padding, and in an MP4 or WAV, has to be read further: which codecs there are."""
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


@pytest.mark.parametrize("tracks", [[(b"mp4a", b"enca")], [(b"enca", b"mp4a")], [(b"mp4a",), (b"mp4a", b"drms")]])
def test_a_recording_whose_beginning_is_in_the_clear_is_encrypted(tracks):
    """Shops leave the first seconds open; the service would hear those, and be paid for all."""
    data = ftyp(b"M4A ") + box(b"moov", *(tone(*entries) for entries in tracks))
    found = identify(io.BytesIO(data), len(data))
    assert not found.is_media
    assert "encrypted" in found.refusal


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
