"""A list of recordings in several languages: each item has options of its own, the rest is the same for all.

The list is a parameter of the run, as a query or an API might give it. An item may set its language, model, speakers
and file name; one bad item does not stop the others, and the manifest has a row for each.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")
RECORDINGS = [
    {"audio": f"{AUDIO}/weekly-note.wav", "language": "en", "name": "note"},
    {
        "audio": f"{AUDIO}/delivery-call.wav",
        "language": "en",
        "name": "call",
        "model": "Elevenlabs-STT",
        "diarize": True,
    },
    {"audio": f"{AUDIO}/closed-office.ogg", "name": "announcement"},
    {"audio": f"{AUDIO}/missing.wav", "language": "es"},
]


@task
def words_by_language(batch: dict[str, Any]) -> dict[str, int]:
    """Return how many words there are in each language."""
    words: Counter[str] = Counter()
    for line in ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines():
        row = json.loads(line)
        if row["status"] == "written":
            words[row["language"] or "unknown"] += row["words"]
    return dict(words)


with DAG(
    dag_id="example_multilingual",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"recordings": RECORDINGS, "output": OUTPUT},
):
    batch = TranscribeBatchOperator(
        task_id="batch",
        audio="{{ params.recordings | tojson }}",
        model="Whisper-Large-V3",
        output_path="{{ params.output }}/languages",
        manifest_formats=("jsonl", "csv"),
        on_item_error="continue",
        deferrable=True,
        retries=2,
    )
    words_by_language(batch.output)
