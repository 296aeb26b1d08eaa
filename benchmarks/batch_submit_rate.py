"""How fast a batch submits: recordings at addresses, an asynchronous model, one key, an emulator that takes 25/s.

The operator runs in a fresh process until it defers, with its default settings (8 at once, 20 requests a second); the
emulator in another. The rate is that of the accepted submits between the first and the last; beside it the slowest ten
seconds on end. Refusals are counted over all requests of the run. The addresses are figures that are not public, so
nothing is looked up or looked at; how long that takes is shown by remote_duration.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from types import SimpleNamespace

from contestants import KEY, connect, silence
from flight import RICH, Emulator
from report import Row, fresh, run

TARGET = 19.0  # submits per second
WINDOW = 10.0  # seconds


def operator(urls: list[str], output: str, **more: object):
    from airflow_provider_nanostt.operators import TranscribeBatchOperator

    return TranscribeBatchOperator(
        task_id="batch",
        audio=urls,
        model="Elevenlabs-STT",
        actual_duration=3.0,
        output_path=output,
        deferrable=True,
        max_worker_wait=0,
        **more,
    )


def context() -> dict[str, object]:
    return {"ti": SimpleNamespace(dag_id="bench", task_id="batch", run_id="manual", map_index=-1, max_tries=0)}


def submit(url: str, count: int) -> None:
    """Be the worker: submit until there is nothing left but to wait."""
    silence()
    connect(url.removesuffix("/api"))
    urls = [f"https://192.0.2.7/{number:05d}.mp3" for number in range(count)]
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            operator(urls, folder).execute(context())
        except BaseException as deferred:
            if type(deferred).__name__ != "TaskDeferred":
                raise
            jobs = deferred.trigger.jobs
            count = jobs["count"] if isinstance(jobs, dict) else len(jobs)
            print(json.dumps({"jobs": count, "cpu": time.process_time() - began}))


def measure(options: argparse.Namespace) -> list[Row]:
    from airflow_provider_nanostt.emulator import EmulatorControl

    count = 60 if options.quick else 1000
    with Emulator() as url:
        control = EmulatorControl(url, timeout=60.0)
        control.script("*.mp3", text="ok", duration=180.0, processing_seconds=86_400)
        control.add_key(KEY, balance=RICH, requests_per_second=25)
        told = fresh(__file__, "--submit", url, count)
        requests = control.requests
    accepted = sorted(one.time for one in requests if one.endpoint == "/transcribe" and one.status == 202)
    refusals = sum(one.status == 429 for one in requests)
    if not len(accepted) == told["jobs"] == count:
        raise RuntimeError(f"{len(accepted)} submits were accepted, {told['jobs']} jobs waited for, of {count}")
    rate = (count - 1) / (accepted[-1] - accepted[0])
    starts = [at for at in accepted if at + WINDOW <= accepted[-1]]
    slowest = min((sum(at <= one < at + WINDOW for one in accepted) / WINDOW for at in starts), default=rate)
    return [
        Row(
            f"submit rate of a batch, {count} recordings at addresses, one key",
            "the service's limit: 25/s; requests_per_second: 20",
            f"{rate:.1f}/s, {refusals} refusals",
            f"≥ {TARGET:g}/s sustained, 0 refusals",
            rate >= TARGET and slowest >= TARGET and not refusals,
            [
                f"The slowest {WINDOW:g} s on end: {slowest:.1f}/s.",
                f"The worker's CPU time for each submit: {told['cpu'] / count * 1000:.1f} ms.",
            ],
        )
    ]


if __name__ == "__main__":
    if "--submit" in sys.argv:
        submit(sys.argv[2], int(sys.argv[3]))
    else:
        run(measure, __doc__)
