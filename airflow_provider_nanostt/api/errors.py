"""Everything that this package raises, as one tree; here are the errors of talking to the service and of its jobs.

"Could not talk" and "answered no" are different branches, because they mean different things for money: a request that
was refused is not charged, a request without an answer may be. What an error means for money, retries and batches is in
its ``charged``, ``retry`` and ``scope``; ``docs/errors.md`` has the table. Nothing else lives here::

    NanoGPTError
    ├── InvalidInput              refused here, before any request (also a ValueError)
    │   ├── CostLimit                 it would cost more than is allowed, or than there is
    │   └── NotApproved               a person was asked whether it may cost that, and did not approve
    ├── SubmittedElsewhere        another attempt is submitting the same just now
    ├── StorageUnavailable        the storage with the recording did not answer; nothing was sent
    ├── FileChanged               a file is not what it was when it was looked at; nothing was sent
    ├── InputChanged              the record is of another input, and the user wants that to fail
    ├── LedgerError               what has been paid for cannot be read or recorded
    │   └── LedgerMissing             it was there when the jobs were submitted, and is gone
    ├── BatchIncomplete           some items of a batch have no transcript; the others are written
    ├── ResultTooLarge            there is a transcript, and it is more than may go to XCom
    ├── TransformFailed           there is a transcript, and the user's function over its texts does not work
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

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from airflow_provider_nanostt.common.errors import BatchIncomplete as BatchIncomplete
from airflow_provider_nanostt.common.errors import CostLimit as CostLimit
from airflow_provider_nanostt.common.errors import FileChanged as FileChanged
from airflow_provider_nanostt.common.errors import InputChanged as InputChanged
from airflow_provider_nanostt.common.errors import InvalidInput as InvalidInput
from airflow_provider_nanostt.common.errors import LedgerError as LedgerError
from airflow_provider_nanostt.common.errors import LedgerMissing as LedgerMissing
from airflow_provider_nanostt.common.errors import NanoGPTError as NanoGPTError
from airflow_provider_nanostt.common.errors import NotApproved as NotApproved
from airflow_provider_nanostt.common.errors import ResultTooLarge as ResultTooLarge
from airflow_provider_nanostt.common.errors import RetryWorth as RetryWorth
from airflow_provider_nanostt.common.errors import Scope as Scope
from airflow_provider_nanostt.common.errors import StorageUnavailable as StorageUnavailable
from airflow_provider_nanostt.common.errors import SubmittedElsewhere as SubmittedElsewhere
from airflow_provider_nanostt.common.errors import TransformFailed as TransformFailed
from airflow_provider_nanostt.common.errors import describe_exception as describe_exception
from airflow_provider_nanostt.common.errors import format_duration as format_duration
from airflow_provider_nanostt.common.errors import format_traceback as format_traceback
from airflow_provider_nanostt.common.errors import shows_secrets as shows_secrets
from airflow_provider_nanostt.common.errors import usd as usd
from airflow_provider_nanostt.common.errors import without_secrets as without_secrets

if TYPE_CHECKING:  # every DAG file loads this module, and no DAG file needs the models
    from airflow_provider_nanostt.api.models import Job

FUNDS_PAGE = "https://nano-gpt.com/balance"
KEYS_PAGE = "https://nano-gpt.com/api"
"""Where a user makes and revokes API keys."""


class TransportError(NanoGPTError, retry="yes", scope="repeated"):
    """The service could not be reached, or went silent."""


class ConnectError(TransportError, charged="no", scope="run"):
    """No connection was made, so the service has seen nothing."""


class ReadError(TransportError):
    """The connection broke or timed out after the request may have arrived."""


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class ApiError(NanoGPTError, charged="no"):
    """The service answered, and the answer was no.

    ``charged`` speaks of the request that was refused; nothing follows for a job that was accepted before.
    """

    message: str = field(kw_only=False)  # the service's own words, shortened
    status: int
    code: str | None = None  # the service's, for machines
    request_id: str | None = None  # the answer's X-Request-ID
    retry_after: float | None = None  # seconds that the service asked us to wait
    paid: bool = True  # whether the request would have cost money
    remedy: str = ""  # what to do about it

    def __post_init__(self) -> None:
        if self.status == 503 or not self.paid:  # 503 is said before a job is accepted
            self.charged = "no"

    def of_free_call(self) -> Self:
        """Return the same error for a request that costs nothing."""
        return self.replace(charged="no", paid=False)

    @property
    def _charge(self) -> str:
        return "Nothing was charged. " if self.paid else ""

    def __str__(self) -> str:
        facts = [f"code {self.code}"] if self.code else []
        if self.request_id:
            facts.append(f"request id {self.request_id}")
        text = f"NanoGPT answered {self.status}: {self.message.rstrip('.')}"
        if facts:
            text += f" ({', '.join(facts)})"
        return f"{text}. {self.remedy}" if self.remedy else text


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class AuthError(ApiError, scope="run"):
    """The key is missing, wrong, or not permitted to do this (401, 403)."""

    remedy: str = f"The API key is the connection's password; keys are made at {KEYS_PAGE}."


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class PaymentRequired(ApiError, scope="run"):
    """The balance is too low (402)."""

    status: int = 402
    required: float | None = None  # USD that the service wants to see
    balance: float | None = None  # USD in the account now, if it was asked for

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


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class PayloadTooLarge(ApiError):
    """The upload is over the service's limit (413)."""

    remedy: str = "Direct uploads end at 3 MB; pass a URL instead, the service takes up to 500 MB from there."


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class Redirected(ApiError):
    """The service answered with a redirect (3xx), which is never followed: the key would travel along."""

    remedy: str = "Redirects are not followed, so the key stayed here. Check the host of the connection."


