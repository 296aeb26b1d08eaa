"""An answer about a job, read only for how the job stands, and kept as bytes for whoever needs its words later.

The words of an hour are 18,000 objects. They are passed over some at a time: the thread that does it never keeps the
others waiting, and holds next to nothing. What may not be stored is taken out of the bytes; the rest stays as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from airflow_provider_nanostt.api import body as bodies
from airflow_provider_nanostt.common.urls import WORD_LISTS, besides_text, redact, redact_answer

_AT_ONCE = 16 * 1024
"""Characters of a list that are read at once, in a fraction of a millisecond."""
_ONE_BY_ONE = 2_000
"""Entries after one that is not as simple as words are."""
_SHORT = 8 * 1024
"""Bytes of an answer that is read at once: thousands of jobs are asked for that only say that they run."""
_ENTRIES = json.JSONDecoder()  # a number that cannot be is as good as any other here, and found much faster
_SPACE = re.compile(r"[ \t\n\r]*")


def skim(data: bytes) -> tuple[Mapping[str, object], Callable[[], bytes]]:
    """Read a JSON object; raises UnreadableBodyError for whatever :func:`~.body.decode_object` does.

    What cannot be walked through is read whole: that alone says whether it can be read.

    :return: it, for a look at how the job stands; and what makes JSON of the whole, as it may be stored.
    """
    if len(data) > _SHORT:
        with suppress(ValueError, IndexError, RecursionError):
            text = bodies.as_text(data)
            found = _Skimming(text)
            body, end = found.members(_spaced(text, 0), depth=1)
            if _spaced(text, end) == len(text):
                return body, lambda: found.rewritten() or data
    whole = bodies.decode_object(data)
    return whole, lambda: _storable(whole, data)


def _storable(whole: Mapping[str, object], data: bytes) -> bytes:
    """Return an answer as it may be stored: as it came, unless there is something secret in it."""
    clean = redact_answer(whole)
    return data if clean == whole else json.dumps(clean).encode()


def _spaced(text: str, at: int) -> int:
    """Return where a text goes on behind blanks."""
    return _SPACE.match(text, at).end() if text[at : at + 1] in " \t\n\r" else at  # type: ignore[union-attr]


class _Skimming:
    """One walk through a text; ``changes`` are what may not be stored: from where, to where, and what instead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.changes: list[tuple[int, int, str]] = []

    def rewritten(self) -> bytes | None:
        """Return the text with its changes; None if there are none."""
        if not self.changes:
            return None
        pieces, done = [], 0
        for start, end, instead in self.changes:
            pieces += [self.text[done:start], instead]
            done = end
        return "".join([*pieces, self.text[done:]]).encode("utf-8", "surrogatepass")

    def members(self, at: int, *, depth: int) -> tuple[dict[str, object], int]:
        """Return the members of the object that begins here, without lists of words, and where it ends."""
        bodies.check_nesting({}, depth - 1)
        found: dict[str, object] = {}
        if self.text[at] != "{":
            raise ValueError("this is no object")
        at = _spaced(self.text, at + 1)
        if self.text[at] == "}":
            return found, at + 1
        while True:
            start = at
            name, at = bodies.DECODER.raw_decode(self.text, at)
            at = _spaced(self.text, at)
            if not isinstance(name, str) or self.text[at] != ":":
                raise ValueError("this is no member of an object")
            member, at = self._member(name, start, _spaced(self.text, at + 1), depth)
            found.pop(name, None)  # of two of the same name the later counts
            found |= member
            at = _spaced(self.text, at)
            if self.text[at] == "}":
                return found, at + 1
            if self.text[at] != ",":
                raise ValueError("a comma is missing")
            at = _spaced(self.text, at + 1)

    def _member(self, name: str, start: int, at: int, depth: int) -> tuple[Mapping[str, object], int]:
        """Return a member as it may be stored, nothing for a list of words, and where it ends."""
        if name in WORD_LISTS and self.text[at] == "[":
            return {}, self._words(name, start, at, depth)
        if name == "data" and self.text[at] == "{":
            inner, end = self.members(at, depth=depth + 1)
            return {name: inner}, end
        value, end = bodies.DECODER.raw_decode(self.text, at)
        bodies.check_nesting(value, depth)
        return self._stored({name: value}, start, end), end

    def _words(self, name: str, start: int, at: int, depth: int) -> int:
        """Pass over a list of words; return where it ends."""
        texts, end = self._entries(at, depth + 1)
        if any(redact(text, opaque=True) != text for text in texts):
            value, _ = bodies.DECODER.raw_decode(self.text, at)
            self._stored({name: value}, start, end)
        return end

    def _stored(self, member: dict[str, object], start: int, end: int) -> Mapping[str, object]:
        clean = redact_answer(member)
        if clean != member:
            self.changes.append((start, end, json.dumps(clean)[1:-1]))
        return clean

    def _entries(self, at: int, depth: int) -> tuple[set[str], int]:
        """Return what the entries of a list have besides words and numbers, and where the list ends."""
        text, found, one_by_one = self.text, set[str](), 0
        at = _spaced(text, at + 1)
        if text[at] == "]":
            return found, at + 1
        while True:
            start = at
            some, at = ([], at) if one_by_one else self._guessed(at)
            if not some:
                one_by_one = (one_by_one or _ONE_BY_ONE) - 1
                entry, at = _ENTRIES.raw_decode(text, at)
                some = [entry]
            found |= besides_text(some)
            if text.count("{", start, at) + text.count("[", start, at) > len(some):
                bodies.check_nesting(some, depth - 1)
            at = _spaced(text, at)
            if text[at] == "]":
                return found, at + 1
            if text[at] != ",":
                raise ValueError("a comma is missing")
            at = _spaced(text, at + 1)

    def _guessed(self, at: int) -> tuple[list[object], int]:
        """Return the next entries of a list, and where the last of them ends; none if that cannot be guessed.

        What is between the beginning of one entry and a brace is entries if it can be read as such, else the brace is
        in a text or in an entry.
        """
        end = self.text.rfind("}", at, at + _AT_ONCE) + 1
        if end:
            with suppress(ValueError):
                some: list[object] = _ENTRIES.decode(f"[{self.text[at:end]}]")
                return some, end
        return [], at
