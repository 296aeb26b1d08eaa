"""A transcript as one HTML page that needs nothing else: no network, no server, not even JavaScript to be read.

What is written into the page is escaped here, every value where it is put in. The page also forbids itself to run,
load or send anything but its own style and script, by their hashes, so that a mistake in the escaping would still run
nothing. The looks are in ``page.css``, the behaviour in ``page.js``, the frame in ``page.html``.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
import re
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from airflow_provider_nanostt.outputs.html.page_text import Paragraph, clean, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_nanostt.api.models import Transcript

_COLOURS = 8  # in page.css; the ninth speaker has the first one's
_RIGHT_TO_LEFT = frozenset("ar arc ckb dv fa he iw ji ks nqo prs ps sd syr ug ur yi".split())
_RIGHT_TO_LEFT_SCRIPTS = frozenset("adlm arab hebr nkoo rohg syrc thaa".split())
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_ADDRESS_ESCAPES = "/%:?#[]@!$&'()*+,;=~"  # what may stand in an address as it is
_UNKNOWN_SPEAKER = "Unknown speaker"
_BARE_EVENT = " ()[]*"


def page(
    transcript: Transcript,
    *,
    title: str,
    audio_url: str | None = None,
    downloads: Mapping[str, str] | None = None,
) -> str:
    """Return a transcript as one self-contained HTML page.

    :param transcript: what was said; may be without times, without speakers, or silent.
    :param title: the page's title and heading, such as the recording's name.
    :param audio_url: where a browser finds the recording, ``http`` or ``https``. It is written into the page as it is,
        with its signature if it has one. Anything else plays nothing: the page is made without audio.
    :param downloads: the same transcript in other forms, text by file name, carried inside the page.
    :return: the page; write it as UTF-8.
    """
    assets = _assets()
    address = playable(audio_url)
    content = list(paragraphs(transcript))
    speakers = _Speakers.of(content)
    language = transcript.language if transcript.language and _LANGUAGE.fullmatch(transcript.language) else None
    return assets.frame.substitute(
        policy=html.escape(_policy(assets, address), quote=True),
        title=_escape(clean(title).strip() or "Transcript"),
        # The words of the page itself are English; without a language of the text they speak for the page.
        language=language or "en",
        text_language=language or "und",
        direction="rtl" if language and is_right_to_left(language) else "ltr",
        style=assets.style,
        script=assets.script,
        summary=_summary(transcript, content, speakers, language),
        facts=_facts(transcript),
        audio=f'<audio controls preload="none" src="{_escape(address)}"></audio>' if address else "",
        seeking="" if address else " hidden",
        look="plain" if not speakers.names and all(paragraph.start is None for paragraph in content) else "",
        speakers=speakers.chips() if len(speakers.names) > 1 else "",
        paragraphs="\n".join(_rendered(content, speakers, seekable=address is not None))
        or '<p class="none" lang="en" dir="ltr">Nothing was said in this recording.</p>',
        downloads=_buttons(downloads or ()),
        files="\n".join(_file(name, text) for name, text in (downloads or {}).items()),
    )


def playable(audio_url: str | None) -> str | None:
    """Return an address that a browser may fetch audio from, percent-encoded, or None if it is not one."""
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
    """Whether a language tag such as ``ar`` or ``az-Arab`` names a language written from right to left."""
    first, *rest = language.lower().split("-")
    script = next((part for part in rest if len(part) == 4 and part.isalpha()), None)
    return first in _RIGHT_TO_LEFT if script is None else script in _RIGHT_TO_LEFT_SCRIPTS


class _Assets(NamedTuple):
    frame: Template
    style: str
    script: str


@functools.cache
def _assets() -> _Assets:
    folder = resources.files(__package__)
    frame, style, script = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return _Assets(Template(frame), style, script)


def _policy(assets: _Assets, address: str | None) -> str:
    """Return the page's Content-Security-Policy: its own style and script, and its recording."""
    rules = ["default-src 'none'", f"style-src {_hash(assets.style)}", f"script-src {_hash(assets.script)}"]
    if address:
        parts = urlsplit(address)
        path = parts.path.replace(";", "%3B").replace(",", "%2C")
        rules.append(f"media-src {parts.scheme}://{parts.netloc}{path}")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


class _Speakers(NamedTuple):
    """The speakers in order of appearance, and each one's share of the talking in percent."""

    names: Mapping[str, int]
    shares: Sequence[int]

    @classmethod
    def of(cls, content: Iterable[Paragraph]) -> _Speakers:
        spoken: dict[str, float] = {}
        for paragraph in content:
            if paragraph.speaker:
                timed = paragraph.start is not None and paragraph.end is not None
                seconds = max(0.0, paragraph.end - paragraph.start) if timed else 0.0  # type: ignore[operator]  # both are there
                spoken[paragraph.speaker] = spoken.get(paragraph.speaker, 0.0) + seconds
        total = sum(spoken.values())
        shares = [round(100 * seconds / total) if total else 0 for seconds in spoken.values()]
        return cls({name: number for number, name in enumerate(spoken)}, shares)

    def chips(self) -> str:
        """Return the row of buttons: show only this speaker, go to the next turn of this speaker."""
        return "".join(
            f'<li class="chip s{number % _COLOURS}">'
            f'<button type="button" class="only" aria-pressed="false" data-s="{number}" title="Show only this speaker">'
            f"<i></i><bdi>{_escape(clean(name))}</bdi>{f' <small>{share}%</small>' if share else ''}</button>"
            f'<button type="button" class="next" data-s="{number}" aria-label="Next turn of {_escape(clean(name))}" '
            f'title="Next turn of this speaker">↓</button></li>'
            for (name, number), share in zip(self.names.items(), self.shares, strict=True)
        )


