"""What earlier attempts of a task have left, and what becomes of it; nothing is submitted here.

The record is read, :func:`~airflow_provider_nanostt.ledger.decide` says what follows, and that is carried out: return
the result, look at the job that is paid for, read again an answer that came at once. What is left is to submit, which
is ``attempt``'s business.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt import ledger
from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.ledger import REATTACH, REUSE, WRITE_ANSWER, Ledger, RecoveryPolicy
from airflow_provider_nanostt.ledger.task_identity import clear_generation_of, store_for, task_identity_of
from airflow_provider_nanostt.outputs import OutputSettings, check_existing
from airflow_provider_nanostt.polling import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_nanostt.api.models import Job, JobStatus, Options, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Decision, RequestFingerprint, TaskIdentity

_LOST_AFTER = 3
_LOST_PAUSE = 2.0
_RECORD_TRIES = 3
_RECORD_PAUSE = 1.0
_ANYWHERE = "https://localhost/"  # what was submitted is not needed to read an answer again


@dataclass(frozen=True, slots=True)
class Landed:
    """A result that an earlier attempt has left: what the task returns."""

    result: dict[str, Any]


class Earlier:
    """What is on record of one transcription, for one attempt at it.

    :param hook: talks to the service.
    :param context: the task's context, for its identity and its task state.
    :param output: where results and ledger lie, or None.
    :param rules: what to do about the ledger's record.
    :param log: the task's log.
    :param settings: how results are written.
    :param part: which part of a recording that was split, from 1; 0 for the whole.
    :param item: which recording of a batch; see :meth:`~airflow_provider_nanostt.ledger.TaskIdentity.of_item`.
    """

    def __init__(
        self,
        hook: NanoGPTHook,
        context: Mapping[str, Any],
        *,
        output: str | None,
        rules: RecoveryPolicy,
        log: Any,
        part: int = 0,
        settings: OutputSettings | None = None,
        item: str = "",
        of_any_run: bool = False,
    ) -> None:
        self._hook = hook
        self._settings = settings or OutputSettings()
        self._folder = object_storage.resolve(output) if output else None
        self._rules = rules
        self._log = log
        instance = task_identity_of(context)
        self._owner_digest = instance.digest if instance else None
        self._identity = _narrowed(instance, part, item, of_any_run=of_any_run)
        self._round = clear_generation_of(context)
        self.ledger = Ledger(store_for(context, self._folder, self._identity))

    def decide(self, wanted: RequestFingerprint) -> tuple[ledger.Entry | None, Decision]:
        """Read the record, and decide what follows from it; raises as :meth:`begin`."""
        entry = self._find()
        try:
            decision = ledger.decide(entry, wanted.fingerprint, self._rules_for(entry))
        except errors.OrphanedSubmit as error:
            error.now = self._hook.try_balance()
            raise
        if decision.why:
            self._log.info("%s", decision.why)
        return entry, decision

    def resume(self) -> None:
        """Read the record for a job that is known already; that it cannot be read must not keep a transcript back."""
        try:
            self.ledger.find()
        except errors.LedgerError as error:
            self._log.error("%s The transcript is fetched all the same, and not recorded", error)

    def _find(self) -> ledger.Entry | None:
        """Read the record; one that is damaged gives way to ``force``, and to nothing else.

        A storage that cannot tell does not: it may hold what an earlier try of this round has forced.
        """
        try:
            return self.ledger.find()
        except errors.LedgerError as error:
            if not (self._rules.force and isinstance(error.__cause__, ValueError | TypeError | LookupError)):
                raise
            self._log.error("%s force is set, so this submits all the same", error)
            return None

    def _rules_for(self, entry: ledger.Entry | None) -> RecoveryPolicy:
        """Return the rules, less a ``force`` that an earlier try of the same round has used up."""
        used = entry is not None and entry.forced_generation is not None and entry.forced_generation == self._round
        if self._rules.force and used:
            self._log.info("force has done its work in an earlier try; this retry does not submit once more")
            return replace(self._rules, force=False)
        return self._rules

    def follow(
        self, entry: ledger.Entry | None, decision: Decision, options: Options
    ) -> Landed | Transcript | Job | None:
        """Return what the record leads to; None if there is nothing left but to submit."""
        action = decision.action
        if entry is None:
            return None
        if action == REUSE:
            landed = self._landed(entry)
            if landed is not None:
                return landed
        if action in (REATTACH, REUSE) and entry.job is not None:
            return self._attach(entry, entry.job)
        if action == WRITE_ANSWER:
            return answered(entry, options)
        return None

    def _record(self, what: str, record: Callable[[], None]) -> None:
        """Record what has happened already; failing to must not lose it."""
        for left in reversed(range(_RECORD_TRIES)):
            try:
                record()
            except errors.LedgerError as error:
                if left:
                    time.sleep(_RECORD_PAUSE)
                else:
                    self._log.error("%s Going on without having recorded %s", error, what)
            else:
                return

    def _landed(self, entry: ledger.Entry) -> Landed | None:
        """Return the recorded result if its files are still there, still its own, and where they are wanted."""
        result = dict(entry.result or {})
        moved = not all(self._is_wanted_at(uri) for uri in result.get("files", {}).values())
        if entry.job is not None and moved:
            self._log.info("The recorded result lies elsewhere, since output has changed; fetching it costs nothing")
            return None
        found = check_existing(
            result,
            folder=self._folder,
            source=entry.source,
            identity=self._identity,
            settings=self._settings,
            moved=moved,
        )
        if found.lost:
            self._log.warning("The recorded result is %s (%s)", found.lost, result["files"].get("json"))
            return None
        if found.rewritten:
            self._log.info("The recorded result is written once more: its files, or how they are wanted, have changed")
            self._record("the result", lambda: self.ledger.landed(found.result))
        return Landed(found.result)

    def _is_wanted_at(self, uri: str) -> bool:
        return self._folder is not None and uri.startswith(str(self._folder).rstrip("/") + "/")

    def _status_of(self, job: Job) -> JobStatus:
        return ask(self._hook, job)

    def _attach(self, entry: ledger.Entry, job: Job) -> Transcript | Job | None:
        """Look at a paid job: its transcript, the job itself if it still runs, None if it must be submitted anew."""
        try:
            status = self._status_of(job)
        except errors.NotFound as error:
            if self._rules.on_lost_job == "fail":
                raise errors.JobLost(job=job, told=entry.describe()) from error
            self._log.warning("NanoGPT no longer knows run %s (%s); submitting anew", job.run_id, entry.describe())
            return None
        except errors.NanoGPTError as error:
            if is_transient(error):
                self._log.warning("%s; run %s counts as still running; waiting on, from now", error, job.run_id)
                return job
            self._log.error("Run %s stays paid for, and cannot be asked for: %s", job.run_id, entry.describe())
            raise
        if status.transcript is not None:
            self._log.info("Run %s is done; fetching it costs nothing", job.run_id)
            return status.transcript
        if status.is_failed:
            self._log.warning(
                "Run %s failed at the service (%s); submitting anew; before: %s",
                job.run_id,
                status.error,
                entry.describe(),
            )
            return None
        self._log.info("Run %s is still %s; waiting on, with the whole timeout from now", job.run_id, status.raw_status)
        return job


def _narrowed(instance: TaskIdentity | None, part: int, item: str, *, of_any_run: bool) -> TaskIdentity | None:
    if instance is None:
        return None
    return (instance.of_item(item, of_any_run=of_any_run) if item else instance).of_part(part)


def answered(entry: ledger.Entry, options: Options) -> Transcript | Job:
    """Read again what the service has answered at once, as a record keeps it."""
    answer = endpoints.Response(200, {}, json.dumps(entry.answer).encode(), entry.intended_at)
    return endpoints.submit(options.submission(_ANYWHERE)).parse(answer)


def ask(hook: NanoGPTHook, job: Job) -> JobStatus:
    """Ask for a job once; a few times if the service says that it does not know it, as one of its replicas may.

    :raises NanoGPTError: what the service says instead of an answer.
    """
    for _ in range(_LOST_AFTER - 1):
        try:
            return hook.status(job)
        except errors.NotFound:
            time.sleep(_LOST_PAUSE)
    return hook.status(job)
