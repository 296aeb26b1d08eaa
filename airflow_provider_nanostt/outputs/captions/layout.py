"""Lays out what was said as captions: where one ends and the next begins, in which lines, from when to when.

The reading rules are parameters. Pure functions on values; which file format the captions are for is not known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs.settings import CaptionStyle
from airflow_provider_nanostt.outputs.timed_tokens import Spoken, Token, estimated, spoken
from airflow_provider_nanostt.outputs.unicode_layout import (
    can_break,
    direction,
    display_width,
    ending,
    graphemes,
    join_spaced,
    one_line,
    wrap,
)

ESTIMATED = "[estimated times]"
"""The first caption of a file with estimated times; any reader shows it."""

ISOLATE, END_ISOLATE = "\u2068", "\u2069"
_LEAST_SHOWN_MS = 200
"""A caption that is said faster than captions can follow is shown this long, and delays the next one."""
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


class _Atom(NamedTuple):
    """Text that stays in one line; ``ending`` as in ``unicode_layout``."""

    text: str
    spaced: bool
    start: int
    end: int
    event: bool
    width: int
    ending: int


class _Run(NamedTuple):
    """Text of one speaker without a pause: first everything up to a change or a pause, then that of one caption."""

    atoms: Sequence[_Atom]
    speaker: str | None
    named: bool

    def label_width(self, style: CaptionStyle) -> int:
        return display_width(label(self.speaker, style)) if self.named and self.speaker else 0


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
        model = f"The model {transcript.model!r}" if transcript.model else "The model"
        raise InvalidInput(
            f"{model} has given no times, which captions (srt, vtt) need. Use a model that gives times, such as "
            "'Elevenlabs-STT'; or set estimated_captions=True for captions with estimated times; or remove srt and vtt "
            "from formats"
        )
    shown = round(style.min_seconds * 1000)
    begin = shown + round(style.gap_seconds * 1000)
    mark = Cue(0, shown, (ESTIMATED if style.line_width >= len(ESTIMATED) else "[estimated]",))
    return Captions(
        (mark, *_shown(estimated(speech.tokens, transcript.charged_minutes, begin=begin), style)), style, estimated=True
    )


def label(speaker: str, style: CaptionStyle) -> str:
    """Return a speaker's name as it stands before a line: at most half of one line, ending in a colon and a space."""
    name, room = one_line(speaker), style.line_width // 2 - 2
    if display_width(name) > room:
        kept, filled = [], 1
        for cluster in graphemes(name):
            filled += display_width(cluster)
            if filled > room:
                break
            kept.append(cluster)
        name = "".join(kept).rstrip() + "…"
    return f"{name}: "


