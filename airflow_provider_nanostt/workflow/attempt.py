"""One try of one task at one recording: who tries, with which service, records, rules and limits. Values only.

Every function of the workflow takes an :class:`Attempt`. Items of a batch share their budget, breaker and spool.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.ledger import Ledger, Record, RecoveryRules, TaskIdentity
from airflow_provider_nanostt.ledger.decision import TaskTry
from airflow_provider_nanostt.ledger.task_identity import store_for, task_identity_of, task_try_of
from airflow_provider_nanostt.workflow.circuit_breaker import CircuitBreaker
from airflow_provider_nanostt.workflow.uncertain import UncertainSubmits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.common.object_storage import FileInfo
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.polling.transcript_spool import TranscriptSpool
    from airflow_provider_nanostt.workflow.budget import Budget


class Log(Protocol):
    """The methods of a logger that the workflow uses."""

    def debug(self, text: str, /, *arguments: object) -> None:
        """Log a message for those who look for it."""

    def info(self, text: str, /, *arguments: object) -> None:
        """Log a message."""

    def warning(self, text: str, /, *arguments: object) -> None:
        """Log a warning."""

    def error(self, text: str, /, *arguments: object) -> None:
        """Log an error."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where results and records of a task go, and how results are written.

    :param folder: None puts the text into XCom.
    :param listing: lists the folder's files, once for a whole batch; None looks at each file by itself.
    :param collect: takes what has been written, and in which tables' files it was before, into those of a whole batch;
        returns in which files it will be.
    """

    folder: ObjectStoragePath | None
    settings: OutputSettings
    listing: Callable[[], Mapping[str, FileInfo]] | None = None
    collect: Callable[[Transcript, Mapping[str, str]], Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task at one recording.

    :param budget: what the task, or the whole batch, may spend.
    :param context: of the Airflow task, in which the records of parts are found.
    :param uncertain: the submits of unknown end that this try, or the whole batch, has found.
    :param breaker: what stops the batch; nothing stops a recording on its own.
    :param spool: where the triggerer leaves the transcripts of a batch; None for a recording on its own.
    :param identity: of the task instance, or of one item of it; None outside of a task.
    :param owner: short name of the task instance, None outside of a task.
    :param holder: the task instance and its try, for people.
    :param task_try: what Airflow says of this try.
    :param forced: the same, for the record of a submit that ``force`` makes.
    :param staging: the folder in which recordings are staged, as this task instance sees it; None without one.
    :param number: its place among the items of a batch, from 0.
    """

    service: NanoGPTHook
    budget: Budget
    ledger: Ledger
    target: Target
    rules: RecoveryRules
    log: Log
    context: Mapping[str, object]
    uncertain: UncertainSubmits
    breaker: CircuitBreaker
    spool: TranscriptSpool | None
    identity: TaskIdentity | None
    owner: str | None
    holder: str
    task_try: TaskTry
    forced: Mapping[str, object] | None
    staging: Staging | None
    number: int

    @property
    def is_item(self) -> bool:
        """Whether it is one of a batch."""
        return bool(self.identity and self.identity.item)

    def part_ledger(self, part: int) -> Ledger:
        """Return the ledger of one part, from 1."""
        identity = replace(self.identity, part=part) if self.identity else None
        return Ledger(store_for(self.context, self.target.folder, identity))

    def records(self) -> list[Record]:
        """Return the records of the recording and of its parts, as far as there are any.

        :raises LedgerError: if one cannot be read.
        """
        record = self.ledger.load()
        count = len(record.split_points) + 1 if record and record.split_points else 0
        found = [record, *(self.part_ledger(number).load() for number in range(1, count + 1))]
        return [one for one in found if one is not None]


def open_attempt(
    service: NanoGPTHook,
    context: Mapping[str, object],
    budget: Budget,
    target: Target,
    *,
    rules: RecoveryRules,
    log: Log,
    uncertain: UncertainSubmits | None = None,
    breaker: CircuitBreaker | None = None,
    spool: TranscriptSpool | None = None,
    staging_path: str | None = None,
    item: str = "",
    number: int = 0,
    shared: bool = False,
) -> Attempt:
    """Return an attempt of the running task; its record is not read yet.

    :param uncertain: what a whole batch shares, as are breaker and spool; None makes it for this attempt alone.
    :param item: the key of one item of a batch, and its number.
    :param shared: whether the item's record is shared by every task and run that writes into the folder.
    """
    task, task_try = task_identity_of(context), task_try_of(context)
    identity = task.for_item(item, shared=shared) if task and item else task
    return Attempt(
        service,
        budget,
        Ledger(store_for(context, target.folder, identity)),
        target,
        rules,
        log,
        context,
        uncertain or UncertainSubmits(service, target.folder, rules, log.info),
        breaker or CircuitBreaker(),
        spool,
        identity=identity,
        owner=task.digest if task else None,
        holder=f"{task.describe()}, try {task_try.try_number or 1}" if task else "a script",
        task_try=task_try,
        forced=asdict(task_try) if rules.force else None,
        staging=Staging(staging_path, identity.digest if identity else secrets.token_hex(6)) if staging_path else None,
        number=number,
    )
