"""How long a job takes: the published formula to begin with, corrected by what was seen to finish. Pure arithmetic.

Times are looked at as a ratio to what the formula says, on a logarithmic scale, so that one distribution serves minutes
and hours alike. It is a life table: for each step of that scale, how many jobs were seen to enter it and how many to
finish in it; that takes in jobs that still run, and jobs of which only is known that they finished between two
questions. A few pseudo-observations keep it sensible before anything was seen.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.models import Job

_LOWEST, _HIGHEST = -6.0, 6.0  # log2 of the ratio: from a 64th of what the formula says to 64 times as long
_STEPS = 6  # per octave
_COUNT = int((_HIGHEST - _LOWEST) * _STEPS)
_TOP = _COUNT - 1e-6
_PRIOR_JOBS = 3.0
_PRIOR_SPREAD = 0.8  # in octaves
_UNKNOWN_MINUTES = 3.0

_EDGES = [math.exp2(_LOWEST + step / _STEPS) for step in range(_COUNT + 1)]


def expected_seconds(minutes: float | None) -> float:
    """Return the median time of an asynchronous job by the published formula.

    ``T(a) = Q + 1.3 + a / (R * min(4, ceil(a / 480)))`` for audio of ``a`` seconds, with a queue of ``Q`` = 2 s and a
    rate of ``R`` = 11.6 times real time.

    :param minutes: length of the audio; None if it is not known.
    """
    seconds = 60.0 * max(0.0, _UNKNOWN_MINUTES if minutes is None else minutes)
    return 3.3 + seconds / (11.6 * min(4, max(1, math.ceil(seconds / 480.0))))


def is_short(jobs: Sequence[Job], now: float, max_seconds: float) -> bool:
    """Return whether a worker may wait for jobs itself: a resume, which costs a new task process, would take longer.

    Each must be expected within ``max_seconds``. One that is more than twice as old as expected is not: nobody knows
    how long it will take.
    """
    return bool(jobs) and all(
        (expected := expected_seconds(job.charged_minutes)) - max_seconds < now - job.submitted_at < 2.0 * expected
        for job in jobs
    )


def log_bin(ratio: float) -> float:
    """Return where a ratio is on the scale, in steps from its lower end."""
    if ratio <= 0.0:
        return 0.0
    return min(max((math.log2(ratio) - _LOWEST) * _STEPS, 0.0), _TOP)


class SurvivalModel:
    """The life table of one model's jobs.

    ``survival`` is the probability to be still running at each step of the scale. ``poll_density`` is how many
    questions an even-handed plan has asked up to each step, in units of job length over poll interval: the density of
    questions that minimises the mean delay for a given number of them goes with the square root of the hazard.
    """

    __slots__ = ("_entered", "_finished", "_hazard", "_stale", "poll_density", "survival")

    def __init__(self) -> None:
        share = [0.5 * (1.0 + math.erf(math.log2(edge) / (_PRIOR_SPREAD * math.sqrt(2.0)))) for edge in _EDGES]
        self._finished = [_PRIOR_JOBS * max(share[k + 1] - share[k], 1e-6) for k in range(_COUNT)]
        self._entered = [_PRIOR_JOBS * max(1.0 - share[k], 1e-5) for k in range(_COUNT)]
        self._hazard: list[float] = []
        self.survival: list[float] = []
        self.poll_density: list[float] = []
        self._stale = 0
        self._build()

    def refresh(self, patience: int) -> None:
        """Take the answers since into account, once there are at least ``patience`` answers."""
        if self._stale >= patience:
            self._build()

    def running(self, before: float, now: float) -> None:
        """Take in that a job was running at ``now`` and not asked since ``before``, both on the scale."""
        self._stale += 1
        first, last = int(before), int(now)
        if first == last:
            self._entered[first] += now - before
            return
        self._entered[first] += first + 1 - before
        for step in range(first + 1, last):
            self._entered[step] += 1.0
        self._entered[last] += now - last

    def finished(self, before: float, now: float) -> None:
        """Take in that a job finished between two questions: shared out over the steps as the table so far says."""
        self._stale += 1
        first, last = int(before), int(now)
        parts = [
            (step, share, self._hazard[step] * share)
            for step in range(first, last + 1)
            if (share := min(now, step + 1) - max(before, step)) > 0
        ]
        total = sum(weight for _, _, weight in parts) or 1.0
        left = 1.0
        for step, share, weight in parts:
            self._finished[step] += weight / total
            self._entered[step] += left * share
            left -= weight / total

    def alive(self, where: float) -> float:
        """Return the probability that a job is still running at a place on the scale."""
        step = int(where)
        before, after = self.survival[step : step + 2]
        return before + (after - before) * (where - step)

    def done(self, before: float, ratio: float) -> float:
        """Return the probability that a job is done at a ratio, given that it ran at a place on the scale.

        Asked for every job of a crowd again and again, hence in one piece.
        """
        survival = self.survival
        step = int(before)
        then = survival[step] + (survival[step + 1] - survival[step]) * (before - step)
        where = log_bin(ratio)
        step = int(where)
        now = survival[step] + (survival[step + 1] - survival[step]) * (where - step)
        return 1.0 - now / max(then, 1e-12)

    def poll_density_at(self, where: float) -> float:
        """Return ``poll_density`` at a place on the scale."""
        step = int(where)
        before, after = self.poll_density[step : step + 2]
        return before + (after - before) * (where - step)

    def ratio_at(self, poll_density: float) -> float:
        """Return the ratio at which ``poll_density`` reaches a value."""
        if poll_density >= self.poll_density[-1]:
            return _EDGES[-1]
        step = bisect_right(self.poll_density, poll_density) - 1
        width = self.poll_density[step + 1] - self.poll_density[step]
        part = (poll_density - self.poll_density[step]) / width if width > 0 else 0.0
        return math.exp2(_LOWEST + (step + part) / _STEPS)

    def _build(self) -> None:
        self._stale = 0
        survival, hazard = [1.0], []
        for finished, entered in zip(self._finished, self._entered, strict=True):
            step = -math.log1p(-min(finished / entered, 0.999))
            hazard.append(step)
            survival.append(survival[-1] * math.exp(-step))
        mean = weight = 0.0
        density = []
        for k in range(_COUNT):
            width = _EDGES[k + 1] - _EDGES[k]
            root = math.sqrt(hazard[k] / width)
            alive = (survival[k] - survival[k + 1]) / hazard[k] if hazard[k] > 1e-12 else survival[k]
            mean += alive * width
            weight += alive * root * width
            density.append(root * width)
        poll_density = [0.0]
        for part in density:
            poll_density.append(poll_density[-1] + part * mean / weight)
        self._hazard, self.survival, self.poll_density = hazard, survival, poll_density
