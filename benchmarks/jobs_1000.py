"""1000 jobs in flight with one key, and the emulator refusing what is over 25 requests in any second.

Job times: the published formula expects log-normal times (median 37.5 s, sigma 0.8), the day is slower by 1.6 and each
job varies (sigma 0.3), so the median is about 60 s; nothing over 300 s. Compared, on the same jobs at the same time,
each against an emulator of its own: every job asked each 5 s; the same behind an even limiter of 25 a second; this
provider's triggers, which start without knowing that the day is slow. Once more with the published formula's own
noise (sigma 0.45 of the speed, and queues), which is harder for everybody. The scheduler that is given the true
distribution and the oracle are computed with a stepped clock.
"""

from __future__ import annotations

import argparse

import stepped
from flight import Flight, Landed, fly_together, scenario
from report import Row, run

MEAN, P95 = 6.0, 16.0
SEED = 4


def measure(options: argparse.Namespace) -> list[Row]:
    count, longest = (60, 15.0) if options.quick else (1000, 300.0)
    median = 6.0 if options.quick else 37.5
    jobs = scenario(count, longest=longest, seed=SEED, median=median)
    hard = scenario(count, longest=longest, seed=SEED, median=median, formula=True)
    fixed, limited, ours, faster, ours_hard, faster_hard = fly_together(
        [
            Flight("fixed", jobs),
            Flight("limiter", jobs, rate=25.0),
            Flight("ours", jobs),
            Flight("ours", jobs, rate=24.0),
            Flight("ours", hard),
            Flight("ours", hard, rate=24.0),
        ]
    )
    knowing = stepped.knowing(jobs, rate=25.0, longest=longest, formula=False, seed=SEED)
    knowing_hard = stepped.knowing(hard, rate=25.0, longest=longest, formula=True, seed=SEED)
    oracle = stepped.oracle(jobs, rate=25.0)
    beside = f"every 5 s: {fixed}; behind an even limiter of 25/s: {limited}"
    truth = f"With a stepped clock, 25/s: knowing the true distribution {_lag(knowing)}; an oracle {_lag(oracle)}."
    target = f"0 refusals, mean ≤ {MEAN:g} s, p95 ≤ {P95:g} s"
    figure = f"{count} jobs in flight (median {sorted(job.seconds for job in jobs)[count // 2]:.0f} s), one key"
    return [
        Row(f"{figure}; requests_per_second at its default, 20", beside, str(ours), target, _met(ours), [truth]),
        Row(f"{figure}; requests_per_second 24", "as above", str(faster), target, _met(faster)),
        Row(
            f"{count} jobs in flight, with the published formula's own noise; requests_per_second 20, and 24",
            f"knowing the true distribution, 25/s (stepped clock): {_lag(knowing_hard)}",
            f"20: {ours_hard}; 24: {faster_hard}",
            "none: for comparison",
            None,
        ),
    ]


def _lag(landed: Landed) -> str:
    return f"mean {landed.mean:.1f} s, p95 {landed.p95:.1f} s"


def _met(landed: Landed) -> bool:
    return not landed.refusals and not landed.unnoticed and landed.mean <= MEAN and landed.p95 <= P95


if __name__ == "__main__":
    run(measure, __doc__)
