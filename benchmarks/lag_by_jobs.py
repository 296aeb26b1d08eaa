"""How late the end of a job is noticed, by how many are in flight with one key: computed, with a stepped clock.

The jobs are those of ``jobs_1000.py``, whose measured figure for 1000 is beside the computed one in the results. Each
row compares this provider's schedule at its default of 20 requests a second with what is written first: ask for every
job each 5 s, all behind one even limiter at the service's 25 a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import stepped
from flight import scenario
from jobs_1000 import SEED
from report import Row, run

if TYPE_CHECKING:
    import argparse

COUNTS = (30, 100, 300, 1000, 3000)
SERVICE, DEFAULT, INTERVAL = 25.0, 20.0, 5.0


def measure(options: argparse.Namespace) -> list[Row]:
    return [row(count) for count in (COUNTS[:2] if options.quick else COUNTS)]


def row(count: int) -> Row:
    jobs = scenario(count, longest=300.0, seed=SEED)
    beside = stepped.limited(jobs, rate=SERVICE, interval=INTERVAL)
    ours = stepped.ours(jobs, rate=DEFAULT, interval=INTERVAL)
    return Row(
        f"lag with {count} jobs in flight, one key (stepped clock)",
        f"every 5 s behind an even limiter of 25/s: mean {beside.mean:.1f} s, p95 {beside.p95:.1f} s",
        f"mean {ours.mean:.1f} s, p95 {ours.p95:.1f} s ({ours.requests} requests)",
        "for comparison",
        None,
    )


if __name__ == "__main__":
    run(measure, __doc__)
