"""FFmpeg's work on bytes from outside, in a process of its own that can be ended.

The child has limits on memory and processor time, no network, no environment and no other program to run. It gets a
recording's bytes by asking its parent for them. What it answers is data: JSON, never a pickle. It stays for the next
recording of the same task, and ends with its parent. What is done with the bytes is elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import PurePath
from signal import Signals
from typing import Any, BinaryIO, TypeVar

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.sandbox_child import (
    BLOCK_BYTES,
    BYTES,
    DONE,
    ERROR,
    FETCH,
    LOG,
    MEMORY_BYTES,
    PROGRESS,
    WORK,
    Line,
    OtherEndGone,
)
from airflow_provider_nanostt.common.urls import escaped

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
_CODE = (
    "import sys; sys.path[:] = sys.argv[1:]; from airflow_provider_nanostt.audio.sandbox_child import serve; serve()"
)
_READ: dict[bytes, Callable[[bytes], Any]] = {
    FETCH: lambda data: int.from_bytes(data[:4]),
    PROGRESS: lambda data: struct.unpack(">d", data)[0],
    LOG: lambda data: _line(data.decode("utf-8", "replace")),
    DONE: json.loads,
    ERROR: json.loads,
}
"""What a child may say, and how that is read."""

_MAX_WARNINGS = 100
_MAX_LINE_CHARS = 2000
_NONSENSE = "FFmpeg's process answers what nobody has asked"
_WAIT_FACTOR = 10  # times the processor's seconds: other children and slow storages need time, too


def is_possible() -> bool:
    """Whether FFmpeg is here: PyAV, which the extra ``[audio]`` brings."""
    return importlib.util.find_spec("av") is not None


def run(
    work: Callable[..., object],
    file: BinaryIO,
    *,
    read: Callable[[Any], T],
    cpu_seconds: float,
    raises: tuple[type[Exception], ...] = (),
    progress: Callable[[float], object] | None = None,
    **given: object,
) -> T:
    """Have a child do something with a file, and return what came of it.

    :param work: a function of a module, called with a file like this one, a function that reports progress, and what is
        given beside; its result is JSON: no tuples, no objects.
    :param read: makes of the result what is returned. The child may be in the hands of a recording, so this checks what
        it relies on, with a ValueError, TypeError or LookupError.
    :param file: seekable; only read here, as the child asks for its bytes.
    :param given: JSON, too.
    :param cpu_seconds: after which the child is ended.
    :param raises: errors of the work that are raised here as they are.
    :param progress: called with what the work reports.
    :raises InvalidInput: for any other error of the work, and at a limit, which it names.
    """
    if not is_possible():
        raise InvalidInput(
            "converting, compressing and splitting recordings needs PyAV: pip install 'airflow-provider-nanostt[audio]'"
        )
    size, name = file.seek(0, 2), getattr(file, "name", None)
    request = work.__module__, work.__qualname__, size, name if isinstance(name, str) else "", given, cpu_seconds
    try:
        with _borrowed() as child:
            kind, answer = child.work(json.dumps(request).encode(), file, cpu_seconds, progress)
            with _making_sense():
                if kind == DONE:
                    return read(answer)
                error, text = str(answer[0]), _line(str(answer[1]))
            if error == MemoryError.__name__:
                raise _LimitReached(f"FFmpeg needs more than {MEMORY_BYTES // 2**20} MB of memory")
    except _LimitReached as reason:
        shown = repr(PurePath(name).name) if isinstance(name, str) and name else "the recording"
        raise InvalidInput(f"{shown} cannot be read: {reason}") from None
    raise {one.__name__: one for one in raises}.get(error, InvalidInput)(text)


class _LimitReached(Exception):
    """The child had to be ended, or has ended itself."""


@contextlib.contextmanager
def _making_sense() -> Iterator[None]:
    """Refuse what a child says that is not what was agreed on."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, struct.error):
        raise _LimitReached(_NONSENSE) from None


def _line(text: str) -> str:
    """Return what a child says for the eyes of people, who believe a log."""
    return escaped(text[:_MAX_LINE_CHARS])


class _Child:
    """A child, as its parent sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._line = Line(self._socket.recv, self._socket.sendall)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter
                [sys.executable, "-I", "-S", "-c", _CODE, *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                start_new_session=True,  # Ctrl-C is its parent's matter
            )

    def work(
        self, request: bytes, file: BinaryIO, cpu_seconds: float, progress: Callable[[float], object] | None
    ) -> tuple[bytes, Any]:
        """Have it do something; what a recording's storage raises meanwhile is raised as it is."""
        until, warnings = time.monotonic() + _WAIT_FACTOR * cpu_seconds, 0
        try:
            self._line.send(WORK, request)
            while True:
                self._socket.settimeout(max(0.01, until - time.monotonic()))
                kind, data = self._line.receive()
                with _making_sense():
                    said = _READ[kind](data)
                if kind == FETCH:
                    file.seek(said * BLOCK_BYTES)
                    self._line.send(BYTES, file.read(BLOCK_BYTES))
                elif kind == PROGRESS and progress is not None:
                    progress(said)
                elif kind == LOG and warnings < _MAX_WARNINGS:
                    log.warning("%s", said)
                    warnings += 1
                elif kind == LOG:
                    raise _LimitReached(_NONSENSE)
                elif kind in (DONE, ERROR):
                    return kind, said
        except OtherEndGone as error:
            raise _LimitReached(self._why_it_ended(error.__cause__, cpu_seconds)) from None

    def _why_it_ended(self, error: BaseException | None, cpu_seconds: float) -> str:
        if isinstance(error, TimeoutError):
            return f"FFmpeg takes more than {_WAIT_FACTOR * cpu_seconds:,.0f} seconds"
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return _NONSENSE
        if code == -Signals.SIGXCPU:
            return f"FFmpeg takes more than {cpu_seconds:,.0f} seconds of processor time"
        return f"FFmpeg has crashed ({Signals(-code).name if code < 0 else code})"

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


_idle: list[_Child] = []
_at_once = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


def _forget() -> None:
    """After a fork the children belong to another process."""
    global _at_once  # noqa: PLW0603  its count belongs to threads that are not here
    _idle.clear()
    _at_once = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))


os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def _borrowed() -> Iterator[_Child]:
    """Lend a child; one that was interrupted, or has met a limit, is not used again."""
    with _at_once:
        try:
            child = _idle.pop()
        except IndexError:  # not asked before: another thread may take the last one meanwhile
            child = _Child()
        child = child if child.is_alive else _Child()
        try:
            yield child
        except BaseException:
            child.end()
            raise
        _idle.append(child)
