"""CPU time per status poll, with 1000 triggers in one event loop.

Every trigger polls about every 5 s, 200 polls a second in all, from starts spread over 5 s; each contestant runs in a
fresh process, all against the same kind of server in another. The figure is the CPU time of the polling process over
10 s, all threads, divided by the polls the server counted in these; median of three rounds, each with every contestant
in turn. How much a poll costs depends on how many there are a second (rare ones find cold caches and a sleeping
kernel), so in each round the bare loop polls exactly as often as ours did.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time

from contestants import BARE, NAMES, OURS, PEERS, connect, drain, make, silence, stop
from report import Row, fresh, run
from stub import Stub, counts

TARGET = 1.3
INTERVAL = 5.0
BUSY = 500.0  # polls per second of a second comparison, in which the machine is warm
OUR_INTERVAL = 0.5  # short enough that requests_per_second decides how often ours polls


async def polling(name: str, url: str, counting: str, *, triggers: int, interval: float, seconds: float) -> dict:
    waiting = make(name, url, triggers, interval)
    spread = min(interval, INTERVAL) / triggers
    tasks = [asyncio.create_task(drain(trigger, number * spread)) for number, trigger in enumerate(waiting)]
    server = OURS if name == BARE else name
    began = time.monotonic()
    await asyncio.sleep(interval + 1.0)
    while counts(counting)["jobs"][server] < triggers and time.monotonic() - began < 60.0:
        await asyncio.sleep(0.5)
    polls, cpu, at = counts(counting)["polls"][server], time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, at, polls = time.process_time() - cpu, time.monotonic() - at, counts(counting)["polls"][server] - polls
    await stop(tasks)
    return {"milliseconds": cpu / polls * 1000, "per_second": polls / at}


def measure(options: argparse.Namespace) -> list[Row]:
    triggers, seconds, rounds = (200, 2.0, 1) if options.quick else (1000, 10.0, 3)
    peers = () if options.quick else PEERS
    normal = triggers / INTERVAL
    found: dict[str, list[dict[str, float]]] = {}

    def once(shown: str, name: str, interval: float, rate: float = 0.0) -> float:
        with Stub() as stub:
            told = fresh(__file__, "--contestant", name, stub.url, stub.counting, triggers, interval, seconds, rate)
        found.setdefault(shown, []).append(told)
        print(f"  {shown}: {told['milliseconds']:.3f} ms at {told['per_second']:.0f}/s", file=sys.stderr, flush=True)
        return told["per_second"]

    for _ in range(rounds):
        polled = once(NAMES[OURS], OURS, OUR_INTERVAL, normal)
        once(NAMES[BARE], BARE, triggers / polled)
        for peer in peers:
            once(NAMES[peer], peer, INTERVAL)
        if not options.quick:
            polled = once(f"{NAMES[OURS]}, busy", OURS, OUR_INTERVAL, BUSY)
            once(f"{NAMES[BARE]}, busy", BARE, triggers / polled)
            once(f"{NAMES[OURS]} at the default 20/s", OURS, INTERVAL, 20.0)

    def median(shown: str) -> float:
        return statistics.median(told["milliseconds"] for told in found[shown])

    notes = [
        f"{shown}, at {statistics.median(told['per_second'] for told in all_told):.0f} polls/s: "
        f"{', '.join(format(told['milliseconds'], '.2f') for told in all_told)} ms"
        for shown, all_told in found.items()
    ]
    rows = []
    for kind in ("", ", busy"):
        bare, ours = found.get(NAMES[BARE] + kind), found.get(NAMES[OURS] + kind)
        if bare is None or ours is None:
            continue
        times = [one["milliseconds"] / other["milliseconds"] for one, other in zip(ours, bare, strict=True)]
        ratio = statistics.median(times)
        beside = f"bare aiohttp loop {median(NAMES[BARE] + kind):.2f} ms"
        if not kind:
            beside += "".join(f"; {NAMES[peer]} {median(NAMES[peer]):.2f} ms" for peer in peers)
        rows.append(
            Row(
                f"CPU per status poll, {triggers} triggers in one loop, "
                + (f"about {BUSY:.0f} polls/s" if kind else f"each every {INTERVAL:g} s"),
                beside,
                f"{median(NAMES[OURS] + kind):.2f} ms; {ratio:.2f} x the bare loop "
                f"(rounds: {', '.join(format(value, '.2f') for value in times)})",
                f"≤ {TARGET} x the bare loop",
                ratio <= TARGET,
                notes if not kind else [],
            )
        )
    return rows


if __name__ == "__main__":
    if "--contestant" in sys.argv:
        _, _, name, url, counting, triggers, interval, seconds, rate = sys.argv
        silence()
        connect(url, float(rate) or 20.0)
        how = {"triggers": int(triggers), "interval": float(interval), "seconds": float(seconds)}
        print(json.dumps(asyncio.run(polling(name, url, counting, **how))))
    else:
        run(measure, __doc__)
