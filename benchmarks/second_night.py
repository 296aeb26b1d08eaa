"""A second night over a folder in which everything has been transcribed: how long, how many bytes, how many requests?

Recordings of an hour at addresses, each with its four files (json, txt, srt, vtt; some 3 MB of JSON) and its record in
the folder, written by a first run with the same code. The second run, of another night, has ``skip_existing`` and a
limit on cost, in a fresh process. Measured from ``execute`` to its result, on the local disk and in a bucket of the
local S3 server (SeaweedFS, on this machine): wall and CPU time; bytes read (of files: what the process has read by
system calls; in the bucket: the bodies of answers); requests to the store, by kind, listings apart.

``--before CHECKOUT`` measures another checkout, too, by its own interpreter and with nights of its own, in turns with
this one. 2,000 recordings take 14 GB for both, and an hour or two, most of it for the first nights; with
``--recordings 200`` it shows the same for each.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from report import Row, in_development

HERE = Path(__file__).resolve().parent
KEY = "sk-nano-00000000-0000-4000-8000-000000000000"
MEGABYTES = 4.0  # of all files of a recording, generously
TARGETS = {"disk": 3.0, "S3": 18.0}  # seconds for 2,000 recordings
MOST_BYTES, MOST_REQUESTS, WHOLE = 50e6, 1.2, 2000


# In a process of the checkout that is measured


def operator(urls: list[str], folder: str, manifest: str):
    """Make the operator, whatever its arguments are called in this checkout."""
    from airflow_provider_nanostt.operators import TranscribeBatchOperator

    named = inspect.signature(TranscribeBatchOperator.__init__).parameters
    output = "output_path" if "output_path" in named else "output"
    limit = "max_cost_usd" if "max_cost_usd" in named else "max_cost"
    return TranscribeBatchOperator(
        task_id="night",
        audio=urls,
        manifest=manifest,
        model="Elevenlabs-STT",
        actual_duration=60.0,
        formats=("json", "txt", "srt", "vtt"),
        skip_existing=True,
        deferrable=False,
        **{output: folder, limit: 1e6},
    )


def count_requests() -> tuple[Counter[str], Counter[str]]:
    """Count what goes to S3 from now on, by kind, and the bytes of the answers."""
    from aiobotocore.httpsession import AIOHTTPSession

    requests: Counter[str] = Counter()
    read: Counter[str] = Counter()
    send = AIOHTTPSession.send

    async def counted(session, request):
        answer = await send(session, request)
        is_listing = request.method == "GET" and re.search(r"[?&]list-type=|[?&]prefix=|[?&]delimiter=", request.url)
        kind = "list" if is_listing else request.method.lower()
        requests[kind] += 1
        read[kind] += int(answer.headers.get("content-length") or 0) if request.method != "HEAD" else 0
        return answer

    AIOHTTPSession.send = counted
    return requests, read


def read_so_far() -> int:
    return int(re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())[1])


def night(name: str, folder: str, begin: int, end: int) -> None:
    """Run one night over the recordings from one number to another, and print what it took."""
    import logging

    import airflow.io  # noqa: F401  loaded by any task

    from airflow_provider_nanostt.operators import TranscribeBatchOperator  # noqa: F401

    logging.disable()
    requests, read = count_requests() if folder.startswith("s3:") else (Counter(), Counter())
    task = operator([f"https://192.0.2.7/{number:05d}.mp3" for number in range(begin, end)], folder, name)
    ti = SimpleNamespace(dag_id="bench", task_id="night", run_id=name, map_index=-1, max_tries=0, try_number=1)
    before, began, cpu = read_so_far(), time.monotonic(), time.process_time()
    result = task.execute({"ti": ti})
    told = {
        "wall": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "bytes": sum(read.values()) if requests else read_so_far() - before,
        "requests": dict(requests),
        "result": {name: result.get(name) for name in ("written", "landed", "skipped", "failed")},
    }
    print(json.dumps(told))


# In the process that measures


class Checkout:
    """One of those that are compared.

    :param path: its folder, with an environment in ``.venv``.
    """

    def __init__(self, name: str, path: Path, env: dict[str, str]) -> None:
        self.name = name
        self.python = path / ".venv" / "bin" / "python"
        self.home = tempfile.mkdtemp(prefix="second-night-")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "PYTHONPATH"))},
            **env,
            "AIRFLOW_HOME": self.home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": f"{path}{os.pathsep}{HERE}",
        }

    def night(self, name: str, folder: str, begin: int, end: int) -> dict:
        """Run a night by this checkout's code."""
        command = [str(self.python), __file__, "--night", name, folder, str(begin), str(end)]
        done = subprocess.run(command, env=self.env, cwd=self.home, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def first_night(self, folder: str, count: int) -> None:
        """Have everything transcribed, by a process for each half."""
        halves = ((0, count // 2), (count // 2, count))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda half: self.night(f"first-{half[0]}", folder, *half), halves))


def rows(options: argparse.Namespace) -> list[Row]:
    from batch_memory import spoken
    from flight import Emulator

    from airflow_provider_nanostt.emulator import EmulatorControl

    count, found = options.recordings, []
    with Emulator() as url:
        control = EmulatorControl(url, timeout=120.0)
        control.script("*.mp3", text="ok", words=spoken(), duration=3600.0, processing_seconds=0.0)
        control.add_key(KEY, balance=1e9, requests_per_second=0)
        connection = {"conn_type": "nanogpt", "password": KEY, "host": url, "extra": {"requests_per_second": 10_000}}
        env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": json.dumps(connection)}
        for where in options.where:
            found += measured(where, count, env, options)
    return found


def measured(where: str, count: int, env: dict[str, str], options: argparse.Namespace) -> list[Row]:
    """Measure the checkouts in turns on one kind of storage."""
    from local_store import LocalStore

    sides = 2 if options.before else 1
    top = Path(tempfile.mkdtemp(prefix="second-night-", dir=options.folder))
    try:
        if where == "disk":
            return compared(where, str(top), count, env, options)
        with LocalStore(gigabytes=2 + 2 * sides * count * MEGABYTES / 1024) as store:
            env = {**env, "AIRFLOW_CONN_STORE": store.connection()}
            return compared(where, f"s3://store@{store.bucket}", count, env, options)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def compared(where: str, top: str, count: int, env: dict[str, str], options: argparse.Namespace) -> list[Row]:
    checkouts = [Checkout("before", options.before, env)] if options.before else []
    checkouts.append(Checkout("this", HERE.parent, env))
    nights: dict[str, list[dict]] = {one.name: [] for one in checkouts}
    try:
        for one in checkouts:
            began = time.monotonic()
            one.first_night(f"{top}/{one.name}", count)
            print(f"{where}, {one.name}: the first night took {time.monotonic() - began:.0f} s", flush=True)
        for turn in range(options.rounds):
            for one in checkouts:
                second = one.night(f"night-{turn}", f"{top}/{one.name}", 0, count)
                print(f"{where}, {one.name}: {json.dumps(second)}", flush=True)
                if second["result"]["skipped"] != count:
                    raise RuntimeError(f"{where}, {one.name}: {second['result']}, of {count}")
                nights[one.name].append(second)
    finally:
        for one in checkouts:
            shutil.rmtree(one.home, ignore_errors=True)
    return [row(where, count, nights)]


def row(where: str, count: int, nights: dict[str, list[dict]]) -> Row:
    best = {name: min(found, key=lambda one: one["wall"]) for name, found in nights.items()}
    ours, target = best["this"], TARGETS[where] * count / WHOLE
    most = MOST_BYTES * count / WHOLE
    met = ours["wall"] <= target and ours["bytes"] <= most and beside_listings(ours) <= MOST_REQUESTS * count
    return Row(
        f"second night, {count} recordings of an hour in four formats, all there; {where}",
        f"before: {figures(best['before'], count)}" if "before" in best else "-",
        figures(ours, count),
        f"≤ {target:g} s, ≤ {most / 1e6:g} MB read" + (f", ≤ {MOST_REQUESTS:g} requests each" if where == "S3" else ""),
        met if count == WHOLE else None,
        [f"{name}, {where}, {turn}: {figures(one, count)}" for name in nights for turn, one in enumerate(nights[name])],
    )


def beside_listings(told: dict) -> int:
    return sum(number for kind, number in told["requests"].items() if kind != "list")


def figures(told: dict, count: int) -> str:
    text = f"{told['wall']:.1f} s ({told['cpu']:.1f} s CPU), {told['bytes'] / 1e6:,.1f} MB read"
    if not told["requests"]:
        return text
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(told["requests"].items()))
    return f"{text}, {beside_listings(told) / count:.2f} requests each beside the listings ({kinds})"


def main() -> None:
    in_development()
    sys.path.insert(0, str(HERE.parent / "scripts"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller form that shows it works; not a figure")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    parser.add_argument("--before", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--recordings", type=int, help=f"how many, instead of {WHOLE}")
    parser.add_argument("--rounds", type=int, default=2, help="second nights of each; the best counts")
    parser.add_argument("--where", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--folder", type=Path, help="for the nights on the disk")
    options = parser.parse_args()
    options.before = options.before and options.before.resolve()
    options.recordings = options.recordings or (10 if options.quick else WHOLE)
    options.rounds = 1 if options.quick else options.rounds
    found = rows(options)
    for one in found:
        verdict = {True: "met", False: "NOT MET", None: "-"}[one.met]
        print(f"{one.figure}\n  beside: {one.beside}\n  ours:   {one.ours}\n  target: {one.target}  -> {verdict}")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")


if __name__ == "__main__":
    if "--night" in sys.argv:
        night(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
