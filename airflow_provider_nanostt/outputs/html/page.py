"""A transcript as one HTML page that needs nothing else: no network, no server, not even JavaScript to be read.

The template ``page.html`` escapes every value that is put into it. The page also forbids itself to run, load or send
anything but its own style and script, by their hashes, so that a mistake in the escaping would still run nothing. The
looks are in ``page.css``, the behaviour in ``page.js``.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.html.page_text import Paragraph, clean, paragraphs
from airflow_provider_nanostt.outputs.unicode_layout import event_name

if TYPE_CHECKING:
    from jinja2 import Template


_COLOURS = 8  # in page.css; the ninth speaker has the first one's
_RIGHT_TO_LEFT = frozenset("ar arc ckb dv fa he iw ji ks nqo prs ps sd syr ug ur yi".split())
_RIGHT_TO_LEFT_SCRIPTS = frozenset("adlm arab hebr nkoo rohg syrc thaa".split())
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_ADDRESS_ESCAPES = "/%:?#[]@!$&'()*+,;=~"  # what may stand in an address as it is
_UNKNOWN_SPEAKER = "Unknown speaker"


class _Speaker(NamedTuple):
    """A speaker, with the share of the talking in percent."""

    name: str
    look: str
    share: int


class _Turn(NamedTuple):
    """A paragraph as the template needs it.

    :param is_first: the speaker has changed.
    :param number: of the speaker; None without one.
    :param clock: the time as people read it; empty without one.
    :param texts: the text in parts, each with whether it is a sound event.
    :param places: where its words are and start, see :func:`_texts`; empty if nothing can be played.
    """

    look: str
    is_first: bool
    number: int | None
    name: str
    seconds: str
    clock: str
    texts: Sequence[tuple[str, bool]]
    places: str


class _File(NamedTuple):
    """A file inside the page, in letters that cannot end the element they are in."""

    name: str
    kind: str
    packed: str

    @classmethod
    def of(cls, name: str, text: str) -> _File:
        packed = gzip.compress(text.encode("utf-8", "replace"), compresslevel=1, mtime=0)
        kind = name.rpartition(".")[2].upper() or name
        return cls(clean(name), clean(kind), base64.b64encode(packed).decode())


class _Assets(NamedTuple):
    frame: Template
    style: str
    script: str


def page(
    transcript: Transcript,
    *,
    title: str,
    audio_url: str | None = None,
    downloads: Mapping[str, str] | None = None,
) -> str:
    """Return a transcript as one self-contained HTML page.

    :param transcript: may be without times, without speakers, or silent.
    :param title: the page's title and heading, such as the recording's name.
    :param audio_url: where a browser finds the recording, ``http`` or ``https``. It is written into the page as it is,
        with its signature if it has one. Any other address makes a page without a player.
    :param downloads: the same transcript in other formats, text by file name, carried inside the page.
    :return: the page, to be written as UTF-8; the same for the same transcript.
    """
    from markupsafe import Markup

    assets = _assets()
    audio = playable(audio_url)
    content = list(paragraphs(transcript))
    speakers = _speakers(content)
    language = transcript.language if transcript.language and _LANGUAGE.fullmatch(transcript.language) else None
    return assets.frame.render(
        policy=_policy(assets, audio),
        title=clean(title).strip() or "Transcript",
        # The words of the page itself are English; without a language of the text they speak for the page.
        language=language,
        direction="rtl" if language and is_right_to_left(language) else "ltr",
        style=Markup(assets.style),  # noqa: S704  our own files
        script=Markup(assets.script),  # noqa: S704
        summary=_summary(transcript, content, len(speakers)),
        facts=_facts(transcript),
        audio=audio,
        is_plain=not speakers and all(paragraph.start is None for paragraph in content),
        speakers=speakers,
        turns=_turns(content, seekable=audio is not None),
        files=[_File.of(name, text) for name, text in (downloads or {}).items()],
    )


def playable(audio_url: str | None) -> str | None:
    """Return an address that a browser may fetch audio from, percent-encoded; None for any other."""
    if not audio_url:
        return None
    try:
        parts = urlsplit(audio_url.strip())
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or parts.username is not None:
        return None
    rest = parts._replace(scheme="", netloc="", fragment="").geturl()
    return f"{parts.scheme}://{host}{port}{quote(rest, safe=_ADDRESS_ESCAPES, errors='replace')}"


def is_right_to_left(language: str) -> bool:
    """Return whether a language tag such as ``ar`` or ``az-Arab`` names a language written from right to left."""
    first, *rest = language.lower().split("-")
    script = next((part for part in rest if len(part) == 4 and part.isalpha()), None)
    return first in _RIGHT_TO_LEFT if script is None else script in _RIGHT_TO_LEFT_SCRIPTS


@functools.cache
def _assets() -> _Assets:
    from jinja2 import Environment, StrictUndefined

    folder = resources.files(__package__)
    frame, style, script = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    return _Assets(environment.from_string(frame), style, script)


def _policy(assets: _Assets, audio: str | None) -> str:
    """Return the page's Content-Security-Policy: its own style and script, and its recording."""
    rules = ["default-src 'none'", f"style-src {_hash(assets.style)}", f"script-src {_hash(assets.script)}"]
    if audio:
        parts = urlsplit(audio)
        path = parts.path.replace(";", "%3B").replace(",", "%2C")
        rules.append(f"media-src {parts.scheme}://{parts.netloc}{path}")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _speakers(content: Sequence[Paragraph]) -> list[_Speaker]:
    """Return the speakers in order of appearance."""
    seconds: dict[str, float] = {}
    for one in content:
        if one.speaker:
            spoken = 0.0 if one.start is None or one.end is None else max(0.0, one.end - one.start)
            seconds[one.speaker] = seconds.get(one.speaker, 0.0) + spoken
    total = sum(seconds.values()) or 1
    return [
        _Speaker(clean(name), f"s{number % _COLOURS}", round(100 * spoken / total))
        for number, (name, spoken) in enumerate(seconds.items())
    ]


