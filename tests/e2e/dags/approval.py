"""A batch that asks a person before it spends anything."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeBatchOperator

AUDIO = Path(__file__).resolve().parents[3] / "example_dags" / "audio"

with DAG(dag_id="approval", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    TranscribeBatchOperator(
        task_id="transcribe",
        audio=f"{AUDIO}/*.wav",
        model="Elevenlabs-STT",
        output_path="{{ dag_run.conf['output'] }}",
        approve_above=0,
        approval_options={
            "response_timeout": "{{ dag_run.conf.get('seconds') }}",
            "on_reject": "{{ dag_run.conf.get('on_reject', 'fail') }}",
            "assigned_users": "{{ dag_run.conf.get('users') | tojson }}",
        },
        deferrable="{{ dag_run.conf.get('deferrable', True) }}",
        max_worker_wait=0,
        poll_interval=1,
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
