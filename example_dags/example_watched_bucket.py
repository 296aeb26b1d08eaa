"""New recordings start the DAG: whatever arrives in a folder or a bucket is transcribed within a minute or two.

For Airflow 3.1 and newer. The asset's watcher runs in the triggerer and looks at the pattern twice a minute. Its event
is a bell: it says that something has come, and the batch lists the pattern itself, skips what is transcribed already,
and leaves for the next bell what is still being written.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.assets import recordings
from airflow_provider_nanostt.operators import TranscribeBatchOperator

INBOX = os.environ.get("NANOSTT_INBOX") or str(Path(__file__).parent / "audio")  # s3://my_aws_connection@calls/inbox
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")
PATTERN = f"{INBOX}/**/*.wav"

with DAG(
    dag_id="example_watched_bucket",
    schedule=[recordings(PATTERN, every=30, settle=60)],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two runs at once would both look at the same recordings
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"output": OUTPUT},
):
    TranscribeBatchOperator(
        task_id="new",
        audio=PATTERN,
        model="Elevenlabs-STT",
        output_path="{{ params.output }}/watched",
        manifest="manifest-{{ run_id | replace(':', '_') }}",
        formats=("json", "txt"),
        skip_existing=True,
        settle=2,
        max_cost_usd=20.00,
        deferrable=True,
        retries=2,
    )
