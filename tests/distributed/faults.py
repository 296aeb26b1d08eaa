"""What can happen to the machines, one function each: wait for the moment, do it, and return when it is over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from airflow_api import WaitTimeoutError, wait_for

from tests.distributed.stack import Stack

Fault = Callable[[Stack, float], None]
"""Given the machines and how many seconds to wait for the right moment."""

DOWN = 3.0
"""Seconds that a server is away when it is restarted."""
CUT_OFF = 30.0
SLOW = 0.1


def worker_submitting(stack: Stack, patience: float) -> None:
    """Kill a worker while submits arrive at the service: the one that works on a batch, else on most tasks."""
    before = len(stack.service.charges)
    wait_for(lambda: len(stack.service.charges) >= before + 5, "charges", patience, 0.05)
    rows = stack.query(
        "SELECT hostname FROM task_instance WHERE state = 'running' AND hostname LIKE 'worker-%' "
        "GROUP BY hostname ORDER BY bool_or(dag_id = 'batch') DESC, count(*) DESC"
    )
    stack.kill(rows[0][0] if rows else stack.machines.workers[0])


def triggerer_waiting(stack: Stack, patience: float) -> None:
    """Kill the triggerer that has most triggers."""
    name, _ = wait_for(lambda: next(iter(stack.waiting().most_common(1)), None), "triggers", patience)
    stack.kill(name)


def scheduler(stack: Stack, patience: float) -> None:
    """Kill the scheduler."""
    stack.kill("scheduler")


def database(stack: Stack, patience: float) -> None:
    """Restart PostgreSQL."""
    stack.machines.postgres.restart(DOWN)


def bouncer(stack: Stack, patience: float) -> None:
    """Restart PgBouncer."""
    assert stack.machines.pgbouncer is not None
    stack.machines.pgbouncer.restart(DOWN)


def queue(stack: Stack, patience: float) -> None:
    """Restart Redis."""
    stack.machines.redis.restart(DOWN)


def store(stack: Stack, patience: float) -> None:
    """Restart the object store."""
    stack.machines.store.restart(DOWN)


def triggerer_stopped(stack: Stack, patience: float) -> None:
    """Freeze the triggerer that has most triggers until another one has them, and let it go on."""
    name, _ = wait_for(lambda: next(iter(stack.waiting().most_common(1)), None), "triggers", patience)
    service = stack.machines.airflow.services[name]
    pid = service.pid
    service.suspend()
    try:
        with contextlib.suppress(WaitTimeoutError):  # in the midst of other faults there may be no other one
            wait_for(lambda: stack.waiting()[name] == 0, f"the triggers of {name} being moved", max(60.0, patience))
    finally:
        if service.alive and service.pid == pid:
            service.resume()


def slow_network(stack: Stack, patience: float) -> None:
    """Let every piece of data between one worker and the store take 100 ms more in each direction, for a while."""
    stack.far.delay = SLOW
    try:
        time.sleep(CUT_OFF)
    finally:
        stack.far.delay = 0.0


def broken_network(stack: Stack, patience: float) -> None:
    """Cut one worker off from the store for half a minute."""
    with stack.far.cut():
        time.sleep(CUT_OFF)


FAULTS: dict[str, Fault] = {
    "kill -9 of a worker while submitting": worker_submitting,
    "kill -9 of a triggerer while waiting": triggerer_waiting,
    "kill -9 of the scheduler": scheduler,
    "restart of PostgreSQL": database,
    "restart of PgBouncer": bouncer,
    "restart of Redis": queue,
    "restart of the object store": store,
    "a triggerer frozen until its triggers move": triggerer_stopped,
    "100 ms to the store, for one worker": slow_network,
    "no network to the store, 30 s, for one worker": broken_network,
}

WHILE_SUBMITTING = {scheduler, database, bouncer, queue, store}
"""Those that wait for no moment of their own, and tell most when tasks are submitting."""
