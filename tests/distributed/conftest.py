"""Celery workers, triggerers, PgBouncer, Redis and an object store for the tests of many machines."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.distributed.judge import HEAD
from tests.distributed.stack import Stack, running, say

# Celery is only in the environment of `make distributed`.
collect_ignore_glob = [] if find_spec("celery") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def orderly_end() -> Iterator[None]:
    """End what was started on SIGTERM, too, as on Ctrl-C."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All machines, healthy."""
    with running(tmp_path_factory.mktemp("distributed")) as started:
        yield started


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines of the table, printed at the end."""
    rows: list[str] = []
    yield rows
    say("\n".join(["What became of the recordings:", "", HEAD, *rows, ""]))
