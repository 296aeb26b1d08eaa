"""An item of a batch as the workflow sees it: gate, log, parts and records, and the listing that all items share."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.http import is_transient
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.api.responses import stored_status
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.urls import redact
from airflow_provider_nanostt.polling import expected_seconds
from airflow_provider_nanostt.workflow import recovery
from airflow_provider_nanostt.workflow.gate import ask_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import JobStatus
    from airflow_provider_nanostt.common.object_storage import FileInfo
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Record
    from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
    from airflow_provider_nanostt.workflow.attempt import Attempt, Log
    from airflow_provider_nanostt.workflow.batch.circuit_breaker import CircuitBreaker


@dataclass(frozen=True, slots=True)
class ItemGate:
    """The gate of one item: whether it may be begun and asked for depends on the whole batch."""

    service: NanoGPTHook
    breaker: CircuitBreaker
    spool: TranscriptSpool

    def check(self) -> None:
        """Raise if the batch has stopped."""
        self.breaker.raise_if_open()

    def add_earlier(self, usd: float) -> None:
        """Do nothing: what all items have cost was counted before the first was begun."""

    def prefetched(self, job: Job) -> Transcript | None:
        """Return the transcript of a job that the triggerer has left, None if it has not."""
        data = self.spool.take(job.run_id)
        if data is not None:
            with suppress(errors.NanoGPTError):  # then the service has to be asked
                return stored_status(job, data).transcript
        return None

    def status(self, job: Job) -> JobStatus | None:
        """Ask for a job, unless the service does not answer questions at all."""
        if self.breaker.status_unavailable:
            return None
        if not self.breaker.may_ask:
            self.breaker.raise_if_open()
        try:
            return ask_status(self.service, job)
        except errors.NanoGPTError as error:
            if not is_transient(error):
                raise
            self.breaker.status_unavailable = True
            return None


@dataclass(slots=True)
class Pending:
    """An item whose transcript has to be waited for: where its parts begin, seconds, and what each has come to."""

    number: int
    attempt: Attempt
    parts: list[tuple[float, Transcript | Job]]

    @property
    def jobs(self) -> list[Job]:
        """The jobs that have not ended."""
        return [found for _, found in self.parts if isinstance(found, Job)]

    @property
    def expected_at(self) -> float:
        """When the last of its jobs is expected to end, epoch seconds."""
        return max((job.submitted_at + expected_seconds(job.charged_minutes) for job in self.jobs), default=0.0)


@dataclass(frozen=True, slots=True)
class ItemLog:
    """A log in which only what is out of the ordinary shows, with the item's name: there are thousands of items."""

    log: Log
    name: str

    def info(self, text: str, /, *arguments: object) -> None:
        """Log an ordinary message at debug level."""
        self.log.debug("%s: %s", self.name, redact(text % arguments))

    def warning(self, text: str, /, *arguments: object) -> None:
        """Log a warning."""
        self.log.warning("%s: %s", self.name, redact(text % arguments))

    debug = info

    def error(self, text: str, /, *arguments: object) -> None:
        """Log an error."""
        self.log.error("%s: %s", self.name, redact(text % arguments))


def list_once(folder: ObjectStoragePath) -> Callable[[], Mapping[str, FileInfo]]:
    """Return a function that lists a folder when it is first called, whichever thread comes first.

    It raises a LedgerError if the folder cannot be listed: that is not the answer "no files".
    """
    lock = threading.Lock()

    @functools.cache
    def found() -> Mapping[str, FileInfo]:
        try:
            return object_storage.list_folder(folder)
        except Exception as error:  # whatever a storage raises
            raise errors.LedgerError(f"{folder} cannot be listed ({errors.describe_exception(error)})") from error

    def listing() -> Mapping[str, FileInfo]:
        with lock:
            return found()

    return listing


def is_own(attempt: Attempt) -> bool:
    """Return whether what the record describes was submitted by this task instance."""
    record = attempt.ledger.record
    return record is not None and record.owner == attempt.owner


def records_of(attempt: Attempt) -> list[Record]:
    """Return the records of an item; none of one that is submitted whatever they say."""
    try:
        record = attempt.ledger.load()
        if record is None or record.open_claim(time.time()):  # nothing is uncertain while somebody is at work
            return []
        of_item, _ = recovery.read_record(attempt, attempt.ledger)
        return [] if of_item.rules.force else attempt.records()
    except errors.NanoGPTError:
        return []  # it will fail for the same reason in a moment


def spent_so_far(attempt: Attempt) -> float:
    """Return USD that earlier attempts have spent on an item; nothing of one whose record cannot be read."""
    try:
        return recovery.spent_so_far(attempt, attempt.ledger.load())
    except errors.NanoGPTError:
        return 0.0  # it will fail for the same reason in a moment
