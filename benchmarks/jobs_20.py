"""20 jobs in flight with one key, 200 in all: as the end of one is noticed, the next is submitted.

Job times are distributed as in jobs_1000.py, none longer than 150 s, in real time; asking every 5 s and this provider's
triggers wait for the same jobs at the same time, each at an emulator of its own. Requests are status requests.
"""

from __future__ import annotations

import argparse

import stepped
from flight import Flight, fly_together, scenario
from report import Row, run

MEAN = 1.5
SEED = 6


def measure(options: argparse.Namespace) -> list[Row]:
    count, longest, median = (40, 8.0, 4.0) if options.quick else (200, 150.0, 37.5)
    jobs = scenario(count, longest=longest, seed=SEED, median=median)
    fixed, ours = fly_together([Flight("fixed", jobs, at_once=20), Flight("ours", jobs, at_once=20)])
    computed = stepped.fixed(jobs, interval=5.0)
    return [
        Row(
            f"20 jobs in flight ({count} in all), one key",
            f"every 5 s: {fixed}",
            str(ours),
            f"mean lag ≤ {MEAN:g} s with no more requests than every 5 s",
            ours.mean <= MEAN and ours.requests <= fixed.requests and not ours.unnoticed,
            [f"Every 5 s, computed from the job times alone: {computed}"],
        )
    ]


if __name__ == "__main__":
    run(measure, __doc__)
