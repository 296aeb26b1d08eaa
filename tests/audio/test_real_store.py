"""Through a real object store: recordings lie in it, are signed, staged, fetched, removed, and results land in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from difflib import SequenceMatcher
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.errors import InvalidInput, LedgerError, StorageUnavailable, TranscriptionFailed
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan, plan_upload
from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.cli import main
from airflow_provider_nanostt.common import object_storage, presigning
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import note, samples, wav
from tests.conftest import AUDIO, fire
from tests.outside import Event, StateStore, failing, record
from tests.real_store import STORE, Shelf, forget

pytestmark = [pytest.mark.airflow, pytest.mark.skipif(STORE == "file", reason="a disk has no addresses")]

NOTE = AUDIO / "weekly-note.wav"
HOUR, MARGIN = 3600.0, 900.0


@pytest.fixture(scope="module")
def listener():
    """A local NanoGPT that fetches what it is pointed at and listens to it."""
    pytest.importorskip("pocketsphinx")
    with Emulator(processing_seconds=0.0, speed=100.0) as running:
        yield running


@pytest.fixture
def listening(listener: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The same, with nothing of the test before."""
    listener.reset()
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", listener.connection_json)
    return listener


@pytest.fixture(scope="module")
def large() -> bytes:
    """The note in more samples than an upload takes: 12 seconds, 96 kHz, two channels."""
    data = wav(samples(NOTE.read_bytes(), layout="stereo", rate=96_000), rate=96_000, channels=2)
    assert len(data) > 3_000_000
    return data


@pytest.fixture
def local(tmp_path: Path, large: bytes) -> Path:
    """The same on the disk."""
    file = tmp_path / "secret customer.wav"
    file.write_bytes(large)
    return file


def context(**instance: Any) -> dict[str, Any]:
    names = {"dag_id": "calls", "task_id": "transcribe", "run_id": "manual__1", "map_index": -1, "max_tries": 2}
    return {"ti": SimpleNamespace(**{**names, **instance})}


def operator(**arguments: Any) -> TranscribeOperator:
    given = {
        "model": "Elevenlabs-STT",
        "poll_interval": 0.05,
        "timeout": HOUR,
        "deferrable": True,
        "max_worker_wait": 0,
    }
    return TranscribeOperator(task_id="transcribe", **{**given, **arguments})


def submits(emulator: Emulator) -> list[dict[str, Any]]:
    return [request.fields for request in emulator.requests if request.endpoint == "/transcribe"]


def signed(url: str) -> dict[str, str]:
    return {name: value for name, (value, *_) in parse_qs(urlsplit(url).query).items()}


def is_heard(result: dict[str, Any]) -> bool:
    """Whether nearly every word of the note is there, in order: what was fetched are its bytes."""
    said, heard = (
        re.findall("[a-z]+", text.lower()) for text in (NOTE.with_suffix(".txt").read_text(), result["transcription"])
    )
    same = sum(block.size for block in SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks())
    return same >= 0.9 * max(len(said), len(heard))


def status(url: str) -> int:
    try:
        with urlopen(url) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_a_small_object_is_uploaded(listening: Emulator, shelf: Shelf, run_task):
    """Its bytes travel with the submit, under its own name; nothing is signed for it."""
    uri = shelf.put("weekly-note.wav", NOTE.read_bytes())
    result = run_task(lambda: operator(audio=uri))
    assert is_heard(result)
    (charge,) = listening.charges
    assert charge.source == "weekly-note.wav"
    assert "audioUrl" not in submits(listening)[0]


def test_a_large_object_is_fetched_at_a_signed_address(listening: Emulator, shelf: Shelf, large, run_task):
    """The service gets an address, fetches the object through it, and is paid once; nothing is copied."""
    uri = shelf.put("calls/large.wav", large)
    result = run_task(lambda: operator(audio=uri))
    assert is_heard(result)
    (charge,) = listening.charges
    (submit,) = submits(listening)
    assert submit["audioUrl"].startswith(f"{shelf.url}/calls/large.wav?")
    assert float(submit["actualDuration"]) == pytest.approx(0.2, abs=0.01)
    assert charge.cost == pytest.approx(0.2 * 0.03, rel=0.01)
    assert shelf.keys() == ["calls/large.wav"]


