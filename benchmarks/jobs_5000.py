"""5000 jobs in flight with one key, 10 minutes each on average.

Twice: with a stepped clock, in real proportions; and as a scale model against the emulator, in which everything is five
times as fast (job times a fifth, 125 requests a second at the emulator, requests_per_second 100, poll_interval 1 s),
since the real thing takes most of an hour. Lags of the scale model are given in real proportions, times five. Job times
are distributed as in jobs_1000.py; none is longer than 50 minutes.
"""

from __future__ import annotations

import argparse
import statistics

import stepped
from flight import Flight, Landed, Planned, fly, minutes_for, scenario
from report import Row, run

SHARE = 0.08
FASTER = 5.0
MEAN = 600.0
SEED = 5


def measure(options: argparse.Namespace) -> list[Row]:
    count, mean = (200, 60.0) if options.quick else (5000, MEAN)
    drawn = scenario(count, longest=5 * mean, seed=SEED, median=0.433 * mean)
    scale = mean / statistics.fmean(job.seconds for job in drawn)
    jobs = [Planned(job.minutes, job.seconds * scale) for job in drawn]
    model = [Planned(_shrunk(job), job.seconds / FASTER) for job in jobs]
    flown = fly(Flight("ours", model, interval=5.0 / FASTER, rate=20.0 * FASTER, limit=int(25 * FASTER)))
    landed = Landed(flown.requests, flown.refusals, flown.unnoticed, [lag * FASTER for lag in flown.lags])
    computed = stepped.ours(jobs, rate=20.0)

    def share(of: Landed) -> float:
        return of.mean / statistics.fmean(job.seconds for job in jobs)

    return [
        Row(
            f"{count} jobs in flight, mean {mean / 60:g} min, one key (scale model, {FASTER:g} times as fast)",
            f"the same schedule with a stepped clock in real proportions: {computed}, {share(computed):.1%} of the job",
            f"{landed}, {share(landed):.1%} of the job",
            f"0 refusals, all noticed, mean lag ≤ {SHARE:.0%} of the job's time",
            not landed.refusals and not landed.unnoticed and share(landed) <= SHARE and share(computed) <= SHARE,
        )
    ]


def _shrunk(job: Planned) -> float:
    """Minutes of audio for which the published formula expects so much less time than for this job."""
    from airflow_provider_nanostt.polling import expected_seconds

    return minutes_for(max(3.301, expected_seconds(job.minutes) / FASTER))


if __name__ == "__main__":
    run(measure, __doc__)
