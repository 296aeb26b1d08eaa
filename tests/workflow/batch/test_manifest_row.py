"""The rows of a manifest as values, and their sum."""

from __future__ import annotations

import json

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.workflow.batch import Row
from airflow_provider_nanostt.workflow.batch.manifest_row import (
    DUPLICATE,
    FAILED,
    LEFT,
    SKIPPED,
    WRITTEN,
    stopped,
    summary,
    told,
)

RESULT = {"files": {"json": "/t/a.json"}, "run_id": "r", "model": "m", "language": "es", "charged_minutes": 2.0,
          "cost_usd": 0.06, "speakers": ["Agent"], "words": 7}  # fmt: skip


def test_a_row_takes_in_a_result():
    """What a transcription returns is in its row; an earlier error is gone."""
    row = Row(3, "/a.wav").broken(errors.InvalidInput("no")).having(WRITTEN, {**RESULT, "number": 9, "unknown": 1})
    assert (row.number, row.status, row.files, row.words, row.error) == (3, WRITTEN, {"json": "/t/a.json"}, 7, None)
    assert not row.is_missing


def test_a_row_survives_json():
    """What is written is read back, with what a later version may add."""
    row = Row(3, "/ü.wav", "n", "k").having(WRITTEN, RESULT)
    plain = json.loads(json.dumps(row.to_json()))
    assert Row.from_json({**plain, "later": 1}).to_json() == row.to_json() == plain
    with pytest.raises(TypeError):
        Row.from_json({"audio": "/a.wav"})


def test_the_sum_has_counts_and_no_rows():
    """However many rows there are, XCom gets a few figures and the names of the first that failed."""
    landed = Row(0, "/a.wav").having(WRITTEN, RESULT)
    rows = [
        landed,
        Row(1, "/b.wav").having(SKIPPED, {**RESULT, "cost_usd": 0.0}),
        Row(2, "/a.wav", status=DUPLICATE),
        *(Row(number, f"/{number}.wav").broken(errors.InvalidInput("no")) for number in range(3, 1000)),
        Row(1000, "/z.wav", status=LEFT),
    ]
    found = summary(rows, {"jsonl": "/t/manifest.jsonl"})
    assert found["manifest"] == {"jsonl": "/t/manifest.jsonl"}
    counts = {name: found[name] for name in ("total", WRITTEN, SKIPPED, DUPLICATE, FAILED, LEFT)}
    assert counts == {"total": 1001, WRITTEN: 1, SKIPPED: 1, DUPLICATE: 1, FAILED: 997, LEFT: 1}
    assert (found["cost_usd"], found["charged_minutes"], found["languages"]) == (0.06, 2.0, {"es": 2})
    assert found["failed_audio"] == [f"/{number}.wav" for number in range(3, 23)]
    assert len(json.dumps(found)) < 1000


def test_many_are_told_by_the_first():
    """A message names the first with their errors, and how many more there are."""
    rows = [Row(number, f"/{number}.wav").broken(errors.InvalidInput("no")) for number in range(25)]
    lines = told(rows).splitlines()
    assert lines[0] == "  /0.wav: no"
    assert lines[20:] == ["  and 5 more"]


def test_a_limit_of_costs_is_no_trouble():
    """What a limit has left out was the user's wish; everything else that is left tells of trouble."""
    limit = Row(0, "/a.wav").broken(errors.CostLimit("enough"), LEFT)
    key = Row(1, "/b.wav").broken(errors.AuthError("no", status=401), LEFT)
    assert stopped([limit, key, Row(2, "/c.wav").broken(errors.InvalidInput("no"))]) == [key]
