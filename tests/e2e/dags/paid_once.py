"""One task each, for the faults of ``test_paid_once.py``; recordings come from the run's conf, so a DAG serves many."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

# The place for results and ledger; nothing leaves the ledger to Airflow's task state.
FILES = os.environ.get("E2E_FILES", "")
RETRIES = Path(FILES, "retries")  # of the task that is forced, changed by its test as a deploy would
OUTPUT = FILES if os.environ.get("E2E_LEDGER") == "files" else None
USUAL = {
    "task_id": "transcribe",
    "model": "Elevenlabs-STT",
    "output_path": OUTPUT,
    "deferrable": True,
    "max_worker_wait": 0,
    "poll_interval": 1,
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
}
RECORDING = "{{ dag_run.conf['urls'][0] }}"


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), max_active_runs=100)


@task(task_id="recordings")
def recordings(**context) -> list[str]:
    return context["dag_run"].conf["urls"]


@task(task_id="recordings")
def recordings_of_today() -> list[str]:
    """List what a Variable lists at this moment, as a folder or a query would."""
    try:
        from airflow.sdk import Variable
    except ImportError:  # Airflow 2.11
        from airflow.models import Variable

    return Variable.get("recordings", deserialize_json=True)


def one(dag_id: str, **options: object) -> None:
    with dag(dag_id):
        TranscribeOperator(**{**USUAL, "audio_url": RECORDING, **options})


one("in_the_triggerer")
one("in_the_worker", deferrable=False)
one("to_files", output_path=FILES)
one("short_timeout", timeout=12)
one(
    "forced",
    deferrable=False,
    output_path=FILES,
    force=True,
    retries=int(RETRIES.read_text()) if RETRIES.exists() else 2,
)
one("without_patience", nanogpt_conn_id="nanogpt_impatient", force="{{ var.value.get('force', 'false') }}")
one("without_service", nanogpt_conn_id="nanogpt_closed", retries=10)
one("any_model", model="{{ var.value.get('model', 'Elevenlabs-STT') }}")
one("signed", audio_url="{{ var.value.fetched }}")
one("signed_refused", audio_url="{{ var.value.refused }}")
one("signed_failing", audio_url="{{ var.value.failing }}", retries=0)

with dag("batch"):
    TranscribeBatchOperator(
        **{
            **USUAL,
            "output_path": "{{ dag_run.conf.get('output') or '"
            + FILES
            + "/' + run_id | replace(':', '_') | replace('+', '_') }}",
        },
        audio="{{ dag_run.conf['urls'] | tojson }}",
        actual_duration=1.0,
        nanogpt_conn_id="nanogpt_unhurried",
    )

with dag("signed_each"):
    TranscribeOperator.partial(**USUAL).expand(audio_url=["{{ var.value.fetched }}", "{{ var.value.mapped }}"])

with dag("each"):
    TranscribeOperator.partial(**USUAL).expand(audio_url=recordings())

with dag("each_of_today"):
    TranscribeOperator.partial(**USUAL).expand(audio_url=recordings_of_today())

with dag("each_in_chaos"):
    TranscribeOperator.partial(**{**USUAL, "retries": 50}).expand(audio_url=recordings())
