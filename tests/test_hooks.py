"""From a connection to a client, and every call as a method."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from airflow.models import Connection

from airflow_provider_nanostt import get_provider_info
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from tests.conftest import TEXT

KEY = "sk-nano-12345678-1234-4234-8234-123456789abc"


def connection(**fields) -> Connection:
    extra = fields.pop("extra", {})
    return Connection(
        conn_id="mine", conn_type="nanogpt", **{"password": KEY, **fields}, extra=json.dumps(extra) if extra else None
    )


def test_extras_reach_the_client():
    """Timeout and request rate may be numbers or text, the flag anything a form may store."""
    config = NanoGPTHook.config_from(
        connection(
            host="http://nanogpt.internal/api",
            extra={"timeout": "90", "requests_per_second": 5, "allow_insecure_http": "true"},
        )
    )
    assert (config.timeout, config.requests_per_second, config.allow_http) == (90.0, 5.0, True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": None}, "password is empty"),
        ({"password": "two words"}, "API key"),
        ({"host": "http://nanogpt.internal/api"}, "allow_insecure_http"),
        ({"host": "ftp://example.com"}, "base URL"),
        ({"extra": {"timeout": "soon"}}, "the extra 'timeout' must be a non-negative number"),
        ({"extra": {"requests_per_second": 0}}, "requests_per_second must be from"),
        ({"extra": {"timeout": 1e300}}, "timeout must be from"),
        ({"extra": {"allow_insecure_http": "maybe"}}, "'allow_insecure_http' must be true or false"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_by_name(fields, words):
    """The message names the connection and the field, never the key."""
    with pytest.raises(errors.InvalidInput, match=words) as caught:
        NanoGPTHook.config_from(connection(**fields))
    assert "'mine'" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("form", ["{}", "{}\n", "\r\n{} ", "\t{}", "{}\u00a0"])
def test_the_key_is_masked_in_logs(form):
    """Once a connection was read, Airflow's masker knows the key that is sent, whatever is around it in the field."""
    key = f"sk-nano-{uuid4()}"
    assert NanoGPTHook.config_from(connection(password=form.format(key))).api_key == key
    assert mask(f"the key is {key}") == "the key is ***"


def mask(text: str) -> str:
    try:
        from airflow.sdk.log import redact
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import redact
        except ImportError:
            from airflow.utils.log.secrets_masker import redact
    return redact(text)


def test_transcribe_waits_for_an_asynchronous_model(emulator: Emulator, wav):
    """One call takes a file to its transcript, and it is charged once."""
    transcript = NanoGPTHook().transcribe(
        audio_path=wav, model="Elevenlabs-STT", diarize=True, poll_interval=0.1, timeout=timedelta(seconds=20)
    )
    assert TEXT in transcript.text
    assert [charge.run_id for charge in emulator.charges] == [transcript.run_id]
    assert transcript.cost == pytest.approx(emulator.charges[0].cost)


def test_transcribe_takes_a_synchronous_answer(emulator: Emulator, wav):
    """A model that answers at once needs no second request."""
    transcript = NanoGPTHook().transcribe(audio_path=wav)
    assert transcript.text == TEXT
    assert [request.endpoint for request in emulator.requests] == ["/v1/audio-models", "/transcribe"]


def test_submit_status_and_wait_are_separate_calls(emulator: Emulator, wav):
    """A job can be submitted here and waited for elsewhere, from its stored ticket."""
    job = NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    assert isinstance(job, Job)
    assert not NanoGPTHook().status(job).is_failed
    elsewhere = Job.from_json(json.loads(json.dumps(job.to_json())))
    assert isinstance(NanoGPTHook().wait(elsewhere, poll_interval=0.1, timeout=20), Transcript)
    assert len(emulator.charges) == 1


