"""A meeting with named speakers: a page to read, captions, and plain text.

Speakers are told apart and given their names; the result is a self-contained HTML page, captions for the recording, and
the text in paragraphs. The task's page in Airflow links to the HTML page.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.operators.options import OutputOptions

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
        output_path="{{ params.output }}/meetings",
        formats=("json", "txt", "srt", "vtt", "html"),
        output_options=OutputOptions(
            speaker_names={"Speaker 1": "Service", "Speaker 2": "Customer"},
            captions={"line_width": 37},
        ),
        max_cost_usd=0.50,
        deferrable=True,
        retries=2,
    )