def _turns(content: Sequence[Paragraph], *, seekable: bool) -> Iterator[_Turn]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(one.speaker for one in content if one.speaker))}
    hours = any(one.start is not None and one.start >= 3600 for one in content)
    for before, one in itertools.pairwise([None, *content]):
        if one is None:
            continue
        number = numbers.get(one.speaker or "")
        texts, places = _texts(one, seekable=seekable)
        yield _Turn(
            look="sx" if number is None else f"s{number % _COLOURS}",
            is_first=before is None or before.speaker != one.speaker,
            number=number,
            name=_name(one),
            seconds="" if one.start is None else f"{one.start:.2f}",
            clock=_clock(one.start, hours=hours),
            texts=texts,
            places=places,
        )


def _name(paragraph: Paragraph) -> str:
    """Return the name above a turn; a sound event without a speaker needs none."""
    if paragraph.speaker:
        return clean(paragraph.speaker)
    sounds = sum(len(word.text) for word in paragraph.words if word.is_event)
    return "" if sounds >= len("".join(paragraph.text.split())) else _UNKNOWN_SPEAKER


def _clock(start: float | None, *, hours: bool) -> str:
    if start is None:
        return ""
    minutes, seconds = divmod(max(0, int(start)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _texts(paragraph: Paragraph, *, seekable: bool) -> tuple[list[tuple[str, bool]], str]:
    """Return a paragraph's text in parts, and where its words are and start.

    The words are triples of whole numbers, each counted from what came before: characters (of UTF-16, as JavaScript
    counts) from the end of the last word, length, and hundredths of a second from its start.
    """
    text = paragraph.text
    if not paragraph.words or not (seekable or any(word.is_event for word in paragraph.words)):
        return [(text, False)], ""
    count = _utf16 if max(text) > "\uffff" else len
    parts: list[tuple[str, bool]] = []
    times: list[str] = []
    copied, read, gap, clock = 0, 0, 0, round((paragraph.start or 0.0) * 100)
    for at, word, start, is_event in paragraph.words:
        gap += count(text[read:at])
        read, shown = at + len(word), word
        if is_event:
            shown = f"[{event_name(word)}]"
            parts += [(text[copied:at], False), (shown, True)]
            copied = read
        size = count(shown)
        if start is None:
            gap += size
            continue
        now = round(start * 100)
        times.append(f"{gap} {size} {now - clock}")
        gap, clock = 0, now
    parts.append((text[copied:], False))
    return parts, " ".join(times) if seekable and paragraph.start is not None else ""


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _summary(transcript: Transcript, content: Sequence[Paragraph], speakers: int) -> list[str]:
    """Return facts about the recording: length, speakers, words."""
    ends = [paragraph.end for paragraph in content if paragraph.end is not None]
    words = sum(word.type == "word" for word in transcript.words) or len(transcript.text.split())
    facts = [_length(max(ends))] if ends else []
    return facts + [
        f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in ((speakers, "speaker"), (words, "word")) if count
    ]


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _facts(transcript: Transcript) -> dict[str, str]:
    """Return what is known of the job."""
    cost, minutes = transcript.cost, transcript.charged_minutes
    dollars = "" if cost is None else f"${cost:.2f}"
    if cost is not None and round(cost, 2) != round(cost, 6):
        dollars = f"${cost:.6f}".rstrip("0")
    return {
        "Model": clean(transcript.model),
        "Charged": "" if minutes is None else f"{minutes:.2f}".rstrip("0").rstrip(".") + " min",
        "Cost": dollars,
        "Run": clean(transcript.run_id or ""),
    }
