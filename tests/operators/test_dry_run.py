"""A dry run: what would be submitted and what it would cost, without a submit and without a file."""

from __future__ import annotations

import contextlib

import pytest

from airflow_provider_nanostt._compat import AirflowException, AirflowSkipException
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator

ASYNC = "Elevenlabs-STT"


def made(wav, files, **arguments):
    return TranscribeOperator(
        task_id="t", audio=str(wav), model=ASYNC, poll_interval=0.05, output_path=str(files.folder), **arguments
    )


def is_untouched(emulator, files) -> bool:
    """Whether nothing was charged, sent to the service's paid endpoints, or written."""
    paid = [one for one in emulator.requests if one.path.endswith(("/transcribe", "/youtube-transcribe"))]
    return not (emulator.charges or paid or files.folder.exists())


def test_it_says_what_it_would_cost(emulator, wav, files, logged):
    """Length, price, cost and way are in the log."""
    made(wav, files).dry_run()
    said = "\n".join(logged())
    assert "Expected cost: 0.20 min x $0.03/min for Elevenlabs-STT" in said
    assert "Upload method: upload" in said
    assert "Dry run: nothing was submitted" in said
    assert is_untouched(emulator, files)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"max_cost_usd": 0.001}, "would cost more than max_cost_usd"), ({"formats": "tiff"}, "tiff")],
)
def test_it_says_what_would_fail(emulator, wav, files, logged, arguments, reason):
    """A limit that is too low, or an argument that is wrong, is found without a submit."""
    made(wav, files, **arguments).dry_run()
    (line,) = [line for line in logged() if "This would fail" in line]
    assert reason in line
    assert is_untouched(emulator, files)


def test_it_says_what_is_paid_for(emulator, wav, files, run_task, logged, monkeypatch):
    """With the context of a task that has run before, a dry run finds its record, and a changed model costs anew."""
    run_task(lambda: made(wav, files), files.context())
    before = {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()}
    logged()
    monkeypatch.setenv("NANOSTT_DRY_RUN", "1")
    with pytest.raises(AirflowSkipException):
        made(wav, files).execute(files.context())
    said = "\n".join(logged())
    assert "Already transcribed and paid for" in said
    other = made(wav, files)
    other.model = "Whisper-Large-V3"
    with pytest.raises(AirflowSkipException):
        other.execute(files.context())
    said = "\n".join(logged())
    assert "have changed, so this submits anew" in said
    assert "for Whisper-Large-V3" in said
    assert len(emulator.charges) == 1
    assert {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kind", ["one", "batch", "videos"])
def test_no_operator_submits_in_a_dry_run(emulator, wav, files, kind, monkeypatch):
    """With the variable set every operator ends as skipped, whatever it can say of the cost."""
    monkeypatch.setenv("NANOSTT_DRY_RUN", "1")
    common = {"task_id": "t", "output_path": str(files.folder)}
    operator = {
        "one": lambda: made(wav, files),
        "batch": lambda: TranscribeBatchOperator(audio=[str(wav)], **common),
        "videos": lambda: YouTubeTranscribeOperator(urls=["https://youtu.be/the-parcels"], **common),
    }[kind]()
    with pytest.raises(AirflowSkipException, match="NANOSTT_DRY_RUN is set, so nothing was submitted"):
        operator.execute(files.context())
    assert is_untouched(emulator, files)


@pytest.mark.parametrize(("limit", "warned"), [(0.001, True), (1.0, False), (None, False)])
def test_a_batch_says_what_its_list_would_cost(emulator, wav, files, logged, limit, warned):
    """The sum of all recordings, what cannot be submitted, and whether it is more than the limit."""
    audio = [str(wav), str(wav), str(wav.parent / "gone.wav"), {"audio": str(wav), "language": "de"}]
    TranscribeBatchOperator(
        task_id="t", audio=audio, model=ASYNC, output_path=str(files.folder), max_cost_usd=limit
    ).dry_run()
    said = "\n".join(logged())
    assert "2 recordings with 0.4 minutes: expected cost $0.012" in said
    assert "1 duplicate, 1 failed" in said
    assert ("more than max_cost_usd, $0.001" in said) == warned
    assert is_untouched(emulator, files)


@pytest.mark.parametrize(("word", "submits"), [("", 1), ("false", 1), ("0", 1), ("True", 0), ("perhaps", 0)])
def test_what_the_variable_may_say(emulator, wav, files, word, submits, monkeypatch):
    """It is read as every other flag, and what is none submits nothing."""
    monkeypatch.setenv("NANOSTT_DRY_RUN", word)
    with contextlib.nullcontext() if submits else pytest.raises(AirflowException):
        made(wav, files).execute(files.context())
    assert len(emulator.charges) == submits
