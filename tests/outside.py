"""Where the code under test touches the world: files it writes and reads, its task state, its requests, its pauses.

A test can end the process at one of these, or let it fail, without a word about how the code inside is arranged. What
happens is seen where it leaves the package: a rename or a link on the disk (whatever is written whole ends in one), an
object put into a bucket, a value put into the task state, a request sent by the worker's HTTP library.
"""

from __future__ import annotations

import builtins
import contextlib
import fnmatch
import importlib
import io
import json
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import requests
from fsspec.implementations.memory import MemoryFileSystem

OURS, THE_EMULATOR = "airflow_provider_nanostt", "airflow_provider_nanostt.emulator"
LEDGER = ".nanostt"
"""The folder beside the results in which records lie; nobody's transcript is in it."""


class Killed(BaseException):
    """The end of a task process, as far as the code in it can tell."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that the code under test does to the world.

    :param kind: ``file`` or ``state`` for a write, ``read`` of a file, ``request``.
    :param name: the path of the file, the key in the task state, or the path of the request.
    :param data: what is written.
    """

    kind: Literal["file", "state", "read", "request"]
    name: str
    data: bytes = b""

    @property
    def path(self) -> Path:
        return Path(self.name)

    @property
    def in_ledger(self) -> bool:
        return self.kind == "state" or LEDGER in self.path.parts

    def fits(self, pattern: str) -> bool:
        """Whether the last parts of the path are those of a pattern."""
        ours, theirs = self.path.parts, Path(pattern).parts
        return len(ours) >= len(theirs) and all(map(fnmatch.fnmatch, ours[-len(theirs) :], theirs))


Which = Callable[[Event], bool]


def record(state: str | None = None, *, where: Literal["file", "state"] | None = None) -> Which:
    """A record of the ledger is written, with this state; ``where``: only beside the results, or in the task state."""

    def fits(event: Event) -> bool:
        if event.kind not in ("file", "state") or not event.in_ledger or (where and event.kind != where):
            return False
        try:
            value = json.loads(event.data)
        except ValueError:
            return False
        found = value.get("state") if isinstance(value, dict) else None
        return found is not None and state in (None, found)

    return fits


def output(pattern: str = "*") -> Which:
    """A result is written: any file that is neither the ledger's nor in a temporary folder of the package's."""

    def fits(event: Event) -> bool:
        is_temporary = any(part.startswith("nanostt-") for part in event.path.parts)
        return event.kind == "file" and not event.in_ledger and not is_temporary and event.fits(pattern)

    return fits


def ledger_file(pattern: str) -> Which:
    """A file of the ledger's folder is written."""
    return lambda event: event.kind == "file" and event.in_ledger and event.fits(pattern)


def reading(pattern: str) -> Which:
    """A file on the disk is opened to be read."""
    return lambda event: event.kind == "read" and event.fits(pattern)


def request(path: str) -> Which:
    """The worker sends a request to this endpoint."""
    return lambda event: event.kind == "request" and event.name.endswith(path)


@contextlib.contextmanager
def killed(*, before: Which | None = None, after: Which | None = None, nth: int = 1) -> Iterator[None]:
    """End the process once, at the n-th event of a kind, before or after it takes effect.

    What other threads have under way comes to its end. The block has to end in the kill.
    """
    which = before or after
    assert which is not None
    end = lambda number: Killed() if number == nth else None  # noqa: E731
    with _watched(which, end, before=after is None), pytest.raises(Killed):
        yield


@contextlib.contextmanager
def failing(which: Which, error: Exception, *, first: int = 1, times: int = 1) -> Iterator[None]:
    """Let what fits fail before it takes effect, from the first-th time on and so many times."""
    with _watched(which, lambda number: error if first <= number < first + times else None, before=True):
        yield


@contextlib.contextmanager
def counted(which: Which) -> Iterator[list[Event]]:
    """Return a list that grows with each event of a kind."""
    seen: list[Event] = []

    def note(event: Event) -> bool:
        if fits := which(event):
            seen.append(event)
        return fits

    with _watched(note, lambda _: None, before=True):
        yield seen


@contextlib.contextmanager
def _watched(which: Which, raises: Callable[[int], BaseException | None], *, before: bool) -> Iterator[None]:
    lock, numbers = threading.Lock(), iter(range(1, sys.maxsize))

    def happen(event: Callable[[], Event], act: Callable[[], Any]) -> Any:
        error = None
        happening = event()
        if which(happening):
            with lock:
                error = raises(next(numbers))
        if error is not None and before:
            raise error
        done = act()
        if error is not None:
            raise error
        return done

    with pytest.MonkeyPatch.context() as patch:
        _watch_disk(patch, happen)
        _watch_bucket(patch, happen)
        _watch_task_state(patch, happen)
        _watch_requests(patch, happen)
        yield


