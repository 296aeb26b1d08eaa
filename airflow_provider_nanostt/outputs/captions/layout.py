"""Lays out what was said as captions: where one ends and the next begins, in which lines, from when to when.

The reading rules are parameters. Pure functions on values; which file format the captions are for is not known here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.settings import CaptionStyle
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token, estimated, spoken, spread, turns
from airflow_provider_nanostt.outputs.unicode_layout import (
    can_break,
    display_width,
    ending,
    isolated,
    join_spaced,
    one_line,
    wrap,
)

ESTIMATED = "[estimated times]"
"""The first caption of a file with estimated times; any reader shows it."""

_LONGEST_DELAY_MS = 3000
_LEAST_SHOWN_MS = 200  # of what is said faster than captions can follow; it delays the next one
_FEW_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption: ``start`` and ``end`` in milliseconds; ``named`` where the speaker changes."""

    start: int
    end: int
    lines: tuple[str, ...]
    speaker: str | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Captions:
    """All captions of a transcript in the order of time, their style, and whether their times are estimated."""

    cues: tuple[Cue, ...]
    style: CaptionStyle
    estimated: bool = False


class _Draft(NamedTuple):
    """The text of one caption, in atoms: tokens that stay in one line each."""

    atoms: Sequence[Token]
    speaker: str | None
    named: bool


def make(
    transcript: Transcript,
    style: CaptionStyle | None = None,
    *,
    estimate: bool = False,
    speech: Spoken | None = None,
) -> Captions:
    """Return the captions of a transcript.

    :param estimate: estimate times where the transcript has none; the first caption then says so.
    :param speech: the result of ``spoken`` for the transcript, if it is known already.
    :raises InvalidInput: if the transcript has no times, without ``estimate``.
    """
    style = style or CaptionStyle()
    speech = speech or spoken(transcript)
    if speech.timed:
        return Captions(tuple(_shown(speech.tokens, style)), style)
    if not estimate:
        raise no_times(transcript.model)
    shown = round(style.min_seconds * 1000)
    begin = shown + round(style.gap_seconds * 1000)
    mark = Cue(0, shown, (ESTIMATED if style.line_width >= len(ESTIMATED) else "[estimated]",))
    tokens = estimated(speech.tokens, transcript.charged_minutes, begin=begin)
    return Captions((mark, *_shown(tokens, style)), style, estimated=True)


def no_times(model: str) -> InvalidInput:
    """Return the error for formats that need times, of a transcript without any."""
    named = f"The model {model!r}" if model else "The model"
    return InvalidInput(
        f"{named} has given no times, which captions (srt, vtt) and some other formats need. Use a model that gives "
        "times, such as 'Elevenlabs-STT'; or set estimated_captions=True for captions with estimated times; or remove "
        "from formats what needs times"
    )


def label(speaker: str, style: CaptionStyle) -> str:
    """Return a speaker's name as it stands before a line: at most half of one line, with a colon and a space."""
    name, room = one_line(speaker), style.line_width // 2 - 2
    if display_width(name) > room:
        name = wrap(name, room - 1)[0].rstrip() + "…"
    return name


