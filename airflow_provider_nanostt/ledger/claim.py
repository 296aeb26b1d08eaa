"""Who is sending a submit, and until when it can be on its way: what tells another attempt's from one that is over.

Part of an intent, so that to record the one is to claim the other. No storage is asked here, and nothing is decided but
whether the sender may still be at work.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from airflow_provider_nanostt.common.numbers import number

CLOCK_SLACK_SECONDS = 30.0
"""By which the clocks of two machines may differ."""

RECORDING_SECONDS = 90.0
"""For how long the sender may try to record what was answered."""

_LONGEST_SECONDS = 2 * 86_400.0
_START_SLACK_SECONDS = 5.0
_MAX_CHARS = 300
_MOST_PROCESSES = 2**31

_held: set[str] = set()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one submit.

    :param token: unlike any other's.
    :param holder: the task, its run and its try, for people.
    :param machine: where the sender runs; the same only for processes that see each other's numbers.
    :param process: the number of the sender's process there; ``started`` is its start, epoch seconds.
    :param until: epoch seconds after which its request is certainly not on its way any more.
    """

    token: str
    holder: str
    machine: str
    process: int
    started: float
    until: float

    def is_open(self, now: float) -> bool:
        """Whether the sender may still send, or record what was answered.

        :param now: epoch seconds.
        """
        if now > self.until:
            return False
        if self.machine != _machine():
            return True
        if self.process == os.getpid():
            return self.token in _held
        return _is_running(self.process, self.started)

    def describe(self) -> str:
        """Say who has it, and until when."""
        when = datetime.fromtimestamp(self.until, UTC).isoformat(timespec="seconds")
        return f"{self.holder} on {self.machine.partition(' ')[0]}, until {when} at the latest"

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON; :meth:`from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object, *, at: float) -> Claim | None:
        """Read a claim; None if there is none, or it is none that this package makes.

        :param at: epoch seconds of the intent, from which it cannot last for ever.
        """
        if not isinstance(data, Mapping):
            return None
        token, holder, machine = (data.get(name) for name in ("token", "holder", "machine"))
        process, started, until = (number(data.get(name)) for name in ("process", "started", "until"))
        if not all(isinstance(text, str) and 0 < len(text) <= _MAX_CHARS for text in (token, holder, machine)):
            return None
        if process is None or started is None or until is None or not 0 < process < _MOST_PROCESSES:
            return None
        if until > at + _LONGEST_SECONDS:
            return None
        return cls(str(token), str(holder), str(machine), int(process), started, until)


@contextmanager
def holding(holder: str, seconds: float) -> Iterator[Claim]:
    """Hold a claim while a submit is recorded, sent and answered.

    :param holder: the task, its run and its try, for people.
    :param seconds: that the request may take.
    """
    until = time.time() + seconds + RECORDING_SECONDS + CLOCK_SLACK_SECONDS
    process = os.getpid()
    claim = Claim(secrets.token_hex(8), holder[:_MAX_CHARS], _machine(), process, _started(process), until)
    _held.add(claim.token)
    try:
        yield claim
    finally:
        _held.discard(claim.token)


@cache
def _machine() -> str:
    """Name this machine: its host name, its boot, and the container, whose processes have numbers of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        container = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot = container = "-"
    return f"{socket.gethostname()} {boot} {container}"[:_MAX_CHARS]


@cache
def _started(process: int) -> float:
    import psutil

    return float(psutil.Process(process).create_time())


def _is_running(process: int, started: float) -> bool:
    """Whether a process of this machine is there, and is the one that was started then."""
    import psutil  # of Airflow; it takes a moment, and no DAG file needs it

    try:
        found = psutil.Process(process)
        is_it = abs(found.create_time() - started) < _START_SLACK_SECONDS
        return is_it and bool(found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
