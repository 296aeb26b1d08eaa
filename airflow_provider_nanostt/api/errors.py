"""Everything that this package raises, as one tree; here are the errors of talking to the service and of its jobs.

"Could not talk" and "answered no" are different branches, because they mean different things for money: a request that
was refused is not charged, a request without an answer may be. What an error means for money, retries and batches is in
its ``charged``, ``retry`` and ``scope``; ``docs/errors.md`` has the table. Nothing else lives here::

    NanoGPTError
    ├── InvalidInput              refused here, before any request (also a ValueError)
    │   └── CostLimit                 it would cost more than is allowed, or than there is
    ├── StorageUnavailable        the storage with the recording did not answer; nothing was sent
    ├── FileChanged               a file is not what it was when it was looked at; nothing was sent
    ├── InputChanged              the record is of another input, and the user wants that to fail
    ├── LedgerError               what has been paid for cannot be read or recorded
    │   └── LedgerMissing             it was there when the jobs were submitted, and is gone
    ├── BatchIncomplete           some items of a batch have no transcript; the others are written
    ├── ResultTooLarge            there is a transcript, and it is more than may go to XCom
    ├── TransportError            could not talk
    │   ├── ConnectError              nothing was sent
    │   └── ReadError                 the request may have arrived
    ├── ApiError                  answered no: status, service's text, code, request id
    │   ├── AuthError                 401, 403
    │   ├── PaymentRequired           402: required and current balance
    │   ├── NotFound                  404
    │   ├── Conflict                  409
    │   ├── PayloadTooLarge           413
    │   ├── BadRequest                400 and every other 4xx
    │   ├── Redirected                3xx: never followed, the key would travel along
    │   ├── RateLimited               429, over in seconds
    │   ├── DailyLimitReached         429 daily_*_limit_exceeded, over at midnight UTC
    │   └── ServiceUnavailable        408, 5xx
    ├── ProtocolError             a 2xx that cannot be read
    ├── AmbiguousSubmit           a paid request without a readable answer
    │   └── OrphanedSubmit            an earlier attempt's; found in the ledger
    └── JobError                  about a job that was accepted, and paid for
        ├── JobLost                   the service no longer knows it
        ├── TranscriptionFailed       the service gave up on it
        └── TranscriptionTimeout      the deadline passed; it may still finish
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from airflow_provider_nanostt.common.errors import BatchIncomplete as BatchIncomplete
from airflow_provider_nanostt.common.errors import Charged as Charged
from airflow_provider_nanostt.common.errors import CostLimit as CostLimit
from airflow_provider_nanostt.common.errors import FileChanged as FileChanged
from airflow_provider_nanostt.common.errors import InputChanged as InputChanged
from airflow_provider_nanostt.common.errors import InvalidInput as InvalidInput
from airflow_provider_nanostt.common.errors import LedgerError as LedgerError
from airflow_provider_nanostt.common.errors import LedgerMissing as LedgerMissing
from airflow_provider_nanostt.common.errors import NanoGPTError as NanoGPTError
from airflow_provider_nanostt.common.errors import ResultTooLarge as ResultTooLarge
from airflow_provider_nanostt.common.errors import RetryWorth as RetryWorth
from airflow_provider_nanostt.common.errors import Scope as Scope
from airflow_provider_nanostt.common.errors import StorageUnavailable as StorageUnavailable
from airflow_provider_nanostt.common.errors import describe_exception as describe_exception
from airflow_provider_nanostt.common.errors import usd as usd

if TYPE_CHECKING:  # every DAG file loads this module, and no DAG file needs the models
    from airflow_provider_nanostt.api.models import Job

FUNDS_PAGE = "https://nano-gpt.com/balance"
KEYS_PAGE = "https://nano-gpt.com/api"
"""Where a user makes and revokes API keys."""


class TransportError(NanoGPTError):
    """The service could not be reached, or went silent."""

    retry: RetryWorth = "yes"
    scope: Scope = "repeated"


class ConnectError(TransportError):
    """No connection was made, so the service has seen nothing."""

    charged: Charged = "no"
    scope: Scope = "run"


class ReadError(TransportError):
    """The connection broke or timed out after the request may have arrived."""


class Facts(TypedDict, total=False):
    """What else an :class:`ApiError` knows, by the names of its parameters."""

    code: str | None
    request_id: str | None
    retry_after: float | None
    paid: bool
    remedy: str | None


class ApiError(NanoGPTError):
    """The service answered, and the answer was no.

    ``charged`` speaks of the request that was refused; nothing follows for a job that was accepted before.

    :param message: the service's own words, shortened.
    :param status: HTTP status.
    :param code: the service's machine-readable code, if it sent one.
    :param request_id: the answer's ``X-Request-ID``, if it had one.
    :param retry_after: seconds the service asked us to wait, if it did.
    :param paid: whether the request would have cost money.
    :param remedy: what to do about it; the class's own advice if not given.
    """

    charged: Charged = "no"
    remedy = ""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        paid: bool = True,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.paid = paid
        if remedy is not None:
            self.remedy = remedy
        if status == 503 or not paid:  # 503 is said before a job is accepted
            self.charged = "no"
        super().__init__(message)

    def of_free_call(self) -> Self:
        """Return the same error for a request that costs nothing."""
        return self.replace(charged="no", paid=False)

    @property
    def _charge(self) -> str:
        return "Nothing was charged. " if self.paid else ""

    def __str__(self) -> str:
        parts = [f"NanoGPT answered {self.status}: {self.message.rstrip('.')}"]
        if self.code:
            parts.append(f"code {self.code}")
        if self.request_id:
            parts.append(f"request id {self.request_id}")
        text = parts[0] + (f" ({', '.join(parts[1:])})" if parts[1:] else "")
        return f"{text}. {self.remedy}" if self.remedy else text


class AuthError(ApiError):
    """The key is missing, wrong, or not permitted to do this (401, 403)."""

    scope: Scope = "run"
    remedy = f"The API key is the connection's password; keys are made at {KEYS_PAGE}."


class PaymentRequired(ApiError):
    """The balance is too low (402).

    :param required: USD the service wants to see, if it said so.
    :param balance: USD in the account now, if it was asked for.
    """

    scope: Scope = "run"

    def __init__(
        self,
        message: str,
        *,
        status: int = 402,
        required: float | None = None,
        balance: float | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, status=status, **facts)
        self.required = required
        self.balance = balance

    def __str__(self) -> str:
        return (
            f"{super().__str__()}. {self._charge}Required: {usd(self.required)}; "
            f"balance: {usd(self.balance)}. Add funds at {FUNDS_PAGE} and run the task again."
        )


class BadRequest(ApiError):
    """The service found the request wrong (400, and any 4xx without a class of its own)."""


class NotFound(ApiError):
    """The service does not know this run, or this address (404)."""


class Conflict(ApiError):
    """The request clashes with the state of something at the service (409)."""


class PayloadTooLarge(ApiError):
    """The upload is over the service's limit (413)."""

    remedy = "Direct uploads end at 3 MB; pass a URL instead, the service takes up to 500 MB from there."


