"""A person is asked before much is spent: by one argument, or by Airflow's own operator. Needs Airflow 3.1.

``example_approve_above``: the batch itself asks, only if the list would cost more than a sum, and only for what is not
paid for yet; what was approved is its limit. ``example_approve``: a task of its own asks, always. Both wait in
*Required actions*, and hold no worker slot meanwhile.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeBatchOperator
from airflow_provider_nanostt.operators.options import ApprovalOptions

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")
MODEL = "Elevenlabs-STT"

COMMON: dict[str, Any] = {
    "schedule": None,
    "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"),
    "catchup": False,
    "doc_md": __doc__,
    "tags": ["example", "nanogpt", "speech-to-text"],
    "params": {"recordings": f"{AUDIO}/*.wav", "output": OUTPUT},
}

with DAG(dag_id="example_approve_above", **COMMON):
    TranscribeBatchOperator(
        task_id="transcribe",
        audio="{{ params.recordings }}",
        model=MODEL,
        output_path="{{ params.output }}/approve-above",
        approve_above=20.00,
        approval_options=ApprovalOptions(response_timeout=24 * 3600, on_reject="skip"),
        deferrable=True,
        retries=2,
    )


@task
def estimate(recordings: str) -> dict[str, object]:
    """Return what the recordings would cost; nothing is submitted."""
    found = NanoGPTHook().estimate_list(recordings, model=MODEL)
    return {"subject": found.subject, "body": found.describe(), "limit_usd": found.limit_usd}


with DAG(dag_id="example_approve", **COMMON):
    cost = estimate("{{ params.recordings }}")
    approve = ApprovalOperator(
        task_id="approve",
        subject="{{ ti.xcom_pull(task_ids='estimate')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='estimate')['body'] }}",
    )
    transcribe = TranscribeBatchOperator(
        task_id="transcribe",
        audio="{{ params.recordings }}",
        model=MODEL,
        output_path="{{ params.output }}/approve",
        max_cost_usd="{{ ti.xcom_pull(task_ids='estimate')['limit_usd'] }}",
        deferrable=True,
        retries=2,
    )
    cost >> approve >> transcribe
