"""A meeting with named speakers: a page to read, captions, and plain text.

Speakers are told apart and given their names; the result is a self-contained HTML page, captions for the recording, and
the text in paragraphs. The task's page in Airflow links to the HTML page. Whatever listens for the asset alias
``meeting-transcripts`` hears of each file, with its cost.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pendulum

from airflow_provider_nanostt.operators import TranscribeOperator

try:
    from airflow.sdk import DAG, AssetAlias
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import DatasetAlias as AssetAlias

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")

with DAG(
    dag_id="example_meeting",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"output": OUTPUT},
):
    TranscribeOperator(
        task_id="meeting",
        audio=str(AUDIO / "delivery-call.wav"),
        model="Elevenlabs-STT",
        diarize=True,
        speaker_names={"Speaker 1": "Service", "Speaker 2": "Customer"},
        output="{{ params.output }}/meetings",
        formats=("json", "txt", "srt", "vtt", "html"),
        captions={"line_width": 37},
        max_cost=0.50,
        outlets=[AssetAlias("meeting-transcripts")],
        deferrable=True,
        retries=2,
    )

# mypy: disable-error-code="attr-defined, import-not-found, no-redef"
