"""Markdown to read in wikis, notes and pull requests: speaker, time and text, of which nothing is taken for markup."""

from __future__ import annotations

import re

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.passages import paragraphs
from airflow_provider_nanostt.outputs.unicode_layout import one_line

_MARKS = re.compile(r"([\\`*_{}\[\]<>&#~|$^])")
_LIST = re.compile(r"^(\d{0,9})(?=[-+.)=:])")


def render(job: RenderJob) -> str:
    """Return a heading, and a paragraph for each turn of a speaker, a long turn in several; lines are not wrapped."""
    blocks = [f"# {_escaped(one_line(job.title))}"]
    for one in paragraphs(job.speech.tokens):
        name = f"**{_escaped(one.speaker)}**" if one.speaker else ""
        time = _clock(one.start) if job.speech.timed else ""
        blocks += filter(None, [" · ".join(filter(None, [name, time])), _escaped(one.text)])
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    """Escape what CommonMark, its tables and its formulas would take for markup; the text is one line."""
    return _LIST.sub(r"\1\\", _MARKS.sub(r"\\\1", text))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
