"""Which scripts have no spaces, where a space belongs between two words, what is a sound event, and what can be seen.

Pure functions on strings and Unicode's own data: one place for what reading an answer and writing it must agree on.
"""

from __future__ import annotations

import re
import unicodedata

_SPEECH = frozenset({"word", "punctuation", "spacing"})
_BRACKET_PAIRS = frozenset({"()", "[]", "\uff08\uff09", "\u3010\u3011"})
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u2e80-\u30ff\u31f0-\u31ff"  # radicals, Chinese and Japanese punctuation, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uff00-\uff9f]"  # full width, half-width kana
)
_ATTACHED = frozenset(",.!?;:)]}%\u201d")  # punctuation that no space stands before, whatever type the service gives it
_OPENING = "([{$\u20ac\u00a3\u00bf\u00a1\u00ab\u201e\u201c"  # no space stands behind one of these
_QUOTES = "\u201c\u201d"  # in scripts with spaces and without
_CLITIC = re.compile(r"['\u2019](?:t|s|m|d|re|ve|ll|em)\b", re.IGNORECASE)  # don 't, we 'll
_ELIDED = re.compile(r"(?:^|\s)(?:[cdjlmnst]|qu)['\u2019]$", re.IGNORECASE)  # l' amour, qu' il
_HYPHENATED = re.compile(r"-\w")
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"


def is_visible(text: str) -> bool:
    """Return whether there is anything to see in a text: more than spaces, marks, controls and format characters."""
    return any(unicodedata.category(one)[0] not in "CZM" and one not in _BLANK_LETTERS for one in text)


def is_sound_event(kind: str, text: str) -> bool:
    """Return whether an entry of a list of words is a sound, not speech.

    :param kind: the service's type of the entry. A type that is new to us is a sound if the text is in brackets.
    """
    if kind in _SPEECH:
        return False
    text = text.strip()
    return kind == "audio_event" or (len(text) > 1 and text[0] + text[-1] in _BRACKET_PAIRS)


def is_unspaced(character: str) -> bool:
    """Return whether a character is of a script that puts no spaces between words."""
    return _UNSPACED.match(character) is not None


def has_unspaced(text: str) -> bool:
    """Return whether any character is of a script that puts no spaces between words."""
    return _UNSPACED.search(text) is not None


def has_gap(before: str, after: str, *, is_punctuation: bool = False) -> bool:
    """Return whether a space belongs between two words that are listed without the spaces between them.

    :param is_punctuation: ``after`` is listed as punctuation.
    """
    is_attached = (is_punctuation and after[-1] not in _OPENING) or all(character in _ATTACHED for character in after)
    if not before or before[-1] in _OPENING or is_attached:
        return False
    if _HYPHENATED.match(after) or _ELIDED.search(before) or (before[-1].isalpha() and _CLITIC.match(after)):
        return False
    left, right = is_unspaced(before[-1]), is_unspaced(after[0])
    return not ((left or before[-1] in _QUOTES) and (right or after[0] in _QUOTES) and (left or right))


def facing(text: str, *, is_quoted: bool) -> tuple[str, bool]:
    """Return a word with its straight quotes as those that open or close, and whether one is open behind it.

    :param is_quoted: whether one is open before it.
    """
    found = ""
    for at, one in enumerate(text if '"' in text else ()):
        if one == '"':
            before, after = (re.search(r"\w", part) is not None for part in (text[:at], text[at:]))
            is_quoted = after if before != after else not is_quoted
        found += ("\u201c" if is_quoted else "\u201d") if one == '"' else one
    return found or text, is_quoted
