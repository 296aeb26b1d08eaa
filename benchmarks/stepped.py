"""The schedule with a stepped clock, without network or waiting, and schedulers to compare it with.

Nothing here measures time: it is the same arithmetic that ``polling`` does in the triggerer, on jobs whose ends are
known beforehand.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from typing import TYPE_CHECKING

from flight import MANY, Landed, Planned, by_formula, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH = 1e6


def ours(jobs: list[Planned], *, rate: float, interval: float = 5.0) -> Landed:
    """This provider's schedule; all jobs start at once."""
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.polling import RateLimiter, Schedule

    schedule, now, requests = Schedule(RateLimiter(rate)), _EPOCH, 0
    lags: list[float] = []
    for number, job in enumerate(jobs):
        ticket = Job(str(number), "m", now, charged_minutes=job.minutes)
        schedule.add(str(number), ticket, poll_interval=interval, deadline=now + 1e9, now=now)
    while len(lags) < len(jobs):
        key, pause = schedule.next(now)
        if key is None:
            now += max(pause, 1e-6)
            continue
        requests += 1
        late = now - _EPOCH - jobs[int(key)].seconds
        if late >= 0.0:
            lags.append(late)
            schedule.finished(key, now)
        else:
            schedule.running(key, now)
    return Landed(requests, 0, 0, sorted(lags))


def knowing(jobs: list[Planned], *, rate: float, longest: float, formula: bool, seed: int) -> Landed:
    """A scheduler that is told the true distribution of every job's time, and asks whom it gains most by.

    The gain is the probability that the job is done by now, given that it ran when last asked, times the square root of
    the time since then.
    """
    alive = [_survival(job, longest=longest, formula=formula, seed=seed) for job in jobs]
    last, sure = [0.0] * len(jobs), [1.0] * len(jobs)
    running = list(range(len(jobs)))
    lags: list[float] = []
    now, requests = 0.0, 0
    while running:
        now += 1.0 / rate
        best, most = 0, -1.0
        for place, number in enumerate(running):
            gain = (1.0 - alive[number](now) / sure[number]) * math.sqrt(now - last[number])
            if gain > most:
                best, most = place, gain
        number = running[best]
        requests += 1
        if jobs[number].seconds <= now:
            lags.append(now - jobs[number].seconds)
            running[best] = running[-1]
            running.pop()
        else:
            last[number], sure[number] = now, max(alive[number](now), 1e-9)
    return Landed(requests, 0, 0, sorted(lags))


def _survival(job: Planned, *, longest: float, formula: bool, seed: int) -> Callable[[float], float]:
    """Return the probability that this job takes longer than some seconds, from many draws that are kept short."""
    from airflow_provider_nanostt.polling import expected_seconds

    rng = random.Random(seed)
    if formula:
        drawn = (by_formula(job.minutes, rng) for _ in range(MANY))
    else:
        expected = expected_seconds(job.minutes)
        drawn = (expected * ratio(rng) for _ in range(MANY))
    times = sorted(seconds for seconds in drawn if seconds <= longest) or [job.seconds]
    return lambda seconds: 1.0 - bisect_right(times, seconds) / (len(times) + 1)


def fixed(jobs: list[Planned], *, interval: float) -> Landed:
    """Everybody every so often, with no limit at all."""
    lags = [math.ceil(job.seconds / interval) * interval - job.seconds for job in jobs]
    return Landed(sum(math.ceil(job.seconds / interval) for job in jobs), 0, 0, sorted(lags))


def limited(jobs: list[Planned], *, rate: float, interval: float) -> Landed:
    """Everybody every so often, each question behind one even limiter; who came first is asked for first."""
    due = [(interval, number) for number in range(len(jobs))]
    free, requests = 0.0, 0
    lags: list[float] = []
    while due:
        wanted, number = heapq.heappop(due)
        at = max(wanted, free)
        free, requests = at + 1.0 / rate, requests + 1
        if jobs[number].seconds <= at:
            lags.append(at - jobs[number].seconds)
        else:
            heapq.heappush(due, (at + interval, number))
    return Landed(requests, 0, 0, sorted(lags))


def oracle(jobs: list[Planned], *, rate: float) -> Landed:
    """Somebody who knows every end beforehand and only has to wait for a slot."""
    ends = [job.seconds for job in jobs]
    heapq.heapify(ends)
    free, lags = 0.0, []
    while ends:
        end = heapq.heappop(ends)
        at = max(end, free)
        lags.append(at - end)
        free = at + 1.0 / rate
    return Landed(len(jobs), 0, 0, sorted(lags))
