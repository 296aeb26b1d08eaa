"""What Airflow, or a test of a DAG, copies and pickles: also after it was used, and has logged as Airflow has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from airflow_provider_nanostt.emulator import Emulator
from tests.conftest import AUDIO

# In a process of its own that does not know of pytest: for its sake Airflow makes other loggers, which can be pickled.
COPY = """
import asyncio, copy, json, pickle, sys
from types import SimpleNamespace
from airflow_provider_nanostt import operators, sensors, triggers
from airflow_provider_nanostt._compat import BaseOperator
from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.decorators import transcribe_task
from airflow_provider_nanostt.hooks import NanoGPTHook

class Own(BaseOperator):
    def balance(self):
        self.hook = NanoGPTHook()
        self.hook.log.info("Used by an operator")
        return self.hook.balance()

def recording():
    return wav

async def events(trigger):
    return [event.payload async for event in trigger.run()]

def use(thing):
    for name, call in {
        "balance": lambda: thing.balance().usd,
        "execute": lambda: thing.execute({"ti": instance}),
        "send": lambda: thing.send(endpoints.balance()).usd,
        "run": lambda: asyncio.run(events(thing)),
    }.items():
        if hasattr(thing, name):
            return call()

wav, folder, key = sys.argv[1:]
names = {"dag_id": "calls", "run_id": "manual__1", "map_index": -1, "try_number": 1, "max_tries": 2}
instance = SimpleNamespace(task_id="t", **names, xcom_push=lambda **_: None)
job = NanoGPTHook().transcribe(audio_path=wav, model="Elevenlabs-STT", wait_for_completion=False).to_json()
how = {"nanogpt_conn_id": "nanogpt_default", "poll_interval": 0.05, "deadline": 4e9}
task = {"task_id": "t", "poll_interval": 0.05, "deferrable": False, "model": "Elevenlabs-STT"}
video = "https://www.youtube.com/watch?v=the-parcels"
found = {}
for name, thing in {
    "hook": NanoGPTHook(),
    "client": NanoGPTHook().get_conn(),
    "operator of one's own with a hook": Own(task_id="own"),
    "TranscribeOperator": operators.TranscribeOperator(audio=wav, output_path=f"{folder}/one", **task),
    "TranscribeBatchOperator": operators.TranscribeBatchOperator(audio=[wav], output_path=f"{folder}/many", **task),
    "@task.transcribe": transcribe_task(recording, output_path=f"{folder}/function", **task)().operator,
    "YouTubeTranscribeOperator": operators.YouTubeTranscribeOperator(
        task_id="t", urls=[video], output_path=f"{folder}/videos"
    ),
    "TranscriptionSensor": sensors.TranscriptionSensor(task_id="t", job=job, poke_interval=0.05),
    "TranscriptionTrigger": triggers.TranscriptionTrigger(job=job, **how),
    "PartsTrigger": triggers.PartsTrigger(parts=[{"job": job, "start": 0.0}], **how),
    "BatchTrigger": triggers.BatchTrigger(jobs=[job], **how),
    "PauseTrigger": triggers.PauseTrigger(**{**how, "deadline": 1.0}),
}.items():
    first = use(thing)
    if type(thing).__module__.startswith("airflow_provider_nanostt.") and name != "client":
        thing.log.info("Used")
    try:
        data = pickle.dumps(thing)
        copies = {"copy": copy.copy(thing), "deep copy": copy.deepcopy(thing), "pickle": pickle.loads(data)}
        found[name] = {way: use(twin) == first for way, twin in copies.items()}
        found[name]["without a key"] = key.encode() not in data or name == "client"
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found, default=str))
"""

KINDS = [
    "hook",
    "client",
    "operator of one's own with a hook",
    "TranscribeOperator",
    "TranscribeBatchOperator",
    "@task.transcribe",
    "YouTubeTranscribeOperator",
    "TranscriptionSensor",
    "TranscriptionTrigger",
    "PartsTrigger",
    "BatchTrigger",
    "PauseTrigger",
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> dict[str, object]:
    """For each kind of thing whether its copies do what it did."""
    with Emulator(processing_seconds=0.02, speed=100.0) as emulator:
        emulator.script("*", text="The parcels.", duration=30.0)
        command = [sys.executable, "-c", COPY, str(AUDIO / "weekly-note.wav"), str(tmp_path_factory.mktemp("results"))]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        env["AIRFLOW_CONN_NANOGPT_DEFAULT"] = emulator.connection_json
        done = subprocess.run([*command, emulator.api_key], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "charges": len(emulator.charges)}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_used_and_has_logged_can_be_copied(copied, kind):
    """Copied, deep-copied and pickled; each copy does what the original did, and no pickle of a hook has the key."""
    assert copied[kind] == {"copy": True, "deep copy": True, "pickle": True, "without a key": True}


def test_copies_pay_for_nothing_twice(copied):
    """One job for the sensor and the triggers, one for each operator."""
    assert copied["charges"] == 5
