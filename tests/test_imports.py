"""What importing costs, and what may not be imported while DAGs are parsed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
from tests.conftest import ANYWHERE, TESTS

HEAVY = ("requests", "aiohttp", "tenacity", "av", "urllib3", "pocketsphinx")

PACKAGE = "airflow_provider_nanostt"
MODULES = [PACKAGE, f"{PACKAGE}.operators", f"{PACKAGE}.triggers", f"{PACKAGE}.assets"]

PROBE = """
import importlib, json, sys
try:
    import airflow.sdk
except ImportError:
    import airflow.models.baseoperator
found = {}
for module in sys.argv[1].split():
    before = set(sys.modules)
    importlib.import_module(module)
    found[module] = sorted(set(sys.modules) - before)
print(json.dumps(found))
"""


COLLECT = """
import sys
import pytest
sys.modules["airflow"] = None
options = ["--import-mode=importlib", "-p", "no:cacheprovider", "-q", "--collect-only"]
sys.exit(pytest.main([*options, *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """For each module what it loads beside what Airflow and the modules before it have loaded."""
    command = [sys.executable, "-c", PROBE, " ".join(MODULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", MODULES)
def test_parsing_a_dag_imports_nothing_heavy(imported, module):
    """A DAG file that uses the operators loads none of the libraries that only a running task needs."""
    assert [name for name in imported[module] if name.partition(".")[0] in HEAVY] == []


ALL_OF = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(found.name)
print("airflow" in sys.modules)
"""


@pytest.mark.parametrize("package", ["api", "audio", "polling"])
def test_what_needs_no_airflow_loads_none(package):
    """Airflow's hundred megabytes are not needed to talk to the service, or to inspect, compress or split sound."""
    command = [sys.executable, "-c", ALL_OF, f"airflow_provider_nanostt.{package}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.long
def test_what_is_marked_as_the_same_on_every_airflow_is_collected_without_one():
    """The modules with the mark ``anywhere`` load nothing that would load Airflow; `make matrix` relies on it."""
    files = [file for folder in ANYWHERE for file in sorted((TESTS / folder).rglob("test_*.py"))]
    marked = [str(file) for file in files if "mark.airflow" not in file.read_text(encoding="utf-8")]
    assert len(marked) > 30
    command = [sys.executable, "-c", COLLECT, *marked]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_root_module_imports_no_airflow():
    """Airflow reads the metadata while it is still starting, so that module may not ask for Airflow."""
    probe = "import sys, airflow_provider_nanostt as p; p.get_provider_info(); print('airflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


HELP = """
import contextlib, io, sys
from airflow_provider_nanostt.cli import main
for words in (["--help"], ["transcribe", "--help"]):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(words)
print(*sys.modules)
"""


def test_the_help_of_the_command_imports_nothing_heavy():
    """It is shown at once: neither Airflow nor what only a command that works needs is loaded."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} & {*HEAVY, "airflow", "rich"} == set()


WAIT = """
import asyncio, json, sys
from airflow_provider_nanostt import triggers
how = {"nanogpt_conn_id": "nanogpt_default", "poll_interval": 0.05, "deadline": 4e9}
job = json.loads(sys.argv[1])
waits = [
    triggers.TranscriptionTrigger(job=job, **how),
    triggers.PartsTrigger(parts=[{"job": job, "start": 0.0}], **how),
    triggers.BatchTrigger(jobs=[job], answers=json.loads(sys.argv[2]), **how),
]

async def fired(trigger):
    return [event.payload async for event in trigger.run()]

events = [asyncio.run(fired(one)) for one in waits]
loaded = [name for name in sys.modules if name.startswith("airflow_provider_nanostt.")]
print(json.dumps([events, loaded]))
"""

OF_THE_WORKER = ("audio", "outputs", "workflow", "operators", "emulator")


def test_the_triggerer_loads_nothing_that_only_a_worker_needs(emulator: Emulator, wav: Path, tmp_path: Path):
    """To read a connection, to wait for jobs and to leave their answers, no module about audio or outputs is needed."""
    job = NanoGPTHook().transcribe(audio_path=wav, model="Elevenlabs-STT", wait_for_completion=False)
    spool = TranscriptSpool(object_storage.resolve(str(tmp_path / "answers")))
    command = [sys.executable, "-c", WAIT, json.dumps(job.to_json()), json.dumps(spool.open())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    events, loaded = json.loads(done.stdout.splitlines()[-1])
    assert events[0][0]["kind"] == events[1][0]["parts"][0]["kind"] == "completed"
    (of_batch,) = events[2]
    assert (of_batch["batch"]["jobs"], of_batch["batch"]["not_completed"]) == (1, {})
    assert json.loads(spool.take(job.run_id) or b"{}")["transcription"]
    assert "airflow_provider_nanostt.hooks" in loaded
    assert [name for name in loaded if name.split(".")[1] in OF_THE_WORKER] == []
