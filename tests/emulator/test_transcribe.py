"""Submitting and asking: what is accepted, charged and answered."""

from __future__ import annotations

import time

import pytest

from airflow_provider_nanostt.emulator import MODELS, Emulator, Model, Script

from .conftest import ASYNC, MP3, SYNC, Caller


def test_an_async_model_answers_202_with_the_documented_ticket(api):
    """The 202 has the ten documented fields, and costs minutes times the model's price."""
    answer = api.upload(diarize="true")
    assert answer.status_code == 202
    ticket = answer.json()
    assert ticket == {
        "runId": api.nanogpt.jobs[0].run_id,
        "status": "pending",
        "model": ASYNC,
        "cost": 0.045,
        "paymentSource": "USD",
        "isApiRequest": True,
        "fileName": "a.mp3",
        "fileSize": len(MP3),
        "chargedDuration": 1.5,
        "diarize": True,
    }


def test_a_sync_model_answers_200_with_text_and_metadata(api):
    """A synchronous answer carries the text and the documented metadata, and no run id."""
    answer = api.upload(model=SYNC)
    assert answer.status_code == 200
    assert answer.json() == {
        "transcription": "hello there world",
        "metadata": {
            "fileName": "a.mp3",
            "fileSize": len(MP3),
            "chargedDuration": 1.5,
            "actualDuration": 1.5,
            "language": "en",
            "cost": 0.00075,
            "currency": "USD",
            "model": SYNC,
        },
    }


@pytest.mark.parametrize(
    "model", [model for model in MODELS.values() if model.mode != "voice-clone"], ids=lambda m: m.id
)
def test_each_model_has_its_mode_and_price(api, model):
    """The answer's status follows the model's mode, the ledger its price."""
    answer = api.url(model=model.id)
    assert answer.status_code == (202 if model.mode == "async" else 200)
    (charge,) = api.nanogpt.charges
    assert (charge.model, charge.minutes, charge.cost) == (model.id, 1.5, pytest.approx(1.5 * model.per_minute))
    assert (charge.endpoint, charge.source, charge.key) == ("/transcribe", "https://files.test/a.mp3", api.key)


def test_the_default_model_is_the_documented_one(api):
    """Without a model the answer is Whisper's."""
    answer = api.post("/transcribe", {"audioUrl": "https://files.test/a.mp3"})
    assert answer.json()["metadata"]["model"] == "Whisper-Large-V3"


@pytest.mark.parametrize("model", ["qwen-voice-clone", "minimax-voice-clone", "no-such-model", 7])
def test_other_models_are_refused(api, model):
    """Voice cloning and unknown models are a 400, and cost nothing."""
    answer = api.url(model=model)
    assert answer.status_code == 400
    assert str(model) in answer.json()["error"]
    assert api.nanogpt.charges == []


def test_extra_models_are_accepted():
    """A model named in the settings is as good as a documented one."""
    extra = {"new-model": Model("new-model", "New", 0.5)}
    with Emulator(extra_models=extra, speed=1000, default_script=Script("*", text="hi", duration=60)) as nanogpt:
        answer = Caller(nanogpt).url(model="new-model")
        assert answer.json()["metadata"]["cost"] == 0.5


def test_a_url_transcript_is_completed_with_words_spacing_and_metadata(api):
    """A completed job has words with spacing between them, times in seconds, and the text."""
    result = api.result(api.url().json())
    assert result["transcription"] == "hello there world"
    assert [(word["text"], word["type"]) for word in result["words"]] == [
        ("hello", "word"),
        (" ", "spacing"),
        ("there", "word"),
        (" ", "spacing"),
        ("world", "word"),
    ]
    assert [(word["start"], word["end"]) for word in result["words"]][::2] == [(0.0, 30.0), (30.0, 60.0), (60.0, 90.0)]
    assert all("speaker_id" not in word for word in result["words"])
    assert "diarization" not in result
    assert result["metadata"]["chargedDuration"] == 1.5


def test_diarization_names_speakers_in_segments_words_and_text(api):
    """With diarize, segments say Speaker 1, words speaker_0, and the text begins each turn with its speaker."""
    segments = [
        {"speaker": "Speaker 1", "text": "hello there", "start": 0.0, "end": 1.0},
        {"speaker": "Speaker 2", "text": "hi", "start": 1.5, "end": 2.0},
    ]
    api.nanogpt.script("talk.mp3", segments=segments)
    ticket = api.upload("talk.mp3", diarize="true").json()
    assert ticket["chargedDuration"] == round(2 / 60, 4)
    result = api.result(ticket)
    assert result["diarization"] == {"segments": segments}
    assert [word["speaker_id"] for word in result["words"] if word["type"] == "word"] == [
        "speaker_0",
        "speaker_0",
        "speaker_1",
    ]
    assert result["transcription"] == "Speaker 1: hello there Speaker 2: hi"


