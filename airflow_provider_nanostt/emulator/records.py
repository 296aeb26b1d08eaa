"""What the emulator remembers and shows: charges, jobs and requests, as plain values that travel as JSON.

Values and the charge ledger; no HTTP and no decisions about jobs.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Charge:
    """One sum of money taken: there is one exactly when a job was accepted.

    :param time: epoch seconds.
    :param endpoint: ``/transcribe`` or ``/youtube-transcribe``.
    :param run_id: of the job; synchronous answers and YouTube transcripts have one here too.
    :param minutes: of audio charged.
    :param cost: USD.
    :param source: file name, or the URL.
    :param size: bytes of audio.
    :param refunded: USD given back, 0 unless the job failed.
    """

    time: float
    key: str
    endpoint: str
    model: str
    run_id: str
    minutes: float
    cost: float
    source: str
    size: int = 0
    refunded: float = 0.0


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands.

    :param created: when it was accepted, epoch seconds; `finished` when it became completed or failed, `seen` when a
        status answer first said so (None: not yet). `seen - finished` is how late the client noticed.
    :param polls: how many status answers it got.
    :param seconds: length of the audio.
    """

    run_id: str
    key: str
    model: str
    source: str
    status: str
    created: float
    finished: float | None
    seen: float | None
    polls: int
    seconds: float
    cost: float
    error: str | None = None


@dataclass(slots=True)
class RequestRecord:
    """A request as it arrived.

    :param time: epoch seconds.
    :param path: as it was asked for, ``/api/transcribe``; `endpoint` is the same without ``/api``.
    :param status: answered with, 0 while none was sent (a hang, a reset).
    :param fields: the body's fields, files as ``{file_name, content_type, size}``; query parameters of a GET.
    :param header_names: of all headers, in lower case.
    :param headers: all but the key's, names in lower case; empty for status requests, of which there are many.
    :param connection: the client's port: requests on one connection share it.
    :param fault: the kind or status of the fault that was played.
    """

    time: float
    method: str
    path: str
    endpoint: str
    key: str | None
    header_names: tuple[str, ...]
    headers: dict[str, str]
    connection: int
    status: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    request_id: str = ""


def to_json(record: Any) -> dict[str, Any]:
    """Return a record (or any dataclass) as a JSON object."""
    return dataclasses.asdict(record)


def from_json(kind: type[R], values: Mapping[str, Any]) -> R:
    """Return the record that `to_json` made these values from."""
    values = dict(values)
    if kind is RequestRecord:
        values["header_names"] = tuple(values["header_names"])
    return kind(**values)


class Ledger:
    """All charges, in order; any thread may read.

    :param path: file to which each charge and refund is appended as a JSON line with ``event``, or None.
    """

    def __init__(self, path: str | None = None) -> None:
        self._charges: list[Charge] = []
        self._where: dict[str, int] = {}
        self._lock = threading.Lock()
        self._path = Path(path) if path else None

    @property
    def charges(self) -> list[Charge]:
        """A copy of all charges so far."""
        with self._lock:
            return list(self._charges)

    def charge(self, charge: Charge) -> None:
        """Write down a charge, in the file first."""
        with self._lock:
            self._append("charge", charge)
            self._where[charge.run_id] = len(self._charges)
            self._charges.append(charge)

    def refund(self, run_id: str) -> Charge | None:
        """Mark a charge as given back and return it as it was; None if there is none, or it was refunded before."""
        with self._lock:
            at = self._where.get(run_id)
            if at is None or self._charges[at].refunded:
                return None
            charge = self._charges[at]
            self._charges[at] = dataclasses.replace(charge, refunded=charge.cost)
            self._append("refund", self._charges[at])
            return charge

    def clear(self) -> None:
        """Forget everything; the file keeps it."""
        with self._lock:
            self._charges.clear()
            self._where.clear()

    def _append(self, event: str, charge: Charge) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **to_json(charge)}) + "\n")
