"""What callbacks, notifiers and OpenLineage can say of a task that has failed: the job, its cost, and the next step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import airflow
import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.test_docs import blocks

ASYNC = "Elevenlabs-STT"

REAL = """
import json, os, sys
from datetime import datetime, timedelta, timezone
from airflow_provider_nanostt import triggers
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
try:
    from airflow.sdk import DAG
except ImportError:  # 2.11
    from airflow import DAG
try:
    from airflow.sdk.bases.notifier import BaseNotifier
except ImportError:  # before 3.1
    from airflow.notifications.basenotifier import BaseNotifier

triggers.EARLIEST_EVENT = 0.0  # only real Airflow needs the pause
order = json.loads(os.environ["ORDER"])

exec(order["callback"])  # as it is on the page

def keep(kind, what):
    with open(order["report"], "a") as file:
        file.write(json.dumps([kind, what], default=str) + "\\n")

def failed(context):
    task, error = context["ti"].task_id, type(context.get("exception")).__name__
    keep("failed", {**what_is_left(context), "task": task, "error": error})

def retried(context):
    keep("retried", {**what_is_left(context), "task": context["ti"].task_id})

class Notifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        keep("notified", {"task": context["ti"].task_id, "text": self.text})

def usual():
    return {
        "model": "Elevenlabs-STT", "poll_interval": 0.05, "deferrable": True, "max_worker_wait": 0,
        "output_path": order["output"], "retry_delay": timedelta(seconds=0),
        "on_failure_callback": [failed, Notifier(order["text"])], "on_retry_callback": retried,
    }

