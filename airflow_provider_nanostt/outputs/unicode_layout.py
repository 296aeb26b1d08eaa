"""What characters are to whoever lays out text: how wide, whether spaces stand around them, which way they run.

Pure functions on strings, on Unicode's own data; nothing here knows of transcripts.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SENTENCE = 2
CLAUSE = 1
"""How much of an end the end of a text is; 0 is none."""

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x30FF),  # radicals, Chinese and Japanese punctuation, kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFF9F),  # full width, half-width kana
    (0x20000, 0x3FFFF),
)
# Mostly as escapes, since many of these look like other characters.
_SENTENCE_ENDS = frozenset(".!?…\u3002\uff0e\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u166e\u104b\u17d5")
_CLAUSE_ENDS = frozenset(",;:\u060c\u061b\u3001\uff0c\uff1b\uff1a\uff64\u2014\u2013")
_CLOSING = frozenset("\"'”\u2019»\u203a)]}\u300d\u300f\uff09\u3011\u3009\u300b\u3015\uff3d\uff5d")
_SMALL_KANA = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーｰ々ゝゞヽヾ")
_NEVER_FIRST = (
    _SENTENCE_ENDS
    | _CLAUSE_ENDS
    | _SMALL_KANA
    | frozenset("”\u2019»)]}\u300d\u300f\uff09\u3011\u3009\u300b\u3015\uff3d\uff5d%°\uff05")
)
_NEVER_LAST = frozenset("“\u2018«([{\u300c\u300e\uff08\u3010\u3008\u300a\u3014\uff3b\uff5b¿¡")
_JOINER = "\u200d"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class _Widths(dict[str, int]):
    """Columns of single characters, remembered."""

    def __missing__(self, character: str) -> int:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            width = 0
        else:
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        self[character] = width
        return width


_WIDTHS = _Widths()


def display_width(text: str) -> int:
    """Return how wide a text is, in columns: East Asian wide characters take two, marks on others none."""
    return len(text) if text.isascii() else sum(map(_WIDTHS.__getitem__, text))


def cleaned(text: str) -> str:
    """Return a text without control characters, and with U+FFFD for what is no valid Unicode; spaces stay."""
    if text.isascii() and text.isprintable():
        return text
    return _HALF_PAIR.sub("\ufffd", _CONTROL.sub("", text))


def is_unspaced(character: str) -> bool:
    """Return whether a character is of a script that puts no spaces between words."""
    if character <= "\u0dff":
        return False
    code = ord(character)
    return any(first <= code <= last for first, last in _UNSPACED)


def has_unspaced(text: str) -> bool:
    """Return whether any character is of a script that puts no spaces between words."""
    return not text.isascii() and any(map(is_unspaced, text))


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
    """Return what ends with a text: :data:`SENTENCE`, :data:`CLAUSE`, or 0."""
    end = len(text)
    while end and text[end - 1] in _CLOSING:
        end -= 1
    last = text[end - 1 : end]
    return SENTENCE if last in _SENTENCE_ENDS and last else CLAUSE if last in _CLAUSE_ENDS and last else 0


def graphemes(text: str) -> Iterator[str]:
    """Give what a reader takes for one character each: with its marks, joined pictures whole."""
    start = 0
    for at in range(1, len(text)):
        if not _joins(text[at - 1], text[at]):
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


def _joins(before: str, after: str) -> bool:
    if after <= "\u02ff":
        return False
    return _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc", "Sk")


def pieces(text: str, width: int) -> list[str]:
    """Cut a text that is too wide for a line into pieces of at most ``width`` columns, between characters."""
    found: list[str] = []
    piece: list[str] = []
    filled = 0
    for cluster in graphemes(text):
        wide = display_width(cluster)
        for part, size in [(cluster, wide)] if wide <= width else [(one, display_width(one)) for one in cluster]:
            if piece and filled + size > width:
                found.append("".join(piece))
                piece, filled = [], 0
            piece.append(part)
            filled += size
    return [*found, "".join(piece)] if piece else found


def chunks(text: str) -> list[tuple[str, bool]]:
    """Cut running text where lines may end.

    :return: (text, whether a space stands before it), in order.
    """
    found: list[tuple[str, bool]] = []
    for run in text.split():
        spaced = True
        if not has_unspaced(run):
            found.append((run, spaced))
            continue
        held: list[str] = []
        for cluster in graphemes(run):
            if held and (is_unspaced(held[-1][0]) or is_unspaced(cluster[0])):
                found.append(("".join(held), spaced))
                held, spaced = [], False
            held.append(cluster)
        found.append(("".join(held), spaced))
    return found


def direction(text: str) -> str:
    """Return which way a text runs, by its first letter that says so: ``L``, ``R``, or ``""``."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind == "L":
            return "L"
        if kind in ("R", "AL"):
            return "R"
    return ""
