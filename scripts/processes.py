"""Starting, watching and reliably ending processes: every service is a session of its own, and nothing of it stays.

Airflow's components start children that outlive them or leave their process group. So a service is the set of all
processes of its session, plus those that carry its mark in their environment, whatever their parent is by now, and
what descends from either. Only processes found in this way are ever signalled. Linux only: it reads ``/proc``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MARK = "LOCAL_SERVICE_MARK"
_handed_out: set[int] = set()


class LeftoverError(RuntimeError):
    """A process survived being killed, or could not be looked at."""


def free_port() -> int:
    """Return a loopback port that is free now and that no earlier call has returned."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _handed_out:
            _handed_out.add(port)
            return port


@dataclass(frozen=True, slots=True)
class Process:
    """One living process, as ``/proc`` tells it; ``started`` is in clock ticks since boot."""

    pid: int
    parent: int
    session: int
    started: int

    @property
    def title(self) -> str:
        """The command line, which Airflow rewrites to say what the process does."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""

    @property
    def mark(self) -> str:
        """The mark it was started with, empty if it has none or its environment is overwritten."""
        with suppress(OSError):
            for entry in Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0"):
                if entry.startswith(MARK.encode() + b"="):
                    return entry.decode(errors="replace").partition("=")[2]
        return ""


def read_process(pid: int) -> Process | None:
    """Return the process with this id, or None if there is none or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may contain anything
    if fields[0] in "ZX":
        return None
    return Process(pid, parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def all_processes() -> Iterator[Process]:
    """Yield every living process of this machine."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - called in tight loops, and pathlib makes an object per entry
        if entry.isdigit() and (process := read_process(int(entry))):
            yield process


def with_descendants(pids: Iterable[int], among: Iterable[Process]) -> set[int]:
    """Return these ids and those of their children, their children's children, and so on."""
    children: dict[int, list[int]] = {}
    for process in among:
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    frontier = list(pids)
    while frontier:
        found.update(frontier)
        frontier = [child for parent in frontier for child in children.get(parent, []) if child not in found]
    return found


def send(pids: Iterable[int], signal_number: int) -> None:
    """Signal processes, some of which may be gone already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


class Service:
    """A command in a session of its own, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.mark = uuid.uuid4().hex
        self._command = list(command)
        self._env = dict(env)
        self._leader: subprocess.Popen[bytes] | None = None
        self._sessions: set[int] = set()  # more than one if children outlived a leader that was started again

    def start(self) -> None:
        """Start the command; its output is appended to the log."""
        if self.alive:
            raise RuntimeError(f"{self.name} is running already")
        self._sessions &= {process.session for process in all_processes()}  # an id that is free may be reused
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._leader = subprocess.Popen(
                self._command,
                env={**self._env, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.add(self.pid)

    @property
    def pid(self) -> int:
        """The process that was started, the leader of the session."""
        if self._leader is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._leader.pid

    @property
    def alive(self) -> bool:
        """Whether the leader lives; its children may survive it."""
        return self._leader is not None and self._leader.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the leader ended, None while it lives or if it was never started; negative for a signal."""
        return None if self._leader is None else self._leader.poll()

    def pids(self) -> list[int]:
        """Return the ids of all its processes, the leader first."""
        if self._leader is None:
            return []
        self._leader.poll()
        everything = list(all_processes())
        own = [p.pid for p in everything if p.session in self._sessions or p.mark == self.mark]
        return sorted(with_descendants(own, everything), key=lambda pid: (pid != self.pid, pid))

    def kill(self, signal_number: int = signal.SIGKILL, *, children: bool = True) -> None:
        """Signal all its processes, or the leader only."""
        send(self.pids() if children else [self.pid], signal_number)
        if signal_number == signal.SIGKILL and self._leader is not None:
            self._leader.wait(10)

    def suspend(self) -> None:
        """Freeze all its processes."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Let frozen processes go on."""
        self.kill(signal.SIGCONT)

    def stop(self, grace: float = 10) -> None:
        """End all its processes, see :func:`stop_all`."""
        stop_all([self], grace)

    def tail(self, lines: int = 30) -> str:
        """Return the end of its log."""
        return tail(self.log, lines)


def stop_all(services: Sequence[Service], grace: float = 10) -> None:
    """Ask the leaders to end, wait ``grace`` seconds, kill what is left, and make sure that nothing is.

    :raises LeftoverError: if a process survives.
    """
    for service in services:
        service.resume()  # a frozen process cannot end
        if service.alive:
            service.kill(signal.SIGTERM, children=False)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(service.alive for service in services):
        time.sleep(0.05)
    _kill_until_gone(services)


def _kill_until_gone(services: Sequence[Service]) -> None:
    deadline = time.monotonic() + 10
    while left := [(service.name, pid) for service in services for pid in service.pids()]:
        if time.monotonic() > deadline:
            raise LeftoverError(f"these processes could not be ended: {left}")
        send([pid for _, pid in left], signal.SIGKILL)
        time.sleep(0.05)


def record(services: Iterable[Service], path: Path) -> None:
    """Write down which services run, so that another process can end them: see :func:`stop_recorded`."""
    leaders = [read_process(service.pid) for service in services if service.alive]
    path.write_text(json.dumps([{"pid": p.pid, "started": p.started} for p in leaders if p]), encoding="utf-8")


def stop_recorded(path: Path, grace: float = 10) -> int:
    """End the services that :func:`record` wrote down, remove the file, and return how many processes were ended."""
    try:
        recorded = {entry["pid"]: entry["started"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return 0

    def ours() -> set[int]:
        everything = list(all_processes())
        # An id whose process started at another time has been given to a stranger.
        strangers = {p.pid for p in everything if p.pid in recorded and p.started != recorded[p.pid]}
        sessions = recorded.keys() - strangers
        return with_descendants([p.pid for p in everything if p.session in sessions], everything)

    first = left = ours()
    send(left, signal.SIGCONT)
    send(left & recorded.keys(), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := ours()) and time.monotonic() < deadline:
        time.sleep(0.1)
    while left := ours():
        if time.monotonic() > deadline + 10:
            raise LeftoverError(f"these processes could not be ended: {sorted(left)}")
        send(left, signal.SIGKILL)
        time.sleep(0.05)
    path.unlink()
    return len(first)


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines of a file, empty if it does not exist."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