@pytest.mark.parametrize(
    ("arguments", "least"), [({}, HOUR), ({"audio_preparation": {"presign_for": 900}}, 900.0), ({"timeout": 60}, 60.0)]
)
def test_the_address_is_good_until_the_deadline(emulator: Emulator, shelf: Shelf, large, arguments, least):
    """It is signed, in the newer way, for as long as the job is waited for and a little more, or as long as is said."""
    emulator.script("*", text="Hello.", duration=12.0)
    with pytest.raises(BaseException) as deferred:  # noqa: PT011  TaskDeferred is not an Exception
        operator(audio=shelf.put("large.wav", large), **arguments).execute({})
    signature = signed(submits(emulator)[0]["audioUrl"])
    expires = shelf.store.expires(signature)
    assert least + MARGIN - 60 <= expires - time.time() <= least + MARGIN + 1
    deadline = deferred.value.trigger.serialize()[1]["deadline"]
    if "audio_preparation" not in arguments:
        assert expires >= deadline


def test_an_address_is_refused_after_its_time(shelf: Shelf, large):
    """The store itself says no once the time is over."""
    shelf.only("s3", "abfs")  # fake-gcs-server does not look
    source = locate_source(shelf.put("large.wav", large))
    url = source.presign(5)  # of which the first second may be over: times are whole seconds
    with urlopen(url) as answer:
        assert answer.read() == large
    end = time.monotonic() + 30
    while status(url) == 200 and time.monotonic() < end:
        time.sleep(0.3)
    assert status(url) == 403


def test_a_time_for_which_nothing_is_signed_is_refused(emulator: Emulator, shelf: Shelf, large):
    """More than seven days would make an address that the store refuses, after the submit."""
    shelf.only("s3")  # others sign in a way that has no such limit
    with pytest.raises(AirflowFailException, match=r"7 days.*presign_for"):
        operator(audio=shelf.put("large.wav", large), timeout=8 * 86_400).execute({})
    assert submits(emulator) == []


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_large_file_is_staged_fetched_and_removed(listening: Emulator, shelf: Shelf, local, run_task, deferrable):
    """Put into the folder under another name, fetched from there, transcribed, paid once, and gone."""
    shelf.put("staging/not ours.wav", b"mine")
    result = run_task(
        lambda: operator(
            audio=str(local), audio_preparation={"staging_path": f"{shelf.uri}/staging"}, deferrable=deferrable
        ),
        context(),
    )
    assert is_heard(result)
    assert len(listening.charges) == 1
    (submit,) = submits(listening)
    assert "/staging/nanostt-" in submit["audioUrl"]
    assert "customer" not in submit["audioUrl"]
    assert shelf.keys() == ["staging/not ours.wav"]


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (lambda emulator: emulator.fail("/transcribe", status=400, message="no luck"), AirflowFailException, "no luck"),
        (lambda emulator: emulator.fail("/transcribe", status=502), AirflowFailException, "charged"),
        (lambda emulator: emulator.script("*", status="failed", error="noise"), TranscriptionFailed, "noise"),
    ],
)
def test_after_a_failure_nothing_is_left(
    emulator: Emulator, shelf: Shelf, local, run_task, no_pauses, trouble, error, words
):
    """Refused, without an answer, or given up on: the folder is empty."""
    emulator.script("*", text="Hello.", duration=12.0)
    trouble(emulator)
    folder = {"audio_preparation": {"staging_path": f"{shelf.uri}/staging"}, "output_path": f"{shelf.uri}/results"}
    with pytest.raises(error, match=words):
        run_task(lambda: operator(audio=str(local), **folder), context())
    assert len(submits(emulator)) == 1
    assert shelf.keys("staging") == []


