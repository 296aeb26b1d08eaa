"""Fixtures for all tests: a local NanoGPT behind the connection ``nanogpt_default``, and a task run without Airflow."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import json
import os
import re
import shutil
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings

from airflow_provider_nanostt.common.known_secrets import forget_all
from airflow_provider_nanostt.emulator import Emulator
from tests.browser import browser, visit  # noqa: F401  fixtures
from tests.outside import StateStore, is_ours, pauses
from tests.real_store import object_store, shelf  # noqa: F401  fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Runs are alike on every machine; a search for new counter-examples is started by hand with --hypothesis-seed.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=30)
settings.register_profile("nightly", settings.get_profile("steady"), max_examples=200)
settings.load_profile("steady")

TESTS = Path(__file__).parent
if sys.flags.safe_path:  # `make matrix`: what processes that tests start import from here comes after the wheel
    sys.path.append(str(TESTS.parent))
AUDIO = TESTS.parent / "example_dags" / "audio"
_IS_AIRFLOW = re.compile(r"airflow(_provider_nanostt\.(_compat|assets|hooks|operators|sensors|triggers))?(\.|$)")
TEXT = "Good morning, the parcels have arrived."


ANYWHERE = ("api", "audio", "emulator", "outputs", "polling")
"""Folders whose tests need no Airflow, unless they are marked ``airflow``; those need only its object storage."""

BOTH_ENDS = (
    "ledger",
    "test_imports.py",
    "workflow/batch/test_paid_once.py",
    "workflow/test_paid_once.py",
)
"""Tests that take long, and tell on the oldest Airflow and on the development environment's what they would on all."""

ONCE = (
    "assets/test_arrivals.py",
    "assets/test_bell.py",
    "common",
    "operators/test_nothing_given.py",
    "security/",
    "cli/",
    "test_cli.py",
    "test_connection.py",
    "test_dashboard.py",
    "test_docs",
    "web/test_attacks.py",
    "workflow",
)
"""Of the other tests, those that are about sound, attacks, storages, sums or words, not about Airflow's version."""

LONGEST_FIRST = (
    "e2e/test_paid_once.py",
    "e2e/test_batch.py",
    "e2e/test_killed_submitting.py",
    "e2e/test_transcript_tab.py",
    "e2e/test_transcribe.py",
    "e2e/test_faces.py",
    "e2e/test_told.py",
    "e2e/test_watched_bucket.py",
    "test_example_dags.py",
    "workflow/test_paid_once.py",
    "audio/test_real_store.py",
    "outputs/test_page.py",
    "web/test_attacks.py",
    "web/test_pages.py",
    "workflow/batch/test_paid_once.py",
    "emulator/test_audio.py",
    "workflow/test_parts.py",
    "audio/prepare/test_split_and_merge.py",
    "operators/test_transcribe.py",
    "audio/prepare/test_staging.py",
    "polling/test_schedule.py",
)
"""So that two processes that divide the files between them end at about the same time."""

TOGETHER = {
    "the tab": ("web/test_attacks.py", "web/test_plugin.py", "web/test_tab.py"),
    "one Airflow": ("e2e/test_transcribe.py", "e2e/test_faces.py", "e2e/test_told.py", "e2e/test_watched_bucket.py"),
}
"""Files that use the same run or the same processes: one process of pytest has them, so that it is started once."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file to one process, and to the same as the files that it is together with."""
    from xdist.scheduler import LoadFileScheduling

    class LoadTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            places = ((name, file.removeprefix("tests/").startswith(starts)) for name, starts in TOGETHER.items())
            return next((name for name, is_in in places if is_in), file)

    return LoadTogether(config, log)


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what need not run on every Airflow, and put what takes long at the front."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    files = {item: place_in_tests(item.path) for item in items}
    for item, file in files.items():
        if "shelf" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.store)
        if file.startswith(tuple(f"{folder}/" for folder in ANYWHERE)):
            item.add_marker(pytest.mark.anywhere if item.get_closest_marker("airflow") is None else pytest.mark.once)
        elif file.startswith(BOTH_ENDS) or "ran" in getattr(item, "fixturenames", ()):  # all example DAGs
            item.add_marker(pytest.mark.both_ends)
        elif file.startswith(ONCE):
            item.add_marker(pytest.mark.once)
    items.sort(key=lambda item: order.get(files[item], len(order)))


