"""One task of every kind that the tab Transcript shows, for ``test_transcript_tab.py``, which says where audio lies."""

from __future__ import annotations

import os

import pendulum

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

AUDIO = os.environ.get("TAB_AUDIO", "s3://store@calls/audio")
OUT = os.environ.get("TAB_OUT", "s3://store@calls/out")
BATCH = [f"{AUDIO}/{name}.wav" for name in ("alpha", "beta", "gamma", "missing")]
HOW = {"model": "Elevenlabs-STT", "deferrable": False, "poll_interval": 1}

with DAG(dag_id="transcript_tab", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    TranscribeOperator(task_id="recording", audio=f"{AUDIO}/alpha.wav", output_path=f"{OUT}/one", diarize=True, **HOW)
    TranscribeOperator.partial(task_id="mapped", output_path=f"{OUT}/mapped", **HOW).expand(
        audio=[f"{AUDIO}/alpha.wav", f"{AUDIO}/beta.wav"]
    )
    TranscribeBatchOperator(task_id="batch", audio=BATCH, output_path=f"{OUT}/batch", on_item_error="continue", **HOW)
    TranscribeOperator(
        task_id="waiting",
        audio=f"{AUDIO}/slow.wav",
        output_path=f"{OUT}/slow",
        **{**HOW, "deferrable": True, "max_worker_wait": 0},
    )
    TranscribeOperator(task_id="failing", audio=f"{AUDIO}/broken.wav", output_path=f"{OUT}/failing", **HOW)
    TranscribeOperator(task_id="text", audio=f"{AUDIO}/beta.wav", **HOW)

    @task
    def foreign() -> dict[str, str]:
        return {"transcription": "is none of ours"}

    foreign()
