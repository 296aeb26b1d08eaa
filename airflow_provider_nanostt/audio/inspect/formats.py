"""The format of a file, by its bytes alone; names and content types that agree with it.

No suffix is trusted, no sound decoded and no file opened. Files that are recognisably not sound, such as the error page
of a web server under the name of a recording, have a format as well.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass, replace
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
    :param content_type: what an upload of it declares.
    :param suffix: the suffix that agrees with the bytes, with its dot.
    :param is_video: whether it holds, or is assumed to hold, pictures that move.
    :param service_takes: whether the service takes it; video only with a video model, see :meth:`accepted`.
    :param demuxer: FFmpeg's reader for exactly this container, ``""`` if it is not media. Opening a file with it keeps
        every other reader, such as those of playlists, out of reach.
    :param refusal: why it cannot be transcribed, if it has no demuxer; for people.
    """

    name: str
    content_type: str
    suffix: str
    is_video: bool = False
    service_takes: bool = False
    demuxer: str = ""
    refusal: str = "not a recording"

    @property
    def is_media(self) -> bool:
        """Whether there may be sound in it."""
        return bool(self.demuxer)

    def accepted(self, *, takes_video: bool) -> bool:
        """Whether a model takes it; ``takes_video`` as in :class:`ModelFacts`."""
        return self.service_takes and (takes_video or not self.is_video)


MP3 = Format("MP3", "audio/mpeg", ".mp3", service_takes=True, demuxer="mp3")
WAV = Format("WAV", "audio/wav", ".wav", service_takes=True, demuxer="wav")
M4A = Format("M4A", "audio/mp4", ".m4a", service_takes=True, demuxer="mov")
OGG_VORBIS = Format("Ogg Vorbis", "audio/ogg", ".ogg", service_takes=True, demuxer="ogg")
OGG_OPUS = Format("Ogg Opus", "audio/ogg", ".ogg", service_takes=True, demuxer="ogg")
"""The service refuses the suffix ``.opus``, not the bytes: an Ogg with Opus inside is an Ogg, and travels as one."""
AAC = Format("AAC", "audio/aac", ".aac", service_takes=True, demuxer="aac")
MP4 = Format("MP4", "video/mp4", ".mp4", is_video=True, service_takes=True, demuxer="mov")
MOV = Format("QuickTime", "video/quicktime", ".mov", is_video=True, service_takes=True, demuxer="mov")
MKV = Format("Matroska", "video/x-matroska", ".mkv", is_video=True, service_takes=True, demuxer="matroska")
AVI = Format("AVI", "video/x-msvideo", ".avi", is_video=True, service_takes=True, demuxer="avi")

M4A_OTHER = Format("M4A with a codec that the service does not take", "audio/mp4", ".m4a", demuxer="mov")
WAV_OTHER = Format("WAV with a codec that the service does not take", "audio/wav", ".wav", demuxer="wav")
WAVE64 = Format("Wave64", "audio/x-w64", ".w64", demuxer="w64")
MP2 = Format("MPEG Layer II", "audio/mpeg", ".mp2", demuxer="mp3")
OGG_OTHER = Format("Ogg", "audio/ogg", ".oga", demuxer="ogg")
OGG_VIDEO = Format("Ogg video", "video/ogg", ".ogv", is_video=True, demuxer="ogg")
FLAC = Format("FLAC", "audio/flac", ".flac", demuxer="flac")
WEBM_AUDIO = Format("WebM audio", "audio/webm", ".webm", demuxer="matroska")
WEBM = Format("WebM", "video/webm", ".webm", is_video=True, demuxer="matroska")
MKA = Format("Matroska audio", "audio/x-matroska", ".mka", demuxer="matroska")
AMR = Format("AMR", "audio/amr", ".amr", demuxer="amr")
AIFF = Format("AIFF", "audio/aiff", ".aiff", demuxer="aiff")
AU = Format("AU", "audio/basic", ".au", demuxer="au")
CAF = Format("CAF", "audio/x-caf", ".caf", demuxer="caf")
WMA = Format("Windows Media audio", "audio/x-ms-wma", ".wma", demuxer="asf")
WMV = Format("Windows Media video", "video/x-ms-wmv", ".wmv", is_video=True, demuxer="asf")
MPEG_TS = Format("MPEG transport stream", "video/mp2t", ".ts", is_video=True, demuxer="mpegts")
MPEG_PS = Format("MPEG program stream", "video/mpeg", ".mpg", is_video=True, demuxer="mpeg")
FLV_AUDIO = Format("Flash audio", "audio/x-flv", ".flv", demuxer="flv")
FLV = Format("Flash video", "video/x-flv", ".flv", is_video=True, demuxer="flv")
AC3 = Format("AC-3", "audio/ac3", ".ac3", demuxer="ac3")
EAC3 = Format("E-AC-3", "audio/eac3", ".eac3", demuxer="eac3")
DTS = Format("DTS", "audio/vnd.dts", ".dts", demuxer="dts")
LATM = Format("AAC in LATM", "audio/aac", ".loas", demuxer="loas")
WAVPACK = Format("WavPack", "audio/x-wavpack", ".wv", demuxer="wv")
TTA = Format("True Audio", "audio/x-tta", ".tta", demuxer="tta")
MONKEYS = Format("Monkey's Audio", "audio/x-ape", ".ape", demuxer="ape")
MUSEPACK = Format("Musepack", "audio/x-musepack", ".mpc", demuxer="mpc")
MUSEPACK_8 = Format("Musepack", "audio/x-musepack", ".mpc", demuxer="mpc8")
DSD = Format("DSD", "audio/x-dsf", ".dsf", demuxer="dsf")
SHORTEN = Format("Shorten", "audio/x-shorten", ".shn", demuxer="shn")
TAK = Format("TAK", "audio/x-tak", ".tak", demuxer="tak")
QOA = Format("QOA", "audio/qoa", ".qoa", demuxer="qoa")
VOC = Format("Creative Voice", "audio/x-voc", ".voc", demuxer="voc")
SOX = Format("SoX", "audio/x-sox", ".sox", demuxer="sox")
IRCAM = Format("IRCAM", "audio/x-ircam", ".sf", demuxer="ircam")
NUT = Format("NUT", "application/x-nut", ".nut", demuxer="nut")
REALMEDIA = Format("RealMedia", "application/vnd.rn-realmedia", ".rm", demuxer="rm")

