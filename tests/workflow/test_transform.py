"""A transform that does not work loses nothing that was paid for; one that works leaves nothing that it hides."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.outputs import FORMATS
from tests.conftest import TEXT, Memory
from tests.workflow.batch.conftest import Batch, batch  # noqa: F401  a fixture

ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"

pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A DAG author's module, of which the function ``house_rules.redact`` can be written anew, as by a deployment."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def deploy(body: str) -> str:
        (folder / "house_rules.py").write_text(f"def redact(text):\n    {body}\n")
        sys.modules.pop("house_rules", None)
        importlib.invalidate_caches()
        (folder / "__pycache__").exists() and [path.unlink() for path in (folder / "__pycache__").iterdir()]
        return "house_rules.redact"

    yield deploy
    sys.modules.pop("house_rules", None)


HIDE = 'return text.replace("parcels", "[GOODS]")'
HIDDEN = TEXT.replace("parcels", "[GOODS]")


def operator(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", **{"poll_interval": 0.1, "deferrable": True, **arguments})


@pytest.mark.parametrize("model", [ASYNC, SYNC])
def test_a_mended_transform_costs_nothing(emulator: Emulator, wav, memory: Memory, run_task, rules, model, caplog):
    """The task fails with what happened, without any text; the next attempt writes what is paid for."""

    def attempt(body: str) -> Any:
        options = {"transform": rules(body), "estimated_captions": True}
        made = {"audio_path": str(wav), "model": model, "output_options": options, **memory.arguments}
        return run_task(lambda: operator(**made), memory.context())

    for body, problem in (
        ("return {}[text]", "it raised KeyError at house_rules.py line 2"),
        ("return None", "it returned NoneType, not str"),
    ):
        with pytest.raises(errors.TransformFailed, match=re.escape(problem)) as caught:
            attempt(body)
        assert "has its record: correct the function and clear the task" in str(caught.value)
        assert not any(word in str(caught.value) + caplog.text for word in ("parcels", "arrived"))
        assert memory.record["state"] == ("submitted" if model == ASYNC else "answered")
    assert [path.name for path in memory.folder.iterdir()] == [".nanostt"] if memory.kind == "files" else True
    result = attempt(HIDE)
    text = (
        json.loads(Path(result["files"]["json"]).read_bytes())["text"] if "files" in result else result["transcription"]
    )
    assert text == HIDDEN
    assert len(emulator.charges) == 1


def test_without_a_record_the_answer_is_kept_on_the_worker(emulator: Emulator, wav, tmp_path, monkeypatch, rules):
    """As it came, for its user alone, since nothing else keeps it; and there is no retry, which would pay again."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(AirflowFailException) as caught:
        operator(audio_path=str(wav), output_options={"transform": rules("return 1 / 0")}).execute({})
    path = re.search(r"it is as it came in (\S+) on this machine", str(caught.value))
    assert path is not None
    assert json.loads(Path(path[1]).read_bytes())["text"] == TEXT
    assert Path(path[1]).stat().st_mode & 0o077 == 0


