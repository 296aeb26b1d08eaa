"""Whom to ask now: simulations of the schedule with a stepped clock, no network and no waiting."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from airflow_provider_nanostt.api.models import Job
from airflow_provider_nanostt.polling import RateLimiter, Schedule, expected_seconds

EPOCH = 1_000_000.0
FAR = 1e12


def minutes_for(seconds: float) -> float:
    """The length of audio for which the formula gives a job time."""
    low, high = 0.0, 1e6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_seconds(middle) < seconds else (low, middle)
    return high


def drawn(count: int, *, median: float, spread: float, noise: float, day: float = 1.0, seed: int = 1):
    """Job times around a median, of which the charged minutes tell all but the noise and how slow the day is."""
    chance = random.Random(seed)
    expected = [max(3.31, median / day * math.exp(chance.gauss(0.0, spread))) for _ in range(count)]
    times = [each * day * math.exp(chance.gauss(0.0, noise)) for each in expected]
    return [minutes_for(each) for each in expected], times


class Run:
    """What became of a simulated run."""

    def __init__(self, minutes, times, *, rate=20.0, starts=None, interval=5.0, deadline=FAR):
        self.asked: list[tuple[float, int]] = []
        self.lags: list[float | None] = [None] * len(times)
        starts = starts or [0.0] * len(times)
        schedule, now = Schedule(RateLimiter(rate)), 0.0
        waiting = sorted(range(len(times)), key=lambda index: -starts[index])
        while None in self.lags:
            while waiting and starts[waiting[-1]] <= now:
                new = waiting.pop()
                job = Job(str(new), "m", EPOCH + starts[new], charged_minutes=minutes[new])
                schedule.add(str(new), job, poll_interval=interval, deadline=EPOCH + deadline, now=EPOCH + now)
            key, pause = schedule.next(EPOCH + now)
            if key is None:
                later = now + max(pause, 1e-6)
                now = min(later, max(starts[waiting[-1]], now)) if waiting else later
                continue
            index = int(key)
            self.asked.append((now, index))
            if starts[index] + times[index] <= now:
                self.lags[index] = now - starts[index] - times[index]
                schedule.finished(key, EPOCH + now)
            else:
                schedule.running(key, EPOCH + now)
        self.mean = statistics.fmean(self.lags)
        self.p95 = statistics.quantiles([*self.lags, *self.lags], n=20)[-1]

    def gaps(self, index: int) -> list[tuple[float, float]]:
        """The gaps between the questions for a job that began at 0, each with the age at its end."""
        moments = [0.0, *(moment for moment, asked in self.asked if asked == index)]
        return [(after - before, after) for before, after in itertools.pairwise(moments)]


def fixed(times, interval=5.0) -> int:
    """How many questions a fixed interval would take."""
    return sum(math.ceil(time / interval) for time in times)


def test_a_thousand_jobs_on_one_key():
    """Not knowing how slow the day is, a thousand jobs of about a minute are noticed in 6 s on average, 16 s at p95."""
    minutes, times = drawn(1000, median=60.0, spread=0.8, noise=0.3, day=1.6)
    run = Run(minutes, times)
    assert run.mean <= 6.0
    assert run.p95 <= 16.0


def test_no_second_has_more_questions_than_allowed():
    """With far more jobs than requests, questions stay evenly spaced."""
    minutes, times = drawn(300, median=30.0, spread=0.8, noise=0.3)
    moments = [moment for moment, _ in Run(minutes, times).asked]
    assert min(after - before for before, after in itertools.pairwise(moments)) >= 0.05 - 1e-6


def test_five_thousand_jobs_of_ten_minutes():
    """With 250 s worth of questions waiting, jobs are still noticed within 8 % of their time on average."""
    minutes, times = drawn(5000, median=420.0, spread=0.8, noise=0.3, day=1.6)
    assert Run(minutes, times).mean <= 0.08 * statistics.fmean(times)


def test_twenty_in_flight_are_noticed_sooner_for_no_more_questions():
    """A stream with twenty in flight: 1.5 s on average where a fixed 5 s gives 2.5 s, with no more requests."""
    minutes, times = drawn(300, median=60.0, spread=0.8, noise=0.3, day=1.6)
    gap = statistics.fmean(times) / 20
    run = Run(minutes, times, starts=[index * gap for index in range(300)])
    assert run.mean <= 1.5
    assert len(run.asked) <= fixed(times)


@pytest.mark.parametrize("seconds", [3.0, 12.3, 61.0, 290.0])
def test_a_lone_young_job_is_asked_at_the_interval(seconds):
    """With nothing else to do, the poll interval is the longest gap."""
    gaps = Run([3.0], [seconds]).gaps(0)
    assert max(gap for gap, _ in gaps) <= 5.0 + 1e-6
    assert len(gaps) == math.ceil(seconds / 5.0)


def test_a_job_of_hours_is_asked_once_a_minute():
    """A job that is hours old is asked at most every minute, and not much less often."""
    gaps = [gap for gap, age in Run([3.0], [4 * 3600.0]).gaps(0) if age > 3700.0]
    assert min(gaps) >= 60.0 - 1e-6
    assert max(gaps) <= 61.0


@pytest.mark.parametrize(("minutes", "seconds"), [(0.05, 5_000.0), (900.0, 4.0), (900.0, 70.0), (None, 1_000.0)])
def test_a_job_the_model_is_wrong_about_is_still_found(minutes, seconds):
    """However wrong the expectation, no gap over the interval is more than two thirds of the job's age."""
    run = Run([minutes] * 30, [seconds + index for index in range(30)])
    for index in range(30):
        for gap, age in run.gaps(index):
            assert gap <= max(5.0, 2 / 3 * age) + 30 / 20.0 + 1e-6


