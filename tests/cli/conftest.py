"""What the tests of the command line share: running it here, or as a process of its own, with or without a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_nanostt.cli import main

PATIENCE_SECONDS = 900.0
"""A process may have to wait for the processor for minutes before it does anything."""

COMMAND = [sys.executable, "-m", "airflow_provider_nanostt.cli"]


class Ended(NamedTuple):
    """How a command has ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def signals_arrive() -> Iterator[None]:
    """Heed what a shell has ignored for whatever it starts in the background."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for one, old in before.items():
        signal.signal(one, old)


@pytest.fixture(autouse=True)
def without_warnings_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 2 warns of a setting of its own whenever it is imported."""
    monkeypatch.setenv("AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY", "True")


@pytest.fixture
def nanostt(capfd) -> Callable[..., Ended]:
    """Run a command in this process."""

    def run(*arguments: object) -> Ended:
        try:
            code = main([str(one) for one in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capfd.readouterr())

    return run


@contextmanager
def signalled(number: int, when: Callable[[], object]) -> Iterator[None]:
    """Send this process a signal as soon as something holds, once."""
    over = threading.Event()

    def watch() -> None:
        until(lambda: over.is_set() or when())
        if not over.is_set():
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds."""
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.01)


def start(*arguments: object, **how: Any) -> subprocess.Popen[str]:
    """Start the command as a process of its own, without a terminal."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **given)


_WITH_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one whose Ctrl-C and hang-up the command gets."""


class Terminal:
    """The command on a terminal of a size; ``shown`` is all that it has written there."""

    def __init__(self, *arguments: object, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self._outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        own = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WITH_TERMINAL, *COMMAND, *map(str, arguments)],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env={**own, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(inner)
        self.shown = ""
        self._is_gone = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # what a terminal raises at its end
            while not self._is_gone.is_set():
                if select.select([self._outer], [], [], 0.05)[0]:
                    self.shown += os.read(self._outer, 4096).decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._outer, text.encode())

    def hang_up(self) -> None:
        self._is_gone.set()
        self._reader.join()
        os.close(self._outer)

    def end(self) -> int:
        """Wait for the end, and return its code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start commands on terminals; those that are left are killed."""
    opened: list[Terminal] = []

    def open_one(*arguments: object, **how: Any) -> Terminal:
        opened.append(Terminal(*arguments, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGKILL)
            one.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where transcripts go."""
    return tmp_path / "transcripts"
