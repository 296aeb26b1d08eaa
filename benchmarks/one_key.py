"""Several processes with one key that do not know each other, at an emulator that takes 25 requests in any second.

Two batches that submit and two triggerers that poll, each a process with its default 20 requests a second, so together
they would ask 80 times a second. Counted from the 20th second on, until the first of them ends: how much is refused,
how much of the limit is used, and each process's share. Then batches alone: two of 200 recordings, three of 150. A
recording without a job in the end is left behind. ``--measure SECONDS RECORDINGS`` prints the figures of the four as
JSON; the batches have so many recordings each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from typing import Any

from contestants import KEY
from flight import RICH, Emulator, minutes_for
from report import HERE, Row, run
from three_triggerers import EXPECTED, SETTLING, submit_all

LIMIT = 25  # requests in any second
REFUSED, USED, LEAST_SHARE = 0.02, 0.8, 0.15
BATCHES, TRIGGERERS = 2, 2
RECORDINGS, JOBS = 600, 300  # of each; more than can be done in the time
SECONDS = 75.0
ALONE = ((2, 200), (3, 150))


def emulator_for(url: str) -> Any:
    from airflow_provider_nanostt.emulator import EmulatorControl

    control = EmulatorControl(url, timeout=60.0)
    for name in ("*.wav", "*.mp3"):
        control.script(name, text="ok", duration=60 * minutes_for(EXPECTED), processing_seconds=86_400)
    return control


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def start_batches(url: str, count: int, recordings: int) -> list[subprocess.Popen[str]]:
    return [start("batch_submit_rate.py", "--submit", url, recordings, f"batch-{one}") for one in range(count)]


def jobs_of(batches: list[subprocess.Popen[str]], timeout: float = 600.0) -> list[int]:
    """How many jobs each batch has in the end."""
    return [json.loads(one.communicate(timeout=timeout)[0].splitlines()[-1])["jobs"] for one in batches]


def together(seconds: float, recordings: int) -> dict[str, Any]:
    """Let batches and triggerers go at it for some seconds, and the batches to their end."""
    with Emulator() as url:
        control = emulator_for(url)
        bodies = asyncio.run(submit_all(url, TRIGGERERS * JOBS))
        control.add_key(KEY, balance=RICH, requests_per_second=LIMIT)
        asked = len(control.requests)
        triggerers = [start("three_triggerers.py", "--triggerer", url, seconds) for _ in range(TRIGGERERS)]
        batches = start_batches(url, BATCHES, recordings)
        try:
            for number, process in enumerate(triggerers):
                json.dump(bodies[number::TRIGGERERS], process.stdin)
                process.stdin.close()
            if sum(process.wait(seconds + 120.0) for process in triggerers):
                raise RuntimeError("a triggerer broke")
            left = [recordings - jobs for jobs in jobs_of(batches)]
        finally:
            for process in [*triggerers, *batches]:
                process.kill()
        requests = control.requests[asked:]
    owners = {body["runId"]: f"triggerer-{number % TRIGGERERS}" for number, body in enumerate(bodies)}
    return {**figures(requests, owners), "left": left}


def figures(requests: list[Any], owners: dict[str, str]) -> dict[str, Any]:
    """Count what happened while all were at work, after the settling; a process is known by its jobs or recordings."""
    taken = []
    for one in requests:
        who = owners.get(one.fields.get("runId", "")) or batch_of(one.fields.get("audioUrl", ""))
        if one.status in (200, 202) and who:
            taken.append((one.time, who))
    names = sorted({who for _, who in taken})
    begin = max(min(at for at, who in taken if who == name) for name in names) + SETTLING
    end = min(max(at for at, who in taken if who == name) for name in names)
    shares = Counter(who for at, who in taken if begin <= at <= end)
    answered = [one.status for one in requests if begin <= one.time <= end]
    return {
        "seconds": end - begin,
        "requests": len(answered),
        "refused": answered.count(429),
        "used": (len(answered) - answered.count(429)) / (end - begin) / LIMIT,
        "shares": {name: shares[name] / max(1, shares.total()) for name in names},
        "refused_at_first": sum(one.status == 429 and one.time < begin for one in requests),
    }


def batch_of(url: str) -> str:
    """The batch that a recording belongs to, which its address names."""
    return next((part for part in url.split("/") if part.startswith("batch-")), "")


def alone(count: int, recordings: int) -> dict[str, Any]:
    """Let batches submit all they have, and nobody else ask."""
    with Emulator() as url:
        control = emulator_for(url)
        control.add_key(KEY, balance=RICH, requests_per_second=LIMIT)
        batches = start_batches(url, count, recordings)
        try:
            left = [recordings - jobs for jobs in jobs_of(batches)]
        finally:
            for process in batches:
                process.kill()
        requests = control.requests
    accepted = [one.time for one in requests if one.status == 202]
    return {
        "requests": len(requests),
        "refused": sum(one.status == 429 for one in requests),
        "rate": len(accepted) / max(1e-9, max(accepted) - min(accepted)),
        "charged": len(accepted),
        "left": left,
    }


def measure(options: argparse.Namespace) -> list[Row]:
    told = together(32.0, 250) if options.quick else together(SECONDS, RECORDINGS)
    refused = told["refused"] / told["requests"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in told["shares"].items())
    rows = [
        Row(
            f"{BATCHES} batches and {TRIGGERERS} triggerers, one key, limit {LIMIT}/s, after {SETTLING:.0f} s",
            "-",
            f"{told['refused']} of {told['requests']} requests refused ({refused:.2%}); {told['used']:.0%} of the "
            f"limit used; shares: {shares}; left behind: {sum(told['left'])}",
            f"≤ {REFUSED:.0%} refused, ≥ {USED:.0%} used, shares ≥ {LEAST_SHARE:.0%}, nothing left behind",
            refused <= REFUSED
            and told["used"] >= USED
            and min(told["shares"].values()) >= LEAST_SHARE
            and not any(told["left"]),
            [f"Over {told['seconds']:.0f} s; {told['refused_at_first']} refusals while they found their pace."],
        )
    ]
    for count, recordings in ((2, 40),) if options.quick else ALONE:
        told = alone(count, recordings)
        rows.append(
            Row(
                f"{count} batches of {recordings} in {count} processes, one key, limit {LIMIT}/s",
                "before: 101 refusals and 125 left behind (2 of 200), 143 and most left (3 of 150)",
                f"{told['refused']} of {told['requests']} requests refused; {told['rate']:.1f} submits/s; "
                f"left behind: {sum(told['left'])}",
                "nothing left behind, each charged once",
                not any(told["left"]) and told["charged"] == count * recordings,
            )
        )
    return rows


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps(together(float(sys.argv[2]), int(sys.argv[3]))))
    else:
        run(measure, __doc__)
