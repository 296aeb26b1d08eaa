"""One task of every kind of which the tab shows something else; run by tests with ``dag.test()``."""

from __future__ import annotations

import os

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

AUDIO, OUT = os.environ["TAB_AUDIO"], os.environ["TAB_OUT"]
NOTE, CALL, MISSING = (f"{AUDIO}/{name}.wav" for name in ("note", "call", "missing"))


class Derived(TranscribeOperator):
    """What a user may make of ours."""


with DAG("tab", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):
    TranscribeOperator(task_id="one", audio=NOTE, output_path=f"{OUT}/one", formats=["json", "txt", "html"])
    TranscribeOperator(task_id="other", audio=CALL, output_path=f"{OUT}/one")
    Derived(task_id="derived", audio=NOTE, output_path=f"{OUT}/derived", model="Elevenlabs-STT")
    TranscribeOperator(task_id="text", audio=NOTE)
    TranscribeOperator(task_id="fails", audio=MISSING)
    TranscribeOperator.partial(task_id="each", output_path=f"{OUT}/each").expand(audio=[NOTE, CALL])
    TranscribeBatchOperator(task_id="batch", audio=[NOTE, CALL, CALL], output_path=f"{OUT}/batch")
    TranscribeBatchOperator(
        task_id="skips", audio=f"{AUDIO}/*.wav", output_path=f"{OUT}/skips", skip_existing=True, manifest="list"
    )
    TranscribeBatchOperator(task_id="half", audio=[NOTE, MISSING], output_path=f"{OUT}/half")

    @task
    def foreign() -> dict[str, object]:
        """Return what looks like a result of ours."""
        return {"files": {"json": "/etc/passwd"}, "transcription": "<script>alert(1)</script>"}

    foreign()