class RateLimited(ApiError, retry="yes", scope="run"):
    """Too many requests just now (429); ``retry_after`` seconds if the service said so."""


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class DailyLimitReached(ApiError, retry="yes", scope="run"):
    """The key's limit for the day is used up (429 with ``daily_*_limit_exceeded``)."""

    status: int = 429
    resets_at: float  # epoch seconds

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.resets_at, UTC).isoformat(timespec="seconds")
        return f"{super().__str__()}. {self._charge}The limit resets at {when}; run the task again after that."


class ServiceUnavailable(ApiError, charged="maybe", retry="yes", scope="repeated"):
    """The service, or something in front of it, is in trouble (408, 5xx); only 503 is said before a job is accepted."""


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class ProtocolError(NanoGPTError, retry="yes"):
    """An answer of success (2xx) that cannot be read."""

    problem: str = field(kw_only=False)
    status: int
    request_id: str | None = None  # the answer's X-Request-ID
    body: str = ""  # its beginning

    def __str__(self) -> str:
        request = f", request id {self.request_id}" if self.request_id else ""
        return (
            f"NanoGPT's answer cannot be read: {self.problem} (status {self.status}{request}); it began: {self.body!r}"
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class AmbiguousSubmit(NanoGPTError, charged="maybe", scope="repeated"):
    """A paid request went out and no readable answer came back, so it may or may not have been charged.

    Never repeated by the client. ``__cause__`` is what happened instead of an answer.
    """

    reason: str = field(kw_only=False)  # what happened instead of an answer
    record: str | None = None  # what was submitted, when, and for how much, for people; None without a ledger
    before: float | None = None  # USD in the account before the submit, if known
    now: float | None = None  # USD in the account afterwards, if it was asked for
    verdict: str = ""  # what ``on_ambiguous_submit="verify"`` has found, as a sentence

    def may_be_retried(self, on_ambiguous_submit: str) -> bool:
        """Return whether another try follows the user's rule: one that compares needs the record."""
        return on_ambiguous_submit == "resubmit" or (on_ambiguous_submit == "verify" and self.record is not None)

    _happened = "No readable answer to a paid request ({0.reason}). It may have been accepted and charged"

    def __str__(self) -> str:
        text = self._happened.format(self)
        if self.record is None:
            return (
                f"{text}, so it is not sent again by itself. Compare the balance or the usage page before you submit "
                "this audio once more."
            )
        about = "" if self.record == self.reason else f" ({self.record})"
        return (
            f"{text}{about}; balance before: {usd(self.before)}, now: {usd(self.now)}.{self.verdict and ' '}"
            f"{self.verdict} Nothing is submitted again by itself. Either set on_ambiguous_submit='resubmit', or clear "
            "the task with force=True, and it is submitted and paid for once more."
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class OrphanedSubmit(AmbiguousSubmit, scope="item"):
    """An earlier attempt submitted and was gone before it could record the answer; the record is the reason."""

    estimated_cost: float | None  # USD

    _happened = "An earlier attempt submitted this and never recorded an answer ({0.reason}). It may have been charged"

    def __post_init__(self) -> None:
        self.record = self.reason


class JobError(NanoGPTError, charged="yes", retry="ledger"):
    """Something about a job that was accepted; ``job`` is None if it is not known."""

    def __init__(self, message: str, *, job: Job | None = None) -> None:
        super().__init__(message)
        self.job = job


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class JobLost(JobError, retry="no"):
    """The service does not know a job that it accepted."""

    job: Job
    record: str  # the record of the job, for people

    def __str__(self) -> str:
        return (
            f"NanoGPT no longer knows run {self.job.run_id} ({self.record}). It was paid for ({usd(self.job.cost)}) "
            "and its transcript cannot be fetched. Nothing is submitted again by itself. Set on_lost_job='submit', or "
            "clear the task with force=True, to pay for it once more."
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class TranscriptionFailed(JobError):
    """The service says the job failed; whether it refunds the charge shows later."""

    reason: str = field(kw_only=False)  # in the service's words
    job: Job | None = None

    def __str__(self) -> str:
        job = self.job
        what = f"Run {job.run_id} (model {job.model}, {usd(job.cost)})" if job else "The transcription"
        return (
            f"{what} failed at the service: {self.reason}. "
            "Whether the charge was refunded shows in the usage of the key."
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class TranscriptionTimeout(JobError):
    """The deadline passed while the job was not finished. It stays paid for and may still finish."""

    job: Job
    last_status: str  # as the service said it
    waited: float  # seconds since the submission
    recovery_hint: str  # how to get the transcript later

    def __str__(self) -> str:
        return (
            f"Run {self.job.run_id} (model {self.job.model}) was not finished {self.waited:.0f} s after its "
            f"submission; the service last said {self.last_status!r}. It is paid for ({usd(self.job.cost)}) and may "
            f"still finish. {self.recovery_hint}"
        )
