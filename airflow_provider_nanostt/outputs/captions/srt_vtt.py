"""Captions as SubRip and as WebVTT: the two forms, and how each escapes special characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_nanostt.outputs.captions.layout import Captions, Cue, label
from airflow_provider_nanostt.outputs.settings import CaptionStyle
from airflow_provider_nanostt.outputs.unicode_layout import display_width, isolated, one_line

NOTE = "NOTE The times in this file are estimated: the model has given none."

# SubRip has no way to escape. Players read tags in <>, {} and after a backslash, and some read HTML's entities; these
# characters are written as their full-width forms, which look alike and become the plain ones again under NFKC.
_SUBRIP = str.maketrans({"<": "\uff1c", "{": "\uff5b", "}": "\uff5d", "\\": "\uff3c"})
_ENTITY = re.compile(r"&(?=#?\w+;)")
_STAMP = re.compile(r"(\d):(?=\d{1,2}:\d{1,2}[.,]\d)")
_UNSEEN = "\u2060"
_VTT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_srt(captions: Captions) -> str:
    """Return captions as SubRip; the speaker's name stands before the text where the speaker changes."""
    blocks = [
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n" + "\n".join(_srt_lines(cue, captions.style))
        for number, cue in enumerate(captions.cues, 1)
    ]
    if blocks and blocks[-1].rpartition("\n")[2].isdecimal():
        blocks[-1] += _UNSEEN  # a number that ends the file is taken for that of a caption to come
    return "\n\n".join(blocks) + "\n" if blocks else ""


def to_vtt(captions: Captions) -> str:
    """Return captions as WebVTT; every caption names its speaker, if it has one."""
    blocks = ["WEBVTT", *([NOTE] if captions.estimated else [])]
    for cue in captions.cues:
        voice = f"<v {one_line(cue.speaker).translate(_VTT)}>" if cue.speaker else ""
        text = "\n".join(cue.lines).translate(_VTT)
        blocks.append(f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{voice}{text}")
    return "\n\n".join(blocks) + "\n"


def _srt_lines(cue: Cue, style: CaptionStyle) -> Iterator[str]:
    lines = list(cue.lines)
    if cue.named and cue.speaker:
        name = isolated(label(cue.speaker, style), lines[0])
        named_line = f"{name}: {lines[0]}"
        if display_width(named_line) <= style.line_width:
            lines[0] = named_line
        elif len(lines) < style.max_lines:
            lines.insert(0, f"{name}:")
    return map(_srt_text, lines)


def _srt_text(line: str) -> str:
    line = line.translate(_SUBRIP).replace("-->", "--\uff1e")
    if "&" in line:
        line = _ENTITY.sub("\uff06", line)
    if line.count(":") > 3:  # readers take a line with two times for the head of a caption
        line = _STAMP.sub(rf"\1{_UNSEEN}:", line)
    return line


def _time(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{point}{rest:03d}"
