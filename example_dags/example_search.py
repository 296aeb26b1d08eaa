"""From a folder of recordings to an answered question, with what Python itself brings: the full-text search of SQLite.

Each recording becomes ``chunks``: whole sentences of one speaker, with source, time and an ``id``. The next task puts
them into an index beside the transcripts, in which a chunk that is there already is replaced; the last one answers the
run's ``question`` with the passages that fit best, and where each was said. With embeddings in place of full-text
search it is the same DAG: the chunks are read without code by common-ai's ``DocumentLoaderOperator``
(``json_text_field="text"``) and by the JSON loaders of LangChain and LlamaIndex.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator

AUDIO = Path(__file__).parent / "audio"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")
COLUMNS = ("id", "source", "start", "speaker", "text")


@task
def index(batch: dict[str, Any], folder: str) -> str:
    """Put the chunks of all recordings of the batch into the index, and return where it is."""
    place = ObjectStoragePath(folder) / "search.sqlite"
    rows = [json.loads(line) for line in ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines()]
    files = [row["files"]["chunks"] for row in rows if "chunks" in row["files"]]
    chunks = [json.loads(line) for file in files for line in ObjectStoragePath(file).read_text().splitlines()]
    with closing(sqlite3.connect(":memory:")) as database:
        if place.exists():
            database.deserialize(place.read_bytes())
        else:
            database.execute(
                "CREATE VIRTUAL TABLE chunks USING fts5"
                "(id UNINDEXED, source UNINDEXED, start UNINDEXED, speaker UNINDEXED, text, tokenize='porter')"
            )
        database.executemany("DELETE FROM chunks WHERE id = ?", [(chunk["id"],) for chunk in chunks])
        values = [[chunk.get(name) for name in COLUMNS] for chunk in chunks]
        database.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", values)
        database.commit()
        place.write_bytes(database.serialize())
    return str(place)


@task
def answer(place: str, question: str) -> list[dict[str, Any]]:
    """Return the passages that fit a question best, the best one first, with where and by whom each was said."""
    words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", question))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(ObjectStoragePath(place).read_bytes())
        found = database.execute("SELECT * FROM chunks WHERE chunks MATCH ? ORDER BY rank LIMIT 3", (words,))
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]


with DAG(
    dag_id="example_search",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # two runs at once would both write the index
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"recordings": f"{AUDIO}/*.wav", "output": OUTPUT, "question": "When did the parcels arrive?"},
):
    recordings = TranscribeBatchOperator(
        task_id="recordings",
        audio="{{ params.recordings }}",
        model="Elevenlabs-STT",
        diarize=True,
        output_path="{{ params.output }}/search",
        formats=("json", "chunks"),
        output_options={"chunks": {"size": 800, "overlap": 100}},
        skip_existing=True,
        max_cost_usd=5.00,
        deferrable=True,
        retries=2,
    )
    answer(index(recordings.output, "{{ params.output }}/search"), "{{ params.question }}")
