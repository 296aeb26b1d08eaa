"""A parameter that was not filled in: every argument that is nothing has its default, whichever way it came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import TEXT, Memory

ASYNC = "Elevenlabs-STT"
RECORDING = {"audio", "audio_path", "audio_url"}
SINGLE = sorted({*TranscribeOperator.template_fields} - RECORDING - {"output_path"})
BATCH = sorted({*TranscribeBatchOperator.template_fields} - RECORDING - {"output_path"})
NOTHING = [None, "None", "null", "{{ params.nothing }}", "{{ params.nothing | tojson }}"]


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


def outcome(emulator: Emulator, kind: Any, arguments: dict[str, Any], run_task: Any, files: Memory) -> tuple[Any, Any]:
    """What a task has sent, and what it returns apart from names of its own."""
    before = len(emulator.requests)
    made = kind(task_id="t", **arguments)
    made.render_template_fields({"params": {"nothing": None}})
    result = run_task(lambda: made, files.context(run_id=f"run {before}"))
    sent = [request.fields for request in emulator.requests[before:] if request.endpoint == "/transcribe"]
    kept = {name: value for name, value in result.items() if name not in ("run_id", "files", "manifest")}
    return sent, (kept, sorted(result.get("files", {})), sorted(result.get("manifest", {})))


@pytest.mark.parametrize("nothing", NOTHING, ids=str)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((TranscribeOperator, name) for name in SINGLE),
        *((TranscribeBatchOperator, name) for name in BATCH if name not in SINGLE),
    ],
)
def test_nothing_is_the_default(emulator: Emulator, files: Memory, wav, run_task, tmp_path, kind, name, nothing):
    """The same is sent, charged and returned as without the argument; no file is called None."""
    audio = str(wav) if kind is TranscribeOperator else [str(wav)]
    given = {"audio": audio, "output_path": str(tmp_path / "a"), "deferrable": False}
    without = outcome(emulator, kind, given, run_task, files)
    left_out = {**given, "output_path": str(tmp_path / "b"), name: nothing}
    assert outcome(emulator, kind, left_out, run_task, files) == without
    assert not [path for path in (tmp_path / "b").rglob("*") if "none" in path.name.lower() or "null" in path.name]


@pytest.mark.parametrize("nothing", NOTHING, ids=str)
@pytest.mark.parametrize("kind", [TranscribeOperator, TranscribeBatchOperator])
def test_a_trigger_asks_by_the_connection_that_has_submitted(
    files: Memory, wav, run_task, tmp_path, kind, nothing, emulator, no_pauses
):
    """Where that is the default, since none was named, the wait has it as well."""
    audio = str(wav) if kind is TranscribeOperator else [str(wav)]
    made = kind(
        task_id="t", audio=audio, output_path=str(tmp_path), deferrable=True, max_worker_wait=0, poll_interval=0.05,
        model=ASYNC, nanogpt_conn_id=nothing,
    )  # fmt: skip
    made.render_template_fields({"params": {"nothing": None}})
    run_task(lambda: made, files.context())
    assert (tmp_path / "note.json").exists()


@pytest.mark.parametrize("name", ["model", "language"])
def test_an_empty_text_that_matters_is_a_mistake(emulator: Emulator, wav, name):
    """A model or language that is empty is refused by name: nobody meant the default by it."""
    with pytest.raises(AirflowFailException, match=f"{name} is empty"):
        TranscribeOperator(task_id="t", audio=str(wav), **{name: ""}).execute({})
    assert not emulator.charges


@pytest.mark.parametrize("name", ["timeout", "poll_interval", "max_worker_wait"])
@pytest.mark.parametrize("value", [timedelta.max, timedelta(days=3_652_500), 1e300, "1e18"], ids=str)
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_time_that_cannot_be_kept_is_refused_before_the_submit(emulator: Emulator, wav, name, value, deferrable):
    """Nothing is charged for a wait that could not be held afterwards."""
    with pytest.raises(AirflowFailException, match=f"{name} must be at most"):
        TranscribeOperator(task_id="t", audio=str(wav), deferrable=deferrable, **{name: value}).execute({})
    assert not emulator.charges


def test_an_item_that_says_nothing_takes_what_the_operator_says(emulator: Emulator, wav, run_task, files, tmp_path):
    """The same for what an item of a batch says for itself."""
    emulator.script("note.wav", text=TEXT, duration=5.0)
    item = {"audio": str(wav), "model": "None", "language": None, "diarize": "null", "name": ""}
    made = TranscribeBatchOperator(task_id="t", audio=[item], output_path=str(tmp_path), model=ASYNC, poll_interval=0.1)
    assert run_task(lambda: made, files.context())["written"] == 1
    (sent,) = (request.fields for request in emulator.requests if request.endpoint == "/transcribe")
    assert sent["model"] == ASYNC
    assert (tmp_path / "note.json").exists()
