"""How long a job takes: the published formula to begin with, corrected by what was seen to finish. Pure arithmetic.

Times are looked at as a ratio to what the formula says, on a logarithmic scale, so that one distribution serves minutes
and hours alike. It is a life table: for each step of that scale, how many jobs were seen to enter it and how many to
finish in it; that takes in jobs that still run, and jobs of which only is known that they finished between two
questions. A few pseudo-observations keep it sensible before anything was seen.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.numbers import total

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
_MAX_NAMED = 20

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


def describe_wait(jobs: Sequence[Job], record: str | None = None, items: int | None = None) -> dict[str, object]:
    """Return what people want to know of jobs that are waited for, as plain JSON; times are epoch seconds.

    :param record: where the ledger's record is.
    :param items: recordings of a batch; None for a single one.
    """
    return {
        "run_ids": [job.run_id for job in jobs[:_MAX_NAMED]],
        "jobs": len(jobs),
        "model": ", ".join(sorted({job.model for job in jobs})),
        "submitted_at": min((job.submitted_at for job in jobs), default=None),
        "expected_at": max((job.submitted_at + expected_seconds(job.charged_minutes) for job in jobs), default=None),
        "cost_usd": total(job.cost for job in jobs),
        "charged_minutes": total(job.charged_minutes for job in jobs),
        "items": items,
        "record": record,
    }


def log_bin(ratio: float) -> float:
    """Return where a ratio is on the scale, in steps from its lower end."""
    if ratio <= _EDGES[0]:
        return 0.0
    return min((math.log2(ratio) - _LOWEST) * _STEPS, _TOP)


class SurvivalModel:
    """The life table of one model's jobs.

    ``survival`` is the probability to be still running at each step of the scale. ``poll_density`` is how many
    questions an even-handed plan has asked up to each step, in units of job length over poll interval: the density of
    questions that minimises the mean delay for a given number of them goes with the square root of the hazard.
    """

    def __init__(self) -> None:
        share = [0.5 * (1.0 + math.erf(math.log2(edge) / (_PRIOR_SPREAD * math.sqrt(2.0)))) for edge in _EDGES]
        self._finished = [_PRIOR_JOBS * max(share[k + 1] - share[k], 1e-6) for k in range(_COUNT)]
        self._entered = [_PRIOR_JOBS * max(1.0 - share[k], 1e-5) for k in range(_COUNT)]
        self._build()

    def refresh(self, patience: int) -> None:
        """Take the answers since into account, once there are at least ``patience`` answers."""
        if self._stale >= patience:
            self._build()

    def running(self, before: float, now: float) -> None:
        """Take in that a job was running at ``now`` and not asked since ``before``, both on the scale."""
        self._stale += 1
        for step, share in _steps_between(before, now):
            self._entered[step] += share

    def finished(self, before: float, now: float) -> None:
        """Take in that a job finished between two questions: shared out over the steps as the table so far says."""
        self._stale += 1
        steps = _steps_between(before, now)
        total = sum(self._hazard[step] * share for step, share in steps) or 1.0
        running = 1.0
        for step, share in steps:
            ended = self._hazard[step] * share / total
            self._finished[step] += ended
            self._entered[step] += running * share
            running -= ended

    def done(self, before: float, ratio: float) -> float:
        """Return the probability that a job is done at a ratio, given that it ran at a place on the scale."""
        # Without a call for each value: a plan for the next requests looks at every job that is due.
        now, alive = log_bin(ratio), self.survival
        step, then = int(now), int(before)
        after = alive[step] + (alive[step + 1] - alive[step]) * (now - step)
        return 1.0 - after / (alive[then] + (alive[then + 1] - alive[then]) * (before - then) or 1e-12)

    def poll_density_at(self, where: float) -> float:
        """Return ``poll_density`` at a place on the scale."""
        return _value_at(self.poll_density, where)

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
        life_table = zip(self._finished, self._entered, strict=True)
        self._hazard = [-math.log1p(-min(finished / entered, 0.999)) for finished, entered in life_table]
        self.survival = list(accumulate(self._hazard, lambda alive, step: alive * math.exp(-step), initial=1.0))
        mean = weight = 0.0
        density = []
        for k, hazard in enumerate(self._hazard):
            width = _EDGES[k + 1] - _EDGES[k]
            root = math.sqrt(hazard / width)
            alive = (self.survival[k] - self.survival[k + 1]) / hazard if hazard > 1e-12 else self.survival[k]
            mean += alive * width
            weight += alive * root * width
            density.append(root * width)
        self.poll_density = list(accumulate((part * mean / weight for part in density), initial=0.0))


def _steps_between(before: float, now: float) -> list[tuple[int, float]]:
    """Return the steps between two places on the scale, each with the share of it that is between them."""
    steps = range(int(before), int(now) + 1)
    return [(step, share) for step in steps if (share := min(now, step + 1) - max(before, step)) > 0]


def _value_at(steps: Sequence[float], where: float) -> float:
    """Return the value at a place on the scale, between those at its steps."""
    step = int(where)
    return steps[step] + (steps[step + 1] - steps[step]) * (where - step)