def _rendered(content: Sequence[Paragraph], speakers: _Speakers, *, seekable: bool) -> Iterable[str]:
    hours = any(paragraph.start is not None and paragraph.start >= 3600 for paragraph in content)
    before: object = _rendered  # nobody: the first paragraph always begins a turn
    for paragraph in content:
        number = speakers.names.get(paragraph.speaker or "")
        look = "sx" if number is None else f"s{number % _COLOURS}"
        told = f"<b dir=auto>{_escape(_who(paragraph))}</b>" if speakers.names and paragraph.speaker != before else ""
        turn = " n" if paragraph.speaker != before else ""
        before = paragraph.speaker
        text, times = _text(paragraph, seekable=seekable)
        clock = _clock(paragraph.start, hours=hours, seekable=seekable)
        data = f' data-s="{number}"' if number is not None else ""
        if seekable and paragraph.start is not None:
            data += f' data-t="{paragraph.start:.2f}"'
        data += f' data-w="{times}"' if times else ""
        yield (
            f'<div class="p {look}{turn}"{data}>{clock}{told}<button type=button class=c>Copy</button>'
            f"<p class=x dir=auto>{text}</p></div>"
        )


def _who(paragraph: Paragraph) -> str:
    """Return the name above a turn; a sound that nobody made needs none."""
    if paragraph.speaker:
        return clean(paragraph.speaker)
    heard = sum(len(word.text) for word in paragraph.words if word.is_event)
    return "" if heard >= len("".join(paragraph.text.split())) else _UNKNOWN_SPEAKER


def _clock(start: float | None, *, hours: bool, seekable: bool) -> str:
    if start is None:
        return ""
    minutes, seconds = divmod(max(0, int(start)), 60)
    told = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"<button type=button class=t>{told}</button>" if seekable else f"<span class=t>{told}</span>"


def _text(paragraph: Paragraph, *, seekable: bool) -> tuple[str, str]:
    """Return a paragraph's text as HTML, and where its words are and start.

    The words are triples of whole numbers, each counted from what came before: characters (of UTF-16, as JavaScript
    counts) from the end of the last word, length, and hundredths of a second from its start.
    """
    text = paragraph.text
    if not paragraph.words or not (seekable or any(word.is_event for word in paragraph.words)):
        return html.escape(text, quote=False), ""
    count = _utf16 if max(text) > "\uffff" else len
    parts: list[str] = []
    times: list[str] = []
    copied, read, gap, clock = 0, 0, 0, round((paragraph.start or 0.0) * 100)
    for at, word, start, is_event in paragraph.words:
        gap += count(text[read:at])
        read, shown = at + len(word), word
        if is_event:
            shown = f"[{word.strip(_BARE_EVENT)}]"
            parts += html.escape(text[copied:at], quote=False), f"<i>{html.escape(shown, quote=False)}</i>"
            copied = read
        size = count(shown)
        if start is None:
            gap += size
            continue
        now = round(start * 100)
        times.append(f"{gap} {size} {now - clock}")
        gap, clock = 0, now
    parts.append(html.escape(text[copied:], quote=False))
    return "".join(parts), " ".join(times) if seekable and paragraph.start is not None else ""


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _summary(transcript: Transcript, content: Sequence[Paragraph], speakers: _Speakers, language: str | None) -> str:
    """Return one line about the recording: language, length, speakers, words."""
    told = [f'<span id="language">{_escape(language)}</span>'] if language else []
    ends = [paragraph.end for paragraph in content if paragraph.end is not None]
    if ends:
        told.append(f"<span>{_length(max(ends))}</span>")
    if speakers.names:
        told.append(f"<span>{_counted(len(speakers.names), 'speaker')}</span>")
    words = sum(word.type == "word" for word in transcript.words) or len(transcript.text.split())
    return "".join([*told, f"<span>{_counted(words, 'word')}</span>"] if words else told)


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _facts(transcript: Transcript) -> str:
    """Return what is known of the job, as the entries of a ``dl``."""
    cost, minutes = transcript.cost, transcript.charged_minutes
    facts = {
        "Model": transcript.model or None,
        "Charged": None if minutes is None else f"{minutes:.2f}".rstrip("0").rstrip(".") + " min",
        "Cost": None
        if cost is None
        else f"${cost:.2f}"
        if round(cost, 2) == round(cost, 6)
        else f"${cost:.6f}".rstrip("0"),
        "Run": transcript.run_id,
    }
    return "".join(f"<div><dt>{name}</dt><dd>{_escape(clean(told))}</dd></div>" for name, told in facts.items() if told)


def _buttons(names: Iterable[str]) -> str:
    """Return a button for every file in the page, labelled with what its name ends in."""
    buttons = "".join(
        f'<button type="button" data-get="{name}" aria-label="Download {name}">{_kind(name)}</button>'
        for name in (_escape(clean(name)) for name in names)
    )
    icon = '<svg aria-hidden="true"><use href="#i-get"/></svg>'
    return f'<span class="get" role="group" aria-label="Downloads">{icon}{buttons}</span>' if buttons else ""


def _kind(name: str) -> str:
    return name.rpartition(".")[2].upper() or name


def _file(name: str, text: str) -> str:
    """Return a file as the page carries it: packed, and in letters that cannot end the element they stand in."""
    packed = gzip.compress(text.encode("utf-8", "replace"), compresslevel=1, mtime=0)
    letters = base64.b64encode(packed).decode()
    return f'<script type="application/gzip" data-file="{_escape(clean(name))}">{letters}</script>'
