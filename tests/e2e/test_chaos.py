"""Everything dies again and again while many recordings are transcribed; the money is accounted for to the last cent.

Triggerer, scheduler and task processes are killed (-9) at random. Some answers come late, so that tasks also die in the
gap between the charge and the recorded ticket: these must fail, and say so. Nothing else may fail, and nothing may be
paid twice.
"""

from __future__ import annotations

import itertools
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from airflow_api import wait_for
from local_postgres import LocalPostgres
from processes import Process, all_processes, send

from tests.e2e.stage import VERSIONS, WHOLE, Run, Stage, gaps, recording, staged, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.long]

TASKS, SECONDS = (60, 180) if WHOLE else (12, 45)
TO_THE_END = 420  # seconds for what is left when nothing dies any more
UNKNOWN = "An earlier attempt submitted this and never recorded an answer"
SEED = 20261123


@pytest.fixture(scope="module", params=VERSIONS)
def stage(
    request: pytest.FixtureRequest, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(request.param, tmp_path_factory.mktemp("airflow"), postgres) as running:
        yield running


class Killer:
    """Kills at random, and counts."""

    def __init__(self, stage: Stage) -> None:
        self.killed: Counter[str] = Counter()
        self._airflow = stage.airflow
        self._random = random.Random(SEED)

    def rage(self, seconds: float, component_every: float) -> None:
        """Kill a task process every second or so, and now and then a component, which is started again."""
        components = itertools.cycle(["scheduler", "triggerer"])
        end, next_component = time.monotonic() + seconds, time.monotonic() + component_every / 2
        while time.monotonic() < end:
            time.sleep(self._random.uniform(0.3, 1.5))
            self._kill_task()
            if time.monotonic() > next_component:
                self._kill_component(next(components))
                next_component += component_every

    def _kill_component(self, name: str) -> None:
        self._airflow.kill(name)
        self._airflow.restart(name, wait=False)
        self.killed[name] += 1

    def _kill_task(self) -> None:
        own = set(self._airflow.pids("scheduler"))
        running = [process.pid for process in all_processes() if process.pid in own and is_task(process)]
        if running:
            send([self._random.choice(running)], signal.SIGKILL)
            self.killed["task"] += 1


def is_task(process: Process) -> bool:
    """Whether it runs a task's code, in the words of Airflow 3 or 2."""
    title = process.title
    return title.startswith("airflow task runner:") or (
        title.startswith("airflow worker -- ") and "LocalExecutor" not in title
    )


@pytest.fixture(scope="module")
def killer(stage: Stage) -> Killer:
    return Killer(stage)


@pytest.fixture(scope="module")
def run(stage: Stage, killer: Killer) -> Run:
    """The run, after it went through all that and came to its end."""
    # Their ends are spread over the whole time, so that there is always something to kill.
    urls = [stage.script(recording(f"chaos-{number}"), SECONDS * number / TASKS) for number in range(TASKS)]
    stage.service.fail("/transcribe", kind="slow", delay=0.7, after_charge=True, probability=0.3)
    run = stage.run("each_in_chaos", *urls)
    wait_for(lambda: len(run.instances()) == TASKS, "all mapped tasks", 120)
    run.wait_charged()
    killer.rage(SECONDS, component_every=SECONDS / (6 if WHOLE else 3))
    run.ended(TO_THE_END)
    return run


def test_something_of_every_kind_was_killed(run: Run, killer: Killer):
    """The chaos was one."""
    assert set(killer.killed) == {"scheduler", "triggerer", "task"}
    assert any(one.try_number > 1 for one in run.instances())


def test_every_task_has_landed_or_says_what_happened_to_the_money(run: Run):
    """A success has its own transcript and one charge, its own; a failure says that the charge is not known."""
    job_of = {charge.source: charge.run_id for charge in run.charges()}
    for one, url in zip(run.instances(), run.urls, strict=True):
        if one.state == "success":
            assert run.transcript(one.map_index) == text_of(url)
            assert run.result(one.map_index)["run_id"] == job_of[url]
        else:
            assert one.state == "failed"
            assert UNKNOWN in run.log(one.try_number, one.map_index)


def test_nothing_was_paid_twice(run: Run, killer: Killer, capsys: pytest.CaptureFixture[str]):
    """Charges are as many as tasks that landed, and those that died in the gap and failed for it."""
    landed = {url for one, url in zip(run.instances(), run.urls, strict=True) if one.state == "success"}
    charged = Counter(charge.source for charge in run.charges())
    assert max(charged.values()) == 1
    in_the_gap = sorted(charged.keys() - landed)
    unsent = sorted(set(run.urls) - landed - charged.keys())
    assert len(run.charges()) == len(landed) + len(in_the_gap)
    tries, found = Counter(one.try_number for one in run.instances()), gaps(run.stage)
    with capsys.disabled():
        print(  # noqa: T201
            f"\n[Airflow {run.stage.airflow.version}] killed: {dict(killer.killed)}; {len(run.charges())} charges for "
            f"{TASKS} tasks: {len(landed)} landed; failed loudly: {len(in_the_gap)} that died between charge and "
            f"ticket {in_the_gap}, {len(unsent)} that died before the submit arrived {unsent}; tasks by number of "
            f"tries: {dict(sorted(tries.items()))}; from the answer to the recorded ticket, in ms: median "
            f"{statistics.median(found):.1f}, max {max(found):.1f}"
        )
