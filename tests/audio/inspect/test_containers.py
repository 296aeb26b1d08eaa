"""What each container says of its length, and what of it is not believed; the bytes are made by hand."""

from __future__ import annotations

import io
import struct

import pytest

from airflow_provider_nanostt.audio.inspect.containers import Doubtful, amr, asf, flac, mp4, mpeg, ogg, riff

FRAME = b"\xff\xfb\x90\x64" + b"\0" * 413
"""MPEG 1 layer III, 128 kb/s, 44.1 kHz: 417 bytes, 1152 samples."""
FRAME_SECONDS = 1152 / 44_100


def found(measure, data, *, whole=True):
    return measure(io.BytesIO(data), len(data), whole=whole)


def doubted(measure, data, words, *, whole=True):
    with pytest.raises(Doubtful, match=words):
        found(measure, data, whole=whole)


# MPEG


@pytest.mark.parametrize(
    ("header", "length", "seconds"),
    [
        ("fffb9064", 417, 1152 / 44_100),
        ("fffb9264", 418, 1152 / 44_100),
        ("fff39064", 261, 576 / 22_050),
        ("ffe39064", 522, 576 / 11_025),
        ("fffd9064", 522, 1152 / 44_100),
        ("ffff9064", 312, 384 / 44_100),
        ("ffff9264", 316, 384 / 44_100),
        ("fff59064", 522, 1152 / 22_050),
        ("fff79064", 312, 384 / 22_050),
    ],
)
def test_frames_have_the_length_their_header_says(header, length, seconds):
    """Every version and layer of MPEG audio has its own arithmetic."""
    frame = bytes.fromhex(header)
    frame += b"\0" * (length - 4)
    assert found(mpeg.measure_mp3, frame * 50).seconds == pytest.approx(50 * seconds)


@pytest.mark.parametrize("header", ["fffb0064", "fffbf064", "fffb9c64", "ffeb9064", "fff99064", "fedb9064"])
def test_what_is_no_header_is_no_frame(header):
    """Free and forbidden bit rates, rates, versions and layers make no frame."""
    assert mpeg.first_frame((bytes.fromhex(header) + b"\0" * 413) * 9) is None


def test_tags_behind_the_frames_do_not_count():
    """ID3v1 and APE tags at the end are no sound."""
    ape = b"x" * 400 + b"APETAGEX" + struct.pack("<IIII", 2000, 432, 1, 0) + b"\0" * 8
    trailer = ape + b"TAG" + b"\0" * 125
    assert found(mpeg.measure_mp3, FRAME * 100 + trailer).seconds == pytest.approx(100 * FRAME_SECONDS)
    with_header = ape[:-16] + struct.pack("<II", 1, 1 << 31) + b"\0" * 8
    data = FRAME * 1000 + b"APETAGEX" + b"\0" * 24 + with_header
    assert found(mpeg.measure_mp3, data, whole=False).seconds == pytest.approx(1000 * FRAME_SECONDS, rel=0.005)


def test_a_vbri_header_is_believed_if_it_accounts_for_the_bytes():
    """Fraunhofer's encoder writes a header of its own."""
    first = FRAME[:36] + b"VBRI\0\1\0\0\0\0" + struct.pack(">II", 417 * 100, 99) + b"\0" * (417 - 54)
    assert found(mpeg.measure_mp3, first + FRAME * 99).seconds == pytest.approx(99 * FRAME_SECONDS)
    assert found(mpeg.measure_mp3, first + FRAME * 200).seconds == pytest.approx(201 * FRAME_SECONDS)


def test_a_xing_header_without_bytes_is_not_enough():
    """What cannot be held against the file is counted instead."""
    first = FRAME[:36] + b"Xing\0\0\0\1" + struct.pack(">I", 5000) + b"\0" * (417 - 48)
    assert found(mpeg.measure_mp3, first + FRAME * 99).seconds == pytest.approx(100 * FRAME_SECONDS)


