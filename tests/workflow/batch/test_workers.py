"""How many items of a batch are at work at once: as many as a slow storage takes, or as many as the user says."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_nanostt.polling import RateLimiter
from airflow_provider_nanostt.workflow.batch.workers import LAST_WIDTH, Width
from tests.outside import Event, counted, killed, record
from tests.real_store import Shelf
from tests.workflow.batch.conftest import Batch, once


@dataclass
class SlowRecords:
    """Holds each record back for a moment, and counts how many are held at once."""

    state: str = "intended"
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> bool:
        if not record(self.state)(event):
            return False
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.2)  # longer than what a busy machine makes of everything else
        with self._lock:
            self._now -= 1
        return True


def test_more_are_at_work_while_the_storage_is_slow(batch: Batch):
    """Request slots that nobody takes bring more threads, without a setting; each recording is charged once."""
    audio, slow = batch.urls(60), SlowRecords()
    with counted(slow):
        assert batch.run(audio)["written"] == 60
    assert 8 < slow.most <= LAST_WIDTH
    assert batch.charged == once(audio)


def test_a_number_that_is_given_is_a_ceiling(batch: Batch):
    """However slow the storage is, no more are at work than the user allows."""
    slow = SlowRecords()
    with counted(slow):
        assert batch.run(batch.urls(30), max_parallel=4)["written"] == 30
    assert slow.most <= 4


def test_killed_among_many_the_retry_pays_only_what_is_missing(batch: Batch):
    """The end of the task begins nothing more, and what is under way is recorded."""
    audio = batch.urls(60)
    with killed(after=record("submitted"), nth=20):
        batch.run(audio)
    assert len(batch.emulator.charges) < 60
    assert batch.run(audio)["written"] == 60
    assert batch.charged == once(audio)


@pytest.mark.parametrize(("busy", "least", "most"), [(1.0, 8, 8), (1.5, 9, LAST_WIDTH), (50.0, LAST_WIDTH, LAST_WIDTH)])
def test_threads_grow_only_where_slots_stay_unused(busy, least, most):
    """At the pace of the key eight are enough; where slots stay unused it is more, up to a bound."""
    limiter = RateLimiter(20.0)
    width = Width(limiter)
    now = 100.0
    for _ in range(60):
        limiter.reserve(now)
        now += busy / 20.0
        width.grown()
    assert least <= width.grown() <= most


def test_a_record_in_s3_is_one_request(batch: Batch, shelf: Shelf):
    """A batch asks no store whether it may send the few bytes of a record: that would be a round trip for each."""
    shelf.only("s3")
    asked: list[bool] = []

    def note(request: Any, **_: object) -> None:
        if request.method == "PUT" and "/.nanostt/" in request.url:
            asked.append("Expect" in request.headers)

    shelf.fs.s3.meta.events.register_first("before-send.s3", note)
    assert batch.run(batch.urls(3), output_path=f"{shelf.uri}/out")["written"] == 3
    assert len(asked) >= 9
    assert not any(asked)
