"""A night's recordings: whatever a bucket has that no earlier night has transcribed, in one task.

The parameter ``recordings`` is a pattern in a folder or a bucket, such as ``s3://my_aws_connection@calls/**/*.mp3``;
``output`` takes transcripts, ledger and manifest, and is the same for every run: what lies there already is left alone
and not paid for again. The task after it goes by the manifest, and sees only what this night has brought.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum

from airflow_provider_nanostt.operators import TranscribeBatchOperator

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")


@task(multiple_outputs=False)  # one XCom: its keys are paths
def new_texts(batch: dict[str, Any]) -> dict[str, str]:
    """Return what this run has landed, by recording."""
    lines = ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines()
    landed = [row for row in map(json.loads, lines) if row["status"] == "written"]
    return {row["audio"]: ObjectStoragePath(row["files"]["txt"]).read_text() for row in landed}


with DAG(
    dag_id="example_nightly_bucket",
    schedule=None,  # "0 3 * * *" for every night
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two runs at once would both pay for what neither has begun
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"recordings": f"{AUDIO}/*.wav", "output": OUTPUT},
):
    night = TranscribeBatchOperator(
        task_id="night",
        audio="{{ params.recordings }}",
        model="Elevenlabs-STT",
        output_path="{{ params.output }}/calls",
        manifest="manifest-{{ run_id | replace(':', '_') }}",
        formats=("json", "txt", "srt", "html"),
        skip_existing=True,
        max_cost_usd=20.00,
        deferrable=True,
        retries=2,
    )
    new_texts(night.output)

# mypy: disable-error-code="arg-type, attr-defined, import-not-found, no-redef"