def test_junk_between_frames_is_passed_over():
    """A tag, or a few strange bytes, in the middle of a joined file hide none of the frames behind them."""
    tag = b"ID3\3\0\0\0\0\1\0" + b"\xff" * 128
    data = FRAME * 100 + tag + FRAME * 100 + b"\xff\xfb" + FRAME * 100
    assert found(mpeg.measure_mp3, data).seconds == pytest.approx(300 * FRAME_SECONDS)


def test_a_tag_in_the_middle_is_passed_over_whatever_its_size():
    """The cover of the second of two joined files counts neither as sound nor as damage."""
    tag = b"ID3\3\0\0\0\x7f\0\0" + FRAME[:4] * (127 << 12)
    data = FRAME * 100 + tag + FRAME * 100
    assert found(mpeg.measure_mp3, data).seconds == pytest.approx(200 * FRAME_SECONDS)


def test_frames_that_do_not_fill_the_probes_prove_nothing():
    """A bit rate that is the same in three places says nothing of what lies between other things."""
    data = FRAME * 200
    assert found(mpeg.measure_mp3, data, whole=False).seconds == pytest.approx(200 * FRAME_SECONDS, rel=0.005)
    doubted(mpeg.measure_mp3, data + b"\0" * 5000, "other things", whole=False)
    first = FRAME[:36] + b"Xing\0\0\0\3" + struct.pack(">II", 5000, 2_085_000) + b"\0" * (417 - 52)
    doubted(mpeg.measure_mp3, first + data, "more or less", whole=False)


@pytest.mark.parametrize("header", ["fff17c400a1ffc", "fff15040001ffc", "fff350400a1ffc"])
def test_what_is_no_adts_header_is_no_frame(header):
    """Rates there are not, lengths shorter than the header, and layers make no frame."""
    assert mpeg.first_adts((bytes.fromhex(header) + b"\0" * 73) * 9) is None


def test_mostly_junk_is_doubtful():
    """A file that is not what it began as is not measured by its beginning."""
    doubted(mpeg.measure_mp3, FRAME * 10 + b"\0" * 100_000, "much of the file")
    doubted(mpeg.measure_mp3, (FRAME * 2 + b"\xff") * 2100, "much of the file")
    doubted(mpeg.measure_mp3, FRAME * 10 + b"\0" * 12_000_000, "much of the file")


def test_tags_without_anything_behind_them():
    """A file that ends within its tags has no frames; eight tags in a row are enough."""
    doubted(mpeg.measure_mp3, b"ID3\3\0\0\0\x7f\0\0" + b"\0" * 50, "tags")
    doubted(mpeg.measure_mp3, b"ID3\3\0\0\0\0\0\0" * 9 + FRAME * 5, "tags")
    doubted(mpeg.measure_mp3, b"\0" * 5000, "no MPEG frames")
    doubted(mpeg.measure_adts, b"\0" * 5000, "no ADTS frames")


def test_a_footer_belongs_to_the_tag():
    """An ID3v2 tag may repeat its header at its end."""
    assert mpeg.id3_size(b"ID3\4\0\x10\0\0\1\0") == 148
    assert mpeg.id3_size(b"ID3\4\0\0\x80\0\0\0") == 0


# WAV


def chunk(mark, body):
    return mark + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def fmt(tag=1, channels=1, rate=8000, bits=16, block=None, speed=None, extra=b""):
    block = channels * bits // 8 if block is None else block
    speed = rate * block if speed is None else speed
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, speed, block, bits) + extra)


