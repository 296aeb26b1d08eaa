"""How long the manifest of 10,000 recordings takes to be written, and what that adds to memory.

Rows as a batch has them in the end, five files each, written to the disk in each form; the figure is all three
together, the slowest of five. What writing adds is what tracemalloc sees at the most, in a run of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from report import Row, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.workflow.batch import Row as ManifestRow
from airflow_provider_nanostt.workflow.batch import manifest

TARGET = 5.0  # seconds
FORMS = ("jsonl", "csv", "parquet")


def rows(count: int) -> list[ManifestRow]:
    base = "s3://my_aws_connection@my-bucket/transcripts/2026-11-25"
    return [
        ManifestRow(
            number,
            f"s3://my_aws_connection@my-bucket/calls/2026-11-25/call-{number:06d}.mp3",
            key=f"{number:024x}",
            status="written",
            files={form: f"{base}/call-{number:06d}.{form}" for form in ("json", "txt", "srt", "vtt", "html")},
            run_id=f"{number:032x}",
            model="Elevenlabs-STT",
            language="en",
            charged_minutes=3.0,
            cost_usd=0.09,
            speakers=("Agent", "Caller"),
            words=450,
        )
        for number in range(count)
    ]


def write(given: list[ManifestRow]) -> dict[str, float]:
    """Seconds by form."""
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            began = time.perf_counter()
            manifest.write(object_storage.resolve(folder), "manifest", given, [form])
            took[form] = time.perf_counter() - began
    return took


def measure(options: argparse.Namespace) -> list[Row]:
    given = rows(500 if options.quick else 10_000)
    write(given[:10])  # what is imported once
    slowest = max((write(given) for _ in range(5)), key=lambda took: sum(took.values()))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    write(given)
    added = (tracemalloc.get_traced_memory()[1] - before) / 1e6
    tracemalloc.stop()
    total = sum(slowest.values())
    return [
        Row(
            f"manifest for {len(given)} files, as JSON lines, CSV and Parquet",
            "-",
            f"{total:.2f} s",
            f"≤ {TARGET:g} s",
            total <= TARGET,
            [f"{form}: {seconds:.2f} s" for form, seconds in slowest.items()]
            + [f"Writing adds {added:.1f} MB at the most: Parquet goes in groups of rows, the others row by row."],
        )
    ]


if __name__ == "__main__":
    run(measure, __doc__)
