"""How long the API server works on what the tab shows: a page of 9,000 words, a table of 10,000 recordings.

Each is made from a file on disk to the HTML that is sent: reading, parsing, checking whose it is, rendering. The median
of seven, as time of the process; the table once as it opens, once searched for a name, and once as the frame of one of
its recordings, for which the manifest is read anew. What Airflow's own login and database take is not in it. Loading
the plugin, which every component of Airflow does, is measured in fresh interpreters that have Airflow loaded already.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from report import Row, fresh, in_development, run

if __name__ == "__main__":
    in_development()  # where a new Airflow is

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

TIMES = 7


def median(work: Callable[[], object]) -> tuple[float, object]:
    taken, made = [], None
    for _ in range(TIMES):
        began = time.process_time()
        made = work()
        taken.append(time.process_time() - began)
    return statistics.median(taken), made


def plugin() -> float:
    """Return the seconds that loading the plugin takes where Airflow's plugins manager is there."""
    import airflow.plugins_manager  # noqa: F401

    began = time.perf_counter()
    from airflow_provider_nanostt.web.plugin import NanoSTTPlugin

    NanoSTTPlugin()
    return time.perf_counter() - began


def write(folder: Path, words: int, count: int) -> tuple[object, object]:
    """Write a transcript and a manifest as their tasks would; return the tasks."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.ledger import TaskIdentity
    from airflow_provider_nanostt.outputs import OutputSettings, write_outputs
    from airflow_provider_nanostt.web.tasks import Task
    from airflow_provider_nanostt.workflow.batch.manifest import write as write_manifest
    from airflow_provider_nanostt.workflow.batch.manifest_row import FAILED, WRITTEN, ManifestRow
    from tests.outputs.talk import talk

    identity, path = TaskIdentity("calls", "transcribe", "manual__1"), object_storage.resolve(str(folder))
    settings = OutputSettings(formats=("json", "txt", "srt", "vtt"))
    result = write_outputs(talk(words), folder=path, source="talk.mp3", identity=identity, settings=settings).result
    rows = []
    for number in range(count):
        name = f"call-{number:05}.mp3"
        row = ManifestRow(
            number, f"s3://recordings@calls/2026/11/26/{name}", name=name, key=f"{number:032x}", status=WRITTEN
        )
        row = replace(row, files={fmt: f"{folder}/call-{number:05}.{fmt}" for fmt in ("json", "srt")}, model="Wizper")
        row = replace(row, run_id=f"run-{number}", language="en", charged_minutes=2.5, cost_usd=0.0125, words=400)
        row = replace(row, speakers=("Speaker 1", "Speaker 2"))
        rows.append(row if number % 50 else replace(row, status=FAILED, files={}, error="The service gave up"))
    manifest = write_manifest(path, "manifest", rows, ["jsonl"])
    rendered = {"output_path": str(folder), "manifest": "manifest"}
    one = Task(identity, identity, "success", is_ours=True, rendered=rendered, xcom={"return_value": result})
    return one, replace(one, xcom={"return_value": {"manifest": manifest}})


def measure(options: argparse.Namespace) -> list[Row]:
    words, count = (900, 1_000) if options.quick else (9_000, 10_000)
    from airflow_provider_nanostt.web import files, pages
    from airflow_provider_nanostt.web.views import BatchQuery

    def table(query: BatchQuery) -> str:
        found = pages.select(files.manifest_of(batch), query)
        return pages.batch_page(found, "nonce", lambda wanted: f"?page={wanted.page}", lambda number: f"row/{number}")

    with tempfile.TemporaryDirectory() as name:
        one, batch = write(Path(name), words, count)
        page_time, page = median(lambda: files.transcript_page(one))
        table_time, first = median(lambda: table(BatchQuery()))
        search_time, _ = median(lambda: table(BatchQuery(text="call-0777", sort="cost_usd", descending=True)))
        row_time, _ = median(lambda: files.manifest_of(batch)[count // 2])
        size = (Path(name) / "manifest.jsonl").stat().st_size
    loads = [fresh(Path(__file__).name, "plugin") for _ in range(3 if options.quick else TIMES)]
    loaded = statistics.median(loads)
    return [
        Row(
            f"the tab: the page of {words:,} words",
            "-",
            f"{page_time * 1000:.0f} ms of the API server's CPU, {len(page) / 1e6:.2f} MB",
            "-",
            None,
        ),
        Row(
            f"the tab: the table of {count:,} recordings",
            "-",
            f"{table_time * 1000:.0f} ms of the API server's CPU, {len(first) / 1e3:.0f} kB",
            "-",
            None,
            [
                f"searched and sorted: {search_time * 1000:.0f} ms; one row: {row_time * 1000:.0f} ms",
                f"the manifest: {size / 1e6:.1f} MB",
            ],
        ),
        Row(
            "the tab: loading the plugin, in every component of Airflow",
            "-",
            f"{loaded * 1000:.1f} ms",
            "-",
            None,
            [f"single values: {', '.join(f'{one * 1000:.1f}' for one in sorted(loads))} ms"],
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["plugin"]:
        print(json.dumps(plugin()))
    else:
        run(measure, __doc__)