def riffed(*chunks, mark=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    return mark + struct.pack("<I", len(body)) + body


SOUND = b"\1\2" * 8000
GUID = struct.pack("<HHIH", 22, 16, 4, 1) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


@pytest.mark.parametrize(
    "data",
    [
        riffed(fmt(), chunk(b"data", SOUND)),
        riffed(chunk(b"LIST", b"odd"), fmt(), chunk(b"data", SOUND), chunk(b"LIST", b"x" * 9000)),
        riffed(fmt(tag=0xFFFE, extra=GUID), chunk(b"data", SOUND)),
        riffed(fmt(tag=3, rate=2000, bits=64), chunk(b"data", SOUND)),
        riffed(
            chunk(b"ds64", struct.pack("<QQQI", 0, len(SOUND), 8000, 0)),
            fmt(),
            b"data\xff\xff\xff\xff" + SOUND + chunk(b"LIST", b"x" * 9000),
            mark=b"RF64",
        ),
        riffed(fmt(), b"data\0\0\0\0" + SOUND),
        riffed(
            fmt(tag=0x31, bits=0, block=65, speed=1625, extra=struct.pack("<HH", 2, 320)),
            chunk(b"fact", struct.pack("<I", 8000)),
            chunk(b"data", b"\0" * 1625),
        ),
    ],
)
def test_a_second_of_wav(data):
    """PCM of every kind is its bytes; what is compressed must say the same in two places."""
    assert found(riff.measure, data).seconds == pytest.approx(1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (riffed(), "not complete"),
        (riffed(fmt()), "not complete"),
        (riffed(chunk(b"data", SOUND)), "not complete"),
        (riffed(fmt()) + b"data", "not complete"),
        (riffed(fmt(block=4), chunk(b"data", SOUND)), "contradicts"),
        (riffed(fmt(rate=1), chunk(b"data", SOUND)), "contradicts"),
        (riffed(fmt(tag=0x55, bits=0, block=1, speed=1000), chunk(b"data", SOUND)), "does not say"),
        (
            riffed(
                fmt(tag=0x55, bits=0, block=1, speed=1000),
                chunk(b"fact", struct.pack("<I", 8000)),
                chunk(b"data", SOUND),
            ),
            "two things",
        ),
        (riffed(*[chunk(b"LIST", b"")] * 300, fmt(), chunk(b"data", SOUND)), "not complete"),
    ],
)
def test_a_wav_that_makes_no_sense(data, words):
    """Headers that lack or contradict something are doubtful."""
    doubted(riff.measure, data, words)


def test_a_wave64_is_read_too():
    """Chunks of Wave64 have long names, and lengths that count themselves."""
    rest = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    parts = ((b"fmt ", fmt()[8:]), (b"fact", b"x" * 3), (b"data", SOUND))
    chunks = b"".join(m + rest + struct.pack("<Q", len(b) + 24) + b + b"\0" * (-len(b) % 8) for m, b in parts)
    data = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + b"\0" * 8 + b"wave" + rest + chunks
    assert found(riff.measure, data).seconds == 1


def test_the_other_byte_order_is_read_too():
    """RIFX is a WAV with its numbers the other way round."""
    body = b"WAVEfmt \0\0\0\x10" + struct.pack(">HHIIHH", 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack(">I", 16000)
    assert found(riff.measure, b"RIFX\0\0\0\0" + body + SOUND).seconds == 1


# FLAC


def flac_file(*, total=8000, rate=8000, block=(4096, 4096), frames=((0, True), (1, True)), mark=b"fLaC"):
    info = struct.pack(">HH", *block) + b"\0" * 6 + (rate << 44 | 15 << 36 | total).to_bytes(8, "big") + b"\0" * 16
    body = b"".join(flac_frame(number, fixed=fixed) for number, fixed in frames)
    return mark + b"\x80\0\0\x22" + info + body


def crc8(data):
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
    return value


def flac_frame(number, *, fixed=True):
    coded = bytes((number,)) if number < 0x80 else chr(number).encode("utf-8", "surrogatepass")
    head = b"\xff" + (b"\xf8" if fixed else b"\xf9") + b"\xc4\x08" + coded
    return head + bytes((crc8(head),)) + b"\x11" * 500


@pytest.mark.parametrize(
    "data",
    [
        flac_file(),
        flac_file(total=0, frames=((0, True),)),
        flac_file(total=800_000, rate=800_000, frames=((194, True), (195, True))),
        flac_file(total=90_000, rate=90_000, block=(16, 4096), frames=((81_904, False), (85_904, False))),
    ],
)
def test_a_flac_whose_end_bears_out_its_beginning(data):
    """Numbers of frames and of samples, in one byte or several, are read from the last frame."""
    assert 0.5 <= found(flac.measure, data).seconds <= 1.05


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (flac_file(mark=b"fLaX"), "not complete"),
        (flac_file(rate=0), "no sense"),
        (flac_file(frames=()), "no FLAC frame"),
        (flac_file(total=80_000), "does not bear out"),
        (flac_file(total=0, frames=((90, True), (1, True))), "nothing of its length"),
        (flac_file(frames=()) + b"\xff\xf8\xc4\x08\xbf" + b"\0" * 40, "no FLAC frame"),
        (flac_file(frames=()) + b"\xff\xf8\x04\x08\x01" + b"\0" * 40, "no FLAC frame"),
    ],
)
def test_a_flac_that_is_doubtful(data, words):
    """Without a last frame that fits, its claim is not believed."""
    doubted(flac.measure, data, words)


