"""How a task fails: with or without a retry, what its log shows, and what it leaves in XCom."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

import airflow_provider_nanostt
from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.decorators import transcribe_task
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator
from airflow_provider_nanostt.sensors import TranscriptionSensor
from airflow_provider_nanostt.workflow.circuit_breaker import CircuitBreaker
from tests.api.test_errors import EVERY_ERROR
from tests.conftest import TEXT
from tests.local_network import Authority, Relay, server_tls, serving
from tests.outside import StateStore, everywhere, failing, output

ASYNC = "Elevenlabs-STT"
PACKAGE = Path(airflow_provider_nanostt.__file__).parent


def name(error: BaseException) -> str:
    return type(error).__name__


def odd(retry: errors.RetryWorth = "no", scope: errors.Scope = "item") -> errors.NanoGPTError:
    """An error of a class that no list can know."""
    return type(f"Odd_{retry}_{scope}", (errors.NanoGPTError,), {"retry": retry, "scope": scope})("odd")


ODD = [odd(retry, scope) for retry in ("yes", "ledger", "no") for scope in ("item", "run", "repeated")]


class Failing(TranscribeOperator):
    """A task whose work ends in an error."""

    def __init__(self, *, error: BaseException, **arguments: Any) -> None:
        super().__init__(task_id="transcribe", audio_url="https://example.com/a.mp3", **arguments)
        self.error = error

    def run_task(self, context: Any) -> Any:  # noqa: ARG002  as its base has it
        raise self.error


def raised(error: BaseException, context: dict[str, Any] | None = None, **arguments: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  which class it is, is what the tests are about
        Failing(error=error, **arguments).execute(context or {})
    return caught.value


# Another try, or none


@pytest.mark.parametrize("kept", ["files", "task state", "nothing"])
@pytest.mark.parametrize("error", [*EVERY_ERROR, *ODD], ids=name)
def test_a_retry_is_left_open_where_the_error_says_that_it_is_worth_it(error, kept, tmp_path):
    """Where a record is needed for that, only with a record; whatever else fails for good, with the same words."""
    context = {"task_state_store": StateStore()} if kept == "task state" else {}
    arguments = {"output_path": str(tmp_path)} if kept == "files" else {}
    failure = raised(error, context, **arguments)
    if error.retry == "yes" or (error.retry == "ledger" and kept != "nothing"):
        assert failure is error
    else:
        assert isinstance(failure, AirflowFailException)
        assert str(failure) == str(error)


@pytest.mark.parametrize("policy", [{"on_ambiguous_submit": "resubmit"}, '{"on_ambiguous_submit": "resubmit"}'])
def test_a_retry_resubmits_only_if_the_user_says_so(policy):
    """Then an unknown submit is open to a retry; one that an earlier attempt left behind still is not."""
    lost = errors.AmbiguousSubmit("reset")
    assert raised(lost, recovery_policy=policy) is lost
    orphaned = errors.OrphanedSubmit("a.mp3", estimated_cost=None, before=None)
    assert isinstance(raised(orphaned, recovery_policy=policy), AirflowFailException)


def test_a_retry_compares_only_what_is_recorded():
    """Without a record the next attempt would know nothing, and pay again."""
    policy = {"on_ambiguous_submit": "verify"}
    lost = errors.AmbiguousSubmit("reset", record="a.mp3")
    assert raised(lost, recovery_policy=policy) is lost
    for other in (errors.AmbiguousSubmit("reset"), errors.OrphanedSubmit("a.mp3", estimated_cost=None, before=None)):
        assert isinstance(raised(other, recovery_policy=policy), AirflowFailException)


@pytest.mark.parametrize("error", [*EVERY_ERROR, *ODD], ids=name)
def test_a_batch_stops_as_the_error_says(error):
    """At once, when it comes five times in a row, or never."""
    if isinstance(error, errors.JobError):
        error.__cause__ = None
    breaker = CircuitBreaker()
    stops = [breaker.record_failure(error) for _ in range(6)]
    expected = {"run": [True] + [False] * 5, "repeated": [False] * 4 + [True, False], "item": [False] * 6}
    assert stops == expected[error.scope]


def test_errors_of_other_origin_pass():
    """Airflow sees them as they are."""
    error = KeyError("ti")
    assert raised(error) is error


# What the log shows


def frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The package's own frames in a traceback."""
    return [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(PACKAGE)]