def test_a_bare_run_id_can_be_asked_for(monkeypatch, wav):
    """Where the service is not strict about the echo, a run id is enough."""
    with Emulator(processing_seconds=0.0, strict_echo=False) as emulator:
        emulator.script("note.wav", text=TEXT, duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        job = NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
        assert isinstance(job, Job)
        assert TEXT in NanoGPTHook().wait(job.run_id, poll_interval=0.1, timeout=20).text


def test_waiting_outlasts_transient_errors(emulator: Emulator, wav, logged):
    """Errors between submit and result cost time, not the transcript, and there is one warning when they begin."""
    emulator.fail("/transcribe/status", status=502, envelope="html", times=2)
    emulator.fail("/transcribe/status", kind="broken_json")
    emulator.fail("/transcribe/status", kind="reset")
    transcript = NanoGPTHook().transcribe(audio_path=wav, model="Elevenlabs-STT", poll_interval=0.05, timeout=30)
    assert TEXT in transcript.text
    assert len(emulator.charges) == 1
    lines = [line for line in logged() if "NanoGPT answer" in line]
    assert len(lines) == 2
    assert "502" in lines[0]
    assert "answers again" in lines[1]


def test_a_wait_that_takes_too_long_names_the_way_back(monkeypatch, asked_often, wav):
    """The timeout names run, status, cost, and the line that picks the job up; that line works."""
    with Emulator(processing_seconds=1.0) as emulator:
        emulator.script("note.wav", text=TEXT, duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        hook = NanoGPTHook()
        job = hook.transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
        assert isinstance(job, Job)
        with pytest.raises(errors.TranscriptionTimeout) as caught:
            hook.wait(job, timeout=0.2, poll_interval=0.1)
        message = str(caught.value)
        assert job.run_id in message
        assert "$0.015" in message
        line = message[message.index("NanoGPTHook(") :]
        assert TEXT in eval(line).text


def test_a_job_the_service_gave_up_on_says_why(emulator: Emulator, wav):
    """A failed job carries the service's own reason."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    with pytest.raises(errors.TranscriptionFailed, match="no speech was found"):
        NanoGPTHook().transcribe(audio_path=wav, model="Elevenlabs-STT", poll_interval=0.05, timeout=20)


def test_an_empty_account_names_both_sums(emulator: Emulator, wav):
    """402 says what is required and what is there."""
    emulator.set_balance(0.001)
    with pytest.raises(errors.PaymentRequired) as caught:
        NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    assert caught.value.required == pytest.approx(0.015)
    assert caught.value.balance == pytest.approx(0.001)
    assert "$0.015" in str(caught.value)
    assert "$0.001" in str(caught.value)
    assert emulator.charges == []


def test_an_empty_account_is_reported_even_if_the_balance_is_not(emulator: Emulator, wav):
    """If the balance cannot be asked, the error is still the refusal."""
    emulator.set_balance(0.001)
    emulator.fail("/check-balance", status=500)
    with pytest.raises(errors.PaymentRequired) as caught:
        NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    assert caught.value.balance is None


def test_a_wrong_key_names_the_connection(emulator: Emulator, wav, monkeypatch):
    """401 says which connection holds the key and where keys are made, not the key."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**emulator.connection, "conn_type": "nanogpt", "password": KEY})
    )
    with pytest.raises(errors.AuthError) as caught:
        NanoGPTHook().transcribe(wait_for_completion=False, audio_path=wav)
    assert "'nanogpt_default'" in str(caught.value)
    assert errors.KEYS_PAGE in str(caught.value)
    assert KEY not in str(caught.value)


def test_balance_models_and_usage(emulator: Emulator, wav):
    """The free calls tell what is left, what there is, and what was spent."""
    hook = NanoGPTHook()
    hook.transcribe(audio_path=wav)
    assert hook.balance().usd == pytest.approx(100.0 - emulator.charges[0].cost)
    assert "Elevenlabs-STT" in {model.id for model in hook.models()}
    today = datetime.now(UTC).date()
    assert hook.usage(today, today).net_cost == pytest.approx(emulator.charges[0].cost)
    with pytest.raises(errors.InvalidInput):
        hook.usage(date(2026, 1, 2), date(2026, 1, 1))


def test_test_connection_reports_the_balance_and_never_raises(emulator: Emulator, monkeypatch):
    """The button in the interface gets a verdict and a sentence, free of charge, whatever happens."""
    assert NanoGPTHook().test_connection() == (True, "NanoGPT answered; the balance is $100.00")
    assert emulator.charges == []
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "nanogpt"}))
    works, message = NanoGPTHook("broken").test_connection()
    assert not works
    assert "password is empty" in message


def test_the_connection_can_be_read_in_an_event_loop(emulator: Emulator):
    """Triggers get the same settings without blocking their loop."""
    config = asyncio.run(NanoGPTHook().aget_config())
    assert (config.base_url, config.api_key) == (emulator.url, emulator.api_key)


def test_the_form_of_the_hook_and_the_metadata_are_one():
    """Airflow versions that ask the hook show the same fields as those that read the metadata."""
    form = get_provider_info()["connection-types"][0]
    behaviour = NanoGPTHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == form["ui-field-behaviour"]["relabeling"]
    assert behaviour["hidden_fields"] == form["ui-field-behaviour"]["hidden-fields"]
    pytest.importorskip("flask_appbuilder")
    assert set(NanoGPTHook.get_connection_form_widgets()) == set(form["conn-fields"])


def test_a_worker_does_not_sleep_until_midnight(emulator: Emulator, wav):
    """A day limit met while waiting in a worker ends the wait, with the time of its end; the job stays paid for."""
    hook = NanoGPTHook()
    job = hook.transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    emulator.fail(
        "/transcribe/status", status=429, envelope="error_object", code="daily_rpd_limit_exceeded", retry_after=600
    )
    with pytest.raises(errors.DailyLimitReached):
        hook.wait(job, timeout=3600, poll_interval=0.05)
    assert TEXT in hook.wait(job, timeout=20, poll_interval=0.05).text


def test_a_refusal_while_waiting_slows_the_hook_down(emulator: Emulator, wav):
    """A 429 on a question is about the key: the hook asks less often afterwards, submits included."""
    hook = NanoGPTHook()
    job = hook.transcribe(wait_for_completion=False, audio_path=wav, model="Elevenlabs-STT")
    emulator.fail("/transcribe/status", status=429, retry_after=0)
    hook.wait(job, timeout=20, poll_interval=0.05)
    assert hook.get_limiter().rate < 20.0


