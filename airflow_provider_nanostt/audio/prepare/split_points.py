"""Where to split a recording that is too long: arithmetic on seconds, and nothing else.

Split points are in silences. Where there is none within reach, the quietest moment is taken, without overlap: the words
of an overlap would be transcribed twice, like words that were said twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import ceil

from airflow_provider_nanostt.api.errors import InvalidInput

_EDGE = 0.25  # seconds of silence kept on both sides of a split point, where possible
_GRAIN = 2.0  # seconds between candidates within a long silence
_REACH = 0.45  # share of a part's length by which a point may move, so that points never meet
_SEARCH = 0.05  # the same for points in the quietest moment
_ROUNDING = 1e-6


def plan_split_points(
    total_seconds: float,
    silences: Sequence[tuple[float, float]],
    max_seconds: float,
    *,
    quietest: Callable[[float, float], float] | None = None,
) -> list[float]:
    """Return where to split so that no part is too long.

    As few parts as possible, of about the same length; one more if only then every split point is in a silence.

    :param total_seconds: length of the recording.
    :param silences: (start, end) in seconds, in order; see :meth:`~.silence.Loudness.silences`.
    :param max_seconds: the longest part allowed.
    :param quietest: returns the quietest moment between two others, for split points without a silence.
    :return: seconds, ascending, strictly inside the recording; empty if it is short enough.
    :raises InvalidInput: if ``max_seconds`` is not positive.
    """
    if not max_seconds > 0:
        raise InvalidInput(f"max_seconds must be a positive number, got {max_seconds}")
    fewest = ceil(total_seconds / max_seconds - _ROUNDING)
    if fewest <= 1:
        return []
    candidates = _candidates(silences, [total_seconds * at / fewest for at in range(1, fewest)], total_seconds)
    for parts in (fewest, fewest + 1):
        if points := _all_silent(total_seconds, candidates, max_seconds, parts):
            return points
    plans = [_best_effort(total_seconds, candidates, max_seconds, parts, quietest) for parts in (fewest, fewest + 1)]
    return min(plans, key=lambda plan: len(set(plan) - set(candidates)))


def _candidates(silences: Sequence[tuple[float, float]], ideal: Sequence[float], total: float) -> list[float]:
    """Return the candidates for split points inside silences, in order."""
    found: set[float] = set()
    for start, end in silences:
        edge = min(_EDGE, (end - start) / 2)
        first, last = start + edge, end - edge
        steps = int((last - first) / _GRAIN)
        found.update(first + step * _GRAIN for step in range(steps + 1))
        found.update((last, (first + last) / 2))
        found.update(moment for moment in ideal if first <= moment <= last)
    return sorted(moment for moment in found if 0 < moment < total)


def _all_silent(total: float, candidates: list[float], longest: float, parts: int) -> list[float] | None:
    """Choose points from the candidates only, each near those of equal parts; None if that is impossible."""
    ends, reachable = [total], []
    for _ in range(parts - 1):  # backwards: from which candidates can the end be reached?
        ends = [
            at for at in candidates if (next_ := bisect_right(ends, at)) < len(ends) and ends[next_] - at <= longest
        ]
        reachable.append(ends)
    points: list[float] = []
    before = 0.0
    for number, choice in enumerate(reversed(reachable), 1):
        first, last = bisect_right(choice, before), bisect_right(choice, before + longest)
        if first == last:
            return None
        before = _nearest(choice[first:last], total * number / parts)
        points.append(before)
    return points


def _best_effort(
    total: float, candidates: list[float], longest: float, parts: int, quietest: Callable[[float, float], float] | None
) -> list[float]:
    """Take a silence where there is one within reach, and elsewhere the quietest moment near that of equal parts."""
    points: list[float] = []
    before, part = 0.0, total / parts
    for number in range(1, parts):
        ideal = part * number
        first = max(total - (parts - number) * longest, ideal - part * _REACH)
        last = min(before + longest, ideal + part * _REACH)
        near = candidates[bisect_left(candidates, first) : bisect_right(candidates, last)]
        if near:
            before = _nearest(near, ideal)
        else:
            middle = min(max(ideal, first), last)
            low, high = max(first, middle - part * _SEARCH), min(last, middle + part * _SEARCH)
            before = min(max(quietest(low, high), low), high) if quietest is not None else middle
        points.append(before)
    return points


def _nearest(choice: Sequence[float], ideal: float) -> float:
    return min(choice, key=lambda moment: abs(moment - ideal))
