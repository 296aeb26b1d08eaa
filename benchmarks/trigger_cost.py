"""What a waiting trigger costs: memory while it waits, and CPU for each status request.

A local server answers "processing" to every status request; 1000 triggers run in one event loop and poll it. Beside
them, in the same process, a bare aiohttp loop does the same number of requests. Memory is what tracemalloc sees live
per trigger once all of them have polled and wait; CPU is this process's own time per request (the server is another
process).

    python benchmarks/trigger_cost.py [--triggers 1000] [--polls 10]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import time
import tracemalloc
from urllib.request import urlopen

import aiohttp
from aiohttp import web

KEY = "sk-nano-00000000-0000-4000-8000-000000000000"
BODY = {
    "cost": 0.03,
    "paymentSource": "USD",
    "isApiRequest": True,
    "fileName": "call.wav",
    "fileSize": 1_237_884,
    "chargedDuration": 1.0,
    "diarize": False,
}


def serve(port: multiprocessing.Queue[int]) -> None:
    answered = 0

    async def status(request: web.Request) -> web.Response:
        nonlocal answered
        answered += 1
        told = await request.json()
        return web.json_response({"runId": told["runId"], "status": "processing"})

    async def count(_: web.Request) -> web.Response:
        return web.json_response(answered)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/count", count)
        app.router.add_post("/api/transcribe/status", status)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.put(runner.addresses[0][1])
        await asyncio.sleep(600)

    asyncio.run(run())


async def bare(url: str, requests: int, at_once: int) -> float:
    """CPU seconds per request of a loop with nothing around aiohttp."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        async def ask(number: int) -> None:
            body = {"runId": f"run-{number}", **BODY}
            async with session.post(f"{url}/transcribe/status", json=body, headers={"x-api-key": KEY}) as answer:
                json.loads(await answer.read())

        before = time.process_time()
        for _ in range(requests // at_once):
            await asyncio.gather(*(ask(number) for number in range(at_once)))
        return (time.process_time() - before) / requests


def make_triggers(count: int, poll_interval: float) -> list:
    from airflow_provider_nanostt.triggers import TranscriptionTrigger

    now = time.time()
    return [
        TranscriptionTrigger(
            job={
                "run_id": f"run-{number}",
                "model": "Elevenlabs-STT",
                "submitted_at": now,
                "cost": 0.03,
                "charged_minutes": 1.0,
                "body": {"runId": f"run-{number}", **BODY},
            },
            nanogpt_conn_id="nanogpt_default",
            poll_interval=poll_interval,
            deadline=now + 3600,
        )
        for number in range(count)
    ]


async def drain(trigger: object) -> None:
    async for _ in trigger.run():
        pass


def answered(url: str) -> int:
    with urlopen(url.removesuffix("/api") + "/count") as answer:
        return json.load(answer)


async def polling(url: str, triggers: int, rounds: int, interval: float) -> float:
    """CPU seconds per request with this provider's triggers."""
    tasks = [asyncio.create_task(drain(trigger)) for trigger in make_triggers(triggers, interval)]
    await asyncio.sleep(interval / 2)
    before, asked = time.process_time(), answered(url)
    await asyncio.sleep(rounds * interval)
    used, asked = time.process_time() - before, answered(url) - asked
    await end(tasks)
    return used / asked


async def memory(triggers: int) -> float:
    """Bytes per waiting trigger."""
    warm = [asyncio.create_task(drain(trigger)) for trigger in make_triggers(20, 600)]
    await asyncio.sleep(2)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tasks = [asyncio.create_task(drain(trigger)) for trigger in make_triggers(triggers, 600)]
    await asyncio.sleep(max(6.0, triggers / 150))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await end(warm + tasks)
    return (after - before) / triggers


async def end(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--triggers", type=int, default=1000)
    parser.add_argument("--polls", type=int, default=10)
    options = parser.parse_args()
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ports.get(timeout=30)}/api"
    os.environ["AIRFLOW_CONN_NANOGPT_DEFAULT"] = json.dumps(
        {"conn_type": "nanogpt", "password": KEY, "host": url, "extra": {"requests_per_second": 2000}}
    )
    try:
        per_bare = asyncio.run(bare(url, options.triggers * options.polls, 100))
        per_poll = asyncio.run(polling(url, options.triggers, options.polls, options.triggers / 400))
        per_trigger = asyncio.run(memory(options.triggers))
    finally:
        server.terminate()
        server.join()
    print(f"bare aiohttp loop:  {per_bare * 1000:.3f} ms CPU per request")
    print(f"TranscriptionTrigger: {per_poll * 1000:.3f} ms CPU per poll ({per_poll / per_bare:.2f} x the bare loop)")
    print(f"TranscriptionTrigger: {per_trigger / 1024:.1f} KiB per waiting trigger")


if __name__ == "__main__":
    main()
