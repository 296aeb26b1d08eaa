"""The format of a file, by its bytes alone; names and content types that agree with it.

No suffix is trusted, no sound decoded and no file opened. Files that are recognisably not sound, such as the error page
of a web server under the name of a recording, have a format as well.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from airflow_provider_nanostt.audio.inspect.containers import mp4, mpeg, ogg, read_at, riff

HEAD_BYTES = 4096
"""How much of a file's beginning :func:`sniff` needs."""

_ENCRYPTION_BYTES = 32 * 1024  # where a header says that the rest is encrypted
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files.

    :param name: for people: ``MP3``, ``Ogg Opus``, ``an HTML page``.
    :param suffix: the suffix that agrees with the bytes, with its dot.
    :param beginning: a regular expression of how such files begin, empty if that takes more to find out.
    :param demuxer: FFmpeg's reader for exactly this container, ``""`` if it is not media. Opening a file with it keeps
        every other reader, such as those of playlists, out of reach.
    :param content_type: what an upload of it declares, ``""`` if the service does not take it.
    :param is_video: whether it holds, or is assumed to hold, pictures that move.
    :param refusal: why it cannot be transcribed, if it has no demuxer; for people.
    """

    name: str
    suffix: str
    beginning: bytes = field(default=b"", repr=False)
    demuxer: str = ""
    content_type: str = ""
    is_video: bool = False
    refusal: str = "not a recording"

    @property
    def is_media(self) -> bool:
        """Whether there may be sound in it."""
        return bool(self.demuxer)

    def accepted(self, *, takes_video: bool) -> bool:
        """Whether a model takes it; ``takes_video`` as in :class:`ModelFacts`."""
        return bool(self.content_type) and (takes_video or not self.is_video)


# Of all formats, in this order, the first whose beginning matches counts.
_IMAGE = rb"\x89PNG|GIF8|\xff\xd8\xff|.{4}ftyp(avif|hei[cx]|mif1|msf1|hevc)"
IMAGE = Format("an image", ".bin", _IMAGE)
PDF = Format("a PDF document", ".pdf", rb"%PDF")
ZIP = Format("a ZIP archive", ".zip", rb"PK\x03\x04")
GZIP = Format("a gzip archive", ".gz", rb"\x1f\x8b\x08")
HTML = Format("an HTML page", ".html")
XML = Format("XML text", ".xml")
JSON = Format("JSON text", ".json")
PLAYLIST = Format("a playlist", ".m3u8")
TEXT = Format("plain text", ".txt")

_OLD_MOV = rb"\0\0..(moov|mdat|wide|free|skip|pnot)"
_EBML = rb"\x1aE\xdf\xa3"
_EBML_OF_SOUND = _EBML + rb"(?=.*\x86[\x81-\x9f]A_[A-Z])(?!.*\x86[\x81-\x9f]V_[A-Z])"
WEBM_AUDIO = Format("WebM audio", ".webm", _EBML_OF_SOUND + rb".{0,56}webm", "matroska")
WEBM = Format("WebM", ".webm", _EBML + rb".{0,56}webm", "matroska", is_video=True)
MKA = Format("Matroska audio", ".mka", _EBML_OF_SOUND, "matroska")
MKV = Format("Matroska", ".mkv", _EBML, "matroska", "video/x-matroska", is_video=True)
MP3 = Format("MP3", ".mp3", b"", "mp3", "audio/mpeg")
WAV = Format("WAV", ".wav", rb"(RIFF|RF64|BW64|RIFX).{4}WAVE", "wav", "audio/wav")
M4A = Format("M4A", ".m4a", rb".{4}ftyp(M4[ABP] |F4[AB] )", "mov", "audio/mp4")
OGG_VORBIS = Format("Ogg Vorbis", ".ogg", b"", "ogg", "audio/ogg")
OGG_OPUS = Format("Ogg Opus", ".ogg", b"", "ogg", "audio/ogg")
"""The service refuses the suffix ``.opus``, not the bytes: an Ogg with Opus inside is an Ogg, and travels as one."""
AAC = Format("AAC", ".aac", b"", "aac", "audio/aac")
MOV = Format("QuickTime", ".mov", rb".{4}ftypqt  |" + _OLD_MOV, "mov", "video/quicktime", is_video=True)
MP4 = Format("MP4", ".mp4", rb".{4}ftyp", "mov", "video/mp4", is_video=True)
AVI = Format("AVI", ".avi", rb"(RIFF|RF64|BW64|RIFX).{4}AVI[ X]", "avi", "video/x-msvideo", is_video=True)

M4A_OTHER = Format("M4A with a codec that the service does not take", ".m4a", b"", "mov")
WAV_OTHER = Format("WAV with a codec that the service does not take", ".wav", b"", "wav")
WAVE64 = Format("Wave64", ".w64", rb"riff\.\x91\xcf\x11", "w64")
MP2 = Format("MPEG Layer II", ".mp2", b"", "mp3")
OGG_OTHER = Format("Ogg", ".oga", b"", "ogg")
OGG_VIDEO = Format("Ogg video", ".ogv", b"", "ogg", is_video=True)
FLAC = Format("FLAC", ".flac", rb"fLaC", "flac")
AMR = Format("AMR", ".amr", rb"#!AMR", "amr")
AIFF = Format("AIFF", ".aiff", rb"FORM.{4}AIF[FC]", "aiff")
AU = Format("AU", ".au", rb"\.snd", "au")
CAF = Format("CAF", ".caf", rb"caff\0\x01", "caf")
_ASF = re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))
_ASF_VIDEO = re.escape(bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b"))
WMV = Format("Windows Media video", ".wmv", _ASF + rb".*" + _ASF_VIDEO, "asf", is_video=True)
WMA = Format("Windows Media audio", ".wma", _ASF, "asf")
_TS = rb"G(.{187}G){2}|.{4}G(.{191}G){2}|G(.{203}G){2}"  # a mark every 188, 192 or 204 bytes
MPEG_TS = Format("MPEG transport stream", ".ts", _TS, "mpegts", is_video=True)
MPEG_PS = Format("MPEG program stream", ".mpg", rb"\0\0\x01\xba", "mpeg", is_video=True)
FLV_AUDIO = Format("Flash audio", ".flv", rb"FLV\x01\x04", "flv")
FLV = Format("Flash video", ".flv", rb"FLV\x01", "flv", is_video=True)
AC3 = Format("AC-3", ".ac3", rb"\x0b\x77.{3}[\0-\x57].*\x0b\x77", "ac3")
EAC3 = Format("E-AC-3", ".eac3", rb"\x0b\x77.{3}[\x58-\x87].*\x0b\x77", "eac3")
DTS = Format("DTS", ".dts", rb"\x7f\xfe\x80\x01", "dts")
LATM = Format("AAC in LATM", ".loas", b"", "loas")
WAVPACK = Format("WavPack", ".wv", rb"wvpk", "wv")
TTA = Format("True Audio", ".tta", rb"TTA[12]", "tta")
MONKEYS = Format("Monkey's Audio", ".ape", rb"MAC ", "ape")
MUSEPACK = Format("Musepack", ".mpc", rb"MP\+", "mpc")
MUSEPACK_8 = Format("Musepack", ".mpc", rb"MPCK", "mpc8")
DSD = Format("DSD", ".dsf", rb"DSD ", "dsf")
SHORTEN = Format("Shorten", ".shn", rb"ajkg", "shn")
TAK = Format("TAK", ".tak", rb"tBaK", "tak")
QOA = Format("QOA", ".qoa", rb"qoaf", "qoa")
VOC = Format("Creative Voice", ".voc", rb"Creative Voice File\x1a", "voc")
SOX = Format("SoX", ".sox", rb"\.SoX|XoS\.", "sox")
IRCAM = Format("IRCAM", ".sf", rb"\x64\xa3[\1-\4]\0|\0[\1-\4]\xa3\x64", "ircam")
NUT = Format("NUT", ".nut", rb"nut/multimedia container\0", "nut")
REALMEDIA = Format("RealMedia", ".rm", rb"\.RMF", "rm")

WAV_BEHIND_TAGS = Format(
    "WAV behind tags or padding", ".wav", refusal="which no decoder reads; remove what is before its RIFF"
)
_UNKNOWN_TO_ALL = "which neither the service nor FFmpeg here reads"
OPTIMFROG = Format("OptimFROG", ".ofr", rb"OFR ", refusal=_UNKNOWN_TO_ALL)
DSDIFF = Format("DSDIFF", ".dff", rb"FRM8.{8}DSD ", refusal=_UNKNOWN_TO_ALL)
MIDI = Format("MIDI", ".mid", rb"MThd\0\0\0\x06", refusal="which has notes and no sound")
_LOCKED = "encrypted, so that nobody without its key can hear it; save it without protection"
AUDIBLE = Format("an Audible book (.aa)", ".aa", rb".{4}\x57\x90\x75\x36", refusal=_LOCKED)

_KNOWN = [known for known in list(globals().values()) if isinstance(known, Format)]
_BEGINNINGS = [(re.compile(known.beginning, re.DOTALL), known) for known in _KNOWN if known.beginning]
_SUFFIXES = {known.suffix for known in _KNOWN} | set(
    ".opus .ogg .oga .m4b .m4p .m4v .mp4 .3gp .3gpp .3g2 .wave .mpga .mpeg .aif .aifc .adts .qt .m2ts .mts .asf .spx "
    ".htm .m3u".split()
)
_OGG_SOUND = ((b"OpusHead", OGG_OPUS), (b"\x01vorbis", OGG_VORBIS))
_OGG_PICTURES = (b"\x80theora", b"BBCD\0", b"OVP80", b"\x01video")
_ENCRYPTED_IN_ASF = (
    "fbb3112223bdd211b4b700a0c955fc6e",
    "14e68a292226174cb935dae07ee9289c",
    "338505438169e6499b74ad12cb86d58c",
)
_ENCRYPTED = {
    "asf": re.compile(b"|".join(re.escape(bytes.fromhex(guid)) for guid in _ENCRYPTED_IN_ASF)),
    "matroska": re.compile(rb"\x6d\x80.{1,8}\x62\x40.{1,64}\x50\x35", re.DOTALL),
}
"""What the beginning of an encrypted file has in it, by demuxer."""
_LOCKED_ENTRIES = {b"enca": "Common Encryption", b"drms": "iTunes", b"aavd": "Audible"}
_TAKEN_ENTRIES = {b"mp4a", b"alac", b".mp3"}
_TAKEN_TAGS = {1, 3, 6, 7}
"""Sound that an M4A and a WAV have for the service: AAC, ALAC and MP3; PCM, float, A-law and mu-law."""
_MARKUP = re.compile(rb"<(!doctype\s+html|html|head|body|title|script)\b", re.IGNORECASE)
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"v=0\r", b"v=0\n", b"[reference]")


def sniff(head: bytes) -> Format | None:
    """Return a format by the beginning of a file.

    :param head: its first bytes behind ID3 tags, :data:`HEAD_BYTES` or more unless the file ends before.
    :return: the format, also if it is not sound; None for unrecognised bytes. An MP4 is taken for a video unless its
        brand says otherwise; :func:`identify` reads more.
    """
    found = next((known for beginning, known in _BEGINNINGS if beginning.match(head)), None)
    if found in (MP4, MOV) and _is_compatible_with_m4a(head):
        return M4A
    return found or _ogg(head) or _text(head) or _mpeg(head)


def identify(file: BinaryIO, size: int) -> Format | None:
    """Return a file's format; ID3 tags of any size are skipped, and an MP4's table of contents is read wherever it is.

    :param file: seekable; left at an undefined position. A few kilobytes of it are read.
    :param size: its bytes.
    :return: as :func:`sniff`; an MP3 is assumed behind ID3 tags.
    :raises OSError: if the file cannot be read.
    """
    start, head = mpeg.after_tags(file, size, HEAD_BYTES)
    found = sniff(head)
    if found is None:
        return MP3 if mpeg.id3_size(read_at(file, 0, 10)) else None
    if found.demuxer == "mov":
        return _of_mp4(found, mp4.tracks(file, size))
    if found is WAV and start:
        return WAV_BEHIND_TAGS
    if found is WAV and riff.format_tag(file, size) not in (None, *_TAKEN_TAGS):
        return WAV_OTHER
    return _locked(found) if _is_encrypted(found, read_at(file, start, _ENCRYPTION_BYTES)) else found


def _of_mp4(found: Format, tracks: list[tuple[bytes, list[bytes]]]) -> Format:
    """Return what an MP4 is by its tracks, each with its handler and the kinds of its entries."""
    sound = [entry for handler, entries in tracks if handler == b"soun" for entry in entries]
    locked = next((_LOCKED_ENTRIES[entry] for entry in sound if entry in _LOCKED_ENTRIES), None)
    if locked:
        return _locked(replace(found, name=f"{found.name} ({locked})"))
    handlers = {handler for handler, _ in tracks}
    if found is not M4A and (b"soun" not in handlers or b"vide" in handlers):
        return found
    return M4A if not sound or sound[0] in _TAKEN_ENTRIES else M4A_OTHER


def _locked(found: Format) -> Format:
    return replace(found, demuxer="", content_type="", refusal=_LOCKED)


def _is_encrypted(found: Format, head: bytes) -> bool:
    """Whether it is encrypted, as far as its beginning says."""
    if found is MPEG_TS:
        return _scrambled_packets(head) > 1
    mark = _ENCRYPTED.get(found.demuxer)
    return mark is not None and mark.search(head) is not None


def _scrambled_packets(head: bytes) -> int:
    """Return how many packets of a transport stream say that they are encrypted."""
    first, step = next(
        (way for way in ((0, 188), (4, 192), (0, 204)) if head[way[0] :: way[1]][:3] == b"GGG"), (0, 188)
    )
    headers = (int.from_bytes(head[at : at + 4], "big") for at in range(first, len(head) - 3, step))
    return sum(word >> 24 == 0x47 and word & 0xC0 > 0 and word >> 8 & 0x1FFF != 0x1FFF for word in headers)


def _ogg(head: bytes) -> Format | None:
    """Return what an Ogg is by its streams, of which those that are neither sound nor pictures do not count."""
    if not head.startswith(b"OggS"):
        return None
    packets = ogg.first_packets(head)
    if any(packet.startswith(_OGG_PICTURES) for packet in packets):
        return OGG_VIDEO
    kinds = (known for packet in packets for mark, known in _OGG_SOUND if packet.startswith(mark))
    return next(kinds, OGG_OTHER)


def _is_compatible_with_m4a(head: bytes) -> bool:
    length = min(int.from_bytes(head[:4], "big"), 256)
    return re.match(rb".{4}ftyp.{8}(.{4})*?(M4[ABP] |F4[AB] )", head[:length], re.DOTALL) is not None


def _text(head: bytes) -> Format | None:
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1024]
    if not bare or re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", bare):
        return None
    if bare.lower().startswith(_PLAYLISTS):
        return PLAYLIST
    if bare.startswith(b"<"):
        return HTML if _MARKUP.search(bare) else XML
    if re.match(rb"[{\[]\s*([\"{\[\]}0-9tfn-]|$)", bare):
        return JSON
    try:
        codecs.getincrementaldecoder("utf-8")().decode(bare)  # whose last character may be cut off
    except UnicodeDecodeError:
        return None
    return TEXT


def _mpeg(head: bytes) -> Format | None:
    """Find frames of MPEG audio, behind padding or junk if need be; two that agree, or one that fills the head."""
    if mpeg.is_latm(head):
        return LATM
    at = mpeg.first_frame(head)
    if at is not None:
        return MP2 if head[at + 1] & 0x06 == 0x04 else MP3
    return None if mpeg.first_adts(head) is None else AAC


def upload_name(name: str, format: Format | None) -> str:  # noqa: A002 - the word for it
    """Return a safe name for an upload, whose suffix agrees with the bytes.

    :param name: a file name or path from anywhere; only its last part is used, and never as a path.
    :param format: what the bytes are; None keeps the suffix.
    :return: ``talk.opus`` with Ogg bytes becomes ``talk.ogg``; ``v1.2`` with MP3 bytes becomes ``v1.2.mp3``.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name).rstrip("/\\"))[-1]
    clean = "".join("_" if c in '"*:<>?|;%' else c for c in last if unicodedata.category(c)[0] != "C")
    clean = " ".join(clean.split()).rstrip(". ")
    stem, dot, suffix = clean.rpartition(".")
    if format is None or not dot or f".{suffix.lower()}" not in _SUFFIXES:
        stem = clean
    stem, suffix = stem.strip(". ") or "audio", format.suffix if format else ""
    return stem.encode()[: _LONGEST_NAME - len(suffix)].decode("utf-8", "ignore").rstrip(". ") + suffix
