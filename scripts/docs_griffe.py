"""Turns the docstrings' reStructuredText into Markdown while the reference is made: roles, double backticks, ``::``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import griffe

if TYPE_CHECKING:
    from typing import Any

RETURN = re.compile(r"^:return: (.*?)(?=^:|\Z)", re.DOTALL | re.MULTILINE)
RAISES = re.compile(r"^:raises (\w+(?:, \w+)+): (.*)$", re.MULTILINE)
ROLE = re.compile(r":(?!param|raises|return|type|cvar|ivar)\w+:`~?\.?([^`]+)`")


class PlainMarkdown(griffe.Extension):
    """Applied to every docstring as soon as it has been read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            text = ROLE.sub(r"`\1`", obj.docstring.value).replace("``", "`")
            text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
            text = RAISES.sub(
                lambda found: "\n".join(f":raises {one}: {found[2]}" for one in found[1].split(", ")), text
            )
            obj.docstring.value = with_result(text) if obj.is_class else text


def with_result(text: str) -> str:
    """Return the docstring of a class with its ``:return:``, which is of ``execute``, before the fields."""
    if not (found := RETURN.search(text)):
        return text
    rest = RETURN.sub("", text)
    result = "Returns " + " ".join(found[1].split())
    at = re.search(r"^:", rest, re.MULTILINE)
    where = at.start() if at else len(rest)
    return f"{rest[:where].rstrip()}\n\n{result}\n\n{rest[where:]}".rstrip()
