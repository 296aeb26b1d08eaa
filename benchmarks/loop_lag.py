"""How late the event loop is when 1000 triggers start at once in a fresh process.

A ticker sleeps 5 ms at a time and notes how late it wakes, from the moment the triggers are started until 3 s after
all of them have polled once, or for 15 s. As in a triggerer, Airflow and the trigger's own module are imported by then,
and nothing else is: what a trigger imports when it runs is part of the figure. The 99th percentile is of the wake-ups;
the longest stall and the share of time the loop was over 50 ms late are beside it. Median of three rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time

from contestants import NAMES, OURS, PEERS, connect, drain, make, silence, stop
from report import Row, fresh, run
from stub import Stub, counts

TARGET = 50.0  # milliseconds
TICK = 0.005
INTERVAL = 5.0
LONGEST = 15.0
AFTER = 3.0


async def lateness(name: str, url: str, counting: str, triggers: int) -> dict[str, float]:
    made = make(name, url, triggers, INTERVAL)
    late: list[float] = []
    loop = asyncio.get_running_loop()

    async def tick() -> None:
        while True:
            planned = loop.time() + TICK
            await asyncio.sleep(TICK)
            late.append(loop.time() - planned)

    def polled() -> bool:
        return counts(counting)["jobs"][name] >= triggers

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.5)
    late.clear()
    began = time.monotonic()
    tasks = [asyncio.create_task(drain(trigger)) for trigger in made]
    end = began + LONGEST
    while time.monotonic() < end:
        await asyncio.sleep(0.25)
        if end == began + LONGEST and await asyncio.to_thread(polled):
            end = min(end, time.monotonic() + AFTER)
    ticker.cancel()
    took = time.monotonic() - began
    await stop(tasks)
    late.sort()
    return {
        "p99": late[int(0.99 * len(late))] * 1000,
        "longest": late[-1] * 1000,
        "stalled": sum(value for value in late if value > 0.05) / took,
    }


def measure(options: argparse.Namespace) -> list[Row]:
    triggers, rounds = (200, 1) if options.quick else (1000, 3)
    peers = PEERS[:1] if options.quick else PEERS
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *peers)}
    for _ in range(rounds):
        for name, all_told in found.items():
            with Stub() as stub:
                all_told.append(fresh(__file__, "--contestant", name, stub.url, stub.counting, triggers))
            print(f"  {name} {all_told[-1]}", file=sys.stderr, flush=True)

    def median(name: str, what: str) -> float:
        return statistics.median(told[what] for told in found[name])

    def shown(name: str) -> str:
        return f"{median(name, 'p99'):.0f} ms (longest stall {median(name, 'longest'):.0f} ms)"

    return [
        Row(
            f"event-loop lag p99, {triggers} triggers started at once",
            "; ".join(f"{NAMES[peer]} {shown(peer)}" for peer in peers),
            shown(OURS),
            f"≤ {TARGET:g} ms",
            median(OURS, "p99") <= TARGET,
            [
                f"{NAMES[name]}: p99 {', '.join(format(told['p99'], '.0f') for told in all_told)} ms; longest stall "
                f"{', '.join(format(told['longest'], '.0f') for told in all_told)} ms; time lost in stalls over 50 ms "
                f"{', '.join(format(told['stalled'], '.1%') for told in all_told)}"
                for name, all_told in found.items()
            ],
        )
    ]


if __name__ == "__main__":
    if "--contestant" in sys.argv:
        _, _, name, url, counting, triggers = sys.argv
        silence()
        connect(url)
        print(json.dumps(asyncio.run(lateness(name, url, counting, int(triggers)))))
    else:
        run(measure, __doc__)