def test_a_record_that_cannot_be_written_leaves_nothing_staged(emulator: Emulator, shelf: Shelf, local):
    """What was staged for a submit that was never sent is removed, too; nothing is paid."""
    staged = []

    def intent(event: Event) -> bool:
        return record("intended")(event) and not staged.append(shelf.keys("staging"))

    with failing(intent, OSError("full")), pytest.raises(LedgerError, match="full"):
        operator(audio=str(local), audio_preparation={"staging_path": f"{shelf.uri}/staging"}).execute(
            {**context(), "task_state_store": StateStore()}
        )
    assert [len(keys) for keys in staged] == [1]
    assert shelf.keys("staging") == []
    assert submits(emulator) == []


KILLED = """
import os, sys, types
import requests
from airflow_provider_nanostt.operators import TranscribeOperator
send = requests.adapters.HTTPAdapter.send
def hang(adapter, request, *given, **named):
    if not request.url.endswith("/transcribe"):
        return send(adapter, request, *given, **named)
    print("staged", flush=True)
    sys.stdin.read()
requests.adapters.HTTPAdapter.send = hang
file, staging, seconds = sys.argv[1:]
ti = types.SimpleNamespace(dag_id="other", task_id="t", run_id="r", map_index=-1, max_tries=0)
preparation = {"staging_path": staging, "presign_for": float(seconds)}
TranscribeOperator(task_id="t", audio=file, audio_preparation=preparation).execute({"ti": ti})
"""


def test_what_a_killed_task_left_is_swept_up(emulator: Emulator, shelf: Shelf, local, run_task):
    """After ``kill -9`` the file stays while its address is good, and goes with the next task that stages there."""
    emulator.script("*", text="Hello.", duration=12.0)
    staging = f"{shelf.uri}/staging"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(local), staging, "3600"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ,
    )  # fmt: skip
    with child:
        assert any("staged" in line for line in child.stdout)
        child.send_signal(signal.SIGKILL)
    (left,) = shelf.keys("staging")
    run_task(lambda: operator(audio=str(local), audio_preparation={"staging_path": staging}), context())
    assert shelf.keys("staging") == [left], "its time is not over"
    owner = left.rpartition("/")[2].split("-")[1]
    later = Staging(staging, "0" * 12, clock=lambda: time.time() + HOUR + MARGIN + 1)
    later.sweep()
    assert shelf.keys("staging") == []
    assert owner != "0" * 12


def test_results_and_record_land_there_and_a_retry_finds_them(emulator: Emulator, shelf: Shelf, large, run_task):
    """A retry re-attaches to the job by the record in the bucket; after it has landed, the result is found."""
    emulator.script("*", text="Good morning.", duration=12.0)
    uri, output = shelf.put("large.wav", large), f"{shelf.uri}/results"
    with pytest.raises(BaseException) as first:  # noqa: PT011
        operator(audio=uri, output_path=output).execute(context())
    assert [key.split("/")[:2] for key in shelf.keys("results")] == [["results", ".nanostt"]]
    second = run_task(lambda: operator(audio=uri, output_path=output), context())
    third = run_task(lambda: operator(audio=uri, output_path=output), context())
    assert len(submits(emulator)) == len(emulator.charges) == 1
    assert second["run_id"] == third["run_id"] == fire(first.value.trigger)["run_id"]
    file = second["files"]["json"]
    assert file.startswith(f"{output}/")
    document = json.loads(shelf.read(file.removeprefix(f"{shelf.uri}/")))
    assert (document["text"], document["source"]) == ("Good morning.", "large.wav")
    assert second["cost_usd"] == third["cost_usd"] == pytest.approx(0.2 * 0.03, rel=0.02)