def test_diarized_text_can_do_without_labels():
    """The setting label_transcription=False leaves the plain text."""
    with Emulator(processing_seconds=0, label_transcription=False) as nanogpt:
        nanogpt.script("a.mp3", segments=[{"speaker": "Speaker 1", "text": "hello there", "start": 0.0, "end": 1.0}])
        api = Caller(nanogpt)
        assert api.result(api.url(diarize=True).json())["transcription"] == "hello there"


@pytest.mark.parametrize("tag", [True, False])
def test_audio_events_come_only_when_asked_for(api, tag):
    """An audio event is among the words exactly when tagAudioEvents is set."""
    words = [
        {"text": "ha", "start": 0.0, "end": 0.4, "type": "word", "speaker_id": "speaker_0"},
        {"text": "(laughter)", "start": 0.5, "end": 0.9, "type": "audio_event", "speaker_id": None},
    ]
    api.nanogpt.script("joke.mp3", words=words)
    result = api.result(api.url("https://files.test/joke.mp3", tagAudioEvents=tag).json())
    assert result["words"] == (words if tag else words[:1])
    assert result["transcription"] == ("ha (laughter)" if tag else "ha")


def test_sync_models_have_no_speakers(api):
    """Diarization asked of a model without it is not answered."""
    assert set(api.url(model=SYNC, diarize=True).json()) == {"transcription", "metadata"}


@pytest.mark.parametrize(("mode", "status"), [("async", 202), ("sync", 200)])
def test_all_models_can_be_made_to_answer_one_way(mode, status):
    """The setting mode overrides the model's own."""
    with Emulator(mode=mode, processing_seconds=0, default_script=Script("*", text="hi")) as nanogpt:
        api = Caller(nanogpt)
        assert [api.url(model=model).status_code for model in (SYNC, ASYNC)] == [status, status]


def test_a_job_goes_from_pending_through_processing_to_completed(nanogpt, api):
    """A job is pending in the queue, then processing, then completed; its record says when, and when that was seen."""
    nanogpt.script("a.mp3", text="hi", duration=1.0, processing_seconds=0.8)
    ticket = api.url().json()
    seen = []
    while not seen or seen[-1] != "completed":
        seen.append(api.status(ticket).json()["status"])
        time.sleep(0.02)
    assert list(dict.fromkeys(seen)) == ["pending", "processing", "completed"]
    (first,) = nanogpt.jobs
    assert api.status(ticket).json() == api.result(ticket)
    (job,) = nanogpt.jobs
    assert job.finished == pytest.approx(job.created + 0.8, abs=1e-3)
    assert job.seen >= job.finished
    assert job.polls == len(seen) + 2
    assert job.seen == first.seen


def test_a_scripted_failure_says_why_and_is_refunded(nanogpt, api):
    """A failed job has the scripted reason, its charge is refunded, and the balance is whole again."""
    nanogpt.script("bad.mp3", status="failed", error="The audio is too noisy", duration=60)
    ticket = api.url("https://files.test/bad.mp3").json()
    assert api.result(ticket) == {"status": "failed", "error": "The audio is too noisy"}
    assert [(charge.cost, charge.refunded) for charge in nanogpt.charges] == [(0.03, 0.03)]
    assert nanogpt.balances == {api.key: pytest.approx(100.0)}


def test_a_failure_may_cost_money():
    """The setting refund_failed=False keeps the money of failed jobs."""
    with Emulator(processing_seconds=0, refund_failed=False) as nanogpt:
        nanogpt.script("bad.mp3", status="failed")
        api = Caller(nanogpt)
        assert api.result(api.url("https://files.test/bad.mp3").json())["error"] == "The transcription failed"
        assert nanogpt.charges[0].refunded == 0


def test_a_sync_failure_is_a_500_and_refunded(nanogpt, api):
    """A synchronous transcription that fails answers 500 with the reason, and gives the money back."""
    nanogpt.script("bad.mp3", status="failed", error="no speech")
    answer = api.upload("bad.mp3", model=SYNC)
    assert (answer.status_code, answer.json()) == (500, {"error": "no speech", "status": 500})
    assert [charge.refunded for charge in nanogpt.charges] == [nanogpt.charges[0].cost]


def test_any_status_word_can_be_scripted(nanogpt, api):
    """Words outside the documented four are answered as scripted."""
    nanogpt.script("odd.mp3", status="content_policy_violation")
    assert api.status(api.url("https://files.test/odd.mp3").json()).json() == {"status": "content_policy_violation"}


def test_unknown_runs_and_other_keys_runs_are_404(nanogpt, api):
    """A run is known to its own key only."""
    ticket = api.url().json()
    stranger = Caller(nanogpt, nanogpt.add_key())
    assert api.status(ticket, runId="no-such-run").status_code == 404
    assert stranger.status(ticket).status_code == 404
    assert api.status(ticket).status_code == 200


