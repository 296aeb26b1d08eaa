"""Celery workers, triggerers, PgBouncer, Redis and an object store for the tests of many machines."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("airflow.providers.celery", reason="only in the environment of `make distributed`")

from tests.distributed.judge import HEAD
from tests.distributed.stack import Stack, running, say


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All machines, healthy; what is started is ended on Ctrl-C and SIGTERM, too."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with running(tmp_path_factory.mktemp("distributed")) as started:
            yield started
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def table() -> Iterator[list[str]]:
    """Lines of the table, printed at the end."""
    rows: list[str] = []
    yield rows
    say("\n".join(["What became of the recordings:", "", HEAD, *rows, ""]))
