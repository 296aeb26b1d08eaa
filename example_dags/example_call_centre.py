"""Stereo calls of a call centre: each side on a channel of its own, put together again as one dialogue.

A telephone system that records the agent on the left and the customer on the right knows better than any model who is
speaking. The channels become two recordings, both transcribed in one batch, and their segments are sorted by time.
"""

from __future__ import annotations

import json
import os
import tempfile
import wave
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task

from airflow_provider_nanostt.operators import TranscribeBatchOperator

CALL = Path(__file__).parent / "audio" / "delivery-call.wav"
OUTPUT = os.environ.get("NANOSTT_OUTPUT") or str(Path(tempfile.gettempdir()) / "nanostt-transcripts")
SIDES = ("Agent", "Customer")


@task
def channels(call: str, folder: str) -> list[dict[str, str]]:
    """Write each channel of a stereo WAV as a recording of its own; the same files on every try."""
    with wave.open(call) as stereo:
        width, rate = stereo.getsampwidth(), stereo.getframerate()
        samples = stereo.readframes(stereo.getnframes())
    Path(folder).mkdir(parents=True, exist_ok=True)
    sides = []
    for number, side in enumerate(SIDES):
        path = Path(folder) / f"{Path(call).stem}-{side.lower()}.wav"
        mono = b"".join(samples[at : at + width] for at in range(number * width, len(samples), 2 * width))
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(mono)
        sides.append({"audio": str(path), "name": path.stem})
    return sides


@task
def dialogue(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Put both sides together by time: who says what, and when."""
    rows = [json.loads(line) for line in ObjectStoragePath(batch["manifest"]["jsonl"]).read_text().splitlines()]
    turns = []
    for side, row in zip(SIDES, rows, strict=True):
        transcript = json.loads(ObjectStoragePath(row["files"]["json"]).read_text())
        turns += [{**segment, "speaker": side} for segment in transcript["segments"]]
    return sorted(turns, key=lambda turn: turn["start"] or 0.0)


with DAG(
    dag_id="example_call_centre",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["example", "nanogpt", "speech-to-text"],
    params={"call": str(CALL), "output": OUTPUT},
):
    both = TranscribeBatchOperator(
        task_id="both_sides",
        audio=channels("{{ params.call }}", "{{ params.output }}/channels"),
        model="Elevenlabs-STT",
        output_path="{{ params.output }}/calls",
        deferrable=True,
        retries=2,
    )
    dialogue(both.output)
