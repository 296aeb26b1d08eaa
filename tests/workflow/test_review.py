"""How sure the model was: in result, manifest and page of what a task has written, and nowhere if it does not say."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import Memory
from tests.workflow.batch.conftest import ASYNC, SYNC, Batch, batch  # noqa: F401  a fixture

pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


def words(*said: tuple[str, float]) -> list[dict[str, Any]]:
    """Words as the service sends them, a second each."""
    return [
        {"text": text, "start": at, "end": at + 0.9, "type": "word", "logprob": logprob}
        for at, (text, logprob) in enumerate(said)
    ]


UNSURE = words(("It", -0.01), ("is", -0.02), ("not", -1.2), ("there.", -0.03))


def test_a_result_says_how_sure_the_model_was_and_where_it_was_not(emulator: Emulator, wav, files: Memory, run_task):
    """Figures and times, no text; the page marks the word."""
    emulator.script("note.wav", text="It is not there.", words=UNSURE, duration=30.0)
    result = run_task(
        lambda: TranscribeOperator(
            task_id="transcribe",
            audio_path=str(wav),
            model=ASYNC,
            formats="html",
            output_options={"review_below": "0.6"},
            poll_interval=0.1,
            **files.arguments,
        ),
        files.context(),
    )
    place = {"start": 0.0, "end": 3.9, "confidence": result["confidence"], "words": 1}
    assert (result["review_words"], result["review_segments"], result["review"]) == (1, 1, [place])
    assert result["confidence"] == pytest.approx(2.718281828 ** (-1.26 / 4), abs=1e-4)
    assert ">not</mark>" in Path(result["files"]["html"]).read_text()
    document = json.loads(Path(result["files"]["json"]).read_bytes())
    assert (document["version"], document["review_below"]) == (2, 0.6)
    assert [word["confidence"] for word in document["words"]] == [0.99, 0.9802, 0.3012, 0.9704]


def test_the_emulator_tells_how_sure_it_is_where_the_service_would(emulator: Emulator, wav, files: Memory, run_task):
    """Of a model that tells words; of another one nothing is known, and nothing is said."""

    def run(model: str) -> Any:
        options = {"review_below": 0.6}
        made = {"audio_path": str(wav), "model": model, "formats": "html", "output_options": options}
        return run_task(
            lambda: TranscribeOperator(task_id="t", poll_interval=0.1, **made, **files.arguments), files.context()
        )

    sure = run(ASYNC)
    assert 0.5 < sure["confidence"] < 1
    assert "review" in sure
    silent = run(SYNC)
    assert silent["confidence"] is None
    assert not {"review", "review_words", "review_segments"} & silent.keys()
    assert "to check" not in Path(silent["files"]["html"]).read_text().partition("<body>")[2]


def test_the_manifest_lists_what_to_look_at(batch: Batch):  # noqa: F811
    """Of each recording how much, and the first places; a column each in a table."""
    many = [word for at in range(15) for word in words(("no.", -2.0 if at else -0.1))]
    many = [{**word, "start": 10.0 * at, "end": 10.0 * at + 1} for at, word in enumerate(many)]
    names = [
        batch.recording("a.wav", words=UNSURE, text=None),
        batch.recording("b.wav", words=many, text=None),
        batch.recording("c.wav", words=words(("Yes.", -0.01)), text=None),
    ]
    batch.run(names, output_options={"review_below": 0.6}, manifest_formats=("jsonl", "csv"))
    one, two, three = batch.rows
    assert (one["review_words"], one["review_segments"], len(one["review"])) == (1, 1, 1)
    assert (two["review_words"], two["review_segments"], len(two["review"])) == (14, 14, 10)
    assert two["review"][0] == {"start": 10.0, "end": 11.0, "confidence": 0.1353, "words": 1}
    assert (three["review_words"], three["review"], three["confidence"]) == (0, [], 0.99)
    with (batch.memory.folder / "manifest.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["review_segments"] for row in read] == ["1", "14", "0"]
    assert read[0]["review"] == "0.00-3.90"


def test_without_review_below_only_the_figure_is_there(batch: Batch):  # noqa: F811
    """Nobody has asked for more."""
    batch.run([batch.recording("a.wav", words=UNSURE, text=None)])
    (row,) = batch.rows
    assert (row["review_words"], row["review_segments"], row["review"]) == (None, None, [])
    assert row["confidence"] == pytest.approx(0.73, abs=0.01)
