"""Fixtures for all tests: a local NanoGPT behind the connection ``nanogpt_default``, and a task run without Airflow."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from airflow_provider_nanostt.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Runs are alike on every machine; a search for new counter-examples is started by hand with --hypothesis-seed.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

AUDIO = Path(__file__).parents[1] / "example_dags" / "audio"
TEXT = "Good morning, the parcels have arrived."


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A fresh local NanoGPT that answers with :data:`TEXT`; jobs take a fifth of a second."""
    with Emulator(processing_seconds=0.2, speed=100.0) as running:
        for name in ("note.wav", "call.wav", "note.mp3"):
            running.script(name, text=TEXT, duration=30.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", running.connection_json)
        yield running


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """A real recording under the name ``note.wav``."""
    file = tmp_path / "note.wav"
    file.write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    return file


@pytest.fixture
def run_task(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an operator as Airflow would: the trigger travels as JSON, the resume is a new instance."""
    from airflow_provider_nanostt import triggers

    # Only real Airflow needs the pause before an event.
    monkeypatch.setattr(triggers, "EARLIEST_EVENT", 0.0)

    def run(make: Any, context: dict[str, Any] | None = None) -> Any:
        try:
            return make().execute(context or {})
        except BaseException as deferred:
            if type(deferred).__name__ != "TaskDeferred":
                raise
            event = fire(deferred.trigger)  # type: ignore[attr-defined]
            return getattr(make(), deferred.method_name)(context or {}, event=event)  # type: ignore[attr-defined]

    return run


def fire(trigger: Any) -> Any:
    """Take a trigger through storage and return the payload of its event, which must be its only one."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))

    async def collect() -> list[Any]:
        return [event async for event in again.run()]

    (event,) = asyncio.run(collect())
    return json.loads(json.dumps(event.payload))


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return the lines logged so far, whichever way this Airflow sends its logs."""
    caplog.set_level("INFO")

    def lines() -> list[str]:
        captured = capsys.readouterr()
        return [*(captured.out + captured.err).splitlines(), *(record.getMessage() for record in caplog.records)]

    return lines


os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
