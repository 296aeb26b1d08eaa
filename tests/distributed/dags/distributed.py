"""Recordings as one mapped task each, and as one batch; which they are, and where they go, is in the run's conf."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

USUAL = {
    "task_id": "transcribe",
    "model": "Elevenlabs-STT",
    "output_path": "{{ dag_run.conf['output'] }}",
    "actual_duration": 60.0,
    "deferrable": True,
    "max_worker_wait": 0,
    "poll_interval": 5,
    "retries": 50,
    "retry_delay": timedelta(seconds=2),
}


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), max_active_runs=100)


@task
def recordings(**context) -> list[str]:
    return context["dag_run"].conf["urls"]


with dag("each"):
    TranscribeOperator.partial(**USUAL).expand(audio_url=recordings())

with dag("each_in_a_queue"):
    TranscribeOperator.partial(**USUAL, queue="nanostt").expand(audio_url=recordings())

with dag("batch"):
    TranscribeBatchOperator(**USUAL, audio="{{ dag_run.conf['urls'] | tojson }}")
