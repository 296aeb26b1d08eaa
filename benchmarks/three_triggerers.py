"""Three processes that ask with one key and do not talk to each other, at an emulator that takes 25 requests a second.

Each runs triggers for 400 jobs of its own, enough to use its 20 requests a second (the default), so together they would
ask 60 times a second. After the first 20 s, in which they find their pace, less than 1 % of the requests are refused,
and each process gets its share. Beside it, one process with all 1,200 jobs, as a triggerer has that is the only one
with the queue of these tasks: it need not find a pace. ``--measure SECONDS`` prints the figures of the three as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from contestants import KEY, connect, drain, silence
from flight import RICH, Emulator, _submit, minutes_for
from report import Row, run

PROCESSES, JOBS = 3, 400
SETTLING = 20.0
REFUSED, LEAST_SHARE = 0.01, 0.2
EXPECTED = 300.0  # seconds; long enough that every job is worth asking throughout


async def submit_all(url: str, count: int) -> list[dict[str, Any]]:
    """Submit jobs, and return the answers."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(_submit(session, url, number) for number in range(count)))


async def triggerer(url: str, seconds: float) -> None:
    """What one of the processes does: wait for the jobs whose tickets it reads from its standard input."""
    from airflow_provider_nanostt.triggers import TranscriptionTrigger

    now = time.time()
    triggers = [
        TranscriptionTrigger(
            job={
                "run_id": body["runId"],
                "model": body["model"],
                "submitted_at": now,
                "cost": body["cost"],
                "charged_minutes": body["chargedDuration"],
                "body": body,
            },
            nanogpt_conn_id="nanogpt_default",
            poll_interval=5.0,
            deadline=now + 86_400,
        )
        for body in json.load(sys.stdin)
    ]
    connect(url.removesuffix("/api"))
    tasks = [asyncio.create_task(drain(trigger)) for trigger in triggers]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if done:
        raise RuntimeError(f"a wait ended: {done.pop()!r}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def together(seconds: float, count: int = PROCESSES) -> dict[str, Any]:
    """Let some processes ask for some seconds, all jobs divided among them; return what came after the settling."""
    from airflow_provider_nanostt.emulator import EmulatorControl

    with Emulator() as url:
        control = EmulatorControl(url, timeout=60.0)
        control.script("*.wav", text="ok", duration=60 * minutes_for(EXPECTED), processing_seconds=86_400)
        bodies = asyncio.run(submit_all(url, PROCESSES * JOBS))
        control.add_key(KEY, balance=RICH, requests_per_second=25)
        command = [sys.executable, __file__, "--triggerer", url, str(seconds)]
        processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(count)]
        try:
            for number, process in enumerate(processes):
                json.dump(bodies[number::count], process.stdin)
                process.stdin.close()
            if sum(process.wait(seconds + 120.0) for process in processes):
                raise RuntimeError("a triggerer broke")
        finally:
            for process in processes:
                process.kill()
        requests = [record for record in control.requests if record.endpoint == "/transcribe/status"]
    owner = {body["runId"]: number % count for number, body in enumerate(bodies)}
    asked = [(record.time, record.status, owner[record.fields["runId"]]) for record in requests if record.fields]
    refused = [(record.time, record.status) for record in requests if record.status == 429]
    return _figures(asked, refused, seconds, count)


def _figures(asked: list, refused: list, seconds: float, count: int) -> dict[str, Any]:
    answered = [(at, who) for at, status, who in asked if status == 200]
    begin = max(min(at for at, who in answered if who == number) for number in range(count)) + SETTLING
    end = min(max(at for at, who in answered if who == number) for number in range(count))
    late = [who for at, who in answered if begin <= at <= end]
    refusals = sum(begin <= at <= end for at, _ in refused)
    return {
        "seconds": end - begin,
        "answered": len(late),
        "refused": refusals,
        "refused_share": refusals / max(1, refusals + len(late)),
        "shares": [late.count(number) / max(1, len(late)) for number in range(count)],
        "refused_at_first": sum(at < begin for at, _ in refused),
        "planned": seconds,
    }


def measure(options: argparse.Namespace) -> list[Row]:
    seconds = 30.0 if options.quick else 120.0
    told, alone = together(seconds), together(seconds, 1)
    refused_alone = alone["refused"] + alone["refused_at_first"]
    shares = ", ".join(f"{share:.0%}" for share in told["shares"])
    return [
        Row(
            "three processes with one key at a limit of 25/s, after the first 20 s",
            f"one process with the jobs of all: {refused_alone} refusals, also at first; "
            f"{alone['answered'] / alone['seconds']:.1f} answers/s",
            f"{told['refused']} refusals in {told['answered'] + told['refused']} requests "
            f"({told['refused_share']:.2%}); {told['answered'] / told['seconds']:.1f} answers/s; shares {shares}",
            f"< {REFUSED:.0%} refused, each with its share (≥ {LEAST_SHARE:.0%})",
            told["refused_share"] < REFUSED and min(told["shares"]) >= LEAST_SHARE,
            [f"{told['refused_at_first']} refusals while they found their pace."],
        )
    ]


if __name__ == "__main__":
    if "--triggerer" in sys.argv:
        silence()
        asyncio.run(triggerer(sys.argv[2], float(sys.argv[3])))
    elif "--measure" in sys.argv:
        print(json.dumps(together(float(sys.argv[2]))))
    else:
        run(measure, __doc__)
