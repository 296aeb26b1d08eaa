"""The rows of a manifest as values, and their sum."""

from __future__ import annotations

import json

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.workflow.batch import ManifestRow
from airflow_provider_nanostt.workflow.batch.manifest_row import (
    DUPLICATE,
    FAILED,
    NOT_STARTED,
    SKIPPED,
    WRITTEN,
    describe,
    stopped,
    summary,
)

RESULT = {"files": {"json": "/t/a.json"}, "run_id": "r", "model": "m", "language": "es", "charged_minutes": 2.0,
          "cost_usd": 0.06, "speakers": ["Agent"], "words": 7}  # fmt: skip


def test_a_row_takes_in_a_result():
    """What a transcription returns is in its row; an earlier error is gone."""
    row = (
        ManifestRow(3, "/a.wav")
        .with_error(errors.InvalidInput("no"))
        .with_result(WRITTEN, {**RESULT, "number": 9, "unknown": 1})
    )
    assert (row.number, row.status, row.files, row.words, row.error) == (3, WRITTEN, {"json": "/t/a.json"}, 7, None)
    assert not row.is_missing


def test_a_recording_in_parts_keeps_the_ids_of_its_jobs():
    """Its result has none, since no job has all of it."""
    row = ManifestRow(0, "/a.wav", run_id="r1, r2").with_result(WRITTEN, {**RESULT, "run_id": None})
    assert row.run_ids == ["r1", "r2"]


def test_a_row_survives_json():
    """What is written is read back, with what a later version may add."""
    row = ManifestRow(3, "/ü.wav", "n", "k").with_result(WRITTEN, RESULT)
    plain = json.loads(json.dumps(row.to_json()))
    assert ManifestRow.from_json({**plain, "later": 1}).to_json() == row.to_json() == plain
    with pytest.raises(TypeError):
        ManifestRow.from_json({"audio": "/a.wav"})


def test_the_sum_has_counts_and_no_rows():
    """However many rows there are, XCom gets a few figures and the names of the first that failed."""
    written = ManifestRow(0, "/a.wav").with_result(WRITTEN, RESULT)
    rows = [
        written,
        ManifestRow(1, "/b.wav").with_result(SKIPPED, {**RESULT, "cost_usd": 0.0}),
        ManifestRow(2, "/a.wav", status=DUPLICATE),
        *(ManifestRow(number, f"/{number}.wav").with_error(errors.InvalidInput("no")) for number in range(3, 1000)),
        ManifestRow(1000, "/z.wav", status=NOT_STARTED),
    ]
    found = summary(rows, {"jsonl": "/t/manifest.jsonl"}, {})
    assert found["manifest"] == {"jsonl": "/t/manifest.jsonl"}
    counts = {name: found[name] for name in ("total", WRITTEN, SKIPPED, DUPLICATE, FAILED, NOT_STARTED)}
    assert counts == {"total": 1001, WRITTEN: 1, SKIPPED: 1, DUPLICATE: 1, FAILED: 997, NOT_STARTED: 1}
    assert (found["cost_usd"], found["charged_minutes"], found["languages"]) == (0.06, 2.0, {"es": 2})
    assert found["failed_audio"] == [f"/{number}.wav" for number in range(3, 23)]
    assert len(json.dumps(found)) < 1000


def test_many_are_named_by_the_first():
    """A message names the first with their errors, and how many more there are."""
    rows = [ManifestRow(number, f"/{number}.wav").with_error(errors.InvalidInput("no")) for number in range(25)]
    lines = describe(rows).splitlines()
    assert lines[0] == "  /0.wav: no"
    assert lines[20:] == ["  and 5 more"]


def test_a_limit_of_costs_is_no_trouble():
    """What a limit has left out was the user's wish; everything else that was not started points to trouble."""
    limit = ManifestRow(0, "/a.wav").with_error(errors.CostLimit("enough"), NOT_STARTED)
    key = ManifestRow(1, "/b.wav").with_error(errors.AuthError("no", status=401), NOT_STARTED)
    assert stopped([limit, key, ManifestRow(2, "/c.wav").with_error(errors.InvalidInput("no"))]) == [key]
