"""Memory per waiting trigger.

1000 triggers are started beside 20 that wait already (so that modules, sessions and what exists once are not counted),
all have polled at least once and wait; what tracemalloc then sees live is divided by their number. The growth of the
process (resident set), in a second fresh process without tracemalloc, is the cross-check: it also counts the sockets'
and TLS contexts' memory that Python does not see, and what the allocator keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

from contestants import NAMES, OURS, PEERS, connect, drain, make, silence, stop
from report import Row, fresh, run
from stub import Stub, counts

TARGET = 8.0  # KiB
INTERVAL = 600
WARM = 20
HOW = ("tracemalloc", "resident")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def until_polled(name: str, counting: str, jobs: int) -> None:
    end = time.monotonic() + 120.0
    while counts(counting)["jobs"][name] < jobs and time.monotonic() < end:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2.0)
    gc.collect()


async def waiting(name: str, url: str, counting: str, triggers: int, *, trace: bool) -> float:
    """KiB per trigger."""
    everyone = make(name, url, WARM + triggers, INTERVAL, age=2 * INTERVAL)
    tickets = [trigger.serialize() for trigger in everyone[WARM:]]
    del everyone[WARM:]
    classes = {type(trigger) for trigger in everyone}
    tasks = [asyncio.create_task(drain(trigger)) for trigger in everyone]
    await until_polled(name, counting, WARM)
    if trace:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if trace else resident()
    (kind,) = classes
    # The triggerer makes each from its own copy of the arguments, read from the database.
    started = [kind(**json.loads(json.dumps(arguments))) for _, arguments in tickets]
    tasks += [asyncio.create_task(drain(trigger, number / 400)) for number, trigger in enumerate(started)]
    await until_polled(name, counting, WARM + triggers)
    after = tracemalloc.get_traced_memory()[0] if trace else resident()
    tracemalloc.stop()
    await stop(tasks)
    return (after - before) / triggers / 1024


def measure(options: argparse.Namespace) -> list[Row]:
    triggers = 200 if options.quick else 1000
    found: dict[str, dict[str, float]] = {}
    peers = PEERS[:1] if options.quick else PEERS
    for name in (OURS, *peers):
        found[name] = {}
        for how in HOW[:1] if options.quick else HOW:
            with Stub() as stub:
                found[name][how] = fresh(__file__, "--contestant", name, stub.url, stub.counting, triggers, how)
        print(f"  {name} {found[name]}", file=sys.stderr, flush=True)
    ours = found[OURS]["tracemalloc"]

    def shown(name: str) -> str:
        told = found[name]
        return f"{told['tracemalloc']:.1f} KiB" + (f" (resident {told['resident']:.1f})" if "resident" in told else "")

    return [
        Row(
            f"memory per waiting trigger, {triggers} of them",
            "; ".join(f"{NAMES[peer]} {shown(peer)}" for peer in peers),
            shown(OURS),
            f"≤ {TARGET:g} KiB",
            ours <= TARGET,
            ["The triggers are made from their serialised arguments, each with a copy of its own, and poll once."],
        )
    ]


if __name__ == "__main__":
    if "--contestant" in sys.argv:
        _, _, name, url, counting, triggers, how = sys.argv
        silence()
        connect(url, 200.0)
        print(json.dumps(asyncio.run(waiting(name, url, counting, int(triggers), trace=how == "tracemalloc"))))
    else:
        run(measure, __doc__)
