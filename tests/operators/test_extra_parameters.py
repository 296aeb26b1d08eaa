"""Fields of a request that a user adds: they arrive, they make another job, and nothing that Airflow keeps has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.decorators import transcribe_task
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import Memory

NAME = "Kowalska-Levandowska"
EXTRA = {"keyterms": [NAME, "{{ params.drug }}"], "filler_words": "{{ params.fillers }}"}
PARAMS = {"params": {"drug": "metoprolol", "fillers": "yes"}}


def operator(**arguments: Any) -> TranscribeOperator:
    given = {"model": "Elevenlabs-STT", "poll_interval": 0.03, "extra_parameters": EXTRA, **arguments}
    made = TranscribeOperator(task_id="transcribe", **given)
    made.render_template_fields(PARAMS)
    return made


def sent(emulator: Emulator) -> list[Any]:
    return [request.fields.get("keyterms") for request in emulator.requests if request.endpoint == "/transcribe"]


def test_they_arrive_in_a_form_and_in_json(emulator: Emulator, wav):
    """An upload is a form, in which a list is JSON; an address is sent as JSON."""
    emulator.script("*", text="Hello.", duration=1.0)
    operator(audio=str(wav)).execute({})
    operator(audio_url="https://recordings.example/a.wav").execute({})
    form, plain = sent(emulator)
    assert json.loads(form) == plain == [NAME, "metoprolol"]
    assert emulator.requests[-1].fields.get("filler_words") is None
    assert [r.fields["filler_words"] for r in emulator.requests if r.endpoint == "/transcribe"] == ["yes", "yes"]


@pytest.mark.parametrize("kind", ["batch", "decorator", "hook"])
def test_every_way_of_transcribing_has_them(emulator: Emulator, wav, tmp_path, kind):
    """A batch for all of its recordings, a function that returns one, and a script."""
    given = {"model": "Elevenlabs-STT", "extra_parameters": {"keyterms": [NAME]}, "poll_interval": 0.03}
    context = Memory("files", tmp_path / "out").context()
    if kind == "batch":
        made = TranscribeBatchOperator(task_id="b", audio=[str(wav)], output_path=str(tmp_path / "out"), **given)
        made.execute(context)
    elif kind == "decorator":
        transcribe_task(lambda: str(wav), task_id="t", **given)().operator.execute(context)
    else:
        NanoGPTHook().transcribe(audio=wav, **given)
    assert [json.loads(value) for value in sent(emulator)] == [[NAME]]


def test_other_values_are_another_job(emulator: Emulator, wav, files: Memory, run_task):
    """The same ones find what is paid for."""
    for names in ([NAME], [NAME], ["Nowak"]):
        run_task(
            lambda names=names: operator(audio=str(wav), extra_parameters={"keyterms": names}, **files.arguments),
            files.context(),
        )
    assert len(emulator.charges) == 2


@pytest.mark.parametrize("given", [EXTRA, json.dumps(EXTRA)])
def test_rendered_fields_have_the_names_of_the_fields_only(given):
    """Airflow stores what a template was rendered to, and shows it to whoever may read the DAG."""
    try:
        from airflow.sdk.execution_time.task_runner import _serialize_template_field as stored
    except ImportError:
        from airflow.serialization.helpers import serialize_template_field as stored

    made = operator(audio="a.wav", extra_parameters=given)
    shown = {name: stored(getattr(made, name), name) for name in made.template_fields}
    assert shown["extra_parameters"] == "keyterms, filler_words (not shown)"
    assert NAME not in json.dumps(shown)
    assert "metoprolol" not in json.dumps(shown)
    made.render_template_fields(PARAMS)  # as a resume does
    assert NAME not in str(made.extra_parameters)


def test_nothing_that_is_kept_has_a_value(emulator: Emulator, wav, tmp_path, run_task, logged):
    """Log, result, record and every file beside it; only the service has been told."""
    memory, seen = Memory("files", tmp_path / "out"), []
    emulator.set_model("Elevenlabs-STT", mode="async")
    result = run_task(
        lambda: operator(audio=str(wav), **memory.arguments),
        memory.context(),
        before_resume=lambda: seen.append(True),
    )
    kept = [json.dumps(result, default=str), *logged()]
    kept += [file.read_text() for file in Path(memory.folder).rglob("*") if file.is_file()]
    assert json.loads(sent(emulator)[0]) == [NAME, "metoprolol"]
    assert [text for text in kept if NAME in text or "metoprolol" in text] == []


def test_a_trigger_has_no_value(emulator: Emulator, wav):
    """Airflow stores its arguments as they are."""
    emulator.set_model("Elevenlabs-STT", mode="async")
    with pytest.raises(BaseException) as deferred:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        operator(audio=str(wav), deferrable=True, max_worker_wait=0).execute({})
    trigger = deferred.value.trigger
    stored = json.dumps(trigger.serialize())
    assert "run_id" in stored
    assert NAME not in stored


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_job_that_fails_shows_no_value(emulator: Emulator, wav, files: Memory, run_task, logged, kind, deferrable):
    """Whoever has waited for it, the service's reason is not in log, event, error, manifest or record."""
    emulator.script("note.wav", status="failed", error=f"keyterms: {NAME} is too long", duration=12.0)
    given = {"model": "Elevenlabs-STT", "poll_interval": 0.03, "max_worker_wait": 0, "deferrable": deferrable}
    given |= {"extra_parameters": {"keyterms": [NAME]}, "output_path": str(files.folder)}

    def make() -> Any:
        if kind == "batch":
            return TranscribeBatchOperator(task_id="transcribe", audio=[str(wav)], **given)
        return TranscribeOperator(task_id="transcribe", audio=str(wav), **given)

    with pytest.raises(Exception, match="may repeat values of extra_parameters") as caught:
        run_task(make, files.context())
    kept = [str(caught.value), *logged()]
    kept += [file.read_text() for file in files.folder.rglob("*") if file.is_file()]
    assert [text for text in kept if NAME in text] == []


def test_a_refusal_shows_no_value(emulator: Emulator, wav, logged):
    """Where the service repeats it in its message, and where the value itself cannot be sent."""
    emulator.fail("/transcribe", status=400, message=f"keyterms: {NAME} is not a word")
    with pytest.raises(AirflowFailException, match=r"keyterms: \*\*\* is not a word") as caught:
        operator(audio=str(wav)).execute({})
    assert NAME not in "".join([str(caught.value), *logged()])
    with pytest.raises(AirflowFailException, match="'keyterms' has the type set") as caught:
        TranscribeOperator(task_id="t", audio=str(wav), extra_parameters={"keyterms": {NAME}}).execute({})
    assert NAME not in str(caught.value)
    assert emulator.charges == []


def test_a_field_of_ours_is_refused_before_anything_is_sent(emulator: Emulator, wav):
    """Whatever its spelling."""
    with pytest.raises(AirflowFailException, match="'Audio_URL', which is set by an argument of its own"):
        TranscribeOperator(task_id="t", audio=str(wav), extra_parameters={"Audio_URL": "x"}).execute({})
    assert not any(request.endpoint == "/transcribe" for request in emulator.requests)
