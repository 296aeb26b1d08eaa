"""What a DAG author writes, from submit to result, and how each failure reads."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.polling import duration_model
from tests.conftest import AUDIO, TEXT
from tests.outside import masked

ASYNC = "Elevenlabs-STT"


def operator(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", **{"poll_interval": 0.03, **arguments})


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_asynchronous_job_becomes_a_plain_dict(emulator: Emulator, wav, run_task, deferrable):
    """Both ways of waiting end in the same dict, paid for once."""
    result = run_task(lambda: operator(audio_path=str(wav), model=ASYNC, diarize=True, deferrable=deferrable))
    assert json.loads(json.dumps(result)) == result
    assert TEXT in result["transcription"]
    assert result["segments"][0].keys() == {"speaker", "start", "end", "text", "confidence"}
    assert result["segments"][0]["speaker"] == "Speaker 1"
    assert result["metadata"]["chargedDuration"] == result["charged_minutes"]
    (charge,) = emulator.charges
    assert result["run_id"] == charge.run_id
    assert result["cost_usd"] == pytest.approx(charge.cost)
    assert (result["model"], result["language"]) == (ASYNC, "en")
    assert "words" not in json.dumps(result)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_synchronous_answer_needs_no_deferral(emulator: Emulator, wav, deferrable):
    """What the service answers at once is the result at once."""
    result = operator(audio_path=str(wav), deferrable=deferrable).execute({})
    assert result["transcription"] == TEXT
    assert result["segments"] == []
    assert result["run_id"] is None
    assert len(emulator.charges) == 1


def test_real_speech_with_two_speakers(monkeypatch, run_task):
    """A stereo call comes back as its two speakers, in turn, by real recognition."""
    pytest.importorskip("pocketsphinx")
    with Emulator(speed=50.0) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        result = run_task(
            lambda: operator(audio_path=str(AUDIO / "delivery-call.wav"), model=ASYNC, diarize=True, deferrable=True)
        )
    assert [segment["speaker"] for segment in result["segments"]] == ["Speaker 1", "Speaker 2"] * 2
    assert "delivery service" in result["segments"][0]["text"].lower()


def test_a_url_is_fetched_by_the_service(emulator: Emulator, run_task):
    """The address goes to the service as it is."""
    url = "https://example.com/calls/note.mp3"
    result = run_task(lambda: operator(audio_url=url, model=ASYNC, deferrable=True))
    assert TEXT in result["transcription"]
    assert emulator.charges[0].source == url


def test_options_reach_the_service(emulator: Emulator, wav, run_task):
    """Language, speakers, events and duration are sent as they were given, templates rendered to text included."""
    run_task(
        lambda: operator(
            audio_path=str(wav),
            model=ASYNC,
            language="de",
            diarize="True",
            tag_audio_events="false",
            actual_duration="1.5",
            timeout="60",
            poll_interval="0.1",
        )
    )
    (fields,) = (request.fields for request in emulator.requests if request.endpoint == "/transcribe")
    sent = {name: fields[name] for name in ("model", "language", "diarize", "tagAudioEvents", "actualDuration")}
    assert sent == {
        "model": ASYNC,
        "language": "de",
        "diarize": "true",
        "tagAudioEvents": "false",
        "actualDuration": "1.5",
    }


def test_templates_are_rendered_and_checked_only_when_the_task_runs(emulator: Emulator, wav):
    """What is templated may look wrong until it is rendered."""
    made = operator(audio_path="{{ params.folder }}/note.wav", model="{{ params.model }}", diarize="{{ params.who }}")
    made.render_template_fields({"params": {"folder": str(wav.parent), "model": ASYNC, "who": True}})
    assert (made.audio_path, made.model, made.diarize) == (str(wav), ASYNC, "True")
    assert set(TranscribeOperator.template_fields) >= {
        "audio_path",
        "audio_url",
        "model",
        "language",
        "actual_duration",
    }


@pytest.mark.parametrize("option", ["diarize", "tag_audio_events"])
def test_what_the_model_cannot_do_is_refused_by_the_catalogue(emulator: Emulator, option):
    """Only the catalogue is asked for, which may know better than the built-in table; nothing is submitted."""
    with pytest.raises(AirflowFailException, match=f"{option}=True does not work with"):
        operator(audio_url="https://example.com/a.mp3", **{option: True}).execute({})
    assert [request.endpoint for request in emulator.requests] == ["/v1/audio-models"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "exactly one of audio, audio_path and audio_url"),
        ({"audio_path": "a.mp3", "audio_url": "https://example.com/a.mp3"}, "exactly one of"),
        ({"audio_path": "", "audio_url": "None"}, "exactly one of"),
        ({"audio_path": "/nowhere/a.mp3"}, "does not exist"),
        ({"audio_url": "s3://bucket/a.mp3"}, "not an http"),
        ({"audio_url": "https://example.com/a.mp3", "model": "qwen-voice-clone"}, "clones voices"),
        ({"audio_url": "https://example.com/a.mp3", "diarize": "perhaps"}, "diarize must be true or false"),
        (
            {"audio_url": "https://example.com/a.mp3", "actual_duration": "long"},
            "actual_duration must be a positive number of minutes",
        ),
        ({"audio_url": "https://example.com/a.mp3", "actual_duration": -1}, "must be a positive number of minutes"),
        (
            {"audio_url": "https://example.com/a.mp3", "timeout": 0},
            "timeout must be a positive number of seconds, got 0",
        ),
        ({"audio_url": "https://example.com/a.mp3", "poll_interval": "often"}, "poll_interval must be .* got 'often'"),
        ({"audio_url": "https://example.com/a.mp3", "language": " "}, "language is empty"),
        ({"audio_url": "https://example.com/a.mp3", "model": ""}, "model is empty"),
        ({"audio_url": "https://example.com/a.mp3", "force": "perhaps"}, "force must be true or false, got 'perhaps'"),
        ({"audio_url": "https://example.com/a.mp3", "output_path": "results"}, "relative path"),
        *(
            ({"audio_url": "https://example.com/a.mp3", group: options}, words)
            for group, options, words in (
                ("recovery_policy", {"on_changed_input": "pay"}, "one of submit, fail"),
                ("recovery_policy", {"on_ambiguous_submit": "yes"}, "one of fail, resubmit"),
                ("recovery_policy", {"on_lost_job": "again"}, "one of fail, submit"),
                ("recovery_policy", {"on_lost": "fail"}, "recovery_policy has no 'on_lost'; its fields are on_changed"),
                ("recovery_policy", ["fail"], "recovery_policy must be a mapping, got list"),
                ("cost_limits", {"unknown_length": "guess"}, "one of worst, fail, allow; got 'guess'"),
                (
                    "cost_limits",
                    {"check_balance_above": "much"},
                    "check_balance_above must be a non-negative number of USD",
                ),
                ("audio_preparation", {"oversize": "shrink"}, "'shrink'"),
                ("audio_preparation", {"codec": "wma"}, "'wma'"),
                ("audio_preparation", {"presign_for": "long"}, "presign_for must be a non-negative number of seconds"),
                ("output_options", {"xcom_limit": "little"}, "xcom_limit must be a whole number from 0"),
                ("output_options", {"captions": {"width": 3}}, "width"),
                ("output_options", "{", "output_options is neither a mapping nor JSON"),
            )
        ),
    ],
)
def test_bad_input_fails_for_good_before_any_request(emulator: Emulator, arguments, words):
    """A retry cannot fix it, so it fails at once with the value and the remedy, and nothing is sent."""
    with pytest.raises(AirflowFailException, match=words) as caught:
        operator(**arguments).execute({})
    assert isinstance(caught.value.error, errors.InvalidInput)
    assert list(emulator.requests) == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.AuthError),
        (403, errors.AuthError),
        (402, errors.PaymentRequired),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.PayloadTooLarge),
        (500, errors.AmbiguousSubmit),
        (502, errors.AmbiguousSubmit),
        (504, errors.AmbiguousSubmit),
        (408, errors.AmbiguousSubmit),
    ],
)
def test_a_failure_that_a_retry_cannot_fix_is_final(emulator: Emulator, wav, status, kind):
    """The service's no, and an answer that leaves the charge open, end the task without a retry, after one submit."""
    emulator.fail("/transcribe", status=status, times=100, message="for a reason")
    with pytest.raises(AirflowFailException, match="for a reason") as caught:
        operator(audio_path=str(wav), model=ASYNC).execute({})
    assert isinstance(caught.value.error, kind)
    assert sum(request.endpoint == "/transcribe" for request in emulator.requests) == 1


