"""Transcripts as files, with the ledger of what was paid for beside them.

Each recording becomes a JSON file in the folder ``output``, and XCom holds only its URI and a few figures. The folder
is a parameter of the run; the default is the environment variable ``NANOSTT_OUTPUT``, such as
``s3://my_aws_connection@my-bucket/transcripts``, else a folder for temporary files on this machine.
"""

from __future__ import annotations

import json
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
def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Read the files, and return the first words of each text and what all of it has cost."""
    beginnings = {}
    for result in results:
        transcript = json.loads(ObjectStoragePath(result["files"]["json"]).read_text())
        beginnings[transcript["source"]] = transcript["text"][:40]
    return {"beginnings": beginnings, "cost_usd": sum(result["cost_usd"] or 0.0 for result in results)}


with DAG(
    dag_id="example_output",
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
        output_path="{{ params.output }}",
        deferrable=True,
        retries=2,
    ).expand(audio_path=[str(AUDIO / "weekly-note.wav"), str(AUDIO / "closed-office.ogg")])
    summary(each.output)
