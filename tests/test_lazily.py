"""A property that is worked out once for each instance, and by many threads at once for many."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from airflow_provider_nanostt.lazily import cached_property

pytestmark = pytest.mark.anywhere


def test_it_is_worked_out_once():
    """Also in a frozen dataclass; asked of the class it is itself, with its documentation."""

    @dataclass(frozen=True)
    class Thing:
        asked: list[int]

        @cached_property
        def answer(self) -> int:
            """What it is."""
            self.asked.append(1)
            return 42

    thing, other = Thing([]), Thing([])
    assert (thing.answer, thing.answer, thing.asked, other.asked) == (42, 42, [1], [])
    assert Thing.answer.__doc__ == "What it is."


def test_threads_do_not_wait_for_each_others():
    """Three instances are looked at by three threads at the same time, or this would never end."""
    together = threading.Barrier(3, timeout=10)

    class Slow:
        @cached_property
        def answer(self) -> int:
            return together.wait()

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(Slow().answer)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2]
