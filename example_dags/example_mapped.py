"""One task for each recording: worth it when each has retries, logs and successors of its own.

For many recordings a batch is cheaper: it waits in one trigger and writes all transcripts in one task. For
mapped tasks, a pool and ``max_active_tis_per_dag`` keep a long list from taking every slot while it submits.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeOperator

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")


@task
def recordings(folder: str) -> list[str]:
    """List the recordings, always in the same order: a retry finds its job by the place in the list."""
    return sorted(str(file) for file in Path(folder).iterdir() if file.suffix in (".wav", ".ogg"))


@task
def longest(results: list[dict[str, Any]]) -> str:
    """Return the text with the most words."""
    most = max(results, key=lambda result: result["words"])
    return ObjectStoragePath(most["files"]["txt"]).read_text()


with DAG(
    dag_id="example_mapped",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"output": OUTPUT},
):
    each = TranscribeOperator.partial(
        task_id="each",
        model="Elevenlabs-STT",
        output_path="{{ params.output }}/mapped",
        formats=("json", "txt"),
        deferrable=True,
        retries=2,
        max_active_tis_per_dag=8,
    ).expand(audio=recordings(str(AUDIO)))
    longest(each.output)