class Redirected(ApiError):
    """The service answered with a redirect (3xx), which is never followed: the key would travel along."""

    remedy = "Redirects are not followed, so the key stayed here. Check the host of the connection."


class RateLimited(ApiError):
    """Too many requests just now (429); ``retry_after`` seconds if the service said so."""

    retry: RetryWorth = "yes"
    scope: Scope = "run"


class DailyLimitReached(ApiError):
    """The key's limit for the day is used up (429 with ``daily_*_limit_exceeded``).

    :param resets_at: when the limit ends, epoch seconds, UTC.
    """

    retry: RetryWorth = "yes"
    scope: Scope = "run"

    def __init__(self, message: str, *, resets_at: float, status: int = 429, **facts: Unpack[Facts]) -> None:
        super().__init__(message, status=status, **facts)
        self.resets_at = resets_at

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.resets_at, UTC).isoformat(timespec="seconds")
        return f"{super().__str__()}. {self._charge}The limit resets at {when}; run the task again after that."


class ServiceUnavailable(ApiError):
    """The service, or something in front of it, is in trouble (408, 5xx); only 503 is said before a job is accepted."""

    charged: Charged = "maybe"
    retry: RetryWorth = "yes"
    scope: Scope = "repeated"


class ProtocolError(NanoGPTError):
    """An answer of success (2xx) that cannot be read.

    :param message: what is wrong with it.
    :param status: HTTP status.
    :param request_id: the answer's ``X-Request-ID``, if it had one.
    :param body: the beginning of the answer.
    """

    retry: RetryWorth = "yes"

    def __init__(self, message: str, *, status: int, request_id: str | None = None, body: str = "") -> None:
        self.status = status
        self.request_id = request_id
        self.body = body
        request = f", request id {request_id}" if request_id else ""
        super().__init__(f"NanoGPT's answer cannot be read: {message} (status {status}{request}); it began: {body!r}")