@pytest.mark.parametrize("kind", ["reset", "broken_json", "html", "empty"])
def test_an_answer_lost_after_the_charge_is_not_submitted_again(emulator: Emulator, wav, kind):
    """One charge and a failure that says so, however the answer was lost."""
    emulator.fail("/transcribe", kind=kind, after_charge=True)
    with pytest.raises(AirflowFailException):
        operator(audio_path=str(wav), model=ASYNC).execute({})
    assert len(emulator.charges) == 1


def test_trouble_at_the_door_is_waited_out(emulator: Emulator, wav, run_task):
    """429 and 503 on a submit mean that nothing was charged, so it is sent again."""
    emulator.fail("/transcribe", status=429, retry_after=0)
    emulator.fail("/transcribe", status=503)
    result = run_task(lambda: operator(audio_path=str(wav), model=ASYNC, deferrable=True))
    assert TEXT in result["transcription"]
    assert len(emulator.charges) == 1


def test_a_day_limit_fails_with_the_time_of_its_end(emulator: Emulator, wav):
    """Nothing sleeps for hours; the task fails, open to a retry, and says when the limit ends."""
    emulator.fail("/transcribe", status=429, envelope="error_object", code="daily_usd_limit_exceeded", retry_after=7200)
    with pytest.raises(errors.DailyLimitReached, match=r"resets at 20\d\d-"):
        operator(audio_path=str(wav), model=ASYNC).execute({})
    assert emulator.charges == []


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_that_fails_at_the_service_says_why(emulator: Emulator, wav, run_task, deferrable):
    """Run, model, money and the service's reason are in the message, whichever way was waited."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    with pytest.raises(AirflowFailException, match="no speech was found") as caught:
        run_task(lambda: operator(audio_path=str(wav), model=ASYNC, deferrable=deferrable))
    assert isinstance(caught.value.error, errors.TranscriptionFailed)
    assert emulator.charges[0].run_id in str(caught.value)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_deadline_that_passes_names_the_way_back(monkeypatch, wav, run_task, deferrable):
    """Run, last status, cost and the line that picks the job up are in the message."""
    with Emulator(processing_seconds=60.0) as emulator:
        emulator.script("note.wav", text=TEXT, duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        with pytest.raises(AirflowFailException) as caught:
            run_task(
                lambda: operator(
                    audio_path=str(wav), model=ASYNC, deferrable=deferrable, timeout=timedelta(seconds=0.3)
                )
            )
        run_id = emulator.charges[0].run_id
    assert isinstance(caught.value.error, errors.TranscriptionTimeout)
    for word in (run_id, "$0.015", "wait(Job.from_json("):
        assert word in str(caught.value)


def test_an_event_nobody_can_read_fails_closed(emulator: Emulator):
    """An event of another shape is a failure that speaks of the money, never a success."""
    with pytest.raises(AirflowFailException, match="stays paid for"):
        operator(audio_url="https://example.com/a.mp3").execute_complete({}, event={"status": "success"})


def test_the_key_and_the_text_stay_out_of_log_and_trigger(emulator: Emulator, wav, run_task, logged):
    """The log tells run, model, minutes and cost, and neither the key nor a word that was spoken."""
    result = run_task(lambda: operator(audio_path=str(wav), model=ASYNC, deferrable=True))
    log = "\n".join(logged())
    for word in (result["run_id"], ASYNC, "minutes charged", "$0.015"):
        assert word in log
    assert emulator.api_key not in log
    assert TEXT not in log


def test_an_unknown_model_is_left_to_the_service(emulator: Emulator, wav):
    """The live list of models is longer than any table, so the service decides."""
    with pytest.raises(AirflowFailException) as caught:
        operator(audio_path=str(wav), model="brand-new-stt").execute({})
    assert isinstance(caught.value.error, errors.BadRequest)


def test_killing_a_task_destroys_nothing(emulator: Emulator, logged):
    """There is no way to cancel a job, and the log says that it is still billed."""
    operator(audio_url="https://example.com/a.mp3").on_kill()
    assert list(emulator.requests) == []
    assert any("cannot be cancelled and is still billed" in line for line in logged())


def test_the_signature_of_a_rendered_address_is_masked():
    """Airflow stores and logs rendered fields, so what signs an address is a secret from then on."""
    made = operator(audio_url="https://me:open-sesame@example.com/a.mp3?id=7&sig={{ params.secret }}")
    made.render_template_fields({"params": {"secret": "single%2Bsignature"}})
    assert "single%2Bsignature" in made.audio_url
    assert masked(f"asked for {made.audio_url}") == "asked for https:***example.com/a.mp3?***"
    assert masked("decoded: single+signature") == "decoded: ***"


def test_the_signature_of_the_address_for_the_page_is_masked():
    """The page has it as it is; Airflow's database and the log do not."""
    made = operator(
        audio="call.wav",
        output_options={"page_audio_url": "https://example.com/a.mp3?X-Amz-Signature={{ params.secret }}"},
    )
    made.render_template_fields({"params": {"secret": "for-the-page-only"}})
    assert (
        masked(f"rendered {made.output_options['page_audio_url']}")
        == "rendered https://example.com/a.mp3?X-Amz-Signature=***"
    )


