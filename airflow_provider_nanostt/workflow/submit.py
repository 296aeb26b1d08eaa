"""One attempt of one task at one transcription: look in the ledger, submit only what is not paid for, record each step.

Every face that spends or has spent money goes through here, so the order of recording and acting exists once. How a
wait is held (worker or triggerer) is the face's business, not this module's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.metrics import StatsMeter
from airflow_provider_nanostt.outputs import save_locally, write_outputs
from airflow_provider_nanostt.workflow.recovery import Earlier, Landed

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt import ledger
    from airflow_provider_nanostt.api.models import Options, Submission
    from airflow_provider_nanostt.ledger import RequestFingerprint


@dataclass(frozen=True, slots=True)
class Work:
    """What one attempt is about.

    :param wanted: what the ledger knows it by.
    :param make: makes what is submitted; only called if that is needed.
    :param approve: called before with the record of earlier attempts; raises if the submit costs too much, else returns
        USD it will likely cost, None if unknown.
    """

    wanted: RequestFingerprint
    options: Options
    make: Callable[[], Submission]
    approve: Callable[[ledger.Entry | None], float | None]


class Attempt(Earlier):
    """One attempt at one transcription; arguments as for :class:`~airflow_provider_nanostt.workflow.recovery.Earlier`."""

    def begin(self, work: Work) -> Landed | Transcript | Job:
        """Find what an earlier attempt has left, or submit.

        :return: an earlier result, a transcript, or the ticket of a job to wait for.
        :raises LedgerError: if it cannot be told or recorded what has been paid for; nothing is submitted then.
        :raises OrphanedSubmit: see :func:`~airflow_provider_nanostt.ledger.decide`.
        :raises InputChanged: likewise.
        :raises JobLost: if the service no longer knows the recorded job and the rules say to fail.
        """
        entry, decision = self.decide(work.wanted)
        found = self.follow(entry, decision, work.options)
        return self.submit(work) if found is None else found

    def job_of(self, found: Landed | Transcript | Job) -> Job | None:
        """Return the ticket of what :meth:`begin` found, or None where there was no job, or it has landed."""
        if isinstance(found, Job):
            return found
        job = self.ledger.entry.job if self.ledger.entry else None
        return job if isinstance(found, Transcript) and job and job.run_id == found.run_id else None

    def land(self, transcript: Transcript, job: Job | None, *, spent_before: float = 0.0) -> dict[str, Any]:
        """Put a transcript where the user wants it, record that, and return what goes to XCom.

        :param spent_before: USD that was paid before for what is in no record of this attempt's own.
        """
        entry = self.ledger.entry
        if entry and entry.job and job and entry.job.run_id != job.run_id:
            self._log.warning("The ledger tells of run %s, not of %s; it is left alone", entry.job.run_id, job.run_id)
            entry = None
        try:
            result = write_outputs(
                transcript,
                folder=self._folder,
                source=entry.source if entry else (job.body.get("fileName") if job else None),
                identity=self._identity,
                spent_before=spent_before + (entry.spent_before if entry else 0.0),
                settings=self._settings,
            )
        except errors.ResultTooLarge as error:
            error.way_out = self._way_out(transcript, job, entry)
            raise
        except Exception:
            self._log.error(
                "The transcript of %s is paid for (%s), but cannot be written to %s; a retry writes it without paying "
                "again, as long as the ledger can be read",
                f"run {transcript.run_id}" if transcript.run_id else "an answer that came at once",
                errors.usd(transcript.cost),
                self._folder,
            )
            raise
        if entry:
            self._record("the result", lambda: self.ledger.landed(result, job=job, cost=transcript.cost))
        return result

    def _way_out(self, transcript: Transcript, job: Job | None, entry: ledger.Entry | None) -> str:
        """Say how to get at a transcript that is too large for XCom; what nothing else keeps is kept here."""
        if self.ledger.is_kept:
            return (
                f"{self.ledger.where} tells of it: set output= to a folder and clear the task, and it is written there "
                "without paying again."
            )
        if job is not None:
            return f"{self._hook.recovery_hint(job)} Set output= to a folder before the next submit."
        path = save_locally(transcript, entry.source if entry else None)
        return f"Nothing else keeps it, so it is in {path} on this machine. Set output= to a folder."

    def close(self) -> None:
        """Record that what this is a part of has landed."""
        entry = self.ledger.entry
        if entry is not None and entry.job is not None:
            self._record("that the part has landed", lambda: self.ledger.landed({}, job=entry.job))

    def submit(self, work: Work) -> Transcript | Job:
        """Submit, having recorded that; what comes back is recorded before anything else happens."""
        estimated_cost = work.approve(self.ledger.entry)
        submission = work.make()
        if not self.ledger.is_kept:
            self._log.warning(
                "Nothing will remember this submit: a retry or a clear of this task may pay again. Give the operator "
                "an output= location, or use Airflow 3.3 or newer."
            )
        self.ledger.intend(
            work.wanted,
            estimated_cost=estimated_cost,
            balance=self._balance() if self.ledger.is_kept else None,
            owner=self._owner_digest,
            forced_generation=self._forced_in,
        )
        self._log.info("Submitting %s to NanoGPT, model %s", work.wanted.source, submission.model)
        answer = self._send(submission)
        began = time.perf_counter()
        if isinstance(answer, Transcript):
            self._record("the answer", lambda: self.ledger.answered(answer))
            _count(answer)
            return answer
        recovery_hint = self._hook.recovery_hint(answer)
        self._record(f"the ticket. {recovery_hint}", lambda: self.ledger.submitted(answer))
        self._log.info(
            "NanoGPT accepted run %s: model %s, %s minutes charged, %s; ticket recorded in %s after %.1f ms",
            answer.run_id,
            answer.model,
            "unknown" if answer.charged_minutes is None else f"{answer.charged_minutes:g}",
            errors.usd(answer.cost),
            self.ledger.where,
            (time.perf_counter() - began) * 1000,
        )
        if not self.ledger.is_kept:
            self._log.info("%s", recovery_hint)
        _count(answer)
        return answer

    def _balance(self) -> float | None:
        """Return USD in the account before a submit, for the record; None if that cannot be told."""
        return self._hook.try_balance()

    @property
    def _forced_in(self) -> int | None:
        return self._round if self._rules.force else None

    def _send(self, submission: Submission) -> Transcript | Job:
        """Send the submit; what is known of the money when it fails goes into the record and into the error."""
        try:
            return self._hook.submit_prepared(submission)
        except (errors.ApiError, errors.ConnectError, errors.InvalidInput, errors.FileChanged):
            self._log.error("The submit was not accepted, so nothing was charged")
            self._record("that nothing was charged", self.ledger.withdraw)
            raise
        except errors.TranscriptionFailed:
            self._record("that the service gave up", self.ledger.failed)
            raise
        except errors.AmbiguousSubmit as error:
            self._tell(error)
            raise
        except errors.ProtocolError as error:
            ambiguous = errors.AmbiguousSubmit(str(error))
            self._tell(ambiguous)
            raise ambiguous from error

    def _tell(self, error: errors.AmbiguousSubmit) -> None:
        """Put the facts into an error that leaves the charge open."""
        entry = self.ledger.entry
        if entry and self.ledger.is_kept:
            error.told, error.before, error.now = entry.describe(), entry.balance_before, self._hook.try_balance()


def _count(answer: Transcript | Job) -> None:
    """Tell the metrics what was paid."""
    meter = StatsMeter()
    if answer.cost:
        meter.incr("cost_micro_usd", round(answer.cost * 1e6))
    if answer.charged_minutes:
        meter.incr("charged_seconds", round(answer.charged_minutes * 60))
