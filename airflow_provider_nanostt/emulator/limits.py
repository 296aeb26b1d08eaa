"""How many requests a key may make: sliding windows and day limits. Pure arithmetic; the clock is passed in."""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from dataclasses import dataclass, field


class SlidingWindow:
    """At most `limit` events in any `seconds`; refused ones do not count. A limit of 0 refuses nothing."""

    __slots__ = ("_times", "limit", "seconds")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._times: deque[float] = deque()

    def refuse(self, now: float) -> int | None:
        """Count an event at `now` and return None, or return the whole seconds after which one would fit again."""
        if not self.limit:
            return None
        times = self._times
        while times and times[0] <= now - self.seconds:
            times.popleft()
        if len(times) < self.limit:
            times.append(now)
            return None
        return max(1, math.ceil(times[0] + self.seconds - now))


@dataclass(slots=True)
class DayLimit:
    """What one key did this UTC day.

    :param max_requests: requests per day, or None.
    :param max_usd: USD per day, or None.
    """

    max_requests: int | None = None
    max_usd: float | None = None
    requests: int = 0
    usd: float = 0.0
    day: dt.date = field(default=dt.date.min)

    def count_request(self, now: dt.datetime) -> bool:
        """Count a request; False when the day's requests are used up."""
        self._turn(now)
        if self.max_requests is not None and self.requests >= self.max_requests:
            return False
        self.requests += 1
        return True

    def affords(self, usd: float, now: dt.datetime) -> bool:
        """Tell whether `usd` more stays within the day's limit."""
        self._turn(now)
        return self.max_usd is None or self.usd + usd <= self.max_usd + 1e-9

    def spend(self, usd: float, now: dt.datetime) -> None:
        """Count what was charged."""
        self._turn(now)
        self.usd += usd

    def _turn(self, now: dt.datetime) -> None:
        if now.date() != self.day:
            self.day, self.requests, self.usd = now.date(), 0, 0.0


def seconds_to_midnight(now: dt.datetime) -> int:
    """Return the whole seconds from `now` (UTC) to the next midnight, at least 1."""
    midnight = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time.min, tzinfo=dt.UTC)
    return max(1, math.ceil((midnight - now).total_seconds()))
