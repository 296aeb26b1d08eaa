"""What is paid for is not lost over how it is to be written: too large, other formats, other names, a mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor
from tests.conftest import TEXT, Memory

ASYNC = "Elevenlabs-STT"

pytestmark = pytest.mark.airflow


@pytest.fixture(autouse=True)
def at_once(no_pauses):
    """No pauses in this module."""


@pytest.fixture
def state(tmp_path: Path) -> Memory:
    """Remember in the task's state, as without output on Airflow 3.3."""
    return Memory("task state", tmp_path / "results")


def operator(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", **{"poll_interval": 0.1, **arguments})


@pytest.mark.parametrize("model", [ASYNC, "Whisper-Large-V3"])
def test_a_transcript_too_large_for_xcom_waits_for_a_folder(emulator: Emulator, wav, state: Memory, run_task, model):
    """The task fails without retry; with output it gets what is paid for, from a job and from an answer at once."""

    def attempt(**more):
        return run_task(lambda: operator(audio_path=str(wav), model=model, **more), state.context())

    with pytest.raises(AirflowFailException, match="xcom_limit allows 20 in XCom") as caught:
        attempt(output_options={"xcom_limit": 20})
    assert isinstance(caught.value.error, errors.ResultTooLarge)
    assert "clear the task, and it is written there without paying again" in str(caught.value)
    assert state.record["state"] == ("submitted" if model == ASYNC else "answered")
    result = attempt(output_path=str(state.folder), formats=("txt",))
    assert TEXT in " ".join(Path(result["files"]["txt"]).read_text().split())
    assert len(emulator.charges) == 1


def test_what_nothing_remembers_is_kept_on_the_worker(emulator: Emulator, wav, tmp_path, monkeypatch):
    """An answer that came at once, without a ledger: it is nowhere else, so it goes into a file that is named."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(AirflowFailException) as caught:
        operator(audio_path=str(wav), output_options={"xcom_limit": 20}).execute({})
    path = re.search(r"it is in (\S+) on this machine", str(caught.value))
    assert path is not None
    assert json.loads(Path(path[1]).read_bytes())["text"] == TEXT
    assert Path(path[1]).stat().st_mode & 0o077 == 0


def test_a_job_that_nothing_remembers_can_be_picked_up(emulator: Emulator, wav):
    """The message has the line that fetches it."""
    with pytest.raises(AirflowFailException, match=r"To fetch it later: NanoGPTHook\("):
        operator(audio_path=str(wav), model=ASYNC, output_options={"xcom_limit": 20}).execute({})


def test_all_text_formats_of_a_call(emulator: Emulator, wav, files: Memory, run_task):
    """What the operator is asked for is what lies there, with the names that the speakers were given."""
    result = run_task(
        lambda: operator(
            audio_path=str(wav),
            model=ASYNC,
            diarize=True,
            deferrable=True,
            output_path=str(files.folder),
            formats=("json", "txt", "srt", "vtt"),
            output_options={"speaker_names": {"Speaker 1": "Agent"}, "captions": {"max_lines": 1}},
            filename="{name}-{language}",
        ),
        files.context(),
    )
    assert result["files"] == {name: str(files.folder / f"note-en.{name}") for name in ("json", "txt", "srt", "vtt")}
    assert result["speakers"] == ["Agent"]
    assert Path(result["files"]["txt"]).read_text() == f"Agent: {TEXT}\n"
    assert "\nAgent: Good\n" in Path(result["files"]["srt"]).read_text()
    assert "<v Agent>" in Path(result["files"]["vtt"]).read_text()
    assert "Speaker 1" not in json.loads(Path(result["files"]["json"]).read_text())["text"]


@pytest.mark.parametrize("model", [ASYNC, "Whisper-Large-V3"])
def test_a_cleared_task_with_other_wishes_pays_nothing(emulator: Emulator, wav, files: Memory, run_task, model):
    """Formats and names may change after the fact; the files are written once more, from what is there."""

    def attempt(**more):
        made = lambda: operator(audio_path=str(wav), model=model, output_path=str(files.folder), **more)  # noqa: E731
        return run_task(made, files.context())

    first = attempt()
    emulator.fail("/transcribe/status", status=404)
    second = attempt(
        formats="txt,srt",
        output_options={"estimated_captions": "true", "speaker_names": '{"Speaker 1": "Agent"}'},
    )
    assert sorted(second["files"]) == ["json", "srt", "txt"]
    assert second["cost_usd"] == first["cost_usd"]
    assert attempt() == first
    assert sorted(file.name for file in files.folder.iterdir()) == [".nanostt", "note.json"]
    assert len(emulator.charges) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"formats": ("json", "docx")}, "unknown format 'docx'"),
        ({"formats": ("srt",)}, "'Whisper-Large-V3' gives no times"),
        ({"filename": "{day}"}, "unknown field {day}"),
        ({"output_options": {"captions": {"lines": 2}}}, "unknown rule 'lines'"),
        ({"output_options": {"captions": [2]}}, "captions must be a mapping, got list"),
        ({"output_options": {"speaker_names": "Agent"}}, "speaker_names is neither a mapping nor JSON"),
        ({"output_options": {"estimated_captions": "perhaps"}}, "estimated_captions must be true or false"),
        ({"output_options": {"xcom_limit": "much"}}, "xcom_limit must be a whole number from 0"),
        (
            {"output_options": {"review_below": "often"}},
            "review_below must be a confidence above 0 and up to 1, got 'o",
        ),
        ({"output_options": {"review_below": 60}}, "review_below must be a confidence above 0 and up to 1, got 60"),
        ({"output_options": {"review_below": 0}}, "review_below must be a confidence above 0 and up to 1, got 0"),
        ({"output_options": {"transform": "no_such.redact"}}, "transform='no_such.redact' cannot be imported"),
        ({"output_options": {"transform": "math.pi"}}, "transform='math.pi' must be a function from text to text"),
        ({"output_options": {"keep_raw": "perhaps"}}, "keep_raw must be true or false"),
    ],
)
def test_mistakes_are_told_before_anything_is_paid_for(emulator: Emulator, wav, arguments, words):
    """The task fails without retry and without a request."""
    with pytest.raises(AirflowFailException, match=re.escape(words)):
        operator(audio_path=str(wav), **arguments).execute({})
    assert not emulator.charges
    if arguments.keys() != {"formats"} or "docx" in arguments["formats"]:
        job = {"run_id": "r", "model": "m"}
        with pytest.raises(AirflowFailException, match=re.escape(words)):
            TranscriptionSensor(task_id="wait", job=job, **arguments).poke({})


def test_captions_of_a_new_model_without_times_are_not_lost(emulator: Emulator, wav, files: Memory, monkeypatch):
    """Only the answer tells that there are no times; the transcript waits for estimated_captions."""
    monkeypatch.delitem(KNOWN_MODELS, "Wizper")  # the service knows it, and does not say what it can do
    emulator.set_model("Wizper", entry={"capabilities": {}, "supported_parameters": []})

    def attempt(**more):
        made = operator(audio_path=str(wav), model="Wizper", output_path=str(files.folder), formats=("vtt",), **more)
        return made.execute(files.context())

    with pytest.raises(AirflowFailException, match="estimated_captions=True"):
        attempt()
    result = attempt(output_options={"estimated_captions": True})
    assert "NOTE The times in this file are estimated" in Path(result["files"]["vtt"]).read_text()
    assert len(emulator.charges) == 1


def test_the_sensor_writes_the_same_files(emulator: Emulator, wav, tmp_path):
    """What the operator can write, the sensor can."""
    ticket = operator(audio_path=str(wav), model=ASYNC, wait_for_completion=False).execute({})
    found = TranscriptionSensor(
        task_id="wait",
        job=ticket,
        output_path=str(tmp_path / "results"),
        formats=("txt", "srt"),
        filename="call",
        poke_interval=0.1,
        timeout=30.0,
    ).execute({"ti": None})
    assert found["files"] == {name: str(tmp_path / "results" / f"call.{name}") for name in ("json", "txt", "srt")}


def test_templates_are_rendered_into_names_and_formats():
    """A pattern's braces are not those of a template."""
    made = operator(
        formats="{{ params.formats }}",
        filename="{{ ds }}-{name}",
        output_options={"speaker_names": {"Speaker 1": "{{ params.who }}"}},
    )
    made.render_template_fields({"params": {"formats": "txt", "who": "Agent"}, "ds": "2026-07-01"})
    assert (made.formats, made.filename) == ("txt", "2026-07-01-{name}")
    assert made.output_options == {"speaker_names": {"Speaker 1": "Agent"}}
