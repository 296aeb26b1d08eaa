"""One attempt of one task at one transcription: look in the ledger, submit only what is not paid for, record each step.

Every face (operator, sensor) that spends or has spent money goes through here, so the order of recording and acting
exists once. How a wait is held (worker or triggerer) is the face's business, not this module's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt import ledger, storage
from airflow_provider_nanostt._compat import NEVER_EXPIRE
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.ledger import ATTACH, RETURN, FileStore, Identity, Ledger, Rules, TaskStateStore
from airflow_provider_nanostt.outputs import land

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt.api.models import JobStatus, Submission
    from airflow_provider_nanostt.hooks import NanoGPTHook

_LOST_AFTER = 3
_LOST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Landed:
    """A result that an earlier attempt has left: what the task returns."""

    result: dict[str, Any]


class Attempt:
    """One attempt at one transcription.

    :param hook: talks to the service.
    :param context: the task's context, for its identity and its task state.
    :param output: where results and ledger lie, or None.
    :param rules: what to do about the ledger's record.
    :param log: the task's log.
    """

    def __init__(
        self,
        hook: NanoGPTHook,
        context: Mapping[str, Any],
        *,
        output: str | None,
        rules: Rules,
        log: Any,
    ) -> None:
        self._hook = hook
        self._output = output
        self._rules = rules
        self._log = log
        self._identity = _identity(context)
        self.ledger = Ledger(_store(context, output, self._identity))

    def begin(self, submission: Submission) -> Landed | Transcript | Job:
        """Find what an earlier attempt has left, or submit.

        :return: an earlier result, a transcript, or the ticket of a job to wait for.
        :raises LedgerError: if it cannot be told or recorded what has been paid for; nothing is submitted then.
        :raises EarlierSubmitUnknown: see :func:`~airflow_provider_nanostt.ledger.decide`.
        :raises InputChanged: likewise.
        :raises JobLost: if the service no longer knows the recorded job and the rules say to fail.
        """
        entry = self.ledger.find()
        try:
            decision = ledger.decide(entry, ledger.fingerprint(submission), self._rules)
        except errors.EarlierSubmitUnknown as error:
            error.now = self._hook.balance_if_known()
            raise
        if decision.why:
            self._log.info("%s", decision.why)
        if entry is not None and decision.action == RETURN:
            found = self._landed(entry)
            if found:
                return found
        if entry is not None and entry.job is not None and decision.action in (ATTACH, RETURN):
            attached = self._attach(entry, entry.job)
            if attached is not None:
                return attached
        return self._submit(submission)

    def land(self, transcript: Transcript, job: Job | None) -> dict[str, Any]:
        """Put a transcript where the user wants it, record that, and return what goes to XCom."""
        entry = self.ledger.entry
        result = land(
            transcript,
            folder=storage.location(self._output) if self._output else None,
            source=entry.source if entry else (job.body.get("fileName") if job else None),
            identity=self._identity,
            spent_before=entry.spent_before if entry else 0.0,
        )
        self._record("the result", self.ledger.landed, result)
        return result

    def _submit(self, submission: Submission) -> Transcript | Job:
        if not self.ledger.is_kept:
            self._log.warning(
                "Nothing will remember this submit: a retry or a clear of this task may pay again. Give the operator "
                "an output= location, or use Airflow 3.3 or newer."
            )
        balance = self._hook.balance_if_known() if self.ledger.is_kept else None
        self.ledger.intend(submission, likely_cost=_likely_cost(submission), balance=balance)
        self._log.info("Submitting %s to NanoGPT, model %s", submission.name, submission.model)
        try:
            answer = self._hook.submit_prepared(submission)
        except (errors.Refused, errors.NotConnected, errors.InvalidInput, errors.TranscriptionFailed):
            self._record("that nothing was charged", self.ledger.withdraw)
            raise
        if isinstance(answer, Job):
            began = time.perf_counter()
            self._record("the ticket", self.ledger.submitted, answer)
            self._log.info(
                "NanoGPT accepted run %s: model %s, %s minutes charged, %s; ticket recorded in %s after %.1f ms",
                answer.run_id,
                answer.model,
                "unknown" if answer.charged_minutes is None else f"{answer.charged_minutes:g}",
                errors.usd(answer.cost),
                self.ledger.where,
                (time.perf_counter() - began) * 1000,
            )
        return answer

    def _record(self, what: str, record: Any, *arguments: Any) -> None:
        """Record what has happened already; failing to must not lose it."""
        try:
            record(*arguments)
        except errors.LedgerError as error:
            self._log.error("%s; going on without having recorded %s: %r", error, what, arguments)

    def _landed(self, entry: ledger.Entry) -> Landed | None:
        """Return the recorded result if its files are still there."""
        result = dict(entry.result or {})
        missing = [uri for uri in result.get("files", {}).values() if storage.read(storage.location(uri)) is None]
        if not missing:
            return Landed(result)
        self._log.warning("The recorded result is gone (%s)", ", ".join(missing))
        return None

    def _attach(self, entry: ledger.Entry, job: Job) -> Transcript | Job | None:
        """Look at a paid job: its transcript, the job itself if it still runs, None if it must be submitted anew."""
        status = self._ask(job)
        if status is None:
            if self._rules.on_lost_job == "fail":
                raise errors.JobLost(job=job, told=entry.told())
            self._log.warning("NanoGPT no longer knows run %s (%s); submitting anew", job.run_id, entry.told())
            return None
        if status.transcript is not None:
            self._log.info("Run %s is done; fetching it costs nothing", job.run_id)
            return status.transcript
        if status.is_failed:
            self._log.warning(
                "Run %s failed at the service (%s); submitting anew; before: %s", job.run_id, status.error, entry.told()
            )
            return None
        self._log.info("Run %s is still %s; waiting on, with the whole timeout from now", job.run_id, status.raw_status)
        return job

    def _ask(self, job: Job) -> JobStatus | None:
        """Ask for a job; None if the service says three times that it does not know it."""
        for _ in range(_LOST_AFTER - 1):
            try:
                return self._hook.status(job)
            except errors.NotFound:
                time.sleep(_LOST_PAUSE)
        try:
            return self._hook.status(job)
        except errors.NotFound:
            return None


def _identity(context: Mapping[str, Any]) -> Identity | None:
    instance = context.get("ti") or context.get("task_instance")
    if instance is None:
        return None
    return Identity(instance.dag_id, instance.task_id, instance.run_id, getattr(instance, "map_index", -1))


def _store(context: Mapping[str, Any], output: str | None, identity: Identity | None) -> ledger.Store | None:
    if identity is None:
        return None
    if output:
        return FileStore(storage.location(output), identity)
    accessor = context.get("task_state_store")
    return None if accessor is None else TaskStateStore(accessor, NEVER_EXPIRE)


def _likely_cost(submission: Submission) -> float | None:
    facts = KNOWN_MODELS.get(submission.model)
    if submission.actual_minutes is None or facts is None or facts.price_per_minute is None:
        return None
    return submission.actual_minutes * facts.price_per_minute
