"""What is staged can be fetched, is removed again, and nothing else in the folder is touched."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.errors import InvalidInput, TranscriptionFailed
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import hiss, note, wav
from tests.conftest import AUDIO

pytestmark = pytest.mark.airflow

MINE, YOURS = "0123456789ab", "ba9876543210"
FOLDER = "s3://bucket/staging"
SIGNATURE = "X-Amz-Signature=5ec2e75ec2e75ec2e7"


@pytest.fixture
def signing(bucket, monkeypatch):
    """The storage in memory, able to sign."""
    monkeypatch.setattr(
        type(bucket), "sign", lambda _, path, expiration: f"https://bucket.example/{path.lstrip('/')}?{expiration}&{SIGNATURE}",
        raising=False,
    )  # fmt: skip
    return bucket


@pytest.fixture
def recording():
    return LocalFile(AUDIO / "weekly-note.wav")


def there(bucket) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in bucket.store)


def test_a_staged_recording_lies_at_a_signed_address(signing, recording):
    """Its bytes are there under a name that is not its own, and the address is good for as long as was asked."""
    url = Staging(FOLDER, MINE, clock=lambda: 1000.0).put(recording, suffix=".wav", seconds=60)
    (name,) = there(signing)
    assert name.startswith(f"nanostt-{MINE}-0000001060-")
    assert "weekly" not in name
    assert url.startswith("https://bucket.example/")
    assert name in url
    assert "?60&" in url
    ((_, file),) = signing.store.items()
    assert file.getvalue() == (AUDIO / "weekly-note.wav").read_bytes()


def test_each_removes_its_own(signing, recording):
    """Two tasks share a folder and do not get in each other's way."""
    mine, yours = Staging(FOLDER, MINE), Staging(FOLDER, YOURS)
    mine.put(recording, suffix=".wav", seconds=60)
    yours.put(recording, suffix=".wav", seconds=60)
    mine.clear()
    (left,) = there(signing)
    assert YOURS in left
    mine.clear()
    yours.clear()
    assert there(signing) == []


def test_what_a_killed_task_left_is_swept_up_in_time(signing, recording):
    """Whoever stages next removes what has outlived its time, and nothing that may still be needed."""
    Staging(FOLDER, YOURS, clock=lambda: 1000.0).put(recording, suffix=".wav", seconds=60)
    Staging(FOLDER, MINE, clock=lambda: 1059.0).put(recording, suffix=".wav", seconds=60)
    assert len(there(signing)) == 2
    Staging(FOLDER, MINE, clock=lambda: 1061.0).put(recording, suffix=".wav", seconds=60)
    assert [YOURS in name for name in there(signing)] == [False, False]


@pytest.mark.parametrize(
    "name",
    [
        "call.wav",
        f"nanostt-{MINE}.wav",
        f"nanostt-{MINE}-0000000001-0123456789abcdef.wav.bak",
        f"copy-of-nanostt-{MINE}-0000000001-0123456789abcdef.wav",
        f"nanostt-{MINE}-1-0123456789abcdef.wav",
    ],
)
def test_nothing_else_is_touched(signing, name):
    """Neither what has another name nor what only looks alike."""
    signing.pipe_file(f"/bucket/staging/{name}", b"mine")
    staging = Staging(FOLDER, MINE)
    staging.sweep()
    staging.clear()
    assert there(signing) == [name]


def test_a_folder_that_cannot_sign_is_refused_and_left_empty(tmp_path, recording):
    """The disk has no addresses; the error says what has."""
    with pytest.raises(InvalidInput, match=r"cannot sign addresses.*s3://"):
        Staging(str(tmp_path), MINE).put(recording, suffix=".wav", seconds=60)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_refuses_is_named(signing, recording):
    """What it says is in the error, and nothing of ours is left."""
    signing.trouble["wb"] = PermissionError("AccessDenied")
    with pytest.raises(InvalidInput, match=r"staging_path='s3://bucket/staging': PermissionError: AccessDenied"):
        Staging(FOLDER, MINE).put(recording, suffix=".wav", seconds=60)
    assert there(signing) == []


def test_cleaning_up_never_costs_a_transcript(signing, recording, monkeypatch, caplog):
    """A storage that will not list or remove is told of in the log, and no more."""
    staging = Staging(FOLDER, MINE)
    staging.put(recording, suffix=".wav", seconds=60)

    def refuse(*_, **__):
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(type(signing), "rm_file", refuse)
    staging.clear()
    assert "cannot be removed" in caplog.text
    monkeypatch.setattr(type(signing), "ls", refuse)
    staging.clear()
    assert "cannot be listed" in caplog.text


