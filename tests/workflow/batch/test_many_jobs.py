"""A batch of many: what Airflow stores of it is small, and a triggerer that does not see its folder loses nothing."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.triggers import BatchTrigger
from tests.conftest import fire
from tests.outside import killed, output
from tests.workflow.batch.conftest import Batch, once, text_of

MOST = 8 * 1024
MANY = 200


class Stored:
    """What Airflow keeps of one attempt: trigger rows, events, and what goes to XCom."""

    def __init__(self) -> None:
        self.triggers: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {}

    @property
    def sizes(self) -> list[int]:
        """Bytes of each, a trigger's encrypted as Airflow 2 does it."""
        rows = [len(json.dumps(one)) * 4 // 3 for one in self.triggers]
        return [*rows, *(len(json.dumps(one)) for one in (*self.events, self.result))]


def attempt(batch: Batch, audio: Any, before_trigger: Callable[[], object] | None = None, **arguments: Any) -> Stored:
    """Run one attempt; each deferral is a trigger that is stored, and a new operator that resumes."""
    stored, method, given = Stored(), "execute", {}
    while True:
        try:
            made = batch.make(audio, **arguments)
            stored.result = getattr(made, method)(batch.memory.context(), **given)
        except BaseException as deferred:
            if type(deferred).__name__ != "TaskDeferred":
                raise
            stored.triggers.append(deferred.trigger.serialize()[1])
            if before_trigger is not None:
                before_trigger()
            stored.events.append(fire(deferred.trigger))
            method, given = deferred.method_name, {"event": stored.events[-1]}
        else:
            return stored


def answers_folder(batch: Batch) -> Path:
    (found,) = (batch.memory.folder / ".nanostt").glob("*.answers")
    return found


def test_of_a_large_batch_little_is_stored(batch: Batch):
    """The trigger's arguments name a file in the output folder; each recording is written, and paid once."""
    audio = batch.urls(MANY)
    stored = attempt(batch, audio)
    assert len(stored.triggers) == 1
    assert max(stored.sizes) <= MOST
    assert batch.statuses == ["written"] * MANY
    assert batch.charged == once(audio)
    assert list((batch.memory.folder / ".nanostt").glob("*.answers")) == []


def test_a_small_batch_needs_no_storage_in_the_triggerer(batch: Batch):
    """Its jobs are in the arguments, and are waited for whatever has become of the folder."""
    audio = batch.urls(30)

    def remove() -> None:
        for path in answers_folder(batch).iterdir():
            path.unlink()

    stored = attempt(batch, audio, remove)
    assert len(stored.triggers) == 1
    assert max(stored.sizes) <= MOST
    assert batch.charged == once(audio)
    assert batch.statuses == ["written"] * 30


def another_machine(folder: Path) -> None:
    """There is no such folder."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def of_another_attempt(folder: Path) -> None:
    (folder / "open").write_text("0123456789abcdef")


def forged(folder: Path) -> None:
    (folder / "jobs.jsonl").write_text('{"run_id": "somebody-else"}\n')


def cut(folder: Path) -> None:
    path = folder / "jobs.jsonl"
    path.write_bytes(path.read_bytes()[:-10])


def link(folder: Path) -> None:
    """It leads to the very same bytes, but elsewhere."""
    path = folder / "jobs.jsonl"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [another_machine, forged, *(pytest.param(one, marks=pytest.mark.long) for one in (of_another_attempt, cut, link))],
)
def test_a_triggerer_that_cannot_read_the_jobs_loses_nothing(batch: Batch, spoil, logged):
    """It says so, and the worker goes on with as many as fit; nothing is submitted again, and no deadline moves."""
    audio = batch.urls(MANY)
    before = [lambda: spoil(answers_folder(batch))]
    stored = attempt(batch, audio, lambda: before.pop()() if before else None)
    assert 2 < len(stored.triggers) < 10
    assert max(stored.sizes) <= MOST
    assert len({trigger["deadline"] for trigger in stored.triggers}) == 1
    assert sum(event["batch"]["jobs"] for event in stored.events) == MANY
    assert batch.statuses == ["written"] * MANY
    assert batch.texts == [text_of(Path(one).name) for one in audio]
    assert batch.charged == once(audio)
    (warning,) = [line for line in logged() if "Let triggerers read and write output_path" in line]
    assert ".answers cannot be read: " in warning


def test_a_retry_after_a_kill_between_two_waits_pays_nothing(batch: Batch):
    """What the first waits have brought is there; the rest is found in the ledger."""
    audio = batch.urls(MANY)
    before = [lambda: forged(answers_folder(batch))]
    with killed(before=output(), nth=MANY // 2):
        attempt(batch, audio, lambda: before.pop()() if before else None)
    attempt(batch, audio)
    assert batch.statuses == ["written"] * MANY
    assert batch.charged == once(audio)


def test_many_failures_do_not_make_a_large_event(batch: Batch):
    """Those it has no room for are counted; each is asked for once more, and has its own reason."""
    audio = batch.urls(MANY, status="failed", error="noise")
    stored = attempt(batch, audio, on_item_error="continue")
    (event,) = stored.events
    assert len(event["batch"]["not_completed"]) + event["batch"]["more"] == MANY
    assert max(stored.sizes) <= MOST
    assert batch.statuses == ["failed"] * MANY
    assert all("noise" in row["error"] for row in batch.rows)


def test_what_an_earlier_version_has_stored_is_read(batch: Batch):
    """Jobs packed as they were, without what came later; and the event of an earlier triggerer."""
    audio = batch.urls(30)
    made = batch.make(audio)
    with pytest.raises(BaseException) as deferred:  # noqa: PT011
        made.execute(batch.memory.context())
    _, now = deferred.value.trigger.serialize()
    jobs = BatchTrigger(**now).jobs
    packed = json.dumps({"version": 1, "jobs": jobs}).encode()
    names = ("answers", "nanogpt_conn_id", "poll_interval", "deadline", "not_before")
    earlier = {**{name: now[name] for name in names}, "jobs": base64.b85encode(zlib.compress(packed, 9)).decode()}
    assert fire(BatchTrigger(**earlier))["batch"]["jobs"] == 30
    event = {"batch": {"jobs": 30, "not_completed": {}}}
    assert batch.make(audio).execute_complete(batch.memory.context(), event=event)["written"] == 30
    assert batch.charged == once(audio)


def test_a_later_way_to_pack_is_refused_by_name():
    """A trigger that cannot know its jobs says which version it reads."""
    packed = base64.b85encode(zlib.compress(b'{"version": 2, "jobs": []}')).decode()
    with pytest.raises(ValueError, match="packed in version 2"):
        BatchTrigger(jobs=packed, nanogpt_conn_id="x", poll_interval=1.0, deadline=time.time())


@pytest.mark.parametrize("event", [None, {}, {"batch": 1}, {"batch": {"jobs": 1}}, {"batch": {"not_completed": []}}])
def test_an_event_that_cannot_be_read_fails_and_a_retry_finds_all(batch: Batch, event):
    """It never counts as success."""
    audio = batch.urls(2)
    with pytest.raises(BaseException):  # noqa: PT011, B017
        batch.make(audio).execute(batch.memory.context())
    with pytest.raises(errors.LedgerError, match="a retry finds all"):
        batch.make(audio).execute_complete(batch.memory.context(), event=event)
    attempt(batch, audio)
    assert batch.charged == once(audio)
