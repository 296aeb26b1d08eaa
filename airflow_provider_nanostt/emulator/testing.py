"""A pytest fixture for the tests of your own DAGs; the only module here that needs pytest.

In your ``conftest.py``::

    from airflow_provider_nanostt.emulator.testing import nanogpt_emulator

and a test that takes ``nanogpt_emulator`` finds the connection ``nanogpt_default`` pointing at a fresh local NanoGPT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_nanostt.emulator.running import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEED = 50.0  # a job that takes 10 s at the service takes 0.2 s in a test


@pytest.fixture
def nanogpt_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running :class:`Emulator`, fifty times as fast as the service, as Airflow's connection ``nanogpt_default``."""
    with Emulator(speed=SPEED) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        yield emulator
