"""How much memory a worker needs to land a batch of 1000 hour-long transcripts, 1.7 MB of JSON each.

One process submits them and defers. Another, as Airflow starts it for the resume, has everything imported and its
operator made (an idle task), and then fetches and lands them all; the figure is the most that it ever held (VmHWM)
above the idle size. So that the disk is not filled, each file is emptied once it has landed. In the default format,
and a hundred of them in all five.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from batch_submit_rate import context, operator
from contestants import KEY, connect, silence
from flight import RICH, Emulator
from report import Row, fresh, run

TARGET = 250.0  # MB
WORDS = 9_000
FORMATS = ("json", "txt", "srt", "vtt", "html")


def spoken() -> list[dict[str, object]]:
    """An hour of words as the service gives them: about 1.7 MB of JSON with what is around them."""
    words = []
    for number in range(WORDS):
        start, speaker = number * 0.4, f"speaker_{number // 40 % 3}"
        text = f"word{number}" + ("." if number % 12 == 11 else "")
        words.append({"text": text, "start": start, "end": start + 0.35, "type": "word", "speaker_id": speaker})
        words.append({"text": " ", "start": start + 0.35, "end": start + 0.4, "type": "spacing", "speaker_id": speaker})
    return words


def held(what: str) -> float:
    """MB."""
    return int(re.search(rf"{what}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6


def made(url: str, count: int, folder: str, formats: str, tables: str):
    silence()
    connect(url.removesuffix("/api"), 25.0)
    urls = [f"https://192.0.2.7/{number:05d}.mp3" for number in range(count)]
    return operator(urls, folder, formats=formats.split(","), tables=tables)


def submit(url: str, count: int, folder: str, formats: str, tables: str) -> None:
    try:
        made(url, count, folder, formats, tables).execute(context())
    except BaseException as deferred:
        if type(deferred).__name__ != "TaskDeferred":
            raise
    print("{}")


def empty(folder: str, done: threading.Event) -> None:
    """Take the words out of what has landed; only the name is still needed."""
    seen: set[str] = set()
    while not done.wait(1.0):
        for file in Path(folder).iterdir():
            if file.suffix != ".part" and file.is_file() and file.name not in seen:
                seen.add(file.name)
                file.write_bytes(b"")


def land(url: str, count: int, folder: str, formats: str, tables: str) -> None:
    """Be the worker that is started for the resume."""
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.outputs import write  # noqa: F401
    from airflow_provider_nanostt.workflow.batch import manifest, run  # noqa: F401  as the idle task has them

    task = made(url, count, folder, formats, tables)
    NanoGPTHook().try_balance()
    idle, done = held("VmRSS"), threading.Event()
    threading.Thread(target=empty, args=(folder, done), daemon=True).start()
    began = time.monotonic()
    result = task.execute_complete(context(), event={"batch": {"jobs": count, "not_completed": {}}})
    done.set()
    told = {"written": result["written"], "idle": idle, "most": held("VmHWM"), "seconds": time.monotonic() - began}
    print(json.dumps(told))


def batch(count: int, formats: str, tables: str = "") -> dict[str, float]:
    from airflow_provider_nanostt.emulator import EmulatorControl

    with Emulator() as url, tempfile.TemporaryDirectory() as folder:
        control = EmulatorControl(url, timeout=60.0)
        control.script("*.mp3", text="ok", words=spoken(), duration=3600.0, processing_seconds=0.1)
        control.add_key(KEY, balance=RICH, requests_per_second=0)
        fresh(__file__, "--submit", url, count, folder, formats, tables)
        told = fresh(__file__, "--land", url, count, folder, formats, tables, timeout=3600)
        told["bytes"] = {one.parts[-3]: one.stat().st_size for one in Path(folder).glob("*/day=*/*")}
    if told["written"] != count:
        raise RuntimeError(f"{told['written']} of {count} are written")
    return {**told, "above": told["most"] - told["idle"]}


def measure(options: argparse.Namespace) -> list[Row]:
    many, few = (10, 3) if options.quick else (1000, 100)
    rows = []
    for count, formats in ((many, "json"), (few, ",".join(FORMATS))):
        told = batch(count, formats)
        rows.append(
            Row(
                f"worker memory for a batch of {count} results of 1.7 MB each, as {formats.replace(',', ', ')}",
                f"an idle task: {told['idle']:.0f} MB",
                f"{told['above']:.0f} MB above it",
                f"≤ {TARGET:g} MB",
                told["above"] <= TARGET,
                [f"Landing all of them took {told['seconds']:.0f} s."],
            )
        )
    return rows


if __name__ == "__main__":
    steps = {"--submit": submit, "--land": land}
    if step := steps.get(sys.argv[1] if len(sys.argv) > 1 else ""):
        step(sys.argv[2], int(sys.argv[3]), *sys.argv[4:7])
    else:
        run(measure, __doc__)
