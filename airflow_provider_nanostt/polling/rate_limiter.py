"""How fast one key may ask: evenly spaced, slower after a refusal, and slowly faster again. Time is passed in."""

from __future__ import annotations

_CUT = 0.8
_CLIMB = 0.02
_PROBE = 0.02
_NEAR = 0.92
_SLOWEST = 0.2
_LONGEST_PAUSE = 30.0
_CLOCK_SLACK = 5.0


class RateLimiter:
    """Spaces the requests of one key: at most ``per_second`` of them in any window of a second.

    Even spacing, not a bucket of tokens: the service counts in a sliding window, which a burst breaks. A refusal cuts
    the rate by a fifth, once for all requests that were already under way; then it climbs by 2 % a second to just below
    where it was refused, and from there gropes upwards by 0.02 requests per second each second. Who asks more is
    refused more often, so several processes with one key come to about equal shares without talking to each other.

    ``unused_seconds`` is how long a slot was free before it was taken, in all; nobody was waiting then.

    :param per_second: the most that is ever asked.
    """

    def __init__(self, per_second: float) -> None:
        self.rate = self._top = self._ceiling = per_second
        self._free_at = self._paused_until = self._grown_at = 0.0
        self._cut_at = float("-inf")
        self.unused_seconds = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next request may go out; 0 if it may now."""
        free_at = max(self._free_at, self._paused_until)
        if free_at - now > _LONGEST_PAUSE + _CLOCK_SLACK:  # the clock was set back
            self._free_at = self._paused_until = free_at = now
        return max(0.0, free_at - now)

    def reserve(self, now: float) -> None:
        """Book the slot that :meth:`delay` has said is free."""
        self._grow(now)
        if self._free_at:
            self.unused_seconds += max(0.0, now - max(self._free_at, self._paused_until))
        self._free_at = now + 1.0 / self.rate

    def on_rejected(self, sent_at: float, now: float, retry_after: float | None) -> bool:
        """Take in a refusal (429).

        :param sent_at: when the refused request was sent.
        :param retry_after: seconds the service asked for; without it, one second.
        :return: whether this slowed the pace, as the first refusal of a batch does.
        """
        pause = min(1.0 if retry_after is None else retry_after, _LONGEST_PAUSE)
        # Nobody takes a slot during a pause: what is sent then had its slot before, and its intent took a while.
        was_under_way = sent_at <= self._cut_at or sent_at < self._paused_until
        self._paused_until = max(self._paused_until, now + pause)
        if was_under_way:
            return False
        self._cut_at, self._ceiling = now, self.rate
        self.rate = max(min(_SLOWEST, self.rate), self.rate * _CUT)
        return True

    def _grow(self, now: float) -> None:
        passed, self._grown_at = min(max(0.0, now - self._grown_at), 10.0), now
        near = _NEAR * self._ceiling
        if self.rate < near:
            self.rate = min(near, self.rate * (1.0 + _CLIMB * passed))
        else:
            self.rate = min(self._top, self.rate + _PROBE * passed)