@pytest.mark.parametrize("what", ["audio", "staging", "output"])
@pytest.mark.parametrize("wrong", [0, 1])
def test_wrong_credentials_cost_nothing(
    emulator: Emulator, shelf: Shelf, large, local, monkeypatch, no_pauses, what, wrong
):
    """The error names argument, storage's answer and connection, before anything is submitted."""
    connections = shelf.store.wrong_connections()
    if wrong >= len(connections):
        pytest.skip("the store has no other kind of wrong credentials")
    uri = shelf.put("large.wav", large)
    forget(monkeypatch)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", connections[wrong])
    staging = {"audio_preparation": {"staging_path": f"{shelf.uri}/staging"}}
    given = {"audio": {"audio": uri}, "staging": {"audio": str(local), **staging},
             "output": {"audio": str(NOTE), "output_path": f"{shelf.uri}/results"}}[what]  # fmt: skip
    with pytest.raises(Exception, match=r"PermissionError|Forbidden|403|AuthorizationFailure") as caught:
        operator(**given).execute(context())
    assert "store" in str(caught.value)
    assert isinstance(caught.value, AirflowFailException) or what == "output", "another try would not fix it"
    assert submits(emulator) == []
    assert list(emulator.charges) == []


def test_a_store_that_does_not_answer_is_worth_a_retry(emulator: Emulator, shelf: Shelf, monkeypatch):
    """Nothing was submitted, and the next attempt may find it up again."""
    shelf.only("s3")  # the others' clients ask for minutes
    uri = shelf.put("large.wav", NOTE.read_bytes())
    forget(monkeypatch)
    down = json.loads(shelf.store.connection())
    down["extra"] |= {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(down))
    with pytest.raises(StorageUnavailable, match=r"audio='s3://store@.*cannot be read.*connection 'store'"):
        operator(audio=uri).execute({})
    assert submits(emulator) == []


@pytest.mark.parametrize("way", ["presign", "stage"])
def test_a_signature_is_kept_nowhere(emulator: Emulator, shelf: Shelf, large, local, run_task, logged, way):
    """Neither in logs nor in XCom, trigger, event, rendered fields or any file in the bucket."""
    emulator.script("*", text="Hello.", duration=12.0)
    audio = shelf.put("large.wav", large) if way == "presign" else str(local)
    task = operator(
        audio=audio, audio_preparation={"staging_path": f"{shelf.uri}/staging"}, output_path=f"{shelf.uri}/results"
    )
    with pytest.raises(BaseException) as deferred:  # noqa: PT011
        task.execute(context())
    event = fire(deferred.value.trigger)
    result = operator(
        audio=audio, audio_preparation={"staging_path": f"{shelf.uri}/staging"}, output_path=f"{shelf.uri}/results"
    ).execute_complete(context(), event)
    stored = [shelf.read(key).decode() for key in shelf.keys("results")]
    assert len(stored) == 2
    fields = {name: getattr(task, name) for name in task.template_fields}
    everything = "\n".join(map(str, [deferred.value.trigger.serialize(), event, result, fields, *stored, *logged()]))
    signature = signed(submits(emulator)[0]["audioUrl"])
    assert "large" in everything or "customer" in everything
    for name in shelf.store.secret_parameters:
        assert f"{name}=" not in everything
        assert signature[name] not in everything
    assert getattr(shelf.store, "secret_key", "private_key") not in everything


def test_a_signature_version_of_the_users_choice_is_kept(shelf: Shelf, large, monkeypatch):
    """Some stores know only the older one; the connection says so."""
    shelf.only("s3")
    uri = shelf.put("large.wav", large)
    forget(monkeypatch)
    chosen = json.loads(shelf.store.connection())
    chosen["extra"]["config_kwargs"] = {"signature_version": "s3"}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(chosen))
    url = presigning.presign(object_storage.resolve(uri), 60)
    assert {"AWSAccessKeyId", "Signature", "Expires"} == signed(url).keys()
    with urlopen(url) as answer:
        assert answer.read() == large


