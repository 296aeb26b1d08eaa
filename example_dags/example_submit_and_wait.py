"""Submit in one place, wait in another.

The first DAG submits and passes the job on: submitting and waiting are two tasks, each with retries of its own. The
second waits for a job that was submitted outside of this DAG; start it with ``{"job": <the job as JSON>}`` as its
configuration. A sensor never submits, so it never pays.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor

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
    dag_id="example_wait_for_job",
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
