"""What worker and triggerer hand over by way of the storage for the results: jobs, if many, and the answers to them.

An event may not carry the transcript that came with the last answer, but the triggerer can leave it where the worker
that resumes finds it. That halves what a batch asks of the service, and shortens the time for which it holds a slot.
Nobody relies on it: where the triggerer sees another storage, or it takes too long, the service is asked once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.errors import StorageUnavailable, describe_exception
from airflow_provider_nanostt.common.threads import in_own_thread, with_connections
from airflow_provider_nanostt.polling import job_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.polling.job_list import JobsAsJson

log = logging.getLogger(__name__)

_TOKEN_FILE = "open"  # noqa: S105  the name of a file
_JOBS_FILE = "jobs.jsonl"
_MAX_TOKEN_BYTES = 1000
_AT_ONCE = 4
MAX_PENDING_WRITES = 8
"""Answers in memory while they are stored, of all batches in this process; an hour of words is 2 MB."""
STORAGE_TIMEOUT_SECONDS = 20.0
"""Seconds for the storage to answer; a wait for jobs must not become a wait for storage."""
_PAUSES = (2.0, 10.0, 30.0)
"""Seconds between attempts to read jobs: a storage may be restarting."""


class TranscriptSpool:
    """A folder for what worker and triggerer hand over: the jobs of one task instance, and the answers to them.

    What the storage raises passes through :meth:`is_open`, :meth:`jobs` and :meth:`put`, and through nothing else.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._names: frozenset[str] | None = None
        self._listing = threading.Lock()

    def open(self) -> dict[str, str] | None:
        """Make it ready; return what the triggerer needs to know, as plain JSON, or None if that cannot be."""
        token = secrets.token_hex(8)
        try:
            object_storage.write(self._folder / _TOKEN_FILE, token.encode())
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.info("Answers are not handed over: %s cannot be written (%s)", self._folder, error)
            return None
        return {"folder": str(self._folder), "token": token}

    def is_open(self, token: str) -> bool:
        """Return whether this is the folder that :meth:`open` made ready, not one of that name on another machine."""
        return object_storage.read(self._folder / _TOKEN_FILE, at_most=_MAX_TOKEN_BYTES) == token.encode()

    def leave_jobs(self, jobs: JobsAsJson) -> dict[str, object] | None:
        """Leave jobs for the triggerer; return what names them in its arguments, None if that cannot be."""
        data, reference = job_list.as_file(jobs)
        try:
            if len(data) > job_list.MAX_FILE_BYTES:
                raise ValueError(f"they have {len(data):,} bytes")
            object_storage.write(self._folder / _JOBS_FILE, data)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.info("Jobs are not left in a file: %s cannot be written (%s)", self._folder / _JOBS_FILE, error)
            return None
        return reference

    def jobs(self, reference: Mapping[str, object]) -> list[Job]:
        """Return the jobs that were left; raises ValueError if they are others."""
        data = object_storage.read(self._folder / _JOBS_FILE, at_most=job_list.MAX_FILE_BYTES)
        if data is None:
            raise ValueError(f"{_JOBS_FILE} is not there")
        return job_list.from_file(data, reference)

    def put(self, run_id: str, answer: bytes) -> None:
        """Leave the service's answer about a job, from which what is secret has been taken out."""
        object_storage.write(self._folder / _name(run_id), answer)

    def has(self, run_id: str) -> bool:
        """Whether there was an answer about a job when this was first asked."""
        return _name(run_id) in self._found()

    def take(self, run_id: str) -> bytes | None:
        """Return the answer about a job, None if there is none or it cannot be read."""
        try:
            return object_storage.read(self._folder / _name(run_id)) if self.has(run_id) else None
        except Exception:  # noqa: BLE001  whatever a storage raises: the service can be asked
            return None

    def _found(self) -> frozenset[str]:
        """Return the names in the folder; it is listed once, whichever thread comes first."""
        with self._listing:
            if self._names is None:
                try:
                    self._names = frozenset(object_storage.list_folder(self._folder))
                except Exception as error:  # noqa: BLE001  whatever a storage raises
                    log.info("NanoGPT is asked for transcripts again: %s cannot be listed (%s)", self._folder, error)
                    self._names = frozenset()
            return self._names

    def clear(self) -> None:
        """Remove the folder, if anything was found in it."""
        if not self._found():
            return
        try:
            object_storage.remove_folder(self._folder)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.warning("%s, which nobody needs any more, cannot be removed (%s)", self._folder, error)


def _name(run_id: str) -> str:
    """Return a file's name; a run id may be any text."""
    return f"{hashlib.sha256(run_id.encode()).hexdigest()[:32]}.json"


async def load_jobs(location: Mapping[str, str] | None, reference: Mapping[str, object]) -> list[Job]:
    """Return the jobs that a worker has left where :meth:`TranscriptSpool.open` says; never block the event loop.

    :raises StorageUnavailable: if they cannot be read from here, with the reason.
    """
    place = location or {}
    for pause in (0.0, *_PAUSES):
        await asyncio.sleep(pause)
        try:
            async with asyncio.timeout(STORAGE_TIMEOUT_SECONDS):
                if spool := await _find(place):
                    return await in_own_thread(partial(spool.jobs, reference))
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            reason = describe_exception(error)
        else:
            reason = "it is not the worker's folder here"
            break
    raise StorageUnavailable(f"{place.get('folder')} cannot be read: {reason}")


async def _find(location: Mapping[str, str]) -> TranscriptSpool | None:
    """Return the folder that a worker has opened; None if the folder of that name is another one here."""

    def find() -> TranscriptSpool:
        folder = object_storage.resolve(location["folder"])
        _ = folder.fs  # the first time this may take a connection from Airflow
        return TranscriptSpool(folder)

    spool = await with_connections(find)
    return spool if await in_own_thread(partial(spool.is_open, location["token"])) else None


class SpoolWriter:
    """Leaves answers where :meth:`TranscriptSpool.open` says, as long as that goes well; never blocks the event loop.

    It has threads of its own: those that all share also look up host names. How many answers wait to be stored is
    counted for the whole process.
    """

    _waiting: ClassVar[int] = 0

    def __init__(self, location: Mapping[str, str] | None, log: Any) -> None:
        self._location = location
        self._log = log
        self._spool: TranscriptSpool | None = None
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nanostt-spool")

    async def __aenter__(self) -> Self:
        if self._location:
            try:
                async with asyncio.timeout(STORAGE_TIMEOUT_SECONDS):
                    self._spool = await _find(self._location)
                    if self._spool is None:
                        line = "Answers are left to the worker: %s is not the worker's folder here"
                        self._log.info(line, self._location["folder"])
            except Exception as error:  # noqa: BLE001  whatever a storage raises
                self._give_up(error)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def keep(self, run_id: str, answer: bytes) -> None:
        """Store the service's answer about a job, unless too many are being stored."""
        if self._spool is None or SpoolWriter._waiting >= MAX_PENDING_WRITES:
            return
        SpoolWriter._waiting += 1
        try:
            async with asyncio.timeout(STORAGE_TIMEOUT_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._threads, self._spool.put, run_id, answer)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            self._give_up(error)
        finally:
            SpoolWriter._waiting -= 1

    def _give_up(self, error: Exception) -> None:
        if self._location is not None:
            line = "Answers are left to the worker: %s cannot be used from here (%s: %s)"
            self._log.info(line, self._location.get("folder"), type(error).__name__, error)
        self._location = self._spool = None