def test_the_signatures_of_a_mapped_task_are_masked():
    """Each of its addresses, when its turn comes."""
    pendulum = pytest.importorskip("pendulum")
    urls = [f"https://example.com/{name}.mp3?X-Amz-Signature={name}-mapped-signature" for name in "ab"]
    with dag_class()(dag_id="mapped", schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
        task = TranscribeOperator.partial(task_id="each").expand(audio_url=urls)
    ti = SimpleNamespace(dag_id="mapped", task_id="each", run_id="r", map_index=1, task=task)
    run = SimpleNamespace(conf={})
    context = {"ti": ti, "task_instance": ti, "task": task, "params": {}, "run_id": "r", "dag": dag, "dag_run": run}
    task.render_template_fields(context)
    assert context["task"].audio_url == urls[1]
    assert masked(urls[1]) == "https://example.com/b.mp3?X-Amz-Signature=***"


def test_an_address_without_secrets_stays_readable():
    """Host, path and the names of parameters are not masked: people want to see them in the UI."""
    made = operator(audio_url="https://example.com/folder/a.mp3")
    made.render_template_fields({})
    assert masked(made.audio_url) == made.audio_url


def test_force_may_come_from_the_dag_run(emulator: Emulator, wav, files, run_task):
    """A clear with a conf submits afresh where the template says so, and only then."""
    conf: dict[str, Any] = {}

    def make() -> TranscribeOperator:
        made = operator(
            audio_path=str(wav), model=ASYNC, force="{{ dag_run.conf.get('force', False) }}", **files.arguments
        )
        made.render_template_fields({"dag_run": SimpleNamespace(conf=conf)})
        return made

    first = run_task(make, files.context())
    assert run_task(make, files.context(max_tries=4)) == first
    conf["force"] = True
    assert run_task(make, files.context(max_tries=6))["run_id"] != first["run_id"]
    assert len(emulator.charges) == 2


def dag_class() -> Any:
    try:
        from airflow.sdk import DAG
    except ImportError:  # 2.11
        from airflow import DAG
    return DAG


def test_mapped_tasks_take_one_recording_each():
    """The operator expands over recordings, and over whole sets of arguments."""
    pendulum = pytest.importorskip("pendulum")
    with dag_class()(dag_id="mapped", schedule=None, start_date=pendulum.datetime(2026, 1, 1)) as dag:
        TranscribeOperator.partial(task_id="each", model=ASYNC).expand(audio_path=["a.mp3", "b.mp3"])
        TranscribeOperator.partial(task_id="all").expand_kwargs([{"audio_url": "https://example.com/a.mp3"}])
    assert set(dag.task_ids) == {"each", "all"}


def test_a_short_job_is_not_deferred(emulator: Emulator, wav):
    """A job expected within a few seconds is waited for in the worker: a resume would cost more than it saves."""
    emulator.script("note.wav", text=TEXT, duration=5.0)
    result = operator(audio_path=str(wav), model=ASYNC, deferrable=True).execute({})
    assert TEXT in result["transcription"]


@pytest.mark.parametrize(
    ("duration", "max_worker_wait"),
    [(5.0, 0), (5.0, 0.5), (60.0, 5.0)],
    ids=["never", "too short a patience", "long job"],
)
def test_other_jobs_are_deferred_at_once(emulator: Emulator, wav, duration, max_worker_wait):
    """A longer job, or one for which the worker shall not wait, goes to the triggerer without being asked for."""
    emulator.script("note.wav", text=TEXT, duration=duration)
    with pytest.raises(BaseException) as caught:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        operator(audio_path=str(wav), model=ASYNC, deferrable=True, max_worker_wait=max_worker_wait).execute({})
    assert type(caught.value).__name__ == "TaskDeferred"
    assert [request.endpoint for request in emulator.requests].count("/transcribe/status") == 0


def test_a_short_job_that_takes_longer_is_deferred_after_all(monkeypatch, wav, logged):
    """The worker's patience is twice what was expected at the most."""
    monkeypatch.setattr(duration_model, "expected_seconds", lambda _: 0.3)
    with Emulator(processing_seconds=60.0) as emulator:
        emulator.script("note.wav", text=TEXT, duration=1.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            operator(audio_path=str(wav), model=ASYNC, deferrable=True, max_worker_wait=0.4).execute({})
        assert type(caught.value).__name__ == "TaskDeferred"
        assert [request.endpoint for request in emulator.requests].count("/transcribe/status") >= 2
    assert any("waiting here" in line for line in logged())