with DAG("told", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    TranscribeOperator(task_id="final", audio_url="https://example.com/final.mp3", **usual())
    TranscribeOperator(task_id="again", audio_url="https://example.com/again.mp3", retries=1, **usual())
    TranscribeOperator.partial(task_id="mapped", **usual()).expand(
        audio_url=["https://example.com/good.mp3", "https://example.com/mapped.mp3"]
    )
    TranscribeBatchOperator(task_id="batch", audio=["https://example.com/good.mp3", "https://example.com/batch.mp3"],
        **{**usual(), "output_path": order["output"] + "/batch"})

if __name__ == "__main__":
    dag.test()
"""
TEXT = (
    "run {{ ti.xcom_pull(task_ids=ti.task_id, key='run_id', map_indexes=ti.map_index) }} has cost "
    "{{ ti.xcom_pull(task_ids=ti.task_id, key='cost_usd', map_indexes=ti.map_index) }}"
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run tasks that fail, with real callbacks; return what those have kept, by kind and task, and the charges."""
    with Emulator(processing_seconds=0.02, speed=100.0) as emulator:
        yield run_all(emulator, tmp_path_factory.mktemp("ran"))


def run_all(emulator, tmp_path):
    for name in ("final", "again", "mapped", "batch"):
        emulator.script(f"{name}.mp3", status="failed", error="no speech in it", duration=30.0)
    emulator.script("good.mp3", text="Good morning.", duration=30.0)
    report, dags = tmp_path / "report.jsonl", tmp_path / "dags"
    dags.mkdir()
    (dags / "told.py").write_text(REAL)
    (callback,) = (one.code for one in blocks() if one.page == "docs/callbacks.md" and "def what_is_left(" in one.code)
    order = {"report": str(report), "output": str(tmp_path / "out"), "callback": callback, "text": TEXT}
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(dags), "ORDER": json.dumps(order)}
    env["AIRFLOW_CONN_NANOGPT_DEFAULT"] = emulator.connection_json
    done = subprocess.run([sys.executable, str(dags / "told.py")], env=env, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout[-6000:] + done.stderr[-6000:]
    kept = [json.loads(line) for line in report.read_text().splitlines()]
    return {(kind, what["task"]): what for kind, what in kept}, {one.source: one for one in emulator.charges}


def test_callbacks_know_job_cost_minutes_and_next_step(ran):
    """In a real run the callback on the page finds all of them, mapped or not, deferred or not, at a retry, too."""
    kept, charges = ran
    for kind, task in (("failed", "final"), ("retried", "again"), ("failed", "again"), ("failed", "mapped")):
        left, charge = kept[kind, task], charges[f"https://example.com/{task}.mp3"]
        assert left["cost_usd"] == pytest.approx(charge.cost)
        assert left["charged_minutes"] == pytest.approx(0.5)
        assert left["run_id"]
        assert "the next try goes on" in left["next_step"]
    # dag.test() leaves it out before 3.3; a real task process does not.
    if not airflow.__version__.startswith(("3.0.", "3.1.", "3.2.")):
        assert kept["failed", "final"]["error"] == "TranscriptionFailed"
    assert kept["failed", "final"]["run_id"] == charges["https://example.com/final.mp3"].run_id
    batch = kept["failed", "batch"]
    assert batch["cost_usd"] == pytest.approx(2 * charges["https://example.com/batch.mp3"].cost)
    assert batch["charged_minutes"]
    assert batch["next_step"]
    assert batch["run_id"] is None  # the manifest has the jobs


def test_airflows_own_notifiers_know_them(ran):
    """A template is enough, so there is no notifier of this package."""
    kept, charges = ran
    charge = charges["https://example.com/final.mp3"]
    assert kept["notified", "final"]["text"] == f"run {charge.run_id} has cost {charge.cost}"


def failed_facet(operator):
    from openlineage.client.serde import Serde

    found = operator.get_openlineage_facets_on_failure(None)
    return json.loads(Serde.to_json(found.run_facets["nanostt_transcription"]))


@pytest.mark.parametrize("deferrable", [False, True])
def test_openlineage_hears_of_a_task_that_failed(emulator, files, run_task, deferrable):
    """The facet of a failed task has the job, its cost and minutes, and what is to be done."""
    pytest.importorskip("airflow.providers.openlineage")
    emulator.script("final.mp3", status="failed", error="no speech in it", duration=30.0)
    made = []

    def make():
        made.append(
            TranscribeOperator(
                task_id="t", audio_url="https://example.com/final.mp3", model=ASYNC, poll_interval=0.05,
                output_path=str(files.folder), deferrable=deferrable, max_worker_wait=0,
            )
        )  # fmt: skip
        return made[-1]

    with pytest.raises(Exception, match="no speech in it"):
        run_task(make, files.context())
    (charge,) = emulator.charges
    facet = failed_facet(made[-1])
    assert (facet["run_id"], facet["cost_usd"]) == (charge.run_id, pytest.approx(charge.cost))
    assert facet["charged_minutes"] == pytest.approx(0.5)
    assert "the next try goes on" in facet["next_step"]


def test_what_nobody_foresaw_leaves_a_next_step_too(emulator, wav, files, run_task, tmp_path):
    """A folder that can no longer be written to fails the task after the wait; job, cost and next step are known."""
    pytest.importorskip("airflow.providers.openlineage")
    made, pushed = [], {}
    context = files.context()
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})

    def make():
        made.append(
            TranscribeOperator(
                task_id="t", audio_path=str(wav), model=ASYNC, poll_interval=0.05, deferrable=True, max_worker_wait=0,
                output_path=str(files.folder),
            )
        )  # fmt: skip
        return made[-1]

    def in_the_way():
        Path(files.folder, "note.json").mkdir()

    with pytest.raises(OSError, match="directory"):
        run_task(make, context, in_the_way)
    (charge,) = emulator.charges
    assert (pushed["run_id"], pushed["cost_usd"]) == (charge.run_id, pytest.approx(charge.cost))
    assert failed_facet(made[-1])["run_id"] == charge.run_id
    assert "what is paid for is found again" in pushed["next_step"] or "the next try goes on" in pushed["next_step"]
