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
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.formats.registry import suffix_of
from airflow_provider_nanostt.outputs.html.page_text import Paragraph, Place, clean, paragraphs
from airflow_provider_nanostt.outputs.unicode_layout import event_name

if TYPE_CHECKING:
    from jinja2 import Template

_RIGHT_TO_LEFT = frozenset("ar arc ckb dv fa he iw ji ks nqo prs ps sd syr ug ur yi".split())
_RIGHT_TO_LEFT_SCRIPTS = frozenset("adlm arab hebr nkoo rohg syrc thaa".split())
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_ADDRESS_ESCAPES = "/%:?#[]@!$&'()*+,;=~"  # what may stand in an address as it is


def page(
    transcript: Transcript,
    *,
    title: str,
    audio_url: str | None = None,
    downloads: Mapping[str, str] | None = None,
    theme: str = "",
    review_below: float | None = None,
) -> str:
    """Return a transcript as one self-contained HTML page.

    :param title: the page's title and heading, such as the recording's name.
    :param audio_url: where a browser finds the recording, ``http`` or ``https``. It is written into the page as it is,
        with its signature if it has one. Any other address makes a page without a player.
    :param downloads: the same transcript in other formats, text by file name, carried inside the page.
    :param theme: ``light`` or ``dark``; empty for the reader's system's.
    :param review_below: mark what the model was less sure of than this, 0 to 1; None marks nothing, and so does a
        transcript whose model does not say how sure it was.
    :return: the page, to be written as UTF-8; the same for the same transcript.
    """
    audio = playable(audio_url)
    below = None if transcript.confidence is None else review_below
    content = list(paragraphs(transcript, below))
    speakers = _shares(content)
    language = html_language(transcript.language)
    rendered = _template().render(
        title=title.strip() or "Transcript",
        theme=theme if theme in {"light", "dark"} else "",
        # The words of the page itself are English; without a language of the text they speak for the page.
        language=language,
        direction="rtl" if language and is_right_to_left(language) else "ltr",
        end=max((one.end for one in content if one.end is not None), default=None),
        words=sum(word.type == "word" for word in transcript.words) or len(transcript.text.split()),
        speakers=speakers,
        numbers={name: number for number, name in enumerate(speakers)},
        audio=audio,
        last_start=max((one.start for one in content if one.start is not None), default=None),
        turns=[(one, *_texts(one, seekable=audio is not None)) for one in content],
        files={name: _packed(text) for name, text in (downloads or {}).items()},
        transcript=transcript,
        below=below,
        doubts=sum(_stops(one) for one in content),
    )
    return clean(rendered)


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


def html_language(tag: str | None) -> str | None:
    """Return a language tag that an element may have; None for any other text."""
    return tag if tag and _LANGUAGE.fullmatch(tag) else None


def is_right_to_left(language: str) -> bool:
    """Return whether a language tag such as ``ar`` or ``az-Arab`` names a language written from right to left."""
    first, *rest = language.lower().split("-")
    script = next((part for part in rest if len(part) == 4 and part.isalpha()), None)
    return first in _RIGHT_TO_LEFT if script is None else script in _RIGHT_TO_LEFT_SCRIPTS


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files(__package__)
    frame, style, script = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters.update(
        clock=_clock, duration=_duration, name_above=_name_above, suffix=suffix_of, percent=_percent
    )
    environment.globals.update(
        style=Markup(style),  # noqa: S704  our own files
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return environment.from_string(frame)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(text: str) -> str:
    """Return a file in letters that cannot end the element they are in."""
    packed = gzip.compress(text.encode("utf-8", "replace"), compresslevel=1, mtime=0)
    return base64.b64encode(packed).decode()


def _shares(content: Sequence[Paragraph]) -> dict[str, int]:
    """Return the speakers in order of appearance, each with the share of the talking in percent."""
    seconds: dict[str, float] = {}
    for one in content:
        if one.speaker:
            spoken = 0.0 if one.start is None or one.end is None else max(0.0, one.end - one.start)
            seconds[one.speaker] = seconds.get(one.speaker, 0.0) + spoken
    total = sum(seconds.values()) or 1
    return {name: round(100 * spoken / total) for name, spoken in seconds.items()}


def _stops(paragraph: Paragraph) -> int:
    """Return how many places of a paragraph a reader is led to: its words in doubt, else itself."""
    words = sum(word.doubt is not None for word in paragraph.words)
    return words or (paragraph.doubt is not None)


def _percent(share: float) -> str:
    return f"{int(100 * share)}\u202f%"  # never the figure that it is below


def _name_above(paragraph: Paragraph) -> str:
    """Return the name above a turn; a sound event without a speaker needs none."""
    if paragraph.speaker:
        return paragraph.speaker
    sounds = sum(len(word.text) for word in paragraph.words if word.is_event)
    return "" if sounds >= len("".join(paragraph.text.split())) else "Unknown speaker"


def _clock(start: float, hours: bool) -> str:
    minutes, seconds = divmod(max(0, int(start)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _texts(paragraph: Paragraph, *, seekable: bool) -> tuple[list[tuple[str, Place | None]], str]:
    """Return a paragraph's text in parts, and where its words are and start.

    A part that is a sound, or a word in doubt, comes with its place.

    The words are triples of whole numbers, each counted from what came before: characters (of UTF-16, as JavaScript
    counts) from the end of the last word, length, and hundredths of a second from its start.
    """
    text = paragraph.text
    if not paragraph.words or not (seekable or any(map(_is_marked, paragraph.words))):
        return [(text, None)], ""
    count = _utf16 if max(text) > "\uffff" else len
    parts: list[tuple[str, Place | None]] = []
    times: list[str] = []
    copied = read = position = ended = 0
    clock = round((paragraph.start or 0.0) * 100)
    for place in paragraph.words:
        at, shown, start = place.at, place.text, place.start
        position += count(text[read:at])
        read = at + len(shown)
        if _is_marked(place):
            shown = f"[{event_name(shown)}]" if place.is_event else shown
            parts += [(text[copied:at], None), (shown, place)]
            copied = read
        size = count(shown)
        if start is not None:
            now = round(start * 100)
            times.append(f"{position - ended} {size} {now - clock}")
            ended, clock = position + size, now
        position += size
    parts.append((text[copied:], None))
    return parts, " ".join(times) if seekable and paragraph.start is not None else ""


def _is_marked(place: Place) -> bool:
    return place.is_event or place.doubt is not None


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
