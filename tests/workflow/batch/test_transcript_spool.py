"""What the triggerer has fetched the worker does not ask for again; and where it has not, it does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.emulator import Emulator
from tests.outside import failing, killed, output
from tests.real_store import Shelf
from tests.workflow.batch.conftest import Batch, once, text_of


def asked(emulator: Emulator) -> Counter[str]:
    """How often each job was asked for."""
    return Counter(str(one.fields["runId"]) for one in emulator.requests if one.endpoint == "/transcribe/status")


def answers_folders(batch: Batch) -> list[Path]:
    """The folders for answers that are there."""
    return list((batch.memory.folder / ".nanostt").glob("*.answers"))


def test_a_transcript_is_fetched_once(batch: Batch):
    """By the triggerer; the resume finds all of them, and removes what it found."""
    audio, seen = batch.urls(5), []
    batch.before_resume = lambda: seen.append((len(batch.answers), asked(batch.emulator)))
    batch.run(audio)
    ((kept, before),) = seen
    assert kept == 5
    assert asked(batch.emulator) == before
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert answers_folders(batch) == []


def damaged(batch: Batch) -> None:
    for path, text in zip(batch.answers, ['{"status": "comp', "[]", '{"status": "processing"}'], strict=True):
        path.write_text(text)


@pytest.mark.parametrize("what", [Batch.forget_answers, damaged])
def test_without_them_the_service_is_asked(batch: Batch, what):
    """Nothing depends on what lies there."""
    audio = batch.urls(3)
    batch.before_resume = lambda: what(batch)
    batch.run(audio)
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)
    assert answers_folders(batch) == []


def test_a_retry_finds_what_a_killed_resume_has_left(batch: Batch):
    """Even if the service is out of reach by then."""
    audio = batch.urls(4)
    with killed(before=output(), nth=2):
        batch.run(audio)
    before = asked(batch.emulator)
    batch.emulator.fail("/transcribe/status", status=503, times=1000)
    batch.run(audio, timeout=30)
    assert asked(batch.emulator) == before
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)


def test_what_lies_ready_lands_whatever_the_service_says(batch: Batch):
    """One that has to be asked for meets a key that is no longer good; the others are here already."""
    audio = batch.urls(4)

    def take_one_away() -> None:
        (first,) = (path for path in batch.answers if text_of("call-000.mp3") in path.read_text())
        first.unlink()
        batch.emulator.fail("/transcribe/status", status=401, times=1000)

    batch.before_resume = take_one_away
    with pytest.raises(errors.BatchIncomplete, match="1 of 4"):
        batch.run(audio)
    batch.before_resume = None
    assert batch.statuses == ["failed", "written", "written", "written"]
    batch.emulator.clear_faults()
    assert batch.run(audio)["written"] == 4
    assert batch.charged == once(audio)
    assert answers_folders(batch) == []


def test_what_could_not_be_written_waits_for_the_retry(batch: Batch):
    """The answer stays where it is until it has landed, even if the service has forgotten the job by then."""
    audio = batch.urls(3)
    full = failing(output(), OSError(28, "No space left on device"), first=2)
    with full, pytest.raises(errors.BatchIncomplete, match="No space left"):
        batch.run(audio)
    before = asked(batch.emulator)
    batch.emulator.fail("/transcribe/status", status=404, times=1000)
    assert batch.run(audio, timeout=30)["written"] == 3
    assert asked(batch.emulator) == before
    assert answers_folders(batch) == []


def test_nothing_stays_where_a_kill_came_last(batch: Batch):
    """Everything had landed when the process died: the retry, which has no use for the answers, removes them."""
    audio = batch.urls(3)
    with killed(before=output("manifest.*")):
        batch.run(audio)
    assert answers_folders(batch) != []
    assert batch.run(audio)["written"] == 3
    assert answers_folders(batch) == []


def test_in_a_real_store(batch: Batch, shelf: Shelf):
    """Nothing stays but the results and the records."""
    audio, seen = batch.urls(3), []
    batch.before_resume = lambda: seen.append(asked(batch.emulator))
    batch.run(audio, output_path=shelf.uri)
    assert seen == [asked(batch.emulator)]
    left = shelf.keys()
    assert [key for key in left if ".answers" in key] == []
    assert len([key for key in left if key.endswith(".json") and not key.startswith(".")]) == 3