class AmbiguousSubmit(NanoGPTError):
    """A paid request went out and no readable answer came back, so it may or may not have been charged.

    Never repeated by the client. ``__cause__`` is what happened instead of an answer.

    :param reason: what happened instead of an answer.
    :param record: the record of what was submitted, when, and for how much, for people; None without a ledger.
    :param before: USD in the account before the submit, if known.
    :param now: USD in the account afterwards, if it was asked for.
    """

    charged: Charged = "maybe"
    scope: Scope = "repeated"
    _happened = "No readable answer to a paid request ({0.reason}). It may have been accepted and charged"

    def __init__(
        self, reason: str, *, record: str | None = None, before: float | None = None, now: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.record = record
        self.before = before
        self.now = now

    def __str__(self) -> str:
        text = self._happened.format(self)
        if self.record is None:
            return (
                f"{text}, so it is not sent again by itself. Compare the balance or the usage page before you submit "
                "this audio once more."
            )
        about = "" if self.record == self.reason else f" ({self.record})"
        return (
            f"{text}{about}; balance before: {usd(self.before)}, now: {usd(self.now)}. Nothing is submitted again by "
            "itself. Either set on_ambiguous_submit='resubmit', or clear the task with force=True, and it is submitted "
            "and paid for once more."
        )


class OrphanedSubmit(AmbiguousSubmit):
    """An earlier attempt submitted and was gone before it could record the answer.

    :param record: what was submitted, when, and for how much, for people.
    :param estimated_cost: USD it would have cost, if known.
    :param before: USD in the account before that submit, if known.
    :param now: USD in the account now, if it was asked for.
    """

    scope: Scope = "item"
    _happened = "An earlier attempt submitted this and never recorded an answer ({0.reason}). It may have been charged"

    def __init__(
        self, record: str, *, estimated_cost: float | None, before: float | None, now: float | None = None
    ) -> None:
        super().__init__(record, record=record, before=before, now=now)
        self.estimated_cost = estimated_cost


class JobError(NanoGPTError):
    """Something about a job that was accepted.

    :param job: the job, if it is known.
    """

    charged: Charged = "yes"
    retry: RetryWorth = "ledger"

    def __init__(self, message: str, *, job: Job | None = None) -> None:
        self.job = job
        super().__init__(message)


class JobLost(JobError):
    """The service does not know a job that it accepted.

    :param job: the job.
    :param record: the record of the job, for people.
    """

    retry: RetryWorth = "no"

    def __init__(self, *, job: Job, record: str) -> None:
        super().__init__(
            f"NanoGPT no longer knows run {job.run_id} ({record}). It was paid for ({usd(job.cost)}) and its "
            "transcript cannot be fetched. Nothing is submitted again by itself. Set on_lost_job='submit', or clear "
            "the task with force=True, to pay for it once more.",
            job=job,
        )


class TranscriptionFailed(JobError):
    """The service says the job failed; whether it refunds the charge shows later.

    :param reason: the service's words.
    :param job: the job, if there was one.
    """

    def __init__(self, reason: str, *, job: Job | None = None) -> None:
        self.reason = reason
        what = f"Run {job.run_id} (model {job.model}, {usd(job.cost)})" if job else "The transcription"
        super().__init__(
            f"{what} failed at the service: {reason}. Whether the charge was refunded shows in the usage of the key.",
            job=job,
        )


class TranscriptionTimeout(JobError):
    """The deadline passed while the job was not finished. It stays paid for and may still finish.

    :param job: the job.
    :param last_status: what the service last said, as it said it.
    :param waited: seconds since the submission.
    :param recovery_hint: how to get the transcript later.
    """

    def __init__(self, *, job: Job, last_status: str, waited: float, recovery_hint: str) -> None:
        self.last_status = last_status
        self.waited = waited
        self.recovery_hint = recovery_hint
        super().__init__(
            f"Run {job.run_id} (model {job.model}) was not finished {waited:.0f} s after its submission; the service "
            f"last said {last_status!r}. It is paid for ({usd(job.cost)}) and may still finish. {recovery_hint}",
            job=job,
        )
