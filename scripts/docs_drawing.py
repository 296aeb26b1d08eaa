"""Draws who says what to whom, from text to SVG: the pictures of the site, without a program or a host beside Python.

The text names those who take part in its first line, and then has one step a line::

    Task | Ledger | NanoGPT
    Task -> Ledger: intent
    Task -> NanoGPT: submit
    note: from here on it may have been charged
"""

from __future__ import annotations

import re
from html import escape

WIDTH, ROW, HEAD, SIDE = 220, 46, 44, 110
STEP = re.compile(r"(.+?) (->|-->|-x) (.+?): (.+)")


def draw(text: str) -> str:
    """Return the picture as one line of SVG; its colours are those of the text around it.

    :raises ValueError: for a line that is no step, or names somebody who takes no part.
    """
    first, *lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    names = [name.strip() for name in first.split("|")]
    width, height = SIDE * 2 + WIDTH * (len(names) - 1), HEAD + ROW * len(lines) + 30
    at = {name: SIDE + WIDTH * number for number, name in enumerate(names)}
    parts = [_person(name, x, height) for name, x in at.items()]
    parts += [_line(line, at, HEAD + ROW * number + 34, width) for number, line in enumerate(lines)]
    told = escape(f"{', '.join(names)}. " + ". ".join(lines))
    return (
        f'<div class="sequence"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'style="max-width:{width}px" role="img" aria-label="{told}">{"".join(parts)}</svg></div>'
    )


def _person(name: str, x: int, height: int) -> str:
    return (
        f'<rect x="{x - 92}" y="4" width="184" height="32" rx="4" class="box"/>'
        f'<text x="{x}" y="25" text-anchor="middle">{escape(name)}</text>'
        f'<line x1="{x}" y1="36" x2="{x}" y2="{height - 4}" class="life"/>'
    )


def _line(line: str, at: dict[str, int], y: int, width: int) -> str:
    if line.startswith("note: "):
        return (
            f'<rect x="12" y="{y - 21}" width="{width - 24}" height="30" class="note"/>'
            f'<text x="{width // 2}" y="{y - 1}" text-anchor="middle" class="small">{escape(line[6:])}</text>'
        )
    found = STEP.fullmatch(line)
    if found is None or found[1] not in at or found[3] not in at:
        raise ValueError(f"a step is 'A -> B: text' or 'note: text', with names of the first line, got {line!r}")
    start, end = at[found[1]], at[found[3]]
    tip = end - 9 if end > start else end + 9
    dashes = "" if found[2] == "->" else ' stroke-dasharray="6 4"'
    head = (
        f'<path d="M{tip - 7} {y - 7} l14 14 m0 -14 l-14 14" class="arrow"/>'
        if found[2] == "-x"
        else f'<path d="M{tip} {y - 5} L{end} {y} L{tip} {y + 5} Z" class="tip"/>'
    )
    return (
        f'<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" class="arrow"{dashes}/>{head}'
        f'<text x="{(start + end) // 2}" y="{y - 7}" text-anchor="middle" class="small">{escape(found[4])}</text>'
    )
