"""How long a triggerer takes over 200 answers of an hour of words, and how late its loop is meanwhile.

One batch trigger waits for 200 jobs that are done: each is asked for, each answer (1.9 MB of JSON) is left in a folder
for the worker. The service is a process of its own that has the answer ready; requests are paced at 25 a second, so
that 8 s are the least. A ticker sleeps 5 ms at a time and notes how late it wakes. In half of the rounds each answer
holds an address, of which only the host and path may be stored. ``BEFORE=/path/to/checkout`` measures another state of
this provider beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import HERE, Row, fresh, lateness, run

TARGET_SECONDS, TARGET_LAG = 15.0, 50.0
PER_SECOND = 25.0
SECRET = "0123456789abcdef0123"


def answer(*, with_address: bool) -> bytes:
    from batch_memory import spoken

    name = f"https://b.example/a.mp3?sig={SECRET}" if with_address else "a.mp3"
    body = {
        "status": "completed",
        "runId": "run-1",
        "model": "Elevenlabs-STT",
        "transcription": " ".join(f"word{number}" for number in range(9000)),
        "metadata": {"fileName": name, "chargedDuration": 60.0, "cost": 0.3, "language": "eng"},
        "words": spoken(),
    }
    return json.dumps(body).encode()


async def serve(with_address: str) -> None:
    """Be the service: every job is done."""
    from aiohttp import web

    body = answer(with_address=with_address == "True")

    async def status(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/transcribe/status", status)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=120)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], len(body), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def held(what: str) -> float:
    """MB."""
    return int(re.search(rf"{what}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6


async def hand_over(count: int, folder: str) -> dict[str, float]:
    """Be the triggerer."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
    from airflow_provider_nanostt.triggers import BatchTrigger

    spool = TranscriptSpool(object_storage.resolve(folder))
    jobs = [
        {"run_id": f"run-{number}", "model": "m", "submitted_at": time.time() - 3600, "charged_minutes": 60.0}
        for number in range(count)
    ]
    how = {"nanogpt_conn_id": "nanogpt_default", "poll_interval": 5.0, "deadline": time.time() + 900}
    trigger = BatchTrigger(jobs=jobs, answers=spool.open(), **how)
    idle = held("VmRSS")
    async with lateness() as late:
        began, cpu = time.monotonic(), time.process_time()
        async for event in trigger.run():
            ended = event.payload["batch"]
        took, cpu = time.monotonic() - began, time.process_time() - cpu
    most, handed, found = held("VmHWM"), 0, TranscriptSpool(object_storage.resolve(folder))
    for number in range(count):
        if (one := found.take(f"run-{number}")) is not None:
            handed += SECRET.encode() not in one
    if ended["not_completed"]:
        raise RuntimeError(f"not all are completed: {ended}")
    return {
        "seconds": took,
        "cpu": cpu,
        "p99": late[int(0.99 * len(late))],
        "longest": late[-1],
        "handed": handed,
        "above": most - idle,
    }


def measured(count: int, checkout: str | None, *, with_address: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--serve", str(with_address)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service,
        tempfile.TemporaryDirectory() as folder,
    ):
        port, size = service.stdout.readline().split()
        kept = os.environ.get("PYTHONPATH")
        if checkout:
            os.environ["PYTHONPATH"] = checkout
        try:
            told = fresh(__file__, "--hand-over", f"http://127.0.0.1:{port}", count, folder)
        finally:
            if checkout:
                del os.environ["PYTHONPATH"]
                os.environ |= {"PYTHONPATH": kept} if kept else {}
        service.stdin.close()
    print(f"  {checkout or HERE.parent} {told}", file=sys.stderr, flush=True)
    return {**told, "size": int(size)}


def measure(options: argparse.Namespace) -> list[Row]:
    count, rows, before = 20 if options.quick else 200, [], os.environ.get("BEFORE")
    for with_address in (False, True):
        ours = measured(count, None, with_address=with_address)
        beside = measured(count, before, with_address=with_address) if before else None

        def shown(told: dict[str, float] | None) -> str:
            if told is None:
                return "-"
            return f"{told['seconds']:.1f} s, loop lag p99 {told['p99']:.0f} ms (longest {told['longest']:.0f} ms)"

        rows.append(
            Row(
                f"triggerer hands over {count} answers of {ours['size'] / 1e6:.2f} MB each"
                + (", each with an address" if with_address else ""),
                f"before: {shown(beside)}",
                shown(ours),
                f"≤ {TARGET_SECONDS:g} s, p99 ≤ {TARGET_LAG:g} ms",
                ours["seconds"] <= TARGET_SECONDS and ours["p99"] <= TARGET_LAG,
                [
                    f"{who}: {told['handed']:.0f} of {count} answers left for the worker, {told['cpu']:.1f} s of a "
                    f"processor, {told['above']:.0f} MB above idle at the most"
                    for who, told in (("ours", ours), ("before", beside))
                    if told
                ],
            )
        )
    return rows


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(serve(sys.argv[2]))
    elif "--hand-over" in sys.argv:
        from contestants import connect, silence

        silence()
        connect(sys.argv[2], PER_SECOND)
        print(json.dumps(asyncio.run(hand_over(int(sys.argv[3]), sys.argv[4]))))
    else:
        run(measure, __doc__)
