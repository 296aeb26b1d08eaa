"""What an answer means for a wait, and how a wait ends.

Everything that waits for a job feeds the answers to a :class:`JobMonitor`, so what a status means is decided here and
nowhere else; when to ask is decided in ``schedule``. An :class:`Outcome` may be stored and logged: it holds ids, words
and numbers, never a transcript.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from logging import INFO, WARNING
from typing import NamedTuple

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.http import is_transient
from airflow_provider_nanostt.api.models import Job, JobStatus
from airflow_provider_nanostt.polling.duration_model import expected_seconds

COMPLETED = "completed"
FAILED = "failed"
TIMED_OUT = "timed_out"
REFUSED = "refused"

_EVENT_VERSION = 1
_LONGEST_PAUSE = 60.0
NOT_FOUND_TRIES = 3
"""How often the service has to say that it does not know a job: one replica may be behind the others."""
_LONG = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the wait for a job ended.

    :param kind: ``completed``, ``failed`` (the service gave up), ``timed_out`` (we did) or ``refused`` (the service
        refuses to answer: wrong key, unknown run).
    :param last_status: what the service last said, as it said it.
    :param message: the reason, for people.
    :param error: name of the error's class, for ``refused``.
    """

    kind: str
    run_id: str
    last_status: str = ""
    message: str = ""
    error: str = ""

    def to_event(self, job: Job) -> dict[str, object]:
        """Return a trigger event: plain JSON with the outcome and the job, which the resume needs."""
        return {"version": _EVENT_VERSION, **asdict(self), "job": job.to_json()}

    @classmethod
    def from_event(cls, event: object) -> tuple[Outcome, Job]:
        """Read a trigger event.

        :raises JobError: if it is anything else; what cannot be read never counts as success.
        """
        given = event if isinstance(event, Mapping) else {}
        if given.get("kind") in (COMPLETED, FAILED, TIMED_OUT, REFUSED):
            with suppress(errors.InvalidInput):
                job = Job.from_json(given.get("job"))
                texts = {name: str(given.get(name) or "") for name in ("last_status", "message", "error")}
                return cls(kind=str(given["kind"]), run_id=job.run_id, **texts), job
        run_id = given.get("run_id") or "unknown"
        raise errors.JobError(f"The trigger's event cannot be read; run {run_id} stays paid for")

    def as_error(self, job: Job, *, waited: float, recovery_hint: str) -> errors.JobError:
        """Return the error that describes this outcome.

        :param waited: seconds since the submission.
        :param recovery_hint: how to get the transcript later.
        """
        if self.kind == FAILED:
            return errors.TranscriptionFailed(self.message, job=job)
        if self.kind == TIMED_OUT:
            return errors.TranscriptionTimeout(
                job=job, last_status=self.last_status or "nothing yet", waited=waited, recovery_hint=recovery_hint
            )
        return errors.JobError(
            f"Run {job.run_id} (model {job.model}) is paid for ({errors.usd(job.cost)}), but asking for it "
            f"was refused: {self.message.rstrip('.')}. {recovery_hint}",
            job=job,
        )


class LogLine(NamedTuple):
    """A line worth logging, with its level in ``logging``."""

    level: int
    text: str


@dataclass(slots=True, eq=False)
class JobMonitor:
    """Decides, for one job, what an answer means.

    :param poll_interval: seconds; the first pause after a transient error.
    :param deadline: epoch seconds after which a job that still runs is left alone; it is asked once more at that time.
    :param jitter: a random number in [0, 1), to spread what would come at once.
    :param log_line: set by the last answer, None if that was as expected: one when transient errors begin or end,
        one for an unknown status, and one whenever a job that takes long has become twice as old.
    """

    job: Job
    poll_interval: float
    deadline: float
    jitter: Callable[[], float] = random.random
    last_status: str = ""
    log_line: LogLine | None = None
    _log_at: float = 0.0
    _bad: int = 0
    _missing: int = 0
    _strange: str = ""

    def on_response(self, what: JobStatus | errors.NanoGPTError, now: float) -> Outcome | float | None:
        """Take in an answer, or the failure to get one.

        :param now: epoch seconds.
        :return: the outcome if the wait is over; None if the job runs, and is to be asked again whenever that is worth
            it; or the epoch second before which asking again would be of no use.
        """
        self.log_line = None
        if isinstance(what, JobStatus):
            return self._answered(what, now)
        if isinstance(what, errors.NotFound) and self._missing + 1 < NOT_FOUND_TRIES:
            # One replica behind the others must not lose a paid job.
            self._missing += 1
            return now + self.poll_interval
        if isinstance(what, errors.DailyLimitReached) and what.resets_at < self.deadline:
            self.log_line = LogLine(WARNING, f"{what}; asking for run {self.job.run_id} again then")
            return max(now, what.resets_at) + self.poll_interval * self.jitter()
        if is_transient(what):
            return self._transient(what, now)
        return Outcome(REFUSED, self.job.run_id, self.last_status, str(what), type(what).__name__)

    def timed_out(self, message: str = "") -> Outcome:
        """Return the outcome of a wait whose deadline passed."""
        return Outcome(TIMED_OUT, self.job.run_id, self.last_status, message)

    def _answered(self, status: JobStatus, now: float) -> Outcome | None:
        if self._bad:
            self.log_line = LogLine(INFO, f"NanoGPT answers again, after {self._bad} attempts without an answer")
        self._bad = self._missing = 0
        self.last_status = status.raw_status
        if status.is_completed:
            return Outcome(COMPLETED, self.job.run_id, status.raw_status)
        if status.is_failed:
            return Outcome(FAILED, self.job.run_id, status.raw_status, status.error or "no reason given")
        if not status.is_known and status.raw_status != self._strange:
            self._strange = status.raw_status
            self.log_line = LogLine(
                WARNING, f"Run {self.job.run_id} has the unknown status {self._strange!r}; taken as still running"
            )
        if now >= self.deadline:
            return self.timed_out()
        self._log_age(now)
        return None

    def _log_age(self, now: float) -> None:
        age, expected = now - self.job.submitted_at, expected_seconds(self.job.charged_minutes)
        self._log_at = self._log_at or max(_LONG, 2.0 * expected, 2.0 * age)
        if age >= self._log_at:
            self._log_at = 2.0 * age
            self.log_line = self.log_line or LogLine(
                INFO,
                f"Run {self.job.run_id}: submitted {errors.format_duration(age)} ago, such a job takes about "
                f"{errors.format_duration(expected)}; it is {self.last_status!r}",
            )

    def _transient(self, error: errors.NanoGPTError, now: float) -> Outcome | float:
        self._bad += 1
        if now >= self.deadline:
            return self.timed_out(str(error))
        if self._bad == 1:
            self.log_line = LogLine(
                WARNING, f"{error}; run {self.job.run_id} is paid for and is asked for again until the deadline"
            )
        pause = min(self.poll_interval * 2.0 ** min(self._bad - 1, 16), max(_LONGEST_PAUSE, self.poll_interval))
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        if asked is not None:
            pause = max(asked, self.poll_interval if self._bad > 1 else 0.0)
        return min(now + pause * (1 + 0.25 * self.jitter()), self.deadline)
