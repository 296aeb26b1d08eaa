"""Callbacks and a deadline, as docs/callbacks.md has them, and a DAG with a date for each recording, for backfills."""

from __future__ import annotations

import asyncio
import json
import os
import re
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_nanostt.operators import TranscribeOperator

PAGE = Path(__file__).resolve().parents[3] / "docs" / "callbacks.md"
TOLD = Path(os.environ.get("E2E_TOLD", "/nowhere"))
USUAL = {"task_id": "transcribe", "output_path": str(TOLD / "out"), "poll_interval": 1}

for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
    if "def what_is_left" in block:
        exec(block)


def keep(name: str, what: object) -> None:
    (TOLD / f"{name}.part").write_text(json.dumps(what, default=str))
    (TOLD / f"{name}.part").rename(TOLD / f"{name}.json")


def failed(context) -> None:
    keep("failed", [type(context["exception"]).__name__, what_is_left(context)])  # noqa: F821  of the page


async def late(context) -> None:
    """Wait for the job as well: on a slow machine the deadline is over before anything is submitted."""
    for _ in range(240):
        found = await what_is_left_of_a_run(context, "transcribe")  # noqa: F821  of the page
        if found["run_id"]:
            break
        await asyncio.sleep(0.5)
    keep("late", found)


with DAG(
    "told",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback("told.late"),  # the folder is in PYTHONPATH
    ),
):
    TranscribeOperator(
        audio_url="https://recordings.example/told.mp3",
        model="Elevenlabs-STT",
        deferrable=True,
        max_worker_wait=0,
        on_failure_callback=failed,
        **USUAL,
    )

with DAG(
    "by_date",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    end_date=pendulum.datetime(2026, 1, 5, tz="UTC"),
    catchup=False,
):
    TranscribeOperator(audio_url="https://recordings.example/{{ ds }}.mp3", **USUAL)
