"""FFmpeg's work on bytes from outside, in a process of its own that can be ended.

The child has limits on memory and processor time, no network, no environment and no other program to run. It gets a
recording's bytes by asking its parent for them. What it answers is data: JSON, never a pickle. It stays for the next
recording of the same task, and ends with its parent. What is done with the bytes is elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import itertools
import json
import logging
import os
import pickle
import platform
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from signal import Signals
from typing import BinaryIO, NoReturn, TypeVar, cast

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.ranged_file import RangedFile

log = logging.getLogger(__name__)

T = TypeVar("T")

MEMORY_BYTES = 256 * 1024 * 1024
"""That a recording may take in the child, beside what Python and FFmpeg themselves take."""

_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
_CODE = "import sys; sys.path[:] = sys.argv[1:]; from airflow_provider_nanostt.audio.sandbox import serve; serve()"
_BLOCK_BYTES = 256 * 1024
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_WAIT_FACTOR = 10  # times the processor's seconds: other children and slow storages need time, too
_HEAD = struct.Struct(">cI")
_WORK, _FETCH, _BYTES, _PROGRESS, _LOG, _DONE, _ERROR, _MEMORY = (bytes([one]) for one in b"WFBPLDEM")


def is_possible() -> bool:
    """Whether FFmpeg is here: PyAV, which the extra ``[audio]`` brings."""
    return importlib.util.find_spec("av") is not None


def run(
    work: Callable[..., T],
    file: BinaryIO,
    *,
    cpu_seconds: float,
    raises: tuple[type[Exception], ...] = (),
    progress: Callable[[float], object] | None = None,
    **given: object,
) -> T:
    """Have a child do something with a file, and return what came of it.

    :param work: a function of a module, called with a file like this one, a function that reports progress, and what is
        given beside; its result is JSON: no tuples, no objects.
    :param file: seekable; only read here, as the child asks for its bytes.
    :param given: values that can be pickled.
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
            kind, answer = child.work(pickle.dumps(request), file, cpu_seconds, progress)
    except _LimitReached as reason:
        shown = repr(PurePath(name).name) if isinstance(name, str) and name else "the recording"
        raise InvalidInput(f"{shown} cannot be read: {reason}") from None
    if kind == _DONE:
        return cast("T", answer)
    error, text = cast("tuple[str, str]", answer)
    raise {one.__name__: one for one in raises}.get(error, InvalidInput)(text)


class _LimitReached(Exception):
    """The child had to be ended, or has ended itself."""


class _Child:
    """A child, as its parent sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
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
    ) -> tuple[bytes, object]:
        until = time.monotonic() + _WAIT_FACTOR * cpu_seconds
        with self._heeding_limits(cpu_seconds):
            _send(self._socket, _WORK, request)
        while True:
            with self._heeding_limits(cpu_seconds):
                self._socket.settimeout(max(0.01, until - time.monotonic()))
                kind, data = _receive(self._socket)
            if kind == _FETCH:
                start, count = struct.unpack(">QI", data)
                file.seek(start)
                found = file.read(min(count, _BLOCK_BYTES))
                with self._heeding_limits(cpu_seconds):
                    _send(self._socket, _BYTES, found)
            elif kind == _PROGRESS and progress is not None:
                progress(struct.unpack(">d", data)[0])
            elif kind == _LOG:
                log.warning("%s", data.decode("utf-8", "replace"))
            elif kind == _MEMORY:
                raise _LimitReached(f"FFmpeg needs more than {MEMORY_BYTES // 2**20} MB of memory")
            elif kind in (_DONE, _ERROR):
                return kind, json.loads(data)

    @contextlib.contextmanager
    def _heeding_limits(self, cpu_seconds: float) -> Iterator[None]:
        """Say why the child has ended, if it does; what a recording's storage raises is raised elsewhere."""
        try:
            yield
        except (EOFError, TimeoutError, ConnectionError) as error:
            reason = self._why_it_ended(error, cpu_seconds)
            self.end()
            raise _LimitReached(reason) from None

    def _why_it_ended(self, error: Exception, cpu_seconds: float) -> str:
        if isinstance(error, TimeoutError):
            return f"FFmpeg takes more than {_WAIT_FACTOR * cpu_seconds:,.0f} seconds"
        code = self._process.wait(timeout=10)
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
    """Lend a child; one that was interrupted is not used again."""
    with _at_once:
        child = _idle.pop() if _idle else _Child()
        child = child if child.is_alive else _Child()
        is_free = False
        try:
            yield child
            is_free = True
        except _LimitReached:
            is_free = child.is_alive
            raise
        finally:
            if is_free:
                _idle.append(child)
            else:
                child.end()


