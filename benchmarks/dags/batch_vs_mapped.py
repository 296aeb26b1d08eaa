"""The same recordings as one batch, and as one mapped task each; how many there are is in the run's conf."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

USUAL = {"task_id": "transcribe", "model": "Elevenlabs-STT", "deferrable": True, "actual_duration": 4.0}
OUTPUT = os.environ.get("BENCH_OUTPUT", "")


def urls(kind: str, count: int) -> list[str]:
    # An address that is not public: no name is looked up, and it is not looked at.
    return [f"https://192.0.2.7/{kind}-{number:04d}.mp3" for number in range(count)]


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))


@task
def recordings(kind: str, **context) -> list[str]:
    return urls(kind, context["dag_run"].conf["count"])


with dag("batch"):
    TranscribeBatchOperator(**USUAL, audio=recordings("batch"), output=f"{OUTPUT}/batch")

with dag("mapped"):
    TranscribeOperator.partial(**USUAL, output=f"{OUTPUT}/mapped").expand(audio_url=recordings("mapped"))