def batch(**arguments: Any) -> TranscribeBatchOperator:
    return TranscribeBatchOperator(task_id="t", **arguments)


def videos(**arguments: Any) -> YouTubeTranscribeOperator:
    return YouTubeTranscribeOperator(task_id="t", **arguments)


def single(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="t", **{"audio_url": "https://example.com/a.mp3", **arguments})


MISTAKES: dict[str, Callable[[str], Any]] = {
    "a model that makes speech": lambda _: single(model="qwen-voice-clone"),
    "a model that the service refuses": lambda _: single(model="brand-new-stt"),
    "no file": lambda _: single(audio_url=None, audio_path="/nowhere/a.mp3"),
    "an argument that means nothing": lambda folder: single(timeout="soon", output_path=folder),
    "a batch in a relative folder": lambda _: batch(audio=["a.mp3"], output_path="results"),
    "a batch of one file that is not there": lambda folder: batch(audio=["/nowhere/a.mp3"], output_path=folder),
    "an address that leads to no video": lambda folder: videos(urls=["https://example.com/"], output_path=folder),
    "a poking sensor without a job": lambda _: TranscriptionSensor(task_id="t"),
    "a deferrable sensor without a job": lambda _: TranscriptionSensor(task_id="t", deferrable=True),
    "a function that returns nothing": lambda _: transcribe_task(lambda: None, task_id="t")().operator,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_users_mistake_ends_in_its_message(emulator: Emulator, files, mistake):
    """The log has no traceback of the package's own modules: neither the error's, nor those of its causes."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        MISTAKES[mistake](str(files.folder)).execute(files.context())
    assert len(frames(caught.value)) <= 1
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback (most recent call last)") == 1
    assert caught.value.__cause__ is None
    assert emulator.charges == []


def test_a_wrong_key_ends_in_its_message(emulator: Emulator, wav, files, monkeypatch):
    """So does a refusal of the service, which names the connection."""
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**emulator.connection, "password": "sk-nano-wrong"}))
    with pytest.raises(AirflowFailException, match="nanogpt_default") as caught:
        single(audio_url=None, audio_path=str(wav), **files.arguments).execute(files.context())
    assert len(frames(caught.value)) == 1
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_failure_that_passes_ends_in_its_message_too(emulator: Emulator, wav, files):
    """A retry is left open, and the traceback is as short."""
    emulator.fail("/transcribe", status=429, envelope="error_object", code="daily_usd_limit_exceeded", retry_after=7200)
    made = single(audio_url=None, audio_path=str(wav), model=ASYNC, **files.arguments)
    with pytest.raises(errors.DailyLimitReached) as caught:
        made.execute(files.context())
    assert len(frames(caught.value)) == 1
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1


def test_a_batch_that_was_stopped_ends_in_two_messages(emulator: Emulator, wav, files):
    """Its own, and that of the error that stopped it, by which the retry policy goes."""
    emulator.fail("/transcribe", status=429, envelope="error_object", code="daily_usd_limit_exceeded", retry_after=7200)
    with pytest.raises(errors.BatchIncomplete) as caught:
        batch(audio=[str(wav)], model=ASYNC, **files.arguments).execute(files.context())
    assert isinstance(caught.value.__cause__, errors.DailyLimitReached)
    assert len(frames(caught.value)) == 1
    assert frames(caught.value.__cause__) == []


def test_an_unexpected_failure_keeps_its_whole_traceback(emulator: Emulator, wav, files):
    """A fault of a storage, or of the package, shows where it happened."""
    error = RuntimeError("the disk is on fire")
    with failing(output("*.json"), error, times=100), pytest.raises(Exception) as caught:  # noqa: PT011
        single(audio_url=None, audio_path=str(wav), **files.arguments).execute(files.context())
    assert not isinstance(caught.value, errors.NanoGPTError | AirflowFailException)
    assert len(frames(caught.value)) > 3
    assert "the disk is on fire" in "".join(traceback.format_exception(caught.value))


# What stays in XCom


class Instance(SimpleNamespace):
    """A task instance that keeps what is pushed, or fails to."""

    error: Exception | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        if self.error is not None:
            raise self.error
        self.pushed[key] = json.loads(json.dumps(value))


def instance(**more: Any) -> Instance:
    names = {"dag_id": "calls", "task_id": "t", "run_id": "manual__1", "map_index": -1, "max_tries": 2}
    return Instance(**names, pushed={}, **more)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_paid_job_that_fails_leaves_run_cost_minutes_and_the_next_step(emulator: Emulator, wav, run_task, deferrable):
    """XCom has them, whichever way was waited."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    ti = instance()
    make = lambda: single(audio_url=None, audio_path=str(wav), model=ASYNC, deferrable=deferrable, poll_interval=0.05)  # noqa: E731
    with pytest.raises(AirflowFailException, match="no speech was found"):
        run_task(make, {"ti": ti})
    (charge,) = emulator.charges
    assert (ti.pushed["run_id"], ti.pushed["cost_usd"]) == (charge.run_id, pytest.approx(charge.cost))
    assert ti.pushed["charged_minutes"] == pytest.approx(charge.minutes)
    assert "clear the task" in ti.pushed["next_step"]


def test_an_answer_that_came_at_once_leaves_its_cost(emulator: Emulator, wav, files):
    """A model without jobs is paid for, too: its transcript cannot be written, and XCom has what it cost."""
    ti = instance()
    with failing(output("*.json"), RuntimeError("the disk is full"), times=100), pytest.raises(Exception, match="disk"):
        single(audio_url=None, audio_path=str(wav), **files.arguments).execute({"ti": ti})
    assert ti.pushed["cost_usd"] == pytest.approx(emulator.charges[0].cost)
    assert "run_id" not in ti.pushed


def test_a_job_is_in_xcom_before_it_is_waited_for(emulator: Emulator, wav):
    """A task that is killed while it waits has left it there."""
    ti = instance()
    with pytest.raises(BaseException) as caught:  # noqa: PT011  TaskDeferred is not an Exception, and moves about
        single(audio_url=None, audio_path=str(wav), model=ASYNC, deferrable=True, max_worker_wait=0).execute({"ti": ti})
    assert type(caught.value).__name__ == "TaskDeferred"
    assert ti.pushed["run_id"] == emulator.charges[0].run_id


@pytest.mark.parametrize("code", ["daily_usd_limit_exceeded", None])
def test_a_failure_before_the_charge_leaves_the_next_step_alone(emulator: Emulator, wav, files, logged, code):
    """Nothing was paid, so there is no job; the step says whether a retry goes on by itself, in XCom and in the log."""
    if code:
        emulator.fail("/transcribe", status=429, envelope="error_object", code=code, retry_after=7200)
    else:
        emulator.fail("/transcribe", status=400)
    ti = instance()
    with pytest.raises(Exception):  # noqa: B017, PT011
        single(audio_url=None, audio_path=str(wav), model=ASYNC, **files.arguments).execute({"ti": ti})
    assert set(ti.pushed) == {"next_step"}
    assert ("the next try goes on" in ti.pushed["next_step"]) is bool(code)
    assert any(f"Next step: {ti.pushed['next_step']}" in line for line in logged())


def test_a_batch_that_is_incomplete_leaves_its_sums_and_the_manifest(emulator: Emulator, wav, files):
    """What was paid for, and where the list of the missing is."""
    ti = instance()
    with pytest.raises(AirflowFailException, match="1 of 2 recordings have no transcript"):
        batch(audio=[str(wav), "/nowhere/a.mp3"], **files.arguments).execute({"ti": ti})
    assert ti.pushed["cost_usd"] == pytest.approx(emulator.charges[0].cost)
    assert Path(ti.pushed["manifest"]["jsonl"].removeprefix("file://")).exists()
    assert ti.pushed["next_step"]


@pytest.mark.parametrize(
    ("word", "fails"), [("fail", True), (" fail\n", True), ("continue", False), (" continue", False)]
)
def test_a_word_from_a_template_is_obeyed_as_it_is_checked(emulator: Emulator, files, word, fails):
    """White space around it changes nothing."""
    made = batch(audio=["/nowhere/a.mp3"], on_item_error=word, **files.arguments)
    if fails:
        with pytest.raises(AirflowFailException, match="1 of 1 recordings have no transcript"):
            made.execute(files.context())
    else:
        assert made.execute(files.context())["failed"] == 1


def test_nothing_is_pushed_where_the_user_wants_nothing_in_xcom(emulator: Emulator, wav):
    """``do_xcom_push=False`` holds for a failure as well."""
    emulator.script("note.wav", status="failed", error="no speech was found", duration=30.0)
    ti = instance()
    with pytest.raises(AirflowFailException):
        single(audio_url=None, audio_path=str(wav), model=ASYNC, do_xcom_push=False, poll_interval=0.03).execute(
            {"ti": ti}
        )
    assert ti.pushed == {}


def test_a_push_that_fails_does_not_hide_the_error(emulator: Emulator, wav):
    """The failure that Airflow sees is the task's own, and a task that succeeds still does."""
    emulator.script("call.wav", status="failed", error="no speech was found", duration=30.0)
    ti = instance(error=RuntimeError("the API server is gone"))
    failing_one = wav.rename(wav.with_name("call.wav"))
    with pytest.raises(AirflowFailException, match="no speech was found"):
        single(audio_url=None, audio_path=str(failing_one), model=ASYNC, poll_interval=0.03).execute({"ti": ti})
    good = failing_one.rename(wav)
    result = single(audio_url=None, audio_path=str(good), model=ASYNC, poll_interval=0.03).execute({"ti": ti})
    assert TEXT in result["transcription"]


# A key that the service refuses


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("endpoint", ["/check-balance", "/v1/audio-models"])
@pytest.mark.parametrize("kind", ["one", "batch", "videos"])
def test_a_refused_key_ends_the_task_before_any_submit(emulator: Emulator, wav, files, kind, endpoint, status):
    """Wherever it shows first: in the question for the balance, or in the one for the prices."""
    emulator.fail(endpoint, status=status, times=100)
    made = {
        "one": lambda: single(audio_url=None, audio_path=str(wav), model=ASYNC, **files.arguments),
        "batch": lambda: batch(audio=[str(wav)], model=ASYNC, **files.arguments),
        "videos": lambda: videos(urls=["https://www.youtube.com/watch?v=the-parcels"], **files.arguments),
    }[kind]()
    with pytest.raises((AirflowFailException, errors.BatchIncomplete), match=str(status)):
        made.execute(files.context())
    assert emulator.charges == []
    assert not any(request.endpoint in ("/transcribe", "/youtube-transcribe") for request in emulator.requests)


# An environment that cannot be used


@pytest.fixture
def over_tls(emulator: Emulator, tmp_path, monkeypatch) -> Iterator[Path]:
    """The service is asked with TLS; the certificate of who signed that."""
    authority = Authority(tmp_path)
    port = urlsplit(emulator.url).port
    with serving(Relay, tls=server_tls(authority.certificate("localhost")), port=port) as relay:
        connection = {**json.loads(emulator.connection_json), "host": f"https://localhost:{relay.port}/api"}
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        yield authority.file


@pytest.mark.parametrize("fault", ["certificates are missing", "certificates are none", "proxy is of no use"])
@pytest.mark.parametrize("kind", ["one", "batch"])
def test_an_unfit_environment_is_found_before_anything_is_recorded(
    emulator: Emulator, over_tls, wav, files, monkeypatch, kind, fault
):
    """The task names the cause, and its next try submits as if it were the first."""
    audio = {"audio_url": None, "audio_path": str(wav)} if kind == "one" else {"audio": [str(wav)]}
    make = partial({"one": single, "batch": batch}[kind], model=ASYNC, poll_interval=0.03, **audio, **files.arguments)
    with monkeypatch.context() as unfit:
        if fault == "proxy is of no use":
            unfit.setenv("https_proxy", "socks5://user:hunter2@localhost:1080")
        else:
            unfit.setenv("REQUESTS_CA_BUNDLE", str(wav if "none" in fault else over_tls / "missing"))
        with pytest.raises(AirflowFailException, match="of the environment") as caught:
            make().execute(files.context())
    assert "hunter2" not in str(caught.value)
    assert not files.folder.exists()
    assert emulator.requests == []
    make().execute(files.context())
    assert len(emulator.charges) == 1


# A task that is killed


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("files", "The next try of this task looks for it before it submits anything"),
        ("task state", "The next try of this task looks for it before it submits anything"),
        ("nothing", "No ledger is configured, so a retry will submit and pay again"),
    ],
)
def test_a_kill_says_what_becomes_of_the_money(monkeypatch, kind, words, tmp_path, logged):
    """The next attempt finds the job, or it does not: the log promises no more than is so."""
    everywhere(monkeypatch, "NEVER_EXPIRE", object() if kind == "task state" else None)
    arguments = {"output_path": str(tmp_path)} if kind == "files" else {}
    single(**arguments).on_kill()
    lines = "\n".join(logged())
    assert "cannot be cancelled and is still billed" in lines
    assert words in lines