@pytest.mark.parametrize("run_id", [None, "", 7])
def test_a_status_request_needs_a_run_id(api, run_id):
    """Without a run id a status request is a 400."""
    assert api.post("/transcribe/status", {"runId": run_id}).status_code == 400


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("cost", 0.01),
        ("paymentSource", "XNO"),
        ("isApiRequest", False),
        ("isApiRequest", 1),
        ("fileName", "b.mp3"),
        ("fileSize", None),
        ("chargedDuration", "1.5"),
        ("diarize", True),
    ],
)
def test_a_status_request_must_echo_the_ticket(api, field, wrong):
    """A field of the 202 that is missing or different is a 400 that names it."""
    ticket = api.url().json()
    missing = {name: value for name, value in ticket.items() if name != field}
    for answer in (api.status(ticket, **{field: wrong}), api.status(missing)):
        assert answer.status_code == 400
        assert field in answer.json()["error"]


def test_the_echo_can_be_left_out_when_not_strict():
    """With strict_echo=False the run id is enough."""
    with Emulator(strict_echo=False, processing_seconds=0, default_script=Script("*", text="hi")) as nanogpt:
        api = Caller(nanogpt)
        run_id = api.url().json()["runId"]
        assert api.post("/transcribe/status", {"runId": run_id}).json()["status"] == "completed"


@pytest.mark.parametrize("form", [True, False])
@pytest.mark.parametrize("field", ["diarize", "tagAudioEvents"])
def test_flags_are_text_in_a_form_and_booleans_in_json(api, form, field):
    """The other kind of flag is refused."""
    answer = api.upload(**{field: "True"}) if form else api.url(**{field: "true"})
    assert answer.status_code == 400
    assert field in answer.json()["error"]


@pytest.mark.parametrize("value", [1.5, "soon", "-1", "0"])
def test_actual_duration_is_minutes_as_text(api, value):
    """A number, or text that is no number of minutes, is refused."""
    answer = api.url(actualDuration=value)
    assert answer.status_code == 400
    assert "actualDuration" in answer.json()["error"]


def test_actual_duration_counts_where_nothing_better_is_known(nanogpt, api):
    """A scripted URL without a duration is charged for the minutes the client says."""
    nanogpt.script("b.mp3", text="hi")
    assert api.url("https://files.test/b.mp3", actualDuration="2.5").json()["chargedDuration"] == 2.5
    assert api.url("https://files.test/b.mp3").json()["chargedDuration"] == 1.0


@pytest.mark.parametrize("body", [{}, {"audioUrl": 7}, {"audioUrl": "ftp://files.test/a.mp3"}, {"audioUrl": "a.mp3"}])
def test_the_audio_must_be_named(api, body):
    """A submit without audio, or with a URL that is not http, is a 400."""
    assert api.post("/transcribe", body).status_code == 400


def test_file_and_url_together_are_refused(api):
    """Only one of the two is possible."""
    assert api.upload(audioUrl="https://files.test/a.mp3").status_code == 400


def test_language_must_be_text(api):
    """A language that is not text is a 400."""
    assert api.url(language=5).status_code == 400


def test_audio_longer_than_the_model_takes_is_refused(nanogpt, api):
    """The mini models stop at 1400 seconds."""
    nanogpt.script("long.mp3", text="hi", duration=1401)
    answer = api.upload("long.mp3", model="gpt-4o-mini-transcribe")
    assert answer.status_code == 400
    assert "1400 s" in answer.json()["error"]


def test_scripts_match_by_name_url_and_pattern(nanogpt, api):
    """An exact name goes before a pattern, the latest before older ones."""
    url = "https://files.test/x.mp3?signature=1"
    nanogpt.script("*.mp3", text="any", duration=1)
    nanogpt.script("c*.mp3", text="a c", duration=1)
    nanogpt.script("call.mp3", text="old", duration=1)
    nanogpt.script("call.mp3", text="new", duration=1)
    nanogpt.script(url, text="by url", duration=1)
    said = {name: api.upload(name, model=SYNC).json()["transcription"] for name in ("call.mp3", "car.mp3", "z.mp3")}
    assert said == {"call.mp3": "new", "car.mp3": "a c", "z.mp3": "any"}
    assert api.url(url, model=SYNC).json()["transcription"] == "by url"
    nanogpt.clear_scripts()
    assert api.upload("call.mp3", model=SYNC).status_code == 500


def test_scripted_language_and_odd_words_go_through_unchanged(nanogpt, api):
    """Scripted words are answered as they are, and the language is the scripted one."""
    words = [
        {"text": "bonjour", "start": None, "end": None, "type": "word", "speaker_id": 3},
        {"text": " ", "type": "spacing"},
    ]
    nanogpt.script("fr.mp3", text="bonjour", words=words, language="fr")
    result = api.result(api.url("https://files.test/fr.mp3").json())
    assert (result["words"], result["metadata"]["language"]) == (words, "fr")


def test_segments_end_at_pauses(nanogpt, api):
    """One speaker's words are two segments when more than a second of quiet lies between them."""
    words = [
        {"text": text, "start": at, "end": at + 0.5, "type": "word"}
        for text, at in (("one", 0.0), ("two", 0.6), ("three", 3.0))
    ]
    nanogpt.script("gap.mp3", words=words)
    result = api.result(api.url("https://files.test/gap.mp3", diarize=True).json())
    assert [segment["text"] for segment in result["diarization"]["segments"]] == ["one two", "three"]
