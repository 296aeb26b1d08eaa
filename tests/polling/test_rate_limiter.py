"""How fast one key may ask."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.polling import RateLimiter


def test_a_refusal_never_raises_a_slow_pace():
    """A connection that allows less than the slowest pace after refusals keeps its limit."""
    limiter = RateLimiter(0.1)
    assert limiter.on_rejected(0.0, 100.0, None)
    limiter.reserve(110.0)
    assert limiter.rate <= 0.1


def slots(limiter: RateLimiter, now: float, count: int) -> list[float]:
    found = []
    for _ in range(count):
        now += limiter.delay(now)
        limiter.reserve(now)
        found.append(now)
    return found


@given(rate=st.floats(0.5, 25.0), arrivals=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=120))
def test_no_window_of_a_second_holds_more_than_the_rate(rate, arrivals):
    """However requests arrive, they go out evenly spaced, so no second has more than the rate and one."""
    limiter, now, sent = RateLimiter(rate), 0.0, []
    for gap in arrivals:
        now += gap
        now += limiter.delay(now)
        limiter.reserve(now)
        sent.append(now)
    for before, after in itertools.pairwise(sent):
        assert after - before >= 1.0 / rate - 1e-9


def test_a_free_slot_is_not_waited_for():
    """Nobody waits while nobody asks."""
    limiter = RateLimiter(20.0)
    assert limiter.delay(1_000.0) == 0.0
    limiter.reserve(1_000.0)
    assert limiter.delay(1_000.0) == pytest.approx(0.05)
    assert limiter.delay(1_000.05) == pytest.approx(0.0, abs=1e-9)


def test_a_refusal_is_waited_out_as_the_service_says():
    """Retry-After holds everybody up as long as it says and no longer; without it, for a second."""
    limiter = RateLimiter(20.0)
    limiter.reserve(100.0)
    limiter.on_rejected(100.0, 100.1, 0.7)
    assert limiter.delay(100.1) == pytest.approx(0.7)
    limiter = RateLimiter(20.0)
    limiter.on_rejected(100.0, 100.1, None)
    assert limiter.delay(100.1) == pytest.approx(1.0)


def test_a_long_retry_after_does_not_hold_the_key_for_hours():
    """What the service asks for is honoured up to half a minute; then it is asked again."""
    limiter = RateLimiter(20.0)
    limiter.on_rejected(100.0, 100.0, 86_400.0)
    assert limiter.delay(100.0) == 30.0


def test_refusals_of_one_batch_slow_down_once():
    """Requests that were under way when the pace was cut do not cut it again."""
    limiter = RateLimiter(20.0)
    assert limiter.on_rejected(100.0, 100.2, 0.0)
    assert not limiter.on_rejected(100.1, 100.3, 0.0)
    assert limiter.rate == pytest.approx(16.0)
    assert limiter.on_rejected(100.4, 100.5, 0.0)
    assert limiter.rate == pytest.approx(12.8)


def test_what_had_its_slot_before_a_pause_slows_down_once():
    """An intent takes a while to be recorded: what is sent within the pause had its slot before the refusal."""
    limiter = RateLimiter(20.0)
    assert limiter.on_rejected(100.0, 100.2, 1.0)
    assert not limiter.on_rejected(100.4, 100.5, 1.0)
    assert limiter.rate == pytest.approx(16.0)
    assert limiter.delay(100.5) == pytest.approx(1.0)
    assert limiter.on_rejected(101.6, 101.7, 1.0)


def test_it_recovers_slowly_and_never_above_what_is_allowed():
    """After a refusal the pace climbs back, first to just below where it was refused, then more slowly, to the top."""
    limiter, now, rates = RateLimiter(20.0), 100.0, []
    slots(limiter, now, 5)
    limiter.on_rejected(now, now + 1, 0.0)
    now += 2
    for _ in range(600):
        now += limiter.delay(now) + 1.0
        limiter.reserve(now)
        rates.append(limiter.rate)
    assert rates == sorted(rates)
    assert rates[20] < 20.0 * 0.92 + 0.5
    assert rates[-1] == 20.0


def test_a_clock_that_is_set_back_does_not_stop_the_asking():
    """When the time jumps back by hours, the next request waits for seconds at the most."""
    limiter = RateLimiter(20.0)
    limiter.reserve(100_000.0)
    assert limiter.delay(10_000.0) == 0.0


@dataclass
class Settled:
    """What came of several processes with one key after the first 20 s; ``shares`` of what was answered."""

    refused: float
    per_second: float
    shares: list[float]


def settle(starts: Sequence[float], until_sent: Sequence[float], seed: int) -> Settled:
    """Simulate processes of 20 requests a second against a limit of 25 in any second, for two minutes after 20 s.

    Each request arrives after a random latency; of a submit, the intent is recorded between the slot and the request.
    """
    chance = random.Random(seed)
    limiters = [RateLimiter(20.0) for _ in starts]
    events = [(start + chance.random() * 0.05, "slot", index, 0.0) for index, start in enumerate(starts)]
    heapq.heapify(events)
    window: deque[float] = deque()
    sent, refused, served = 0, 0, [0] * len(starts)
    while events and events[0][0] < 140.0:
        now, what, index, sent_at = heapq.heappop(events)
        limiter = limiters[index]
        if what == "slot":
            if (pause := limiter.delay(now)) < 1e-9:
                limiter.reserve(now)
                leaves = now + until_sent[index] * chance.uniform(0.8, 1.2)
                heapq.heappush(events, (leaves + chance.expovariate(1 / 0.003), "arrival", index, leaves))
            heapq.heappush(events, (now + max(pause, 1e-6), "slot", index, 0.0))
            continue
        while window and window[0] <= now - 1.0:
            window.popleft()
        sent += now > 20.0
        if len(window) >= 25:
            refused += now > 20.0
            limiter.on_rejected(sent_at, now, 1.0)
        else:
            window.append(now)
            served[index] += now > 20.0
    return Settled(refused / sent, sum(served) / 120.0, [one / sum(served) for one in served])


@pytest.mark.parametrize("starts", [(0.0, 0.0, 0.0), (0.0, 5.0, 15.0)])
def test_three_processes_with_one_key_come_to_terms(starts):
    """Against a limit of 25 in any second, three limiters of 20 settle under 1 % refusals, each with its share."""
    for seed in range(5):
        found = settle(starts, (0.0, 0.0, 0.0), seed)
        assert found.refused < 0.01
        assert found.per_second > 20.0
        assert min(found.shares) > 1 / 6


def test_batches_on_a_slow_store_get_their_share():
    """Two batches that take 200 ms to record an intent, and two triggerers: none of the four is pushed aside."""
    for seed in range(5):
        found = settle((0.0,) * 4, (0.2, 0.2, 0.0, 0.0), seed)
        assert found.refused < 0.02
        assert found.per_second > 20.0
        assert min(found.shares) > 0.15