def test_nobody_is_asked_before_it_can_be_done():
    """Jobs of a kind that was seen often are not asked in the first half of their time, but for the safety net."""
    minutes, times = drawn(400, median=300.0, spread=0.0, noise=0.1)
    run = Run(minutes, times, starts=[index * 15.0 for index in range(400)])
    late = [run.gaps(index) for index in range(300, 400)]
    early = [age for gaps in late for _, age in gaps if age < 150.0]
    assert len(early) / len(late) <= 5.0  # 5, 15, 45, 135 s: gaps that triple


def test_a_deadline_is_met_to_the_second():
    """Each job is asked at its deadline, whatever the plan was."""
    schedule = Schedule(RateLimiter(20.0))
    for index in range(3):
        job = Job(str(index), "m", EPOCH, charged_minutes=500.0)
        schedule.add(str(index), job, poll_interval=5.0, deadline=EPOCH + 100.0 + index, now=EPOCH)
    now, asked = EPOCH, {}
    while now < EPOCH + 110.0:
        key, pause = schedule.next(now)
        if key is None:
            now += min(max(pause, 1e-3), 1.0)
            continue
        asked.setdefault(key, []).append(now - EPOCH)
        schedule.running(key, now)
    for index in range(3):
        assert any(100.0 + index <= moment <= 100.0 + index + 1.0 for moment in asked[str(index)])


def test_a_deadline_without_an_answer_ends_the_wait():
    """A job whose last question found no answer is reported once; one that came late gets its question first."""
    schedule = Schedule(RateLimiter(20.0))
    schedule.add("a", Job("a", "m", EPOCH), poll_interval=5.0, deadline=EPOCH + 10.0, now=EPOCH - 60.0)
    schedule.add("late", Job("late", "m", EPOCH), poll_interval=5.0, deadline=EPOCH + 10.0, now=EPOCH + 10.0)
    assert schedule.expired(EPOCH + 10.9) == []
    assert schedule.next_end() == EPOCH + 11.0
    assert schedule.expired(EPOCH + 11.0) == ["a"]
    assert schedule.expired(EPOCH + 11.0) == []
    assert schedule.next(EPOCH + 11.0)[0] in ("a", "late")
    schedule.remove("late")
    assert schedule.expired(EPOCH + 1_000.0) == []


def test_a_job_somebody_else_waited_for_is_asked_at_once():
    """After a restart nobody knows when a job was asked last, so it is asked now."""
    schedule = Schedule(RateLimiter(20.0))
    schedule.add("a", Job("a", "m", EPOCH - 300.0), poll_interval=5.0, deadline=FAR, now=EPOCH)
    assert schedule.next(EPOCH) == ("a", 0.0)


def test_a_postponed_job_comes_back_at_its_time():
    """A job that could not be asked is asked at the given time, not before."""
    schedule = Schedule(RateLimiter(20.0))
    schedule.add("a", Job("a", "m", EPOCH - 300.0), poll_interval=5.0, deadline=FAR, now=EPOCH)
    schedule.next(EPOCH)
    schedule.postpone("a", EPOCH + 42.0)
    assert schedule.next(EPOCH + 1.0) == (None, 41.0)
    assert schedule.next(EPOCH + 42.0) == ("a", 0.0)


def test_nothing_to_wait_for_is_no_reason_to_come_back():
    """An empty schedule asks nobody, and forgets the jobs that are removed."""
    schedule = Schedule(RateLimiter(20.0))
    assert schedule.next(EPOCH) == (None, math.inf)
    schedule.add("a", Job("a", "m", EPOCH), poll_interval=5.0, deadline=FAR, now=EPOCH)
    assert schedule.next(EPOCH)[1] < math.inf
    schedule.remove("a")
    assert schedule.next(EPOCH + 100.0) == (None, math.inf)
    schedule.running("a", EPOCH)
    schedule.postpone("a", EPOCH)
    assert schedule.finished("a", EPOCH) is None
    assert schedule.next_end() < math.inf