FREE = {
    "status": ("/transcribe/status", lambda hook: hook.status("no-such-run")),
    "balance": ("/check-balance", lambda hook: hook.balance()),
    "models": ("/v1/audio-models", lambda hook: hook.models()),
    "usage": ("/v1/usage", lambda hook: hook.usage()),
}


@pytest.mark.parametrize("name", FREE)
def test_every_refusal_slows_the_hook_down(emulator: Emulator, hours_pass, name):
    """Whichever free call is answered 429: the key is asked less often, and the call is repeated."""
    endpoint, call = FREE[name]
    hook = NanoGPTHook()
    emulator.fail(endpoint, status=429, retry_after=1)
    with contextlib.suppress(errors.NotFound):
        call(hook)
    assert next(request.status for request in emulator.requests) == 429
    assert len(emulator.requests) == 2
    assert hook.get_limiter().rate < 20.0


def test_a_refused_submit_slows_the_hook_down(emulator: Emulator, wav, hours_pass):
    """A 429 on a submit is about the key, so every thread of this hook asks less often, and the submit is repeated."""
    hook = NanoGPTHook()
    emulator.fail("/transcribe", status=429, retry_after=1)
    assert hook.transcribe(audio_path=wav).text == TEXT
    assert hook.get_limiter().rate < 20.0
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_sent_again_takes_a_turn_of_its_own(emulator: Emulator, wav, monkeypatch, hours_pass, status):
    """Repetitions keep the pace of the connection, submits and questions alike: here one request in twenty seconds."""
    slow = json.dumps({**emulator.connection, "extra": {"requests_per_second": 0.05}})
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", slow)
    hook = NanoGPTHook()
    for endpoint in ("/check-balance", "/transcribe"):
        emulator.fail(endpoint, status=status, retry_after=0, times=3)
    hook.balance()
    hook.transcribe(audio_path=wav)
    times = [request.time for request in emulator.requests]
    assert len(times) == 9  # the catalogue is asked for, too
    assert min(after - before for before, after in itertools.pairwise(times)) > 19.0


def test_a_script_waits_as_long_as_the_service_says_later(emulator: Emulator, wav, hours_pass):
    """Minutes of patience, and one charge."""
    emulator.fail("/transcribe", status=429, retry_after=20, times=10)
    emulator.fail("/transcribe", status=503, times=3)
    assert NanoGPTHook().transcribe(audio_path=wav).text == TEXT
    assert len(emulator.charges) == 1


def test_a_turn_that_waits_heeds_a_refusal_of_another_thread(emulator: Emulator, monkeypatch):
    """Who waits for a slot when another thread is refused waits on, as the service says."""
    slow = json.dumps({**emulator.connection, "extra": {"requests_per_second": 2}})
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", slow)
    hook = NanoGPTHook()
    emulator.fail("/check-balance", status=429, retry_after=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: hook.balance(), range(3)))
    first, *others = [request.time for request in emulator.requests]
    assert len(others) == 3
    assert all(at - first >= 0.9 for at in others)


def test_threads_take_the_slots_of_videos_one_after_the_other(emulator: Emulator, monkeypatch):
    """A key has ten a minute, whoever shares the hook. Time passes twenty times as fast here."""
    begin, now, sleep = time.time(), time.time, time.sleep
    monkeypatch.setattr(time, "time", lambda: begin + 20 * (now() - begin))
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 20))
    hook, taken = NanoGPTHook(), []

    def take() -> None:
        hook.acquire_youtube_slot()
        taken.append(time.time())

    take()
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(take) for _ in range(2)]:
            done.result()
    assert min(after - before for before, after in itertools.pairwise(sorted(taken))) > 3.0


def test_a_new_hook_can_be_copied_and_pickled(emulator: Emulator):
    """The copy reads the connection itself; ``test_copying`` has those that were used."""
    hook = NanoGPTHook()
    for twin in (copy.copy(hook), copy.deepcopy(hook), pickle.loads(pickle.dumps(hook))):
        assert twin.nanogpt_conn_id == "nanogpt_default"
        assert twin.balance().usd is not None


def test_a_script_with_a_limit_submits_nothing_without_prices_it_may_read(emulator: Emulator, wav):
    """A key that is refused for the catalogue ends it there."""
    emulator.fail("/v1/audio-models", status=401, times=100)
    with pytest.raises(errors.AuthError, match="'nanogpt_default'"):
        NanoGPTHook().transcribe(audio_path=wav, max_cost_usd=1.0)
    assert emulator.charges == []


def test_a_script_with_a_limit_pays_no_more(emulator: Emulator, wav):
    """What would cost more is refused with the figures, before it is sent."""
    with pytest.raises(errors.CostLimit, match=r"max_cost_usd = \$0\.001"):
        NanoGPTHook().transcribe(audio_path=wav, model="Elevenlabs-STT", max_cost_usd=0.001)
    assert emulator.charges == []
