"""Draws the plots of the documentation from results.json: SVG by hand, so nothing is needed for it.

Each is a group of bars or several, with the figure at each bar's end, on white; the site's style sheet inverts them on
its dark pages.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent / "docs" / "pictures"
OURS, OTHERS = "#3949ab", "#9e9e9e"
WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 720, 250, 80, 20, 12, 44


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot.

    :param label: what it stands for.
    :param value: its length, in the plot's unit, as it is in the results.
    :param is_ours: whether it is this provider's.
    """

    label: str
    value: str
    is_ours: bool = False


def draw(title: str, unit: str, groups: list[list[Bar]]) -> str:
    """Return a plot of bars, grouped, as SVG."""
    most = max(float(bar.value) for group in groups for bar in group)
    y, parts = TOP, list[str]()
    for group in groups:
        for bar in group:
            parts.append(_bar(bar, y, (WIDTH - LEFT - RIGHT) * float(bar.value) / most, unit))
            y += BAR + 4
        y += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        f'font-family="sans-serif" font-size="14" fill="#212121">'
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>'
        f'<text x="12" y="26" font-size="16" font-weight="bold">{escape(title)}</text>\n{"".join(parts)}</svg>\n'
    )


def _bar(bar: Bar, y: int, length: float, unit: str) -> str:
    weight, fill = (' font-weight="bold"', OURS) if bar.is_ours else ("", OTHERS)
    return (
        f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end"{weight}>{escape(bar.label)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{max(length, 1):.1f}" height="{BAR}" fill="{fill}"/>'
        f'<text x="{LEFT + length + 6:.1f}" y="{y + 15}"{weight}>{bar.value} {unit}</text>\n'
    )


def polls(figures: dict[str, Any]) -> str:
    """Draw what one question costs, beside the triggers of others."""
    first = figures["cpu_per_poll"]["rows"][0]
    others = re.findall(r"([^;]+?) ([\d.]+) ms", first["beside"])
    bars = [Bar(name.strip(), value) for name, value in others]
    bars.append(Bar("TranscriptionTrigger", number(first["ours"], r"([\d.]+) ms"), is_ours=True))
    return draw(
        "CPU for one question, 1000 triggers in one loop", "ms", [sorted(bars, key=lambda bar: float(bar.value))]
    )


def lag(figures: dict[str, Any]) -> str:
    """Draw how late an end is noticed, by the number of jobs in flight."""
    rows = figures["lag_by_jobs"]["rows"]
    counts = [number(row["figure"], r"with (\d+) jobs") for row in rows]
    pairs = [
        [
            Bar(f"{int(count):,} jobs, this provider", number(row["ours"], r"mean ([\d.]+)"), is_ours=True),
            Bar("asked every 5 s, in turn", number(row["beside"], r"mean ([\d.]+)")),
        ]
        for count, row in zip(counts, rows, strict=True)
    ]
    return draw("How late the end of a job is noticed, on average, with one key", "s", pairs)


def slots(figures: dict[str, Any]) -> str:
    """Draw the worker slots that 200 recordings take, in one batch and as mapped tasks."""
    rows = figures["batch_vs_mapped"]["rows"]
    counts = [number(row["figure"], r"(\d+) worker slots") for row in rows]
    pairs = [
        [
            Bar(f"{count} slots, one batch", number(row["ours"], r"batch: ([\d.]+)"), is_ours=True),
            Bar(f"{count} slots, 200 mapped tasks", number(row["beside"], r"mapped: ([\d.]+)")),
        ]
        for count, row in zip(counts, rows, strict=True)
    ]
    return draw("Worker-slot seconds for 200 recordings", "s", pairs)


def number(text: str, pattern: str) -> str:
    """Return the number that a pattern finds in a text of the results.

    :raises ValueError: if it is not there.
    """
    if found := re.search(pattern, text):
        return str(found[1])
    raise ValueError(f"no {pattern!r} in {text!r}")


def plots(figures: dict[str, Any]) -> dict[str, str]:
    """Return each plot by the name of its file."""
    return {"polls.svg": polls(figures), "lag.svg": lag(figures), "slots.svg": slots(figures)}


def main() -> None:
    """Draw all of them anew."""
    figures = json.loads((HERE / "results.json").read_text(encoding="utf-8"))["figures"]
    for name, text in plots(figures).items():
        (PICTURES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
