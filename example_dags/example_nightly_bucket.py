"""A night's recordings: all in a bucket that no night before has transcribed, in one task.

The parameter ``recordings`` is a pattern in a folder or a bucket, such as ``s3://my_aws_connection@calls/**/*.mp3``;
``output`` takes transcripts, ledger and manifest, and is the same for every run: what is there already is skipped
and not paid for again. The next task reads the manifest, and uses only the transcripts of this night.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")


@task(multiple_outputs=False)  # one XCom: its keys are paths
def new_texts(batch: dict[str, Any]) -> dict[str, str]:
    """Return the texts that this run has written, by recording."""
    lines = ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines()
    written = [row for row in map(json.loads, lines) if row["status"] == "written"]
    return {row["audio"]: ObjectStoragePath(row["files"]["txt"]).read_text() for row in written}


with DAG(
    dag_id="example_nightly_bucket",
    schedule=None,  # "0 3 * * *" for every night
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two runs at once would both pay for the same recording
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
