"""TaskFlow: a function returns the recordings, the task transcribes them, and later tasks use the result.

A function that returns one recording is a single transcription, with its text in XCom; one that returns a list is a
batch, with its transcripts as files.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")


@task.transcribe(model="Elevenlabs-STT", language="en", deferrable=True, retries=2)
def newest_note(folder: str) -> str:
    """Return the newest note in a folder."""
    return str(max(Path(folder).glob("*note*.wav"), key=lambda file: file.stat().st_mtime))


@task.transcribe(
    model="Elevenlabs-STT",
    output_path="{{ params.output }}/taskflow",
    formats=("json", "txt"),
    deferrable=True,
    retries=2,
)
def announcements(folder: str) -> list[dict[str, Any]]:
    """List the announcements in a folder, each with a name for its files."""
    return [{"audio": str(file), "name": f"announcement-{file.stem}"} for file in sorted(Path(folder).glob("*.ogg"))]


@task
def first_sentence(note: dict[str, Any]) -> str:
    """Return how the note begins."""
    return str(note["transcription"]).partition(".")[0]


@task
def texts(batch: dict[str, Any]) -> dict[str, str]:
    """Return the texts of the announcements, from the files that the manifest names."""
    rows = [json.loads(line) for line in ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines()]
    return {row["name"]: ObjectStoragePath(row["files"]["txt"]).read_text() for row in rows}


with DAG(
    dag_id="example_taskflow",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"output": OUTPUT},
):
    first_sentence(newest_note(str(AUDIO)))
    texts(announcements(str(AUDIO)))