def _send(to: socket.socket, kind: bytes, data: bytes) -> None:
    to.sendall(_HEAD.pack(kind, len(data)) + data)


def _receive(at: socket.socket) -> tuple[bytes, bytes]:
    kind, size = _HEAD.unpack(_exactly(at, _HEAD.size))
    if size > _MAX_ANSWER_BYTES:
        raise EOFError
    return kind, _exactly(at, size)


def _exactly(at: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        data = at.recv(min(size - len(found), _BLOCK_BYTES))
        if not data:
            raise EOFError
        found += data
    return bytes(found)


# In the child


class _AskedFile(RangedFile):
    """A file whose bytes the parent has."""

    def __init__(self, parent: socket.socket, size: int, name: str) -> None:
        super().__init__(size)
        self._parent, self.name = parent, name
        self._start, self._data = 0, b""

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes; a block is asked for at a time."""
        found = bytearray()
        while start < stop:
            at = start - self._start
            if not 0 <= at < len(self._data):
                _send(self._parent, _FETCH, struct.pack(">QI", start, _BLOCK_BYTES))
                self._start, self._data, at = start, _receive(self._parent)[1], 0
            piece = self._data[at : at + stop - start]
            if not piece:
                break
            found += piece
            start += len(piece)
        return bytes(found)


class _ToParent(logging.Handler):
    def __init__(self, parent: socket.socket) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send a warning."""
        _send(self._parent, _LOG, record.getMessage().encode("utf-8", "replace")[:10_000])


def serve() -> NoReturn:
    """Work until the parent is gone."""
    import av
    import av.filter  # noqa: F401  nothing is looked for later

    parent = socket.socket(fileno=0)
    logging.getLogger("airflow_provider_nanostt").addHandler(_ToParent(parent))
    _lock_up()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            _, data = _receive(parent)
            module, work_name, size, name, given, cpu_seconds = pickle.loads(data)  # noqa: S301  from the parent
            used = resource.getrusage(resource.RUSAGE_SELF)
            _limit(resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + cpu_seconds)
            work = getattr(importlib.import_module(module), work_name)
            kind, answer = _done(work, _AskedFile(parent, size, name), given, parent)
            _send(parent, kind, json.dumps(answer).encode())
    os._exit(0)


def _done(
    work: Callable[..., object], file: _AskedFile, given: Mapping[str, object], parent: socket.socket
) -> tuple[bytes, object]:
    def progress(seconds: float) -> None:
        _send(parent, _PROGRESS, struct.pack(">d", seconds))

    try:
        return _DONE, work(file, progress, **given)
    except (EOFError, ConnectionError):  # the parent is gone
        raise
    except Exception as error:  # noqa: BLE001  whatever FFmpeg makes of it
        chain = itertools.chain([error], _causes(error))
        if any(isinstance(one, MemoryError) for one in chain):
            return _MEMORY, None
        text = str(error) if type(error).__module__.startswith("airflow_provider_nanostt") else repr(error)
        return _ERROR, [type(error).__name__, text[:2000]]


def _causes(error: BaseException) -> Iterator[BaseException]:
    while (before := error.__cause__ or error.__context__) is not None:
        yield before
        error = before


def _limit(what: int, soft: float) -> None:
    hard = resource.getrlimit(what)[1]
    wanted = int(soft) + 1
    resource.setrlimit(what, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _lock_up() -> None:
    """Set the limits that hold for the life of the child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  no more than needed is imported
            now = int(file.read().split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, now + MEMORY_BYTES)
        _refuse_calls()


@dataclass(frozen=True, slots=True)
class _Calls:
    """The numbers of system calls on a processor: those that open a socket or run a program."""

    architecture: int
    numbers: tuple[int, ...]


_CALLS = {
    "x86_64": _Calls(0xC000003E, (41, 42, 53, 59, 101, 322, 425)),
    "aarch64": _Calls(0xC00000B7, (198, 203, 199, 221, 117, 281, 425)),
}
"""socket, connect, socketpair, execve, ptrace, execveat, io_uring_setup."""


def _refuse_calls() -> None:
    """Have the kernel refuse sockets and other programs, where it can (seccomp)."""
    import ctypes

    calls = _CALLS.get(platform.machine())
    if calls is None:
        return
    load, equal, at_least, ret = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | errno.EACCES, 0x7FFF0000
    rows = [(load, 0, 0, 4), (equal, 1, 0, calls.architecture), (ret, 0, 0, refuse), (load, 0, 0, 0)]
    checks = [*((equal, number) for number in calls.numbers), (at_least, 0x40000000)]  # the last: of another ABI
    rows += [(what, len(checks) - at, 0, number) for at, (what, number) in enumerate(checks)]
    rows += [(ret, 0, 0, allow), (ret, 0, 0, refuse)]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(rows), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
