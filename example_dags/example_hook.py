"""The hook in tasks of your own.

A free question about the account first, then a transcription. The hook keeps no ledger: a retry of the second task
would submit, and pay, once more, so it has no retries. For retries, use ``TranscribeOperator``.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_nanostt.hooks import NanoGPTHook

AUDIO = Path(__file__).parent / "audio"


@task
def balance() -> float | None:
    """Return the USD in the account."""
    return NanoGPTHook().balance().usd


@task(retries=0)
def transcribe(audio_path: str, balance_before: float | None) -> dict[str, object]:
    """Return what is said, and what that has cost."""
    if balance_before is not None and balance_before < 1.0:
        raise ValueError(f"only ${balance_before:.2f} are left")
    transcript = NanoGPTHook().transcribe(audio_path=audio_path, model="Elevenlabs-STT", language="en", timeout=600)
    return {"text": transcript.text, "cost_usd": transcript.cost, "run_id": transcript.run_id}


with DAG(
    dag_id="example_hook",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
):
    transcribe(str(AUDIO / "weekly-note.wav"), balance())