def place_in_tests(path: Path) -> str:
    """Return where a test is below this folder; empty for one that is elsewhere."""
    return path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""


@pytest.fixture(autouse=True)
def without_airflow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold tests to their mark ``anywhere``: nothing in them may import Airflow while they run."""
    if request.node.get_closest_marker("anywhere") is None:
        yield
        return
    imported, original = [], builtins.__import__

    def noted(name: str, *given: Any, **named: Any) -> Any:
        whose = given[0] if given else named.get("globals")
        importer = str((whose or {}).get("__name__"))
        # Once another test has loaded Airflow, its handlers are asked about each line of the log.
        is_handler = importer.startswith("airflow.") and not {"log", "secrets_masker"}.isdisjoint(importer.split("."))
        if not is_handler and _IS_AIRFLOW.match(name):
            imported.append(name)
        return original(name, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(builtins, "__import__", noted)
        yield
    assert imported == [], "mark it with pytest.mark.airflow"


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    """Let what is secret in one test be an ordinary word in the next; Airflow takes long over thousands of secrets."""
    forget_all()
    for name, module in list(sys.modules.items()):
        if name.startswith("airflow.") and name.endswith("secrets_masker") and hasattr(module, "_secrets_masker"):
            masker = module._secrets_masker()
            masker.patterns, masker.replacer = set(), None
    yield
    forget_all()


@pytest.fixture(autouse=True)
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names such as ``bucket.example.com`` be unknown at once: whether a name server answers shows nothing."""
    original = socket.getaddrinfo

    def lookup(host: Any, *given: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if re.search(r"\.[a-z]{2,}\.?$", name, re.IGNORECASE):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original(host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.fixture
def job_seconds() -> float:
    """How long a job takes at :func:`emulator`; modules that look at jobs under way have longer ones."""
    return 0.02


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, job_seconds: float) -> Iterator[Emulator]:
    """A fresh local NanoGPT that answers with :data:`TEXT`."""
    with Emulator(processing_seconds=job_seconds, speed=100.0) as running:
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
    """Run an operator as Airflow would: the trigger travels as JSON, the resume is a new instance.

    ``before_resume`` is called when the triggerer is done.
    """
    sleep = asyncio.sleep

    # Only real Airflow needs the pause before an event.
    def at_once(delay: float, *given: Any) -> Any:
        return sleep(min(delay, 0.01) if is_ours(sys._getframe(1)) else delay, *given)

    monkeypatch.setattr(asyncio, "sleep", at_once)

    def run(make: Any, context: dict[str, Any] | None = None, before_resume: Callable[[], object] | None = None) -> Any:
        method, given = "execute", {}
        while True:
            try:
                return getattr(make(), method)(context or {}, **given)
            except BaseException as deferred:
                if type(deferred).__name__ != "TaskDeferred":
                    raise
                method = deferred.method_name  # type: ignore[attr-defined]
                given = {"event": fire(deferred.trigger)}  # type: ignore[attr-defined]
            if before_resume is not None:
                before_resume()

    return run


@pytest.fixture
def asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever waits for a job ask twenty times a second, whatever interval it was given."""
    from airflow_provider_nanostt.polling import Schedule

    add = Schedule.add
    monkeypatch.setattr(Schedule, "add", lambda *given, **how: add(*given, **{**how, "poll_interval": 0.05}))


@dataclass
class Memory:
    """Where the attempts of a task find each other's records: files beside the results, or the task state."""

    kind: str
    folder: Path
    states: dict[Any, StateStore] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """What an operator is given so that it remembers here."""
        return {"output_path": str(self.folder)} if self.kind == "files" else {}

    def context(self, **instance: Any) -> dict[str, Any]:
        """A task's context; keywords change the task instance."""
        names = {"dag_id": "calls", "task_id": "transcribe", "run_id": "manual__1", "map_index": -1, "max_tries": 2}
        ti = SimpleNamespace(**{**names, **instance})
        if self.kind == "files":
            return {"ti": ti}
        state = self.states.setdefault((ti.dag_id, ti.task_id, ti.run_id, ti.map_index), StateStore())
        return {"ti": ti, "task_state_store": state}

    @property
    def record(self) -> Any:
        """The only record there is."""
        if self.kind == "files":
            (file,) = (self.folder / ".nanostt").iterdir()
            return json.loads(file.read_text())
        (state,) = self.states.values()
        return state.get("nanostt")

    @record.setter
    def record(self, value: Any) -> None:
        if self.kind == "files":
            (file,) = (self.folder / ".nanostt").iterdir()
            file.write_text(json.dumps(value))
        else:
            (state,) = self.states.values()
            state.set("nanostt", value)


@pytest.fixture(params=["files", "task state"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Run a test once with each way of remembering."""
    return Memory(request.param, tmp_path / "results")


@pytest.fixture
def files(tmp_path: Path) -> Memory:
    """Remember beside the results."""
    return Memory("files", tmp_path / "results")


class Bucket(MemoryFileSystem):
    """Object storage in memory that refuses what a test tells it to refuse, by mode of access."""

    store: dict = {}  # noqa: RUF012  fsspec keeps it on the class
    pseudo_dirs = [""]  # noqa: RUF012
    trouble: dict = {}  # noqa: RUF012

    def _open(self, path, mode="rb", **kwargs):
        if mode in self.trouble:
            raise self.trouble[mode]
        return super()._open(path, mode, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        if "rb" in self.trouble:
            raise self.trouble["rb"]
        return super().cat_file(path, start, end, **kwargs)

    def pipe_file(self, path, value, **_):
        if "wb" in self.trouble:
            raise self.trouble["wb"]
        self.store.pop(path, None)
        super().pipe_file(path, value)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """What Airflow finds behind ``s3://``."""
    try:
        from airflow.sdk.io import store
    except ImportError:  # 2.11
        from airflow.io import store

    Bucket.store.clear()
    Bucket.trouble.clear()
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    filesystem = Bucket()
    store.attach("s3", fs=filesystem)
    return filesystem


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing in the package pause for longer than a moment before it asks or writes again."""
    monkeypatch.setattr(pauses, "longest", 0.005)


@pytest.fixture
def hours_pass(monkeypatch: pytest.MonkeyPatch, no_pauses: None) -> None:
    """Let the clock go on by what the package's pauses would have taken."""
    now, skipped = time.time, pauses.skipped
    monkeypatch.setattr(time, "time", lambda: now() + pauses.skipped - skipped)


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
        records = [record.getMessage() for record in caplog.records]
        # Some versions send a line both ways, printed with more around it.
        printed = (captured.out + captured.err).splitlines()
        return [line for line in printed if not any(record in line for record in records)] + records

    return lines


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The counters of a task."""
    found: Counter[str] = Counter()
    monkeypatch.setattr(airflow_stats(), "incr", lambda name, count=1, *_, **__: found.update({name: count}))
    return found


def airflow_stats() -> Any:
    """Airflow's metrics in the process of a task, by version."""
    try:
        from airflow.sdk.observability import stats
    except ImportError:  # before 3.2
        from airflow.stats import Stats as stats  # noqa: N813
    return stats if hasattr(stats, "incr") else stats.Stats


def own_home() -> None:
    """Give each of several pytest processes an Airflow home and a database of its own, before Airflow is loaded."""
    worker, shared = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("AIRFLOW_HOME")
    if worker is None or shared is None:
        return
    own, pristine = Path(shared) / worker, Path(shared) / "pristine.db"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    if pristine.exists():
        shutil.copy(pristine, own / "airflow.db")
        (own / "pristine.db").symlink_to(pristine)
    os.environ["AIRFLOW_HOME"] = str(own)
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # what the tests start is not measured


os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
own_home()
