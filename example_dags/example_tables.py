"""Who speaks how much, per day: the transcripts of all nights as tables, asked in SQL.

Each run adds the rows of its new recordings to the table ``segments`` in the folder ``output``; the next task asks the
table, which is all nights at once. ``output`` may be in object storage: pyarrow reads it through Airflow's connection.
DuckDB (``pip install duckdb``) stands for any engine that reads Parquet.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")

WHO_SPEAKS_HOW_MUCH = """
    select
        day,
        speaker,
        round(sum("end" - start) / 60, 2) as minutes,
        count(*) as turns,
        count(distinct source) as recordings
    from segments
    where speaker is not null
    group by day, speaker
    order by day, minutes desc
"""


@task
def speaking_time(output: str) -> list[dict[str, Any]]:
    """Return minutes, turns and recordings of each speaker, day by day."""
    import duckdb
    from pyarrow.dataset import dataset

    folder = ObjectStoragePath(f"{output}/segments")
    segments = dataset(folder.path, filesystem=folder.fs, partitioning="hive")
    answer = duckdb.connect().register("segments", segments).sql(WHO_SPEAKS_HOW_MUCH)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


with DAG(
    dag_id="example_tables",
    schedule=None,  # "@daily" for a day's recordings each
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"recordings": f"{AUDIO}/*.wav", "output": f"{OUTPUT}/talks"},
):
    night = TranscribeBatchOperator(
        task_id="night",
        audio="{{ params.recordings }}",
        model="Elevenlabs-STT",
        diarize=True,
        output_path="{{ params.output }}",
        manifest="manifest-{{ run_id | replace(':', '_') }}",
        tables=("segments", "words"),
        skip_existing=True,
        max_cost_usd=20.00,
        deferrable=True,
        retries=2,
    )
    night >> speaking_time("{{ params.output }}")
