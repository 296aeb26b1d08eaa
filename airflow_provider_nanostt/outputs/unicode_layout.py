"""Decides where text may be cut, and how wide characters are.

Pure functions on strings and Unicode's own data; nothing here knows of transcripts or formats.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator

from airflow_provider_nanostt.api.spacing import has_unspaced, is_unspaced

SENTENCE = 2
CLAUSE = 1
"""What a text ends with; 0 is neither."""

_EVENT_BRACKETS = "()[]*\uff08\uff09\u3010\u3011"

# Mostly as escapes, since many of these look like other characters.
_SENTENCE_ENDS = ".!?…\u3002\uff0e\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u166e\u104b\u17d5"
_CLAUSE_ENDS = ",;:\u060c\u061b\u3001\uff0c\uff1b\uff1a\uff64\u2014\u2013"
_ENDINGS = {**dict.fromkeys(_SENTENCE_ENDS, SENTENCE), **dict.fromkeys(_CLAUSE_ENDS, CLAUSE)}
_CLOSING_MARKS = "”\u2019»)]}\u300d\u300f\uff09\u3011\u3009\u300b\u3015\uff3d\uff5d"
_CLOSING = "\"'\u203a" + _CLOSING_MARKS
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーｰ々ゝゞヽヾ"
_NEVER_FIRST = frozenset(_SENTENCE_ENDS + _CLAUSE_ENDS + _SMALL_KANA + _CLOSING_MARKS + "%°\uff05")
_NEVER_LAST = frozenset("“\u2018«([{\u300c\u300e\uff08\u3010\u3008\u300a\u3014\uff3b\uff5b¿¡")
_JOINER = "\u200d"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_DIRECTIONS = {"L": "L", "R": "R", "AL": "R"}


def event_name(text: str) -> str:
    """Return the text of a sound event without the brackets around it; ``…`` if nothing is left."""
    return text.strip(f" {_EVENT_BRACKETS}") or "…"


def display_width(text: str) -> int:
    """Return how wide a text is, in columns: East Asian wide characters take two, marks on others none."""
    return len(text) if text.isascii() else sum(map(_width, text))


@functools.cache
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cleaned(text: str) -> str:
    """Return a text without control characters, and with U+FFFD for invalid Unicode; spaces stay."""
    if text.isascii() and text.isprintable():
        return text
    return _HALF_PAIR.sub("\ufffd", _CONTROL.sub("", text))


def one_line(text: str) -> str:
    """Return a cleaned text with single spaces and no line breaks, such as a name."""
    return " ".join(cleaned(text).split())


def join_spaced(parts: Iterable[tuple[str, bool]]) -> str:
    """Join texts, each given with whether a space stands before it; the first one never has a space."""
    return "".join(f" {text}" if spaced and at else text for at, (text, spaced) in enumerate(parts))


def can_break(before: str, after: str, *, spaced: bool) -> bool:
    """Return whether a line may end between two texts.

    :param spaced: whether there is a space between them.
    """
    if all(character in _NEVER_FIRST for character in after):
        return False
    if spaced:
        return True
    if not (is_unspaced(before[-1]) or is_unspaced(after[0])):
        return False
    return after[0] not in _NEVER_FIRST and before[-1] not in _NEVER_LAST and not _joins(before[-1], after[0])


def ending(text: str) -> int:
    """Return what a text ends with: :data:`SENTENCE`, :data:`CLAUSE`, or 0."""
    return _ENDINGS.get(text.rstrip(_CLOSING)[-1:], 0)


_UNSPACED_ENDS = "".join(filter(is_unspaced, _SENTENCE_ENDS))
_SPACED_ENDS = "".join(itertools.filterfalse(is_unspaced, _SENTENCE_ENDS))
_CLOSED = f"[{re.escape(_CLOSING)}]*"
SENTENCE_END = re.compile(rf"[{_SPACED_ENDS}]{_CLOSED}\s+|[{_UNSPACED_ENDS}]{_CLOSED}\s*")
"""Matches the end of a sentence in running text, up to where the next sentence begins."""


def graphemes(text: str) -> Iterator[str]:
    """Yield user-perceived characters: each with its marks, joined pictures whole."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not _joins(text[at - 1], text[at]):
            yield text[start:at]
            start = at


def _joins(before: str, after: str) -> bool:
    if after <= "\u02ff":
        return False
    return _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc", "Sk")


def wrap(text: str, width: int) -> list[str]:
    """Cut a text that is too wide for a line into parts of at most ``width`` columns, between characters."""
    lines = [""]
    for cluster in graphemes(text):
        # A single cluster that is too wide is cut inside.
        for part in [cluster] if display_width(cluster) <= width else cluster:
            if lines[-1] and display_width(lines[-1] + part) > width:
                lines.append("")
            lines[-1] += part
    return lines


def split_breakable(text: str) -> list[tuple[str, bool]]:
    """Split running text where lines may end.

    :return: (text, whether a space stands before it), in order.
    """
    found: list[tuple[str, bool]] = []
    for run in text.split():
        pieces: list[str] = []
        for part in graphemes(run) if has_unspaced(run) else [run]:
            if pieces and not (is_unspaced(pieces[-1][0]) or is_unspaced(part[0])):
                pieces[-1] += part
            else:
                pieces.append(part)
        found += [(piece, at == 0) for at, piece in enumerate(pieces)]
    return found


def isolated(text: str, beside: str) -> str:
    """Return a text, isolated if it runs the other way than the one beside it, so that the line keeps its own way."""
    return f"\u2068{text}\u2069" if {_direction(text), _direction(beside)} == {"L", "R"} else text


def _direction(text: str) -> str:
    """Return which way a text runs, by its first letter with a direction: ``L``, ``R``, or ``""``."""
    kinds = map(unicodedata.bidirectional, text)
    return next((_DIRECTIONS[kind] for kind in kinds if kind in _DIRECTIONS), "")