def test_two_flacs_in_one_file_are_not_measured_by_the_last():
    """The middle must lie between the beginning and the end."""
    numbers = [(number, True) for number in range(1200)]
    one = flac_file(total=1200 * 4096, frames=numbers)
    assert found(flac.measure, one).seconds == pytest.approx(1200 * 4096 / 8000)
    doubted(flac.measure, one + one, "fit together")


# AMR


@pytest.mark.parametrize(
    ("mark", "frames", "count"),
    [
        (b"#!AMR\n", b"\x3c" + b"\n" * 31, 1),
        (b"#!AMR\n", b"\x04" + b"x" * 12 + b"\x7c", 2),
        (b"#!AMR-WB\n", b"\x44" + b"x" * 60, 1),
    ],
)
def test_amr_is_counted(mark, frames, count):
    """Each kind of frame is 20 ms, also one with nothing in it."""
    assert found(amr.measure, mark + frames * 50).seconds == pytest.approx(count * 50 * 0.02)
    doubted(amr.measure, mark + frames * 50 + b"\xff" * 200, "not what it began as")
    doubted(amr.measure, mark + frames * 50, "read", whole=False)
    doubted(amr.measure, b"#!AMR_MC1.0\n\0\0\0\2", "read")


# MP4


def box(kind, *parts, wide=False):
    body = b"".join(parts)
    if wide:
        return struct.pack(">I", 1) + kind + struct.pack(">Q", len(body) + 16) + body
    return struct.pack(">I", len(body) + 8) + kind + body


def table(kind, *numbers, form="I"):
    return box(kind, b"\0\0\0\0", struct.pack(f">{len(numbers)}{form}", *numbers))


def head(kind, scale, ticks, *, wide=False):
    if wide:
        return box(kind, b"\1\0\0\0", b"\0" * 16, struct.pack(">IQ", scale, ticks), b"\0" * 8)
    return box(kind, b"\0\0\0\0", b"\0" * 8, struct.pack(">II", scale, ticks), b"\0" * 8)


def movie(
    *,
    handler=b"soun",
    ticks=8000,
    stts=(1, 8, 1000),
    stsc=(1, 1, 8, 1),
    stsz=(0, 8, *[10] * 8),
    chunks=None,
    edits=b"",
    more=b"",
    wide=False,
    drop=None,
):
    data = box(b"mdat", b"\0" * 80, wide=wide)
    place = 16 + len(data) - 80
    tables = {
        b"stts": table(b"stts", *stts),
        b"stsc": table(b"stsc", *stsc),
        b"stsz": table(b"stsz", *stsz),
        b"stco": chunks or table(b"stco", 1, place),
    }
    tables.pop(drop, None)
    minf = box(b"minf", box(b"stbl", *tables.values()))
    media = box(b"mdia", head(b"mdhd", 8000, ticks, wide=wide), box(b"hdlr", b"\0" * 8, handler, b"\0" * 8), minf)
    moov = box(b"moov", head(b"mvhd", 1000, 1000, wide=wide), box(b"trak", edits, media), more)
    return box(b"ftyp", b"M4A \0\0\0\0") + data + moov