Happen = Callable[[Callable[[], Event], Callable[[], Any]], Any]


def _watch_disk(patch: pytest.MonkeyPatch, happen: Happen) -> None:
    def watched(original: Any) -> Any:
        def move(source: Any, target: Any, *given: Any, **named: Any) -> Any:
            def event() -> Event:
                path = Path(os.fsdecode(source))
                return Event("file", os.fsdecode(target), path.read_bytes() if path.is_file() else b"")

            return happen(event, lambda: original(source, target, *given, **named))

        return move

    patch.setattr(os, "replace", watched(os.replace))
    patch.setattr(os, "rename", watched(os.rename))
    patch.setattr(os, "link", watched(os.link))

    opening = io.open

    def opened(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if not isinstance(file, str | bytes | os.PathLike) or not set(mode).isdisjoint("wax+"):
            return opening(file, mode, *given, **named)
        return happen(lambda: Event("read", os.fsdecode(file)), lambda: opening(file, mode, *given, **named))

    patch.setattr(builtins, "open", opened)
    patch.setattr(io, "open", opened)


def _watch_bucket(patch: pytest.MonkeyPatch, happen: Happen) -> None:
    put, upload = MemoryFileSystem.pipe_file, MemoryFileSystem.put_file

    def pipe_file(fs: Any, path: str, value: bytes, *given: Any, **named: Any) -> Any:
        return happen(lambda: Event("file", path, bytes(value)), lambda: put(fs, path, value, *given, **named))

    def put_file(fs: Any, local: str, path: str, *given: Any, **named: Any) -> Any:
        return happen(
            lambda: Event("file", path, Path(local).read_bytes()), lambda: upload(fs, local, path, *given, **named)
        )

    patch.setattr(MemoryFileSystem, "pipe_file", pipe_file)
    patch.setattr(MemoryFileSystem, "put_file", put_file)


def _watch_task_state(patch: pytest.MonkeyPatch, happen: Happen) -> None:
    keep = StateStore.set

    def put(store: StateStore, key: str, value: Any, **named: Any) -> Any:
        return happen(lambda: Event("state", key, json.dumps(value).encode()), lambda: keep(store, key, value, **named))

    patch.setattr(StateStore, "set", put)


def _watch_requests(patch: pytest.MonkeyPatch, happen: Happen) -> None:
    original = requests.adapters.HTTPAdapter.send

    def send(adapter: Any, prepared: Any, *given: Any, **named: Any) -> Any:
        return happen(
            lambda: Event("request", urlsplit(prepared.url).path),
            lambda: original(adapter, prepared, *given, **named),
        )

    patch.setattr(requests.adapters.HTTPAdapter, "send", send)


class StateStore:
    """Airflow's task state in memory: the same methods as ``TaskStateStoreAccessor``, plain JSON only."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[Any] = []

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = json.dumps(value)
        self.retentions.append(retention)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def everywhere(patch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """Give a public constant another value, in each module of the package that has it."""
    package = importlib.import_module(OURS)
    for found in pkgutil.walk_packages(package.__path__, f"{OURS}."):  # one that is loaded later would keep the value
        if not found.name.startswith(THE_EMULATOR):
            with contextlib.suppress(ImportError):  # there are no retry policies before Airflow 3.3
                importlib.import_module(found.name)
    having = [module for path, module in sys.modules.items() if path.startswith(OURS) and name in vars(module)]
    assert having
    for module in having:
        if not module.__name__.startswith(THE_EMULATOR):
            patch.setattr(module, name, value)


# Pauses


class Pauses:
    """The pauses of the code under test, in threads: as they are, or cut short.

    In the place of ``time.sleep`` from the start, since a default argument keeps what it was made with.

    :param longest: seconds that a pause takes at the most; None leaves all as they are.
    """

    def __init__(self) -> None:
        self.longest: float | None = None
        self.skipped = 0.0
        self._sleep = time.sleep

    def sleep(self, seconds: float) -> None:
        if self.longest is not None and seconds > self.longest and is_ours(sys._getframe(1)):
            self.skipped += seconds - self.longest
            seconds = self.longest
        self._sleep(seconds)


def is_ours(frame: Any) -> bool:
    """Whether a frame is of the package or of tenacity, which pauses for it."""
    name = str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] in (OURS, "tenacity") and not name.startswith(THE_EMULATOR)


pauses = Pauses()
time.sleep = pauses.sleep


def masked(text: object) -> str:
    """Return a text as Airflow shows it in rendered fields and logs."""
    for place in (
        "airflow.sdk._shared.secrets_masker",
        "airflow.sdk.execution_time.secrets_masker",
        "airflow.utils.log.secrets_masker",
    ):
        try:
            return str(importlib.import_module(place).redact(text))
        except ImportError:
            continue
    raise AssertionError("this Airflow masks no secrets")
