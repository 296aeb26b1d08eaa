"""How fast a batch submits: recordings at addresses, an asynchronous model, one key, an emulator that takes 25/s.

The operator runs in a fresh process until it defers, with its default settings (20 requests a second, as many at once
as that takes); the emulator in another. The rate is that of the accepted submits between the first and the last; beside
it the slowest ten seconds on end. Refusals are counted over all requests of the run. The addresses are figures that are
not public, so nothing is looked up or looked at; how long that takes is shown by remote_duration.py.

Once with results on the local disk, and once in a bucket (SeaweedFS on this machine) behind a relay that holds each
answer back for 200 ms, as a store on another continent would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

from contestants import KEY, connect, silence
from flight import RICH, Emulator
from report import HERE, Row, fresh, run

TARGET = 19.0  # submits per second
WINDOW = 10.0  # seconds
LATENCY = 0.2  # seconds of a slow store, for each request


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


def submit(url: str, count: int, name: str = "batch", folder: str = "") -> None:
    """Be the worker: submit until there is nothing left but to wait."""
    silence()
    connect(url.removesuffix("/api"))
    urls = [f"https://192.0.2.7/{name}/{number:05d}.mp3" for number in range(count)]
    began, wall = time.process_time(), time.monotonic()
    with tempfile.TemporaryDirectory() as here:
        try:
            operator(urls, folder or here).execute(context())
        except BaseException as deferred:
            if type(deferred).__name__ != "TaskDeferred":
                raise
            told = {"cpu": time.process_time() - began, "wall": time.monotonic() - wall}
            jobs = deferred.trigger.jobs
            print(json.dumps({"jobs": jobs["count"] if isinstance(jobs, dict) else len(jobs), **told}))


class SlowRelay:
    """Passes TCP on to a port, and holds what comes back after each request for a while."""

    def __init__(self, port: int, latency: float) -> None:
        self.target, self.latency = port, latency
        self.port, self.requests = 0, 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        loop, ready = asyncio.new_event_loop(), threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        loop.create_task(serve())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        ready.wait()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        asked = False

        async def forward() -> None:
            nonlocal asked
            while data := await reader.read(65_536):
                self.requests += not asked
                asked = True
                back.write(data)
            back.write_eof()

        sending = asyncio.ensure_future(forward())
        with contextlib.suppress(ConnectionError):
            while data := await there.read(65_536):
                if asked:
                    await asyncio.sleep(self.latency)
                    asked = False
                writer.write(data)
        sending.cancel()
        writer.close()
        back.close()


@contextlib.contextmanager
def slow_store() -> Iterator[tuple[str, SlowRelay]]:
    """Open a block with a bucket behind the relay, and its connection in the environment."""
    sys.path.insert(0, str(HERE.parent / "scripts"))
    from local_store import LocalStore

    with LocalStore(gigabytes=1.0) as store, (relay := SlowRelay(store.port, LATENCY)).running():
        connection = json.loads(store.connection())
        connection["extra"]["endpoint_url"] = f"http://127.0.0.1:{relay.port}"
        os.environ["AIRFLOW_CONN_STORE"] = json.dumps(connection)
        yield f"s3://store@{store.bucket}/night", relay


def measure(options: argparse.Namespace) -> list[Row]:
    count = 60 if options.quick else 1000
    rows = [row("on the disk", count, [])]
    count = 60 if options.quick else 500
    with slow_store() as (folder, relay):
        rows.append(row(f"a store with {LATENCY * 1000:.0f} ms latency", count, ["batch", folder], relay))
    return rows


def row(where: str, count: int, more: list[str], relay: SlowRelay | None = None) -> Row:
    from airflow_provider_nanostt.emulator import EmulatorControl

    with Emulator() as url:
        control = EmulatorControl(url, timeout=60.0)
        control.script("*.mp3", text="ok", duration=180.0, processing_seconds=86_400)
        control.add_key(KEY, balance=RICH, requests_per_second=25)
        told = fresh(__file__, "--submit", url, count, *more)
        requests = control.requests
    accepted = sorted(one.time for one in requests if one.endpoint == "/transcribe" and one.status == 202)
    refusals = sum(one.status == 429 for one in requests)
    if not len(accepted) == told["jobs"] == count:
        raise RuntimeError(f"{len(accepted)} submits were accepted, {told['jobs']} jobs waited for, of {count}")
    rate = (count - 1) / (accepted[-1] - accepted[0])
    starts = [at for at in accepted if at + WINDOW <= accepted[-1]]
    slowest = min((sum(at <= one < at + WINDOW for one in accepted) / WINDOW for at in starts), default=rate)
    notes = [
        f"The slowest {WINDOW:g} s on end: {slowest:.1f}/s; {told['wall']:.1f} s from execute to the deferral.",
        f"The worker's CPU time for each submit: {told['cpu'] / count * 1000:.1f} ms.",
    ]
    if relay is not None:
        notes.append(f"Requests to the store for each recording, with the checkpoint: {relay.requests / count:.2f}.")
    return Row(
        f"submit rate of a batch, {count} recordings at addresses, one key; results {where}",
        "the service's limit: 25/s; requests_per_second: 20",
        f"{rate:.1f}/s, {refusals} refusals",
        f"≥ {TARGET:g}/s" + ("" if relay else " sustained, 0 refusals"),
        rate >= TARGET and (relay is not None or (slowest >= TARGET and not refusals)),
        notes,
    )


if __name__ == "__main__":
    if "--submit" in sys.argv:
        submit(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        run(measure, __doc__)