def edits(*rows, wide=False):
    form = ">QqI" if wide else ">IiI"
    body = b"".join(struct.pack(form, *row, 0x10000) for row in rows)
    return box(b"edts", box(b"elst", bytes((wide, 0, 0, 0)), struct.pack(">I", len(rows)), body))


def trak(**how):
    """The track of a movie, to be one more of another."""
    whole = movie(**how)
    return whole[whole.index(b"trak") - 4 :]


@pytest.mark.parametrize(
    "data",
    [
        movie(),
        movie(wide=True, edits=edits((1000, 0), wide=True)),
        movie(stsz=(10, 8)),
        movie(edits=edits((1000, 100))),
        movie(chunks=table(b"co64", 1, 0, 24)),
        movie(stsc=(2, 1, 4, 1, 2, 4, 1), chunks=table(b"stco", 2, 24, 64)),
        movie(more=trak(ticks=0, stts=(0,), stsz=(0, 0))),
        movie(ticks=4000, stts=(1, 8, 500), more=trak()),
    ],
)
def test_a_second_of_mp4(data):
    """Tables of either width are read, and agree with the file."""
    assert found(mp4.measure, data).seconds == pytest.approx(1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (movie(handler=b"vide"), "no sound"),
        (movie()[:-200], "no table of contents"),
        (movie(more=box(b"mvex", b"")), "fragments"),
        (box(b"moof", b"") + movie(), "fragments"),
        (movie(ticks=9000), "two things"),
        (movie(stts=(0,)), "two things"),
        (movie(stts=(5000, 1, 1)), "steady pace"),
        (movie(drop=b"stco"), "not complete"),
        (movie(drop=b"stts"), "not complete"),
        (movie(chunks=table(b"stco", 1, 5_000_000)), "cut off"),
        (movie(chunks=table(b"stco", 0)), "contradicts"),
        (movie(stsz=(0, 7, *[10] * 7)), "contradicts"),
        (movie(edits=edits((300, 0))), "leaves parts"),
        (movie(stsz=(1, 100_000)), "more pieces"),
        (box(b"ftyp", b"M4A \0\0\0\0") + b"\0\0\0\4bad!" * 9, "no table of contents"),
        (b"\0\0\0\1moov\0\0\0", "no table of contents"),
        (box(b"free") * 3000, "no table of contents"),
        (box(b"moov", b"") + b"\0\0\0\0mdat" + b"x" * 90, "no sound"),
    ],
)
def test_an_mp4_that_is_doubtful(data, words):
    """What is cut off, contradicts itself or leaves something out is not believed."""
    doubted(mp4.measure, data, words)


def test_a_file_that_is_shorter_than_was_said():
    """Whoever names too large a size gets no error but doubt."""
    with pytest.raises(Doubtful):
        mp4.measure(io.BytesIO(box(b"free") * 3), 1000, whole=True)


def test_tracks_of_a_broken_mp4_are_none():
    """Whoever asks what the tracks are gets no error for a table that cannot be read."""
    assert mp4.tracks(io.BytesIO(b""), 0) == []
    broken = box(b"moov", box(b"trak", box(b"mdia", box(b"mdhd", b"\1"))), box(b"free", b"x" * 4)) + box(b"mdat", b"x")
    assert mp4.tracks(io.BytesIO(broken), len(broken)) == []


# Ogg


def page(*packets, position=0, serial=1, number=0, flags=0):
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes((len(p) % 255,)) for p in packets)
    head = b"OggS\0" + struct.pack("<BqIIIB", flags, position, serial, number, 0, len(lacing))
    return head + lacing + b"".join(packets)


OPUS = b"OpusHead\1\1" + struct.pack("<HIHB", 0, 48_000, 0, 0)
VORBIS = b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 1, 8000, 0, 0, 0, 0xB8, 1)
SPEEX = b"Speex   " + b"\0" * 28 + struct.pack("<I", 8000) + b"\0" * 40
OGG_FLAC = b"\x7fFLAC\1\0\0\1fLaC\0\0\0\x22" + b"\0" * 10 + (8000 << 44).to_bytes(8, "big") + b"\0" * 16


