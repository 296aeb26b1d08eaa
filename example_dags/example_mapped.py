"""One task for each recording: worth it when each has retries, logs and successors of its own.

For many recordings a batch is cheaper: it waits in one trigger and lands all of them in one task. Where tasks are
mapped, a pool and ``max_active_tis_per_dag`` keep a long list from taking every slot while it submits.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum

from airflow_provider_nanostt.operators import TranscribeOperator

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")


@task
def recordings(folder: str) -> list[str]:
    """List what is to be transcribed, in a steady order: a retry finds what was paid for by its place in the list."""
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

# mypy: disable-error-code="arg-type, attr-defined, import-not-found, no-redef"