_UNKNOWN_TO_ALL = "which neither the service nor FFmpeg here reads"
WAV_BEHIND_TAGS = Format(
    "WAV behind tags or padding", "audio/wav", ".wav", refusal="which no decoder reads; remove what is before its RIFF"
)
OPTIMFROG = Format("OptimFROG", "application/octet-stream", ".ofr", refusal=_UNKNOWN_TO_ALL)
DSDIFF = Format("DSDIFF", "application/octet-stream", ".dff", refusal=_UNKNOWN_TO_ALL)
MIDI = Format("MIDI", "audio/midi", ".mid", refusal="which has notes and no sound")
_LOCKED = "encrypted, so that nobody without its key can hear it; save it without protection"
ENCRYPTED_ASF = Format("Windows Media", "audio/x-ms-wma", ".wma", refusal=_LOCKED)
ENCRYPTED_MKV = Format("Matroska", "video/x-matroska", ".mkv", refusal=_LOCKED)
ENCRYPTED_TS = Format("MPEG transport stream", "video/mp2t", ".ts", refusal=_LOCKED)
AUDIBLE = Format("an Audible book (.aa)", "application/octet-stream", ".aa", refusal=_LOCKED)

HTML = Format("an HTML page", "text/html", ".html")
XML = Format("XML text", "application/xml", ".xml")
JSON = Format("JSON text", "application/json", ".json")
PLAYLIST = Format("a playlist", "application/vnd.apple.mpegurl", ".m3u8")
TEXT = Format("plain text", "text/plain", ".txt")
IMAGE = Format("an image", "application/octet-stream", ".bin")
PDF = Format("a PDF document", "application/pdf", ".pdf")
ZIP = Format("a ZIP archive", "application/zip", ".zip")
GZIP = Format("a gzip archive", "application/gzip", ".gz")

