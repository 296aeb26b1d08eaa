"""A night of 10,000 recordings in one batch, and a second one over the same folder: what is stored, held and late.

Each step is a process of its own, as in Airflow: the worker that submits and defers, the triggerer that waits and
leaves the answers, the worker that resumes and writes, and another night's worker, which has ``skip_existing``. Memory
is the most that each ever held (VmHWM) above itself when all is imported and nothing begun. Results are a minute of
words each, so that the disk is not filled and the time is that of the items: for long ones see ``batch_memory.py`` and
``handover.py``. Workers' requests are not paced, since waiting for turns would show nothing; the triggerer's are, at
the service's limit, since its loop would be busy with nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from batch_memory import held, spoken
from contestants import KEY, connect, silence
from flight import RICH, Emulator
from report import Row, fresh, lateness, run

MOST_STORED = 8 * 1024
MOST_MEMORY, MOST_LAG = 250.0, 50.0
WORKER_PER_SECOND, TRIGGERER_PER_SECOND = 400.0, 25.0
WORDS = 300  # entries, with the spaces between words


def prepared(url: str, night: str, count: int, folder: str):
    """Import what an idle worker has, and return operator and context."""
    from batch_submit_rate import operator

    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.outputs import write  # noqa: F401
    from airflow_provider_nanostt.workflow.batch import manifest, run  # noqa: F401

    silence()
    connect(url.removesuffix("/api"), WORKER_PER_SECOND)
    task = operator([f"https://192.0.2.7/{number:05d}.mp3" for number in range(count)], folder, skip_existing=True)
    instance = SimpleNamespace(dag_id="bench", task_id="batch", run_id=night, map_index=-1, max_tries=0)
    NanoGPTHook().try_balance()
    return task, {"ti": instance}


def told(idle: float, began: float, **more: object) -> dict[str, object]:
    return {"above": held("VmHWM") - idle, "seconds": time.monotonic() - began, **more}


def submit(url: str, count: int, folder: str) -> dict[str, object]:
    task, context = prepared(url, "first", count, folder)
    idle, began = held("VmRSS"), time.monotonic()
    try:
        task.execute(context)
    except BaseException as deferred:
        if type(deferred).__name__ != "TaskDeferred":
            raise
        row = json.dumps(deferred.trigger.serialize())
        checkpoint = max(Path(folder).glob(".nanostt/*.batch.jsonl")).stat().st_size
        return told(idle, began, row=len(row), trigger=deferred.trigger.serialize()[1], checkpoint=checkpoint)
    raise RuntimeError("it was not deferred")


def wait(url: str, trigger: str) -> dict[str, object]:
    from airflow_provider_nanostt.triggers import BatchTrigger

    silence()
    connect(url.removesuffix("/api"), TRIGGERER_PER_SECOND)
    made = BatchTrigger(**{**json.loads(Path(trigger).read_text()), "not_before": 0.0})

    async def waiting() -> dict[str, object]:
        async with lateness() as late:
            idle, began = held("VmRSS"), time.monotonic()
            (event,) = [event.payload async for event in made.run()]
        lag = {"p99": late[int(0.99 * len(late))], "longest": late[-1]}
        return told(idle, began, **lag, event=event, bytes=len(json.dumps(event)))

    return asyncio.run(waiting())


def write(url: str, count: int, folder: str, event: str) -> dict[str, object]:
    task, context = prepared(url, "first", count, folder)
    idle, began = held("VmRSS"), time.monotonic()
    result = task.execute_complete(context, event=json.loads(Path(event).read_text()))
    return told(idle, began, written=result["written"], bytes=len(json.dumps(result)))


def again(url: str, count: int, folder: str) -> dict[str, object]:
    task, context = prepared(url, "second", count, folder)
    idle, began = held("VmRSS"), time.monotonic()
    result = task.execute(context)
    return told(idle, began, skipped=result["skipped"], bytes=len(json.dumps(result)))


def nights(count: int) -> dict[str, dict[str, float]]:
    from airflow_provider_nanostt.emulator import EmulatorControl

    with Emulator() as url, tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as database:
        control = EmulatorControl(url, timeout=60.0)
        control.script("*.mp3", text="ok", words=spoken()[:WORDS], duration=60.0, processing_seconds=0.1)
        control.add_key(KEY, balance=RICH, requests_per_second=0)
        found = {}
        trigger, event = Path(database) / "trigger.json", Path(database) / "event.json"
        found["submit"] = step("submit", url, count, folder)
        trigger.write_text(json.dumps(found["submit"]["trigger"]))
        found["wait"] = step("wait", url, trigger)
        event.write_text(json.dumps(found["wait"]["event"]))
        found["write"] = step("write", url, count, folder, event)
        found["again"] = step("again", url, count, folder)
        charges = len(control.charges)
    if (found["write"]["written"], charges) != (count, count):
        raise RuntimeError(f"{found['write']['written']} of {count} are written, {charges} charged")
    return found


def step(name: str, *arguments: object) -> dict[str, float]:
    found = fresh(__file__, "--step", name, *arguments, timeout=3600)
    shown = {key: value for key, value in found.items() if key not in ("trigger", "event")}
    print(f"  {name}: {shown}", file=sys.stderr, flush=True)
    return found


def measure(options: argparse.Namespace) -> list[Row]:
    count = 200 if options.quick else 10_000
    found = nights(count)
    stored = {
        "trigger row": found["submit"]["row"],
        "event": found["wait"]["bytes"],
        "XCom": found["write"]["bytes"],
        "XCom of the second night": found["again"]["bytes"],
    }
    workers = {step: found[step]["above"] for step in ("submit", "write", "again")}
    seconds = ", ".join(f"{step} {one['seconds']:.0f} s" for step, one in found.items())
    lag, above = found["wait"]["p99"], found["wait"]["above"]
    return [
        Row(
            f"what Airflow stores of a batch of {count} recordings",
            f"the checkpoint, a file in the output folder: {found['submit']['checkpoint'] / 1e6:.1f} MB",
            ", ".join(f"{name} {size:.0f} bytes" for name, size in stored.items()),
            f"≤ {MOST_STORED} bytes each",
            max(stored.values()) <= MOST_STORED,
        ),
        Row(
            f"worker memory for a batch of {count} recordings, and for a second night over them",
            "an idle worker",
            ", ".join(f"{step} {size:.0f} MB above it" for step, size in workers.items()),
            f"≤ {MOST_MEMORY:g} MB",
            max(workers.values()) <= MOST_MEMORY,
            [f"Each step's time: {seconds}."],
        ),
        Row(
            f"triggerer that waits for {count} jobs of a batch",
            "an idle one",
            f"{above:.0f} MB above it, loop lag p99 {lag:.0f} ms (longest {found['wait']['longest']:.0f} ms)",
            f"≤ {MOST_MEMORY:g} MB, p99 ≤ {MOST_LAG:g} ms",
            above <= MOST_MEMORY and lag <= MOST_LAG,
        ),
    ]


if __name__ == "__main__":
    if "--step" in sys.argv:
        _, _, name, url, *rest = sys.argv
        steps = {"submit": submit, "wait": wait, "write": write, "again": again}
        print(json.dumps(steps[name](url, *(int(one) if one.isdigit() else one for one in rest))))
    else:
        run(measure, __doc__)