def test_what_is_too_large_for_xcom_is_kept_on_the_worker_transformed(emulator, wav, tmp_path, monkeypatch, rules):
    """The file that the message names is an output like any other."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    options = {"transform": rules(HIDE), "xcom_limit": 20}
    with pytest.raises(AirflowFailException) as caught:
        operator(audio_path=str(wav), output_options=options).execute({})
    path = re.search(r"it is in (\S+) on this machine", str(caught.value))
    assert path is not None
    saved = Path(path[1]).read_text()
    assert (json.loads(saved)["text"], "parcels" in saved) == (HIDDEN, False)


def test_a_cleared_task_with_a_new_transform_pays_nothing(emulator: Emulator, wav, files: Memory, run_task, rules):
    """What lies there is transformed, though the service does not know the job any more."""

    def attempt(**options: Any) -> Any:
        made = {"audio_path": str(wav), "model": ASYNC, "formats": FORMATS, **files.arguments}
        return run_task(lambda: operator(**made, output_options=options), files.context())

    attempt()
    emulator.fail("/transcribe/status", status=404)
    attempt(transform=rules(HIDE))
    written = [path.read_text() for path in files.folder.rglob("*") if path.is_file()]
    assert len(written) == len(FORMATS) + 1
    assert not any("parcels" in text for text in written)
    assert len(emulator.charges) == 1


# A batch


@pytest.mark.parametrize("model", [ASYNC, SYNC])
def test_a_batch_leaves_nothing_that_is_hidden(batch: Batch, rules, model):  # noqa: F811
    """In no file of the folder: results in every format, manifest, chunks, records, and what was handed over."""
    names = [batch.recording(f"call-{number}.wav", text=f"Call {number}: {TEXT}") for number in range(3)]
    seen: list[int] = []
    batch.before_resume = lambda: seen.append(len(batch.answers))
    batch.run(
        names,
        model=model,
        formats=FORMATS if model == ASYNC else ("txt", "srt", "vtt", "html", "md", "chunks"),
        manifest_formats=("jsonl", "csv"),
        tables="chunks",
        output_options={"transform": rules(HIDE), "estimated_captions": True, "review_below": 0.9},
    )
    assert seen == ([3] if model == ASYNC else [])
    assert batch.texts == [f"Call {number}: {HIDDEN}" for number in range(3)]
    assert "parcels" not in batch.everything_written()


def test_tables_xcom_and_lineage_of_a_batch_are_transformed(batch: Batch, rules):  # noqa: F811
    """Rows made of the answers, and rows made of the files after another try, have the new texts and no other."""
    parquet, serde = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("openlineage.client.serde")
    pytest.importorskip("airflow.providers.openlineage")
    name = batch.recording("call.wav", text=TEXT)
    for _ in range(2):
        task = batch.make([name], tables=("segments", "words"), output_options={"transform": rules(HIDE)})
        result = batch.run_task(lambda task=task: task, batch.memory.context())
        tables = {table: parquet.read_table(uri).to_pylist() for table, uri in result["tables"].items()}
        assert "[GOODS]" in " ".join(row["text"] for row in tables["segments"])
        assert "[GOODS]" in " ".join(row["word"] for row in tables["words"])
        facets = serde.Serde.to_json(task.get_openlineage_facets_on_complete(None))
        assert "segments/day=" in facets
        assert "parcels" not in json.dumps([tables, result]) + facets
    assert len(batch.emulator.charges) == 1


def test_a_later_run_transforms_what_it_skips(batch: Batch, rules):  # noqa: F811
    """The files of an earlier run, in every format, its answer and its record; nothing is paid for."""
    name, how = batch.recording("call.wav", text=TEXT), {"formats": FORMATS, "skip_existing": True}
    batch.run([name], {"run_id": "manual__1"}, **how)
    assert "parcels" in batch.everything_written()
    batch.run([name], {"run_id": "manual__2"}, **how, output_options={"transform": rules(HIDE)})
    assert (batch.statuses, batch.texts) == (["skipped"], [HIDDEN])
    assert "parcels" not in batch.everything_written()
    assert len(batch.emulator.charges) == 1


def test_an_item_whose_transform_fails_stops_no_other(batch: Batch, rules):  # noqa: F811
    """Its row says why, without its text; a retry after the function was mended writes it, and pays nothing."""
    names = [batch.recording(f"call-{number}.wav", text=f"Call {number}: {TEXT}") for number in range(3)]
    with pytest.raises(errors.BatchIncomplete):
        batch.run(names, output_options={"transform": rules('assert "Call 1" not in text\n    ' + HIDE)})
    assert batch.statuses == ["written", "failed", "written"]
    row = batch.rows[1]
    assert (row["error_type"], row["retry"]) == ("TransformFailed", True)
    assert "parcels" not in row["error"]
    assert batch.run(names, output_options={"transform": rules(HIDE)})["written"] == 3
    assert batch.texts[1] == f"Call 1: {HIDDEN}"
    assert len(batch.emulator.charges) == 3


def test_an_item_cannot_name_a_function(batch: Batch):  # noqa: F811
    """A list of recordings may come from anywhere; the function is the DAG author's."""
    with pytest.raises(AirflowFailException, match="has transform; an item may have"):
        batch.run([{"audio": batch.recording("call.wav"), "transform": "os.system"}])
    assert not batch.emulator.charges


def test_a_checkpoint_cannot_name_a_function(batch: Batch, rules, tmp_path):  # noqa: F811
    """Nor switch the author's off: whoever writes into the output folder has no say in what runs, or is hidden."""
    forged = {"transform": "os.mkdir", "keep_raw": True, "formats": ["json"], "review_below": 1.0}

    def forge() -> None:
        (checkpoint,) = (batch.memory.folder / ".nanostt").glob("*.batch.jsonl")
        lines = [json.loads(line) for line in checkpoint.read_text().splitlines()]
        assert lines
        checkpoint.write_text("\n".join(json.dumps({**one, "writing": {**one["writing"], **forged}}) for one in lines))

    batch.before_resume = forge
    name = str(tmp_path / "made by a forged record")
    batch.run([batch.recording("call.wav", text=name)], formats="txt", output_options={"transform": rules(HIDE)})
    assert not Path(name).exists()
    (row,) = batch.rows
    document = json.loads(Path(row["files"]["json"]).read_bytes())
    assert (document["transform"], document["raw"], sorted(row["files"])) == ("house_rules.redact", {}, ["json", "txt"])
