"""The child of ``sandbox``, and what the two say to each other: messages of a kind and some bytes, over a socket.

It imports little by itself, since its start is what it costs. Nothing of what the work is about is here.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import json
import logging
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from airflow_provider_nanostt.audio.inspect.ranged_file import RangedFile

MEMORY_BYTES = 256 * 1024 * 1024
"""That a recording may take here, beside what Python and FFmpeg themselves take."""

BLOCK_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
WORK, FETCH, BYTES, PROGRESS, LOG, DONE, ERROR = (bytes([one]) for one in b"WFBPLDE")
"""Do this; I need a block, here it is; so far; a warning; the result, an error."""

_HEAD = struct.Struct(">cI")


class OtherEndGone(Exception):
    """There will be no message, or not in time; FFmpeg's own errors may be EOFErrors and the like, so this is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One end of the connection; sockets are not imported here, since that takes milliseconds.

    :param read: returns up to so many bytes, none at the end; ``write`` takes all of them.
    """

    read: Callable[[int], bytes]
    write: Callable[[bytes], object]

    def send(self, kind: bytes, data: bytes) -> None:
        """Send a message; raises OtherEndGone if nobody hears it."""
        try:
            self.write(_HEAD.pack(kind, len(data)) + data)
        except (ConnectionError, TimeoutError) as error:
            raise OtherEndGone from error

    def receive(self) -> tuple[bytes, bytes]:
        """Return the next message; raises OtherEndGone if there will be none."""
        kind, size = _HEAD.unpack(self._exactly(_HEAD.size))
        if size > MAX_ANSWER_BYTES:
            raise OtherEndGone
        return kind, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            try:
                data = self.read(min(size - len(found), BLOCK_BYTES))
            except (ConnectionError, TimeoutError) as error:
                raise OtherEndGone from error
            if not data:
                raise OtherEndGone
            found += data
        return bytes(found)


class _AskedFile(RangedFile):
    """A file whose bytes the parent has."""

    def __init__(self, parent: Line, size: int, name: str) -> None:
        super().__init__(size)
        self._parent, self.name = parent, name
        self._number, self._block = -1, b""

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes; a block is asked for at a time."""
        found = bytearray()
        while start < stop:
            number, at = divmod(start, BLOCK_BYTES)
            if number != self._number:
                self._parent.send(FETCH, number.to_bytes(4))
                self._number, self._block = number, self._parent.receive()[1]
            piece = self._block[at : at + stop - start]
            if not piece:
                break
            found += piece
            start += len(piece)
        return bytes(found)


class _ToParent(logging.Handler):
    def __init__(self, parent: Line) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send a warning."""
        self._parent.send(LOG, record.getMessage().encode("utf-8", "replace"))


def serve() -> NoReturn:
    """Work until the parent is gone."""
    import av  # noqa: F401  before there are limits

    parent = Line(functools.partial(os.read, 0), _write)
    logging.getLogger("airflow_provider_nanostt").addHandler(_ToParent(parent))
    _lock_up()
    with contextlib.suppress(OtherEndGone):
        while True:
            module, work_name, size, name, given, cpu_seconds = json.loads(parent.receive()[1])
            used = resource.getrusage(resource.RUSAGE_SELF)
            _limit(resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + cpu_seconds)
            work = getattr(importlib.import_module(module), work_name)
            kind, answer = _done(work, _AskedFile(parent, size, name), given, parent)
            parent.send(kind, json.dumps(answer).encode())
    os._exit(0)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(0, data) :]


def _done(
    work: Callable[..., object], file: _AskedFile, given: Mapping[str, object], parent: Line
) -> tuple[bytes, object]:
    try:
        return DONE, work(file, lambda seconds: parent.send(PROGRESS, struct.pack(">d", seconds)), **given)
    except OtherEndGone:
        raise
    except Exception as error:  # noqa: BLE001  whatever FFmpeg makes of it
        if any(isinstance(one, MemoryError) for one in _chain(error)):
            return ERROR, [MemoryError.__name__, ""]
        text = str(error) if type(error).__module__.startswith("airflow_provider_nanostt") else repr(error)
        return ERROR, [type(error).__name__, text]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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


_CALLS = {
    "x86_64": (0xC000003E, (41, 42, 53, 59, 101, 322, 425)),
    "aarch64": (0xC00000B7, (198, 203, 199, 221, 117, 281, 425)),
}
"""By processor, its number and those of socket, connect, socketpair, execve, ptrace, execveat and io_uring_setup."""


def _refuse_calls() -> None:
    """Have the kernel refuse sockets and other programs, where it can (seccomp)."""
    import ctypes

    if os.uname().machine not in _CALLS:
        return
    architecture, calls = _CALLS[os.uname().machine]
    load, equal, at_least, ret = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | errno.EACCES, 0x7FFF0000
    rows = [(load, 0, 0, 4), (equal, 1, 0, architecture), (ret, 0, 0, refuse), (load, 0, 0, 0)]
    checks = [*((equal, number) for number in calls), (at_least, 0x40000000)]  # the last: of another ABI
    rows += [(what, len(checks) - at, 0, number) for at, (what, number) in enumerate(checks)]
    rows += [(ret, 0, 0, allow), (ret, 0, 0, refuse)]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(rows), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
