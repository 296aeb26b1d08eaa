"""Submit in one place, wait in another.

The first DAG submits and hands the ticket on: submitting and waiting are two tasks, each with retries of its own. The
second waits for a job that something outside of this DAG has submitted; start it with ``{"job": <the ticket>}`` as its
configuration. A sensor never submits, so it never pays.
"""

from __future__ import annotations

from pathlib import Path

import pendulum

from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

AUDIO = Path(__file__).parent / "audio"
START = pendulum.datetime(2026, 1, 1, tz="UTC")
TAGS = ["example", "nanogpt", "speech-to-text"]

with DAG(dag_id="example_submit_and_wait", schedule=None, start_date=START, catchup=False, doc_md=__doc__, tags=TAGS):
    submit = TranscribeOperator(
        task_id="submit",
        audio_path=str(AUDIO / "weekly-note.wav"),
        model="Elevenlabs-STT",
        wait_for_completion=False,
    )
    TranscriptionSensor(
        task_id="transcript",
        job=submit.output,
        deferrable=True,
        timeout=6 * 60 * 60,
    )

with DAG(
    dag_id="example_wait_for_a_ticket",
    schedule=None,
    start_date=START,
    catchup=False,
    doc_md=__doc__,
    tags=TAGS,
    params={"job": {}},
):
    TranscriptionSensor(
        task_id="transcript",
        job="{{ params.job | tojson }}",
        deferrable=True,
        poke_interval=30,
    )

# mypy: disable-error-code="arg-type"
