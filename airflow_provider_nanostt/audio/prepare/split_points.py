"""Where to cut a recording that is too long: arithmetic on seconds, and nothing else.

Cuts fall into silences. Where there is none within reach, the least loud moment is cut through, without overlap: an
overlap would say words twice, which nobody could tell from words that were said twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import ceil
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EDGE = 0.25  # seconds of silence left on both sides of a cut, where there is as much
_GRAIN = 2.0  # seconds between the places looked at within a long silence
_REACH = 0.45  # share of a part's length within which a cut is moved, so that cuts never meet
_SEARCH = 0.05  # the same for cuts that look for the least loud moment
_ROUNDING = 1e-6


def plan_split_points(
    total_seconds: float,
    silences: Sequence[tuple[float, float]],
    max_seconds: float,
    *,
    quietest: Callable[[float, float], float] | None = None,
) -> list[float]:
    """Return where to cut so that no part is too long.

    As few parts as can be, of about the same length; one more if only then every cut falls into a silence.

    :param total_seconds: length of the recording.
    :param silences: (start, end) in seconds, in order; :func:`~.loudness.silences` finds them.
    :param max_seconds: the longest part allowed.
    :param quietest: returns the least loud moment between two others, for cuts that find no silence.
    :return: seconds, ascending, strictly inside the recording; empty if it is short enough.
    :raises InvalidInput: if ``max_seconds`` is not positive.
    """
    if not max_seconds > 0:
        raise InvalidInput(f"{max_seconds=} is not a positive length")
    fewest = ceil(total_seconds / max_seconds - _ROUNDING)
    if fewest <= 1:
        return []
    places = _places(silences, [total_seconds * at / fewest for at in range(1, fewest)], total_seconds)
    for parts in (fewest, fewest + 1):
        if cuts := _all_silent(total_seconds, places, max_seconds, parts):
            return cuts
    plans = [_best_effort(total_seconds, places, max_seconds, parts, quietest) for parts in (fewest, fewest + 1)]
    return min(plans, key=lambda plan: sum(not _is_in(places, cut) for cut in plan))


def _places(silences: Sequence[tuple[float, float]], wanted: Sequence[float], total: float) -> list[float]:
    """Return the moments inside silences at which a cut is considered, in order."""
    found: set[float] = set()
    for start, end in silences:
        edge = min(_EDGE, (end - start) / 2)
        first, last = start + edge, end - edge
        steps = int((last - first) / _GRAIN)
        found.update(first + step * _GRAIN for step in range(steps + 1))
        found.update((last, (first + last) / 2))
        found.update(moment for moment in wanted if first <= moment <= last)
    return sorted(moment for moment in found if 0 < moment < total)


def _all_silent(total: float, places: list[float], longest: float, parts: int) -> list[float] | None:
    """Choose cuts from the places only, each near where equal parts would put it; None if that cannot be."""
    ends, reachable = [total], []
    for _ in range(parts - 1):  # backwards: from which places can the rest be done?
        ends = [at for at in places if (next_ := bisect_right(ends, at)) < len(ends) and ends[next_] - at <= longest]
        reachable.append(ends)
    cuts: list[float] = []
    before = 0.0
    for number, choice in enumerate(reversed(reachable), 1):
        first, last = bisect_right(choice, before), bisect_right(choice, before + longest)
        if first == last:
            return None
        before = _nearest(choice[first:last], total * number / parts)
        cuts.append(before)
    return cuts


def _best_effort(
    total: float,
    places: list[float],
    longest: float,
    parts: int,
    quietest: Callable[[float, float], float] | None,
) -> list[float]:
    """Take a silence where there is one within reach, and the least loud moment near the best place elsewhere."""
    cuts: list[float] = []
    before, part = 0.0, total / parts
    for number in range(1, parts):
        wanted = part * number
        first = max(total - (parts - number) * longest, wanted - part * _REACH)
        last = min(before + longest, wanted + part * _REACH)
        near = places[bisect_left(places, first) : bisect_right(places, last)]
        if near:
            before = _nearest(near, wanted)
        else:
            middle = min(max(wanted, first), last)
            low, high = max(first, middle - part * _SEARCH), min(last, middle + part * _SEARCH)
            before = min(max(quietest(low, high), low), high) if quietest is not None else middle
        cuts.append(before)
    return cuts


def _nearest(choice: Sequence[float], wanted: float) -> float:
    return min(choice, key=lambda moment: abs(moment - wanted))


def _is_in(places: Sequence[float], moment: float) -> bool:
    at = bisect_left(places, moment)
    return at < len(places) and places[at] == moment
