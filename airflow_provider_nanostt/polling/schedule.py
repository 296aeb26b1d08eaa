"""Whom to ask now: the job whose answer is worth most, among those that are worth asking at all. Pure, no I/O.

Each job has a time before which asking it would waste a request, from the life table of such jobs. While fewer jobs are
due than there are requests, each is asked when its time comes. When more are, the next request goes to the job with the
largest product of the probability that it is done by now and a power of the time since it was last asked; that
is looked at for a whole window of requests at once, since it changes slowly.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from airflow_provider_nanostt.polling.duration_model import SurvivalModel, expected_seconds, log_bin

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.polling.rate_limiter import RateLimiter

_THRIFT = 1.1
"""How much further apart questions are than an even-handed plan with as many requests as a fixed interval has them."""
_LARGEST_GAP = 2.0
"""The longest gap, as a multiple of the job's age when the gap began: so a gap never exceeds two thirds of the age."""
_SWEEPS = 12.0
"""In a crowd, the longest gap is that in which everybody could be asked this often."""
_PATIENCE = 0.4
"""How much it counts in a crowd that a job was not asked for long: 0.2 gives the least mean lag and the longest of the
few, 0.5 and more the other way round (simulated, 1000 jobs of about a minute)."""
_SLOWEST = 60.0
_SLOWING = 60.0
"""A job is asked at most once in a 60th of its age; from an hour on, a minute."""
_QUICKEST = 1.0
_GRACE = 1.0
"""Seconds after the deadline at which a wait ends even if the last question found no slot or no answer."""
LATE_GRACE_SECONDS = 60.0
"""The same for a job that came when its deadline was about over: it is to be asked once."""
_WINDOWS = 20


@dataclass(slots=True, eq=False)
class _Waiting:
    """A job that is waited for: ``last`` is when it was last known to run, ``bin`` where that is in the life table."""

    key: str
    table: SurvivalModel
    interval: float
    deadline: float
    born: float
    expected: float
    last: float
    bin: float = 0.0
    due: float = 0.0

    def bin_at(self, now: float) -> float:
        return log_bin((now - self.born) / self.expected)


class Schedule:
    """The jobs of one key, and whose turn it is. All times are epoch seconds."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self._tables: defaultdict[str, SurvivalModel] = defaultdict(SurvivalModel)
        self._jobs: dict[str, _Waiting] = {}
        self._later: list[tuple[float, str]] = []
        self._ready: dict[str, _Waiting] = {}
        self._ends: list[tuple[float, str]] = []
        self._plan: list[str] = []
        self._plan_until = 0.0

    def add(
        self, key: str, job: Job, *, poll_interval: float, deadline: float, now: float, at_once: bool = False
    ) -> None:
        """Begin to wait for a job.

        :param key: any name for it that no other job here has.
        :param poll_interval: seconds; the longest gap of a lone young job, and the mean gap of others.
        :param deadline: it is asked once more then.
        :param at_once: ask it first of all, since it is known to be done, or nobody knows.
        """
        born, expected = min(job.submitted_at or now, now), expected_seconds(job.charged_minutes)
        waiting = self._jobs[key] = _Waiting(
            key, self._tables[job.model], poll_interval, deadline, born=born, expected=expected, last=born
        )
        heapq.heappush(self._ends, (max(deadline + _GRACE, now + LATE_GRACE_SECONDS), key))
        # Nobody knows when an older job was asked last: another process waited for it before.
        asks_now = at_once or now - born > poll_interval
        self._put(waiting, now if asks_now else self._worth_asking(waiting))

    def remove(self, key: str) -> None:
        """Forget a job."""
        self._jobs.pop(key, None)
        self._ready.pop(key, None)

    def next(self, now: float) -> tuple[str | None, float]:
        """Say whom to ask now.

        :return: the job's key and 0, or None and the seconds after which to come back.
        """
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            waiting = self._jobs.get(key)
            if waiting is not None and waiting.due == due:
                self._ready[key] = waiting
        if not self._ready:
            return None, max(0.0, self._later[0][0] - now) if self._later else inf
        pause = self.limiter.delay(now)
        if pause > 0.0:
            return None, pause
        key = self._choose(now)
        del self._ready[key]
        self.limiter.reserve(now)
        return key, 0.0

    def running(self, key: str, now: float) -> float:
        """Take in that a job was still running just now.

        :return: when it is worth asking again.
        """
        waiting = self._jobs.get(key)
        if waiting is None:
            return inf
        now_bin = waiting.bin_at(now)
        waiting.table.running(waiting.bin, now_bin)
        waiting.bin, waiting.last = now_bin, now
        waiting.table.refresh(max(10, len(self._jobs) // _WINDOWS))
        self._put(waiting, self._worth_asking(waiting))
        return waiting.due

    def finished(self, key: str, now: float) -> float | None:
        """Take in that a job was done by now.

        :return: seconds since it was last asked, in which it must have finished; None if that is not known.
        """
        waiting = self._jobs.get(key)
        if waiting is None:
            return None
        waiting.table.finished(waiting.bin, waiting.bin_at(now))
        self.remove(key)
        return now - waiting.last

    def postpone(self, key: str, until: float) -> float:
        """Put a job off that could not be asked, and return until when."""
        if waiting := self._jobs.get(key):
            self._put(waiting, until)
        return until

    def expired(self, now: float) -> list[str]:
        """Return, once each, the jobs whose deadline has passed without an answer in time."""
        passed = []
        while self.next_end() <= now:
            passed.append(heapq.heappop(self._ends)[1])
        return [key for key in passed if key in self._jobs]

    def next_end(self) -> float:
        """When :meth:`expired` may have something to say next."""
        return self._ends[0][0] if self._ends else inf

    def _put(self, waiting: _Waiting, due: float) -> None:
        waiting.due = due
        heapq.heappush(self._later, (due, waiting.key))

    def _worth_asking(self, waiting: _Waiting) -> float:
        """When a job that was running when last asked is worth asking again."""
        age = waiting.last - waiting.born
        slow = max(waiting.interval, min(_SLOWEST, age / _SLOWING))
        if len(self._jobs) == 1:
            due = waiting.last + slow
        else:
            density = waiting.table.poll_density_at(waiting.bin) + _THRIFT * waiting.interval / waiting.expected
            due = waiting.born + waiting.expected * waiting.table.ratio_at(density)
            due = max(due, waiting.last + max(min(_QUICKEST, waiting.interval), min(_SLOWEST, age / _SLOWING)))
            due = min(due, waiting.last + max(slow, _LARGEST_GAP * age))
        return min(due, waiting.deadline) if waiting.last < waiting.deadline else due

    def _choose(self, now: float) -> str:
        while True:
            if now >= self._plan_until or not self._plan:
                self._plan_window(now)
            key = self._plan.pop()
            if key in self._ready:
                return key

    def _plan_window(self, now: float) -> None:
        """Rank the due jobs, and keep the best of them for the next requests."""
        sweep = _SWEEPS * len(self._jobs) / self.limiter.rate

        def rank(key: str) -> float:
            waiting = self._ready[key]
            gap = now - waiting.last
            if gap >= sweep or now >= waiting.deadline:
                return 1e6 + gap
            weight: float = gap**_PATIENCE if gap > 0.0 else 0.0
            return weight * waiting.table.done(waiting.bin, (now - waiting.born) / waiting.expected)

        few = len(self._ready) // _WINDOWS + 1
        self._plan = heapq.nlargest(few, self._ready, key=rank)[::-1]
        self._plan_until = now + max(0.25, few / self.limiter.rate)
