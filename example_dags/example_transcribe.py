"""Transcribe recordings while no worker slot is held.

Three tasks: a file of plain speech, a stereo call with two speakers, and one mapped task for each file of a list.
The connection ``nanogpt_default`` holds the API key as its password.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeOperator

AUDIO = Path(__file__).parent / "audio"

with DAG(
    dag_id="example_transcribe",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
):
    TranscribeOperator(
        task_id="note",
        audio_path=str(AUDIO / "weekly-note.wav"),
        model="Whisper-Large-V3",
        language="en",
    )
    TranscribeOperator(
        task_id="call",
        audio_path=str(AUDIO / "delivery-call.wav"),
        model="Elevenlabs-STT",
        language="en",
        diarize=True,
        deferrable=True,
        max_worker_wait=0,  # else a job this short is waited for in the worker
    )
    TranscribeOperator.partial(
        task_id="each",
        model="Elevenlabs-STT",
        deferrable=True,
    ).expand(audio_path=[str(AUDIO / "weekly-note.wav"), str(AUDIO / "closed-office.ogg")])