def stream(first=OPUS, *, rate=48_000, pages=10, serial=1, start=0, size=100):
    out = page(first, serial=serial, flags=2)
    for n in range(1, pages + 1):
        out += page(*[b"x" * size] * 20, position=start + n * rate // 10, serial=serial, number=n)
    return out


@pytest.mark.parametrize(
    "data",
    [
        stream(),
        stream(VORBIS, rate=8000),
        stream(SPEEX, rate=8000),
        stream(OGG_FLAC, rate=8000),
        stream(start=48_000 * 3600),
        stream() + b"OggS cut off",
        stream(pages=5) + stream(pages=5),
        stream(pages=5) + b"junk" + stream(pages=5, serial=2),
        page(b"\x80theora", serial=9, flags=2) + stream(),
        stream() + page(b"x", position=-1, number=11),
    ],
)
def test_a_second_of_ogg(data):
    """Codecs, links, offsets and strange bytes between pages: a second is a second."""
    assert found(ogg.measure, data).seconds == pytest.approx(1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (page(b"\x80theora", flags=2) + stream()[47 + 28 :], "no sound"),
        (stream(start=48_000 * 3600, pages=1), "in the middle"),
        (stream(OPUS) + page(b"x", position=48_000 * 36_000, number=11), "more than its packets"),
        (stream() + b"\0" * 70_000, "damaged"),
        ((page(b"x") + b"?") * 300, "damaged"),
    ],
)
def test_an_ogg_that_is_doubtful(data, words):
    """Positions that packets cannot fill, and damage, are not believed."""
    doubted(ogg.measure, data, words)


def test_an_ogg_of_too_many_pages_is_not_walked_to_its_end(monkeypatch):
    """The walk is bounded."""
    monkeypatch.setattr(ogg, "MAX_PAGES", 5)
    doubted(ogg.measure, stream(), "too many")


LONG = {"pages": 300, "size": 60}


@pytest.mark.parametrize("data", [stream(**LONG), stream(start=48_000 * 3600, **LONG), stream(**LONG)[:-20]])
def test_a_far_ogg_is_measured_in_three_places(data):
    """Beginning, middle and end of one recording fit together."""
    assert found(ogg.measure, data, whole=False).seconds == pytest.approx(30, rel=0.01)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (stream(**LONG) + stream(serial=2, **LONG), "single"),
        (stream(**LONG) + stream(**LONG), "fit together"),
        (page(b"\x80theora", serial=9, flags=2) + stream(**LONG), "single"),
        (stream(**LONG) + b"\0" * 70_000, "single"),
        (stream(**LONG) + page(b"x", position=48_000 * 90_000, number=301), "fit together"),
        (b"nothing", "single"),
    ],
)
def test_a_far_ogg_that_is_doubtful(data, words):
    """Whatever may be more than one recording is not measured by its ends."""
    doubted(ogg.measure, data, words, whole=False)


# AIFF


def aiff_chunk(mark, body):
    return mark + struct.pack(">I", len(body)) + body + b"\0" * (len(body) & 1)


def extended(rate):
    """A rate as the 80 bits of a COMM chunk."""
    exponent = rate.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, rate << 63 - exponent)


def comm(*, channels=1, frames=8000, bits=16, rate=8000, kind=b""):
    return aiff_chunk(b"COMM", struct.pack(">HIH", channels, frames, bits) + extended(rate) + kind)


def aiff_file(*chunks, kind=b"AIFF"):
    body = kind + b"".join(chunks)
    return b"FORM" + struct.pack(">I", len(body)) + body


def ssnd(data=SOUND, offset=0):
    return aiff_chunk(b"SSND", struct.pack(">II", offset, 0) + b"\0" * offset + data)