def test_of_a_large_object_little_is_read_to_know_it(shelf: Shelf, caplog):
    """Version, size, format and length of an hour in the bucket come from one request and a few small reads."""
    shelf.only("s3")
    hour = wav(bytes(2 * 8000 * 3600), rate=8000)
    source = locate_source(shelf.put("hour.wav", hour))
    with caplog.at_level("DEBUG", "s3fs"):
        looked = source.with_info()
        assert looked.version().size == len(hour)
        assert probe(looked).length.minutes == pytest.approx(60.0)
    asked = [line.getMessage() for line in caplog.records if "get_object" in line.getMessage()]
    reads = [int(end) - int(start) + 1 for line in asked for start, end in re.findall(r"bytes=(\d+)-(\d+)", line)]
    assert len(reads) == len(asked) <= 4
    assert sum(reads) <= 512 * 1024


def test_what_the_service_does_not_take_is_fetched_and_converted(listening: Emulator, shelf: Shelf, run_task):
    """A FLAC in the bucket is uploaded as something the service takes."""
    from tests.audio.sounds import encoded

    uri = shelf.put("note.flac", encoded(note(), "flac", "flac"))
    assert is_heard(run_task(lambda: operator(audio=uri)))
    assert [charge.source for charge in listening.charges] == ["note.ogg"]


@pytest.mark.parametrize("key", ["missing.wav", "calls"])
def test_what_is_not_there_is_named(emulator: Emulator, shelf: Shelf, key):
    """An object that is missing, and a folder, are refused before the submit."""
    shelf.put("calls/note.wav", NOTE.read_bytes())
    with pytest.raises(InvalidInput, match=rf"audio='\w+://store@.*/{key}' (does not exist|is not a file)"):
        probe(locate_source(f"{shelf.uri}/{key}"))


FAR = "https://8.8.8.8/api"
"""A service that is not on this machine, nor in its network; nothing is asked of it here."""


def plan(audio: str, **preparation: Any) -> UploadPlan:
    source, rules = locate_source(audio), PreparationRules(**preparation)
    return plan_upload(source, probe(source), model="Whisper-Large-V3", diarize=False, preparation=rules, base_url=FAR)


def test_a_storage_that_the_service_cannot_reach_is_not_signed_for(shelf: Shelf, large, local):
    """An object in a private store, and a staging folder there, take the next method, which works from here."""
    uri, staging = shelf.put("large.wav", large), f"{shelf.uri}/staging"
    assert plan(uri).method == "compress"
    assert plan(str(local), staging_path=staging).method == "compress"


@pytest.mark.parametrize("what", ["presign", "stage"])
def test_where_no_other_method_is_possible_the_error_says_what_is_out_of_reach(shelf: Shelf, large, local, what):
    """Before the submit, with the kind of address, and without a signature."""
    audio = shelf.put("large.wav", large) if what == "presign" else str(local)
    with pytest.raises(InvalidInput, match=rf"{what}: the storage's address is loopback.*cannot reach") as caught:
        plan(audio, oversize=("stage",), staging_path=f"{shelf.uri}/staging")
    assert "Signature" not in str(caught.value)
    assert shelf.keys("staging") == []


def test_a_pattern_in_the_bucket_is_a_table(emulator: Emulator, shelf: Shelf, large, capsys):
    """``nanostt estimate`` names each object with its method; what the pattern does not match is not looked at."""
    for name, data in (("a.wav", NOTE.read_bytes()), ("b.wav", large), ("c.txt", b"notes")):
        shelf.put(f"calls/{name}", data)
    capsys.readouterr()
    assert main(["estimate", f"{shelf.uri}/calls/*.wav", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["files"]
    assert [(row["file"], row["method"]) for row in rows] == [
        (f"{shelf.uri}/calls/a.wav", "upload"),
        (f"{shelf.uri}/calls/b.wav", "presign"),
    ]
    assert [row["minutes"] for row in rows] == pytest.approx([0.2, 0.2], abs=0.01)
