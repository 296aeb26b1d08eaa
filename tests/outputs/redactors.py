"""Functions that a DAG author might give as ``transform``, and things that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

seen: list[str] = []
"""Every text that ``note`` was called with."""

number = 5


def names(text: str) -> str:
    """Hide a name, wherever it is written."""
    return re.sub(r"(?i)\bmiller\b", "[NAME]", text)


def shout(text: str) -> str:
    """Change every text, and a second time once more."""
    return f"<{text}>"


def nothing(text: str) -> str:
    """Leave nothing of any text."""
    return ""


def drop_names(text: str) -> str:
    """Leave out what has a name."""
    return "" if "miller" in text.lower() else text


def note(text: str) -> str:
    """Change nothing."""
    seen.append(text)
    return text


def fails(text: str) -> str:
    """Quote the text, as errors do."""
    raise KeyError(text)


def returns_none(text: str) -> str | None:
    """Return no text."""
    return None


def says_none(text: str) -> None:
    """Return no text, and say so."""


def yields(text: str) -> Iterator[str]:
    """Return pieces of the text, one after the other."""
    yield from text


def takes_two(text: str, other: str) -> str:
    """Want more than a text."""
    return text + other


async def waits(text: str) -> str:
    """Return a text only to who awaits it."""
    return text


class Waiting:
    """Something to call that returns a text only to who awaits it."""

    async def __call__(self, text: str) -> str:
        """Return the text."""
        return text


waiting = Waiting()


class Redactor:
    """A class, which makes no text of a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def names(text: str) -> str:
        """Hide a name."""
        return names(text)


def mark(text: str) -> str:
    """Leave one character of any text."""
    return "#" if text else text
