"""Transcripts of YouTube videos as text files, ten videos with each request, each paid once.

The list of videos is a parameter of the run. One that has no transcript costs nothing, and does not stop the others;
the manifest names it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_nanostt.operators import YouTubeTranscribeOperator

OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")

with DAG(
    dag_id="example_youtube",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    render_template_as_native_obj=True,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"urls": ["https://www.youtube.com/watch?v=jNQXAC9IVRw"], "output": OUTPUT},
):
    YouTubeTranscribeOperator(
        task_id="videos",
        urls="{{ params.urls }}",
        output_path="{{ params.output }}/videos",
        formats=("json", "txt"),
        on_item_error="continue",
        skip_existing=True,
        max_cost_usd=1.00,
        retries=2,
    )
