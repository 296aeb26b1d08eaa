"""Workers, triggerers and everything between them die, restart and are cut off: each recording is paid for once.

The emulator counts the charges. A recording whose submit was on its way when its worker died is uncertain, and its task
says so; all others have their transcript in its place. First each fault by itself, then all at once.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter

import pytest
from airflow_api import wait_for

from tests.distributed.faults import FAULTS, WHILE_SUBMITTING, worker_submitting
from tests.distributed.judge import Verdict, judge
from tests.distributed.stack import Run, Stack, say

pytestmark = [pytest.mark.e2e, pytest.mark.long]

MINUTES = float(os.environ.get("MINUTES", "5"))
"""How long everything goes wrong at once; less than 5 is a smaller form, to see that it works."""

WHOLE = MINUTES >= 5
ITEMS, MAPPED, BATCHES = (300, 100, 3) if WHOLE else (60, 20, 2)
ALONE = 12, 4
"""Items of a batch and mapped tasks for a fault by itself."""

IN_BETWEEN = 4
"""Items of a killed worker that may be uncertain without having arrived: some of its threads are in between."""

TO_THE_END = 900.0  # seconds for what is left when nothing goes wrong any more
SEED = 20261126


def check(verdict: Verdict, kills: int = 1) -> None:
    """Assert what must hold.

    :param kills: of workers. An intent is in the store a moment before the worker knows, and a moment more passes until
        the first byte is on the wire: who is killed then leaves items uncertain whose requests have not arrived.
    """
    assert verdict.doubles == ()
    assert verdict.lost == {}
    assert len(verdict.uncertain) - len(verdict.arrived) <= IN_BETWEEN * max(1, kills), verdict.uncertain
    assert verdict.landed == verdict.wanted - len(verdict.uncertain)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_by_itself(stack: Stack, table: list[str], name: str):
    """Nothing is paid twice, nothing is lost, and only what was on its way is uncertain."""
    say(name)
    number = list(FAULTS).index(name)
    before = Counter(stack.service.counts)
    items, mapped = ALONE
    batch, each = stack.script(f"b{number}", items, (5, 40)), stack.script(f"m{number}", mapped, (5, 40))
    stack.service.fail("/transcribe", kind="slow", delay=0.7, after_charge=True, probability=0.3)
    runs = [stack.run("each", f"each-{number}", each), stack.run("batch", f"batch-{number}", batch)]
    if FAULTS[name] in WHILE_SUBMITTING:
        wait_for(
            lambda: any(charge.source in (*batch, *each) for charge in stack.service.charges), "a charge", 120, 0.1
        )
    FAULTS[name](stack, 120.0)
    stack.ended_runs(runs, TO_THE_END)
    stack.service.clear_faults()
    verdict = judge(stack, runs, before)
    table.append(verdict.row(name))
    check(verdict)


class Weather:
    """All faults again and again, each in a thread of its own, and what was done."""

    def __init__(self, stack: Stack) -> None:
        self.done: Counter[str] = Counter()
        self.broken: list[str] = []
        self._stack = stack

    def rage(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._again, args=(name, end, number), daemon=True)
            for number, name in enumerate(FAULTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 180)

    def _again(self, name: str, end: float, number: int) -> None:
        """Do one thing about once a minute, kills of workers twice as often; the first times are spread out."""
        drawn = random.Random(SEED + number)
        longest = 35.0 if FAULTS[name] is worker_submitting else 70.0
        pause = 4.0 * number
        while time.monotonic() + pause < end:
            time.sleep(pause)
            pause = drawn.uniform(longest / 2, longest)
            say(f"  {name}")
            try:
                FAULTS[name](self._stack, 40.0)
            except RuntimeError as error:  # the moment did not come, or a server did not
                self.broken.append(f"{name}: {error}")
            else:
                self.done[name] += 1


def test_all_at_once(stack: Stack, table: list[str]):
    """The same holds when everything goes wrong for minutes, in batches and in mapped tasks."""
    stack.service.reset()
    stack.connections = dict.fromkeys(stack.connections, 0)
    stack.ended.clear()
    stack.killed.clear()
    seconds = MINUTES * 60
    share = ITEMS // BATCHES
    batches = [stack.script(f"batch{number}", share, (5, seconds / BATCHES)) for number in range(BATCHES)]
    each = stack.script("each", MAPPED, (5, seconds / 3))
    stack.service.fail("/transcribe", kind="slow", delay=0.7, after_charge=True, probability=0.3)
    weather = Weather(stack)
    began = time.monotonic()
    raging = threading.Thread(target=weather.rage, args=(seconds,), daemon=True)
    runs: list[Run] = [stack.run("each", "each-of-all", each)]
    raging.start()
    for number, urls in enumerate(batches):
        time.sleep(max(0.0, began + number * seconds / BATCHES - time.monotonic()))
        runs.append(stack.run("batch", f"batch-{number}-of-all", urls))
    while raging.is_alive():
        raging.join(20)
        say("  " + "; ".join(f"{run.run_id}: {dict(stack.states(run))}" for run in runs))
    stack.service.clear_faults()
    say("nothing goes wrong any more")
    stack.ended_runs(runs, TO_THE_END)
    verdict = judge(stack, runs, Counter())
    table.append(verdict.row(f"all at once, {MINUTES:g} minutes"))
    say(f"done: {dict(weather.done)}; not possible just then: {weather.broken}")
    say(f"ended by themselves: {dict(stack.ended)}; most connections: {stack.connections}")
    tries = Counter(itertools.chain.from_iterable(map(stack.tries, runs)))
    say(f"tasks by number of tries: {dict(sorted(tries.items()))}")
    check(verdict, sum(stack.killed[name] for name in stack.machines.workers))
    assert not WHOLE or set(weather.done) == set(FAULTS)