def _shown(tokens: Sequence[Token], style: CaptionStyle) -> Iterator[Cue]:
    """Yield the captions with their lines and times."""
    drafts = [draft for run in _runs(tokens, style) for draft in _drafts(run, style)]
    gap, free = round(style.gap_seconds * 1000), 0
    shortest, longest = round(style.min_seconds * 1000), round(style.max_seconds * 1000)
    for at, draft in enumerate(drafts):
        atoms = draft.atoms
        lines = _laid_out(atoms, style, draft.label_width(style))
        start = max(atoms[0].start, free)
        reading = -int(-sum(map(display_width, lines)) * 1000 // style.chars_per_second)
        end = min(max(atoms[-1].end, start + shortest, start + reading), start + longest)
        if at + 1 < len(drafts):
            end = min(end, drafts[at + 1].atoms[0].start - gap)
        end = max(end, start + _LEAST_SHOWN_MS)
        free = end + gap
        yield Cue(start, end, lines, draft.speaker, draft.named)


def _runs(tokens: Sequence[Token], style: CaptionStyle) -> Iterator[_Run]:
    pause = style.pause_seconds * 1000
    run: list[Token] = []
    speaker: str | None = None  # the last one named: entries between two speakers may name none
    shown: str | None = None
    for token in tokens:
        changed = None not in (speaker, token.speaker) and token.speaker != speaker
        if run and (changed or token.start - run[-1].end >= pause):
            yield (made := _run(run, shown, style))
            run, shown = [], made.speaker or shown
        speaker = token.speaker or speaker
        run.append(token)
    if run:
        yield _run(run, shown, style)


def _run(run: list[Token], shown: str | None, style: CaptionStyle) -> _Run:
    speaker = next((token.speaker for token in run if token.speaker and token.speaker.strip()), None)
    return _Run(list(_atoms(run, style.line_width)), speaker, speaker is not None and speaker != shown)


def _atoms(run: Sequence[Token], width: int) -> Iterator[_Atom]:
    """Join tokens between which no line may end, and cut those that are too wide for one."""
    held: list[Token] = []
    for token in run:
        if held and (token.event or held[-1].event or can_break(held[-1].text, token.text, spaced=token.spaced)):
            yield from _atom(held, width)
            held = []
        held.append(token)
    if held:
        yield from _atom(held, width)


def _atom(held: Sequence[Token], width: int) -> Iterator[_Atom]:
    first, last = held[0], held[-1]
    text = join_spaced((token.text, token.spaced) for token in held) if len(held) > 1 else first.text
    wide = display_width(text)
    if wide <= width:
        yield _Atom(text, first.spaced, first.start, last.end, first.event, wide, ending(text))
        return
    cut = [
        (piece, at == 0 and (number > 0 or first.spaced))
        for number, one in enumerate(text.split())
        for at, piece in enumerate(wrap(one, width))
    ]
    total, done, start = sum(len(piece) for piece, _ in cut), 0, first.start
    for piece, spaced in cut:
        done += len(piece)
        end = first.start + (last.end - first.start) * done // total
        yield _Atom(piece, spaced, start, end, first.event, display_width(piece), ending(piece))
        start = end


def _drafts(run: _Run, style: CaptionStyle) -> Iterator[_Run]:
    """Cut a run into captions."""
    first = 0
    while first < len(run.atoms):
        until = _until(run.atoms, first, style, run.label_width(style))
        yield run._replace(atoms=run.atoms[first:until])
        first, run = until, run._replace(named=False)


def _until(atoms: Sequence[_Atom], first: int, style: CaptionStyle, reserve: int) -> int:
    """Return where the caption that begins at ``first`` ends: all that fits, or at the best place before."""
    longest, until = style.max_seconds * 1000, first
    lines, filled = _label_lines(atoms[first], style, reserve)
    for until in range(first, len(atoms)):
        atom = atoms[until]
        need = filled + atom.width + (atom.spaced and until > first)
        if until > first and atom.end - atoms[first].start > longest:
            break
        if until > first and need > style.line_width:
            lines += 1
            need = atom.width
            if lines > style.max_lines:
                break
        filled = need
    else:
        return len(atoms)
    return max(range(first + 1, until + 1), key=lambda at: (_worth(atoms, first, at, until, style), at))


def _worth(atoms: Sequence[_Atom], first: int, at: int, until: int, style: CaptionStyle) -> float:
    """Rate the end of a caption before ``at``, if it may go on as far as ``until``; more is better."""
    last, shortest = atoms[at - 1], style.min_seconds * 1000
    worth = (0.0, 1.5, 3.0)[last.ending]
    worth += min(atoms[at].start - last.end, 500) / 333
    worth += 2.5 * (at - first) / (until - first)
    if last.end - atoms[first].start < shortest:
        worth -= 2.5
    end = atoms[-1]
    if end.end - atoms[at].start < shortest or (len(atoms) - at < 3 and end.width < _FEW_COLUMNS):
        worth -= 1.5
    return worth


def _label_lines(atom: _Atom, style: CaptionStyle, reserve: int) -> tuple[int, int]:
    """Return the number of lines begun, and what of the last is filled, by a label before some text."""
    if reserve + atom.width <= style.line_width:
        return 1, reserve
    return (2, 0) if style.max_lines > 1 else (1, 0)


def _laid_out(atoms: Sequence[_Atom], style: CaptionStyle, reserve: int) -> tuple[str, ...]:
    """Return the lines: one if that is enough, else lines of even length, preferably cut after punctuation."""
    _, reserve = _label_lines(atoms[0], style, reserve)
    whole = reserve + sum(atom.width + atom.spaced for atom in atoms) - atoms[0].spaced
    if whole <= style.line_width:
        return (_line(atoms),)
    count = _lines_at(atoms, style.line_width, reserve)
    if len(count) == 2:
        at = _middle(atoms, style.line_width, reserve, whole)
        return _line(atoms[:at]), _line(atoms[at:])
    limit = next(
        limit
        for limit in range(max(1, whole // len(count)), style.line_width + 1)
        if limit == style.line_width or len(_lines_at(atoms, limit, reserve)) == len(count)
    )
    cut = [*_lines_at(atoms, limit, reserve), len(atoms)]
    return tuple(_line(atoms[begin:end]) for begin, end in itertools.pairwise(cut))


def _lines_at(atoms: Sequence[_Atom], width: int, reserve: int) -> list[int]:
    """Return where lines begin if each is filled before the next."""
    begins, filled = [0], reserve
    for at, atom in enumerate(atoms):
        need = filled + atom.width + (atom.spaced and at > begins[-1])
        if at > begins[-1] and need > width:
            begins.append(at)
            need = atom.width
        filled = need
    return begins


def _middle(atoms: Sequence[_Atom], width: int, reserve: int, whole: int) -> int:
    """Return where the second of two lines begins."""
    best, least, left = 1, float("inf"), reserve
    for at in range(1, len(atoms)):
        before = atoms[at - 1]
        left += before.width + (before.spaced and at > 1)
        right = whole - left - atoms[at].spaced
        if left > width:
            break
        if right > width:
            continue
        uneven = abs(left - right) - (0, 8, 14)[before.ending] + (2 if left > right else 0)
        if uneven < least:
            best, least = at, uneven
    return best


def _line(atoms: Sequence[_Atom]) -> str:
    """Join a line; a sound event of the other direction is isolated, so that the line keeps its own."""
    texts = [atom.text for atom in atoms]
    if any(atom.event for atom in atoms):
        speech = direction(" ".join(atom.text for atom in atoms if not atom.event))
        texts = [
            f"{ISOLATE}{atom.text}{END_ISOLATE}" if atom.event and direction(atom.text) not in ("", speech) and speech
            else atom.text
            for atom in atoms
        ]  # fmt: skip
    return join_spaced(zip(texts, (atom.spaced for atom in atoms), strict=True))