_SUFFIXES = {known.suffix for known in list(globals().values()) if isinstance(known, Format)} | set(
    ".opus .ogg .oga .m4b .m4p .m4v .mp4 .3gp .3gpp .3g2 .wave .mpga .mpeg .aif .aifc .adts .qt .m2ts .mts .asf .spx "
    ".htm .m3u".split()
)
_ASF = re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))
_ASF_VIDEO = re.escape(bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b"))
_EBML = rb"\x1aE\xdf\xa3"
_EBML_OF_SOUND = _EBML + rb"(?=.*\x86[\x81-\x9f]A_[A-Z])(?!.*\x86[\x81-\x9f]V_[A-Z])"
_BEGINNINGS = tuple(
    (re.compile(pattern, re.DOTALL), known)
    for pattern, known in (
        (rb"fLaC", FLAC),
        (rb"#!AMR", AMR),
        (rb"caff\0\x01", CAF),
        (rb"\.snd", AU),
        (rb"riff\.\x91\xcf\x11", WAVE64),
        (rb"(RIFF|RF64|BW64|RIFX).{4}WAVE", WAV),
        (rb"(RIFF|RF64|BW64|RIFX).{4}AVI[ X]", AVI),
        (rb"FORM.{4}AIF[FC]", AIFF),
        (rb".{4}ftyp(avif|hei[cx]|mif1|msf1|hevc)", IMAGE),
        (rb".{4}ftyp(M4[ABP] |F4[AB] )", M4A),
        (rb".{4}ftypqt  ", MOV),
        (rb".{4}ftyp", MP4),
        (rb"\0\0..(moov|mdat|wide|free|skip|pnot)", MOV),
        (_EBML_OF_SOUND + rb".{0,56}webm", WEBM_AUDIO),
        (_EBML + rb".{0,56}webm", WEBM),
        (_EBML_OF_SOUND, MKA),
        (_EBML, MKV),
        (_ASF + rb".*" + _ASF_VIDEO, WMV),
        (_ASF, WMA),
        (rb"G(.{187}G){2}|.{4}G(.{191}G){2}|G(.{203}G){2}", MPEG_TS),
        (rb"\0\0\x01\xba", MPEG_PS),
        (rb"FLV\x01\x04", FLV_AUDIO),
        (rb"FLV\x01", FLV),
        (rb"\x0b\x77.{3}[\0-\x57].*\x0b\x77", AC3),
        (rb"\x0b\x77.{3}[\x58-\x87].*\x0b\x77", EAC3),
        (rb"\x7f\xfe\x80\x01", DTS),
        (rb"wvpk", WAVPACK),
        (rb"TTA[12]", TTA),
        (rb"MAC ", MONKEYS),
        (rb"MP\+", MUSEPACK),
        (rb"MPCK", MUSEPACK_8),
        (rb"DSD ", DSD),
        (rb"FRM8.{8}DSD ", DSDIFF),
        (rb"ajkg", SHORTEN),
        (rb"tBaK", TAK),
        (rb"qoaf", QOA),
        (rb"OFR ", OPTIMFROG),
        (rb"Creative Voice File\x1a", VOC),
        (rb"\.SoX|XoS\.", SOX),
        (rb"\x64\xa3[\1-\4]\0|\0[\1-\4]\xa3\x64", IRCAM),
        (rb"nut/multimedia container\0", NUT),
        (rb"\.RMF", REALMEDIA),
        (rb"MThd\0\0\0\x06", MIDI),
        (rb".{4}\x57\x90\x75\x36", AUDIBLE),
        (rb"%PDF", PDF),
        (rb"PK\x03\x04", ZIP),
        (rb"\x1f\x8b\x08", GZIP),
        (rb"\x89PNG|GIF8|\xff\xd8\xff", IMAGE),
    )
)
"""How files begin, the first that matches counts. A transport stream has a mark every 188, 192 or 204 bytes."""
_OGG_SOUND = ((b"OpusHead", OGG_OPUS), (b"\x01vorbis", OGG_VORBIS))
_OGG_PICTURES = (b"\x80theora", b"BBCD\0", b"OVP80", b"\x01video")
_ENCRYPTED_IN_EBML = re.compile(rb"\x6d\x80.{1,8}\x62\x40.{1,64}\x50\x35", re.DOTALL)
_ENCRYPTED_IN_ASF = re.compile(
    b"|".join(
        re.escape(bytes.fromhex(guid))
        for guid in (
            "fbb3112223bdd211b4b700a0c955fc6e",
            "14e68a292226174cb935dae07ee9289c",
            "338505438169e6499b74ad12cb86d58c",
        )
    )
)
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
    return _encrypted(found, read_at(file, start, _ENCRYPTION_BYTES)) or found


def _of_mp4(found: Format, tracks: list[tuple[bytes, list[bytes]]]) -> Format:
    """Return what an MP4 is by its tracks, each with its handler and the kinds of its entries."""
    sound = [entry for handler, entries in tracks if handler == b"soun" for entry in entries]
    locked = next((_LOCKED_ENTRIES[entry] for entry in sound if entry in _LOCKED_ENTRIES), None)
    if locked:
        return replace(found, name=f"{found.name} ({locked})", demuxer="", service_takes=False, refusal=_LOCKED)
    handlers = {handler for handler, _ in tracks}
    if found is not M4A and (b"soun" not in handlers or b"vide" in handlers):
        return found
    return M4A if not sound or sound[0] in _TAKEN_ENTRIES else M4A_OTHER


def _encrypted(found: Format, head: bytes) -> Format | None:
    """Return the encrypted kind of a format; None if it is not encrypted, as far as its beginning says."""
    if found.demuxer == "asf" and _ENCRYPTED_IN_ASF.search(head):
        return ENCRYPTED_ASF
    if found.demuxer == "matroska" and _ENCRYPTED_IN_EBML.search(head):
        return ENCRYPTED_MKV
    if found.demuxer == "mpegts" and _scrambled_packets(head) > 1:
        return ENCRYPTED_TS
    return None


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
