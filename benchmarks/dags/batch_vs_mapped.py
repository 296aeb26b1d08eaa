"""The same recordings as one batch, and as one mapped task each; how many there are is in the environment."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

COUNT = int(os.environ.get("BENCH_COUNT", "10"))
OUTPUT = os.environ.get("BENCH_OUTPUT", "")
USUAL = {"task_id": "transcribe", "model": "Elevenlabs-STT", "deferrable": True, "actual_duration": 1.0}


def urls(kind: str) -> list[str]:
    # An address that is not public: no name is looked up, and it is not looked at.
    return [f"https://192.0.2.7/{kind}-{number:04d}.mp3" for number in range(COUNT)]


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))


with dag("batch"):
    TranscribeBatchOperator(**USUAL, audio=urls("batch"), output_path=f"{OUTPUT}/batch")

with dag("mapped"):
    TranscribeOperator.partial(**USUAL, output_path=f"{OUTPUT}/mapped").expand(audio_url=urls("mapped"))