@pytest.fixture
def large(tmp_path):
    """A recording that is too large for an upload."""
    file = tmp_path / "large.wav"
    file.write_bytes(wav(note() + hiss(90)))
    return file


@pytest.mark.parametrize("end", ["done", "failed", "refused"])
@pytest.mark.parametrize("longest", [0, 60])
@pytest.mark.parametrize("deferrable", [True, False])
def test_the_operator_stages_and_cleans_up(
    emulator: Emulator, signing, large, files, run_task, no_pauses, end, deferrable, longest
):
    """The service is given the address; whatever becomes of the job, and wherever it is waited for, the folder is empty
    afterwards."""
    emulator.script("*", **({"status": "failed", "error": "noise"} if end == "failed" else {"text": "Hello."}),
                    duration=102.0)  # fmt: skip
    if end == "refused":
        emulator.fail("/transcribe", status=400, message="no such luck")

    def run():
        return run_task(
            lambda: TranscribeOperator(
                task_id="transcribe",
                audio=str(large),
                model="Elevenlabs-STT",
                audio_preparation={"staging_path": FOLDER},
                deferrable=deferrable,
                poll_interval=0.1,
                max_worker_wait=longest,
                **files.arguments,
            ),
            files.context(),
        )

    if end == "done":
        assert run()["words"] == 1
    else:
        kind, words = (TranscriptionFailed, "noise") if end == "failed" else (AirflowFailException, "no such luck")
        with pytest.raises(kind, match=words):
            run()
    assert there(signing) == []
    (submit,) = (request for request in emulator.requests if request.endpoint == "/transcribe")
    assert submit.fields["audioUrl"].startswith("https://bucket.example/bucket/staging/nanostt-")
    assert float(submit.fields["actualDuration"]) == pytest.approx(102 / 60, abs=0.01)
    kept = "".join(file.read_text() for file in files.folder.rglob("*.json"))
    assert "5ec2e75ec2e7" not in kept


def test_an_object_in_storage_is_fetched_at_a_signed_address(emulator: Emulator, signing, large, run_task):
    """Nothing is copied; a second attempt with another signature is the same recording."""
    signing.pipe_file("/bucket/calls/large.wav", large.read_bytes())
    emulator.script("*", text="Hello.", duration=102.0)
    result = run_task(
        lambda: TranscribeOperator(
            task_id="transcribe", audio="s3://bucket/calls/large.wav", model="Elevenlabs-STT", poll_interval=0.1
        )
    )
    assert result["transcription"] == "Hello."
    (submit,) = (request for request in emulator.requests if request.endpoint == "/transcribe")
    assert submit.fields["audioUrl"].startswith("https://bucket.example/bucket/calls/large.wav?")
    assert there(signing) == ["large.wav"]
    assert "5ec2e75ec2e7" not in str(result)


def keyless(*_, **__):
    raise AttributeError("you need a private key to sign credentials")


@pytest.mark.parametrize("what", ["presign", "stage"])
def test_credentials_that_cannot_sign_leave_the_next_way(
    emulator: Emulator, signing, large, run_task, logged, monkeypatch, what
):
    """As Google's without a private key: the recording is compressed, and the log says why."""
    monkeypatch.setattr(type(signing), "sign", keyless)
    signing.pipe_file("/bucket/calls/large.wav", large.read_bytes())
    staged = {"audio": str(large), "audio_preparation": {"staging_path": FOLDER}}
    given = {"audio": "s3://bucket/calls/large.wav"} if what == "presign" else staged
    emulator.script("large.ogg", text="Hello.", duration=102.0)
    result = run_task(
        lambda: TranscribeOperator(task_id="transcribe", model="Elevenlabs-STT", poll_interval=0.1, **given)
    )
    assert result["transcription"] == "Hello."
    assert there(signing) == ["large.wav"]
    assert any(f"not {what}: that storage cannot sign" in line and "private key" in line for line in logged())


def test_a_staging_folder_that_is_not_there_is_not_passed_over(emulator: Emulator, large):
    """What the user has named and cannot be had fails before the submit; nothing is done instead."""
    with pytest.raises(AirflowFailException, match="nosuch://bucket"):
        TranscribeOperator(
            task_id="transcribe", audio=str(large), audio_preparation={"staging_path": "nosuch://bucket/staging"}
        ).execute({})
    assert list(emulator.charges) == []
