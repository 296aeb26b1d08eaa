"""Folders and buckets that are watched: what arrives in one is transcribed, as the example of it does.

The test says which ones: a list of names, patterns, output folders, and seconds for the batch to settle.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.assets import recordings
from airflow_provider_nanostt.operators import TranscribeBatchOperator

for name, pattern, output, settle in json.loads(os.environ.get("E2E_WATCHED", "[]")):
    with DAG(
        dag_id=f"watched_{name}",
        schedule=[recordings(pattern, every=2)],
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
    ) as dag:
        TranscribeBatchOperator(
            task_id="new",
            audio=pattern,
            model="Elevenlabs-STT",
            output_path=output,
            manifest="manifest-{{ run_id | replace(':', '_') }}",
            skip_existing=True,
            settle=settle,
            deferrable=True,
            max_worker_wait=30,  # the jobs are short: what is tested is how long a recording waits for a run
            poll_interval=1,
            retries=5,
            retry_delay=timedelta(seconds=2),
        )
    globals()[dag.dag_id] = dag