def _shown(tokens: Sequence[Token], style: CaptionStyle) -> Iterator[Cue]:
    """Yield the captions with their lines and times."""
    drafts = list(_drafts(tokens, style))
    gap, free = round(style.gap_seconds * 1000), 0
    shortest, longest = round(style.min_seconds * 1000), round(style.max_seconds * 1000)
    latest = _latest_starts([draft.atoms[0].start for draft in drafts], gap + shortest)
    for at, draft in enumerate(drafts):
        atoms = draft.atoms
        lines = _laid_out(draft, style)
        start = max(atoms[0].start, free)
        reading = -int(-sum(map(display_width, lines)) * 1000 // style.chars_per_second)
        end = min(max(atoms[-1].end, start + shortest, start + reading), start + longest)
        if at + 1 < len(drafts):
            following = drafts[at + 1].atoms[0].start - gap
            # What is said too fast to read may delay what follows, as far as there is silence behind all of it.
            end = min(end, max(following, min(start + shortest, latest[at + 1] - gap)))
        end = max(end, start + _LEAST_SHOWN_MS)
        free = end + gap
        yield Cue(start, end, lines, draft.speaker, draft.named)


def _latest_starts(starts: Sequence[int], apart: int) -> list[int]:
    """Return how late each caption may begin so that all after it, so far apart, are late by a bearable time."""
    latest, following = [], math.inf
    for start in reversed(starts):
        following = max(start, min(start + _LONGEST_DELAY_MS, following - apart))
        latest.append(round(following))
    return latest[::-1]


def _drafts(tokens: Sequence[Token], style: CaptionStyle) -> Iterator[_Draft]:
    """Cut what was said into captions; the first of a speaker names them."""
    shown: str | None = None
    pause = style.pause_seconds * 1000
    for run in turns(tokens, lambda turn, after: after.start - turn[-1].end >= pause):
        speaker = next((token.speaker for token in run if token.speaker and token.speaker.strip()), None)
        named = speaker not in (None, shown)
        shown = speaker or shown
        rest = _Draft(list(_atoms(run, style.line_width)), speaker, named)
        while rest.atoms:
            until = _until(rest, style)
            yield rest._replace(atoms=rest.atoms[:until])
            rest = rest._replace(atoms=rest.atoms[until:], named=False)


def _atoms(run: Sequence[Token], width: int) -> Iterator[Token]:
    """Join tokens between which no line may end, and cut those that are too wide for one."""
    held: list[Token] = []
    for token in run:
        if held and (token.event or held[-1].event or can_break(held[-1].text, token.text, spaced=token.spaced)):
            yield from _atom(held, width)
            held = []
        held.append(token)
    yield from _atom(held, width)


def _atom(held: Sequence[Token], width: int) -> Iterator[Token]:
    first, last = held[0], held[-1]
    text = first.text if len(held) == 1 else join_spaced((token.text, token.spaced) for token in held)
    if display_width(text) <= width:  # nearly always
        yield first if len(held) == 1 else Token(text, first.spaced, first.start, last.end, first.speaker, first.event)
        return
    pieces = [
        (piece, at == 0 and (number > 0 or first.spaced))
        for number, one in enumerate(text.split())
        for at, piece in enumerate(wrap(one, width))
    ]
    spans = spread(first.start, last.end, [len(piece) for piece, _ in pieces])
    for (piece, spaced), (start, end) in zip(pieces, spans, strict=True):
        yield first._replace(text=piece, spaced=spaced, start=start, end=end)


def _until(draft: _Draft, style: CaptionStyle) -> int:
    """Return where a caption ends that begins with all of a draft: all that fits, or at the best place before."""
    atoms, longest = draft.atoms, style.max_seconds * 1000
    lines, filled = _label_lines(draft, style)
    more_lines = _line_starts(atoms, style.line_width, filled)
    fitting = next(itertools.islice(more_lines, style.max_lines - lines, None), len(atoms))
    until = next((at for at in range(1, fitting) if atoms[at].end - atoms[0].start > longest), fitting)
    if until == len(atoms):
        return until
    return max(range(1, until + 1), key=lambda at: (_worth(atoms, at, until, style), at))


def _worth(atoms: Sequence[Token], at: int, until: int, style: CaptionStyle) -> float:
    """Rate the end of a caption before ``at``, if it may go on as far as ``until``; more is better."""
    last, shortest = atoms[at - 1], style.min_seconds * 1000
    worth = (0.0, 1.5, 3.0)[ending(last.text)]
    worth += min(atoms[at].start - last.end, 500) / 333
    worth += 2.5 * at / until
    if last.end - atoms[0].start < shortest:
        worth -= 2.5
    end = atoms[-1]
    if end.end - atoms[at].start < shortest or (len(atoms) - at < 3 and end.width < _FEW_COLUMNS):
        worth -= 1.5
    return worth


def _label_lines(draft: _Draft, style: CaptionStyle) -> tuple[int, int]:
    """Return the number of lines begun, and what of the last is filled, by a label before some text."""
    named = draft.speaker if draft.named else None
    reserve = display_width(f"{label(named, style)}: ") if named else 0
    if reserve + draft.atoms[0].width <= style.line_width:
        return 1, reserve
    return (2, 0) if style.max_lines > 1 else (1, 0)


def _laid_out(draft: _Draft, style: CaptionStyle) -> tuple[str, ...]:
    """Return the lines: one if that is enough, else lines of even length, preferably cut after punctuation."""
    atoms, (_, reserve) = draft.atoms, _label_lines(draft, style)
    whole = reserve + sum(atom.width + atom.spaced for atom in atoms) - atoms[0].spaced
    if whole <= style.line_width:
        return (_line(atoms),)
    count = len(list(_line_starts(atoms, style.line_width, reserve)))
    if count == 1:
        starts = [_middle(atoms, style.line_width, reserve, whole)]
    else:
        limits = range(max(1, whole // (count + 1)), style.line_width + 1)
        made = (list(_line_starts(atoms, limit, reserve)) for limit in limits)
        starts = next(starts for starts in made if len(starts) == count)
    return tuple(_line(atoms[begin:end]) for begin, end in itertools.pairwise([0, *starts, len(atoms)]))


def _line_starts(atoms: Sequence[Token], width: int, filled: int) -> Iterator[int]:
    """Yield where lines after the first begin, each filled before the next; so much of the first is filled already."""
    begin = 0
    for at, atom in enumerate(atoms):
        filled += atom.width + (atom.spaced and at > begin)
        if at > begin and filled > width:
            yield at
            begin, filled = at, atom.width


def _middle(atoms: Sequence[Token], width: int, reserve: int, whole: int) -> int:
    """Return where the second of two lines begins."""
    found: list[tuple[int, int]] = []
    left = reserve
    for at in range(1, len(atoms)):
        before = atoms[at - 1]
        left += before.width + (before.spaced and at > 1)
        right = whole - left - atoms[at].spaced
        if max(left, right) <= width:
            uneven = abs(left - right) - (0, 8, 14)[ending(before.text)] + (2 if left > right else 0)
            found.append((uneven, at))
    return min(found, default=(0, 1))[1]


def _line(atoms: Sequence[Token]) -> str:
    """Join a line; a sound event of the other direction is isolated, so that the line keeps its own."""
    speech = ""
    if any(atom.event for atom in atoms):
        speech = " ".join(atom.text for atom in atoms if not atom.event)
    return join_spaced((isolated(atom.text, speech) if atom.event else atom.text, atom.spaced) for atom in atoms)
