"""What it costs a triggerer to watch 100,000 recordings: memory, the event loop, requests.

A folder on the disk with so many files, and an S3 whose listings are made up by a process of its own, 1,000 keys a
page. A watcher runs five scans in a fresh process, which has Airflow and the trigger imported. Memory is what is
resident above that and the store's library, at its highest. The event loop's lag is that of a ticker of 5 ms during all
scans but the first; the same ticker without a watcher, and fsspec's own ``glob`` of the same keys in
a fresh process, stand beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from report import Row, fresh, in_development, lateness, run

SCANS = 5
LAG, MEMORY = 50.0, 64.0  # milliseconds, MB
PAGE = 1000
LINE = (
    "<Contents><Key>inbox/{0:06d}.mp3</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{0:032x}&quot;</ETag><Size>{0}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


class Listings(BaseHTTPRequestHandler):
    """S3, as far as a listing needs it."""

    protocol_version = "HTTP/1.1"
    keys = 0
    asked = 0

    def do_HEAD(self) -> None:
        self.answer(404, b"")

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/asked":
            self.answer(200, str(Listings.asked).encode())
            return
        most = min(PAGE, int(given.get("max-keys", PAGE)))
        first = int(given.get("continuation-token", 0))
        last = min(self.keys, first + most) if "*" not in given.get("prefix", "") else 0
        lines = "".join(LINE.format(number) for number in range(first, last))
        more = f"<NextContinuationToken>{last}</NextContinuationToken>" if 0 < last < self.keys else ""
        head = f"<Name>calls</Name><KeyCount>{max(0, last - first)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        truncated = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        self.answer(200, f"<ListBucketResult>{head}{truncated}{more}{lines}</ListBucketResult>".encode())

    def answer(self, status: int, body: bytes) -> None:
        Listings.asked += self.path != "/asked"
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(keys: int) -> None:
    Listings.keys = keys
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listings)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def store(keys: int):
    """The server, whose address is in the connection ``store``."""
    command = [sys.executable, __file__, "--serve", str(keys)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        extra = {"endpoint_url": url, "region_name": "us-east-1"}
        given = {"conn_type": "aws", "login": "AKNOBODY", "password": "secret", "extra": extra}
        os.environ["AIRFLOW_CONN_STORE"] = json.dumps(given)
        try:
            yield url
        finally:
            process.terminate()


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


async def watch(pattern: str) -> dict[str, float]:
    from airflow_provider_nanostt.assets import arrivals, watcher

    seconds: list[float] = []
    take, first, done = arrivals.Arrivals.take, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def timed(self, found):
        began = time.monotonic()
        look = take(self, found)
        seconds.append(time.monotonic() - began)
        if len(seconds) in (1, SCANS):
            loop.call_soon_threadsafe((first if len(seconds) == 1 else done).set)
        return look

    arrivals.Arrivals.take = timed
    trigger = watcher.RecordingsTrigger(pattern=pattern, every=0.5, settle=0.5, name="inbox")
    events = []

    async def drain() -> None:
        events.extend([event.payload async for event in trigger.run()])

    if "://" in pattern:
        await asyncio.to_thread(watcher._open, pattern, anew=False)
    before = resident()
    highest = before
    async with lateness() as idle:
        await asyncio.sleep(3.0)
    task = asyncio.create_task(drain())
    await first.wait()
    async with lateness() as late:
        while not done.is_set():
            await asyncio.sleep(0.05)
            highest = max(highest, resident())
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return {
        "p99": late[int(0.99 * len(late))],
        "longest": late[-1],
        "idle_p99": idle[int(0.99 * len(idle))],
        "idle_longest": idle[-1],
        "memory": highest - before,
        "seconds": sorted(seconds)[len(seconds) // 2],
    }


def glob(pattern: str) -> dict[str, float]:
    from airflow_provider_nanostt.common import object_storage

    path = object_storage.resolve(pattern)
    fs, before, began = path.fs, resident(), time.monotonic()
    found = fs.glob(path.path, detail=True)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"memory": max(highest, resident()) - before, "seconds": time.monotonic() - began, "found": len(found)}


def measure(options: argparse.Namespace) -> list[Row]:
    from urllib.request import urlopen

    keys = 5_000 if options.quick else 100_000
    with tempfile.TemporaryDirectory() as folder, store(keys) as url:
        for number in range(keys):
            Path(folder, f"{number:06d}.mp3").touch()
        on_disk = fresh(__file__, "--watch", f"{folder}/*.mp3")
        before = int(urlopen(f"{url}/asked").read())
        in_bucket = fresh(__file__, "--watch", "s3://store@calls/inbox/**/*.mp3")
        requests = (int(urlopen(f"{url}/asked").read()) - before) / SCANS
        beside = fresh(__file__, "--glob", "s3://store@calls/inbox/**/*.mp3")
    rows = []
    for name, ours, peer in (
        ("folder", on_disk, ""),
        ("bucket", in_bucket, f"fsspec's glob: {beside['memory']:.0f} MB, {beside['seconds']:.1f} s;<br>"),
    ):
        others = f"{peer}an idle loop: p99 {ours['idle_p99']:.0f} ms (longest {ours['idle_longest']:.0f} ms)"
        asked = f", {requests:.0f} requests" if name == "bucket" else ""
        rows.append(
            Row(
                f"watching a {name} with {keys:,} recordings",
                others,
                f"{ours['memory']:.0f} MB, {ours['seconds']:.1f} s a scan{asked};<br>"
                f"event-loop lag p99 {ours['p99']:.0f} ms (longest {ours['longest']:.0f} ms)",
                f"≤ {MEMORY:g} MB, p99 ≤ {LAG:g} ms, no stall of 200 ms",
                ours["memory"] <= MEMORY and ours["p99"] <= LAG and ours["longest"] < 200,
                [f"{SCANS} scans; the scan's time includes what the other thread, the event loop's, takes"],
            )
        )
    return rows


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(int(sys.argv[2]))
    elif "--watch" in sys.argv:
        print(json.dumps(asyncio.run(watch(sys.argv[2]))))
    elif "--glob" in sys.argv:
        print(json.dumps(glob(sys.argv[2])))
    else:
        in_development()
        run(measure, __doc__)