@pytest.mark.parametrize(
    "data",
    [
        aiff_file(comm(), ssnd()),
        aiff_file(ssnd(), aiff_chunk(b"NAME", b"odd"), comm()),
        aiff_file(comm(), ssnd(offset=12)),
        aiff_file(comm(bits=12), ssnd()),
        aiff_file(comm(channels=2, frames=4000, rate=4000), ssnd()),
        aiff_file(comm(kind=b"sowt\0\0"), ssnd(), kind=b"AIFC"),
        aiff_file(comm(frames=16_000, rate=16_000, kind=b"ulaw\0\0"), ssnd(), kind=b"AIFC"),
        aiff_file(comm(frames=4000, rate=4000, kind=b"fl32\0\0"), ssnd(), kind=b"AIFC"),
    ],
)
def test_a_second_of_aiff(data):
    """Samples of every width, in either byte order, wherever the chunks are."""
    assert found(riff.measure_aiff, data).seconds == pytest.approx(1)


def test_an_aiff_that_was_cut_off_is_as_long_as_its_bytes():
    """What it claims and no longer has does not count."""
    assert found(riff.measure_aiff, aiff_file(comm(), ssnd())[:-8000]).seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (aiff_file(comm()), "not complete"),
        (aiff_file(ssnd()), "not complete"),
        (aiff_file(comm(), ssnd(b"")), "not complete"),
        (aiff_file(comm(frames=0), ssnd()), "contradicts"),
        (aiff_file(comm(frames=9000), ssnd()), "contradicts"),
        (aiff_file(comm(rate=1), ssnd()), "contradicts"),
        (aiff_file(comm(channels=0), ssnd()), "compressed"),
        (aiff_file(comm(kind=b"ima4\0\0"), ssnd(), kind=b"AIFC"), "compressed"),
        (aiff_file(*[aiff_chunk(b"NAME", b"")] * 300, comm(), ssnd()), "not complete"),
        (aiff_file(comm().replace(extended(8000), b"\xff" * 10), ssnd()), "contradicts"),
    ],
)
def test_an_aiff_that_is_doubtful(data, words):
    """Headers that lack or contradict something are not believed."""
    doubted(riff.measure_aiff, data, words)


# ASF


def asf_file(*, seconds=10.0, packets=20, size=400, send=None, flags=2, claimed=None, preroll=3000, begin=0.0):
    def packet(number):
        at = begin + (number * seconds / packets if send is None else send)
        times = struct.pack("<IH", int(at * 1000), int(seconds / packets * 1000))
        return (b"\x82\0\0\x09\x5d\x10" + times).ljust(size, b"x")

    whole = 30 + 104 + 50 + packets * size
    play = int((seconds + preroll / 1000) * 1e7)
    properties = struct.pack("<QQQQQQ", whole if claimed is None else claimed, 0, packets, play, 0, preroll)
    properties += struct.pack("<IIII", flags, size, size, 64_000)
    first = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + struct.pack("<Q", 104) + b"\0" * 16 + properties
    header = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QIH", 30 + len(first), 1, 0x201) + first
    data = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c") + struct.pack("<Q", 50 + packets * size) + b"\0" * 26
    return header + data + b"".join(map(packet, range(packets)))


@pytest.mark.parametrize("data", [asf_file(), asf_file(preroll=0), asf_file(begin=7200.0), asf_file(packets=1)])
def test_ten_seconds_of_asf(data):
    """The header counts the time before the sound; a recording cut out of a longer one begins at any time."""
    assert found(asf.measure, data).seconds == pytest.approx(10)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (asf_file()[:60], "not complete"),
        (asf_file(flags=3), "nothing of its length"),
        (asf_file(claimed=0), "not finished"),
        (asf_file()[:-400], "not finished"),
        (asf_file() + asf_file(), "more than one"),
        (asf_file() + b"x" * 100, "not finished"),
        (asf_file(send=2.0), "does not bear out"),
    ],
)
def test_an_asf_that_is_doubtful(data, words):
    """What was not finished, was cut off, or contradicts itself is not believed."""
    doubted(asf.measure, data, words)
