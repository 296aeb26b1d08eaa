"""A task that meets day limits, with the retry policy that waits for their reset."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.retry_policy import NanoGPTRetryPolicy


def tell(context) -> None:
    with Path(os.environ["E2E_TOLD"], "retried").open("a") as file:
        file.write(f"{context['ti'].try_number}\n")


with DAG("day_limit", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    TranscribeOperator(
        task_id="transcribe",
        audio_url="https://recordings.example/limit.mp3",
        model="Elevenlabs-STT",
        deferrable=True,
        max_worker_wait=0,
        poll_interval=1,
        retries=1,
        retry_delay=timedelta(seconds=1),
        retry_policy=NanoGPTRetryPolicy(max_reschedules=1),
        on_retry_callback=tell,
    )
