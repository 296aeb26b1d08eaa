"""One triggerer for one key: tasks of a queue wait where only one process asks, and nothing has to be shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.distributed.judge import HEAD, judge
from tests.distributed.stack import Stack, running, say

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One triggerer for the queue of the tasks, one for all others."""
    with running(
        tmp_path_factory.mktemp("queues"),
        {"AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True"},
        triggerers=(("--queues", "nanostt"), ("--queues", "default")),
        queues="default,nanostt",
    ) as started:
        yield started


def test_tasks_of_a_queue_wait_in_its_triggerer(stack: Stack):
    """All of its tasks wait in one triggerer, and those of other queues in the other."""
    runs = {
        "triggerer-1": stack.run("each_in_a_queue", "queued", stack.script("queued", 6, (10, 20))),
        "triggerer-2": stack.run("each", "default", stack.script("default", 4, (10, 20))),
    }
    stack.ended_runs(list(runs.values()), 400)
    verdict = judge(stack, list(runs.values()), Counter())
    say(f"\n{HEAD}\n{verdict.row('one triggerer for one queue')}\n")
    assert verdict.landed == verdict.charges == verdict.wanted
    for triggerer, run in runs.items():
        machines = stack.machines.machines(run.dag_id, run.run_id)
        waited = {name for task, names in machines.items() if task.startswith("transcribe") for name in names}
        assert waited & set(stack.machines.triggerers) == {triggerer}
