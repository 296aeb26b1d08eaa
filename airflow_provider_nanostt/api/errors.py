"""Everything that can go wrong between us and the service, as one tree of exceptions and nothing else.

"Could not talk" and "answered no" are different branches, because they mean different things for money: whoever was
told no was not charged, whoever heard nothing may have been::

    NanoGPTError
    ├── InvalidInput              refused here, before any request (also a ValueError)
    │   └── CostLimit                 it would cost more than is allowed, or than there is
    ├── StorageUnavailable        the storage with the recording did not answer; nothing was sent
    ├── FileChanged             the file was not the same any more while it was sent; the request was broken off
    ├── TransportError                  could not talk
    │   ├── ConnectError              nothing was sent
    │   └── ReadError            the request may have arrived
    ├── ApiError                   answered no: status, service's text, code, request id
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
    ├── AmbiguousSubmit           a paid request whose answer never came
    │   └── OrphanedSubmit      an earlier attempt's; found in the ledger
    ├── InputChanged              the ledger holds something else for this task, and the user wants that to fail
    ├── LedgerError               what has been paid for cannot be read or recorded
    │   └── LedgerMissing                it was there when the jobs were submitted, and is not there now
    ├── BatchIncomplete           some recordings of a batch have no transcript; the others have landed
    ├── ResultTooLarge            there is a transcript, and it is more than may go to XCom
    └── JobError                  about a job that was accepted, and paid for
        ├── JobLost                   the service no longer knows it
        ├── TranscriptionFailed       the service gave up on it
        └── TranscriptionTimeout      we stopped waiting; it may still finish
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.models import Job

FUNDS_PAGE = "https://nano-gpt.com/balance"
KEYS_PAGE = "https://nano-gpt.com/api"
"""Where a user makes and revokes API keys."""


def usd(amount: float | None) -> str:
    """Show an amount of US dollars for a message: ``$0.0123``, or ``an unknown amount``."""
    if amount is None:
        return "an unknown amount"
    return f"${amount:.6f}".rstrip("0").rstrip(".") if amount < 1 else f"${amount:.2f}"


class NanoGPTError(Exception):
    """Root of every error this client raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes an exception travels as its class and arguments, which here are mostly keywords.
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[NanoGPTError], args: tuple[Any, ...]) -> NanoGPTError:
    return kind.__new__(kind, *args)


class InvalidInput(NanoGPTError, ValueError):
    """The request would be wrong; nothing was sent and nothing was spent."""


class CostLimit(InvalidInput):
    """It would cost more than the user allows, or than the account has; nothing was submitted."""


class StorageUnavailable(NanoGPTError):
    """The storage in which a recording lies, or is to be staged, did not do what was asked; nothing was submitted."""


class FileChanged(NanoGPTError):
    """The file changed or vanished while it was sent; the request was broken off, so nothing is paid for.

    Another attempt looks at the file anew.
    """


class TransportError(NanoGPTError):
    """The service could not be reached, or went silent."""


class ConnectError(TransportError):
    """No connection was made, so the service has seen nothing."""


class ReadError(TransportError):
    """The connection broke or timed out after the request may have arrived."""


class ApiError(NanoGPTError):
    """The service answered, and the answer was no.

    :param message: the service's own words, shortened.
    :param status: HTTP status.
    :param code: the service's machine-readable code, if it sent one.
    :param request_id: the answer's ``X-Request-ID``, if it had one.
    :param retry_after: seconds the service asked us to wait, if it did.
    """

    remedy = ""
    of_submit = True
    """Whether a paid request was refused; of any other nothing follows for what was charged before."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def _charge(self) -> str:
        return "Nothing was charged. " if self.of_submit else ""

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

    remedy = f"The API key is the connection's password; keys are made at {KEYS_PAGE}."


class PaymentRequired(ApiError):
    """The balance is too low (402).

    :param required: USD the service wants to see, if it said so.
    :param balance: USD in the account now, if somebody asked; set by whoever can.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 402,
        code: str | None = None,
        request_id: str | None = None,
        required: float | None = None,
        balance: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, request_id=request_id)
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


class DailyLimitReached(ApiError):
    """The key's limit for the day is used up (429 with ``daily_*_limit_exceeded``).

    :param resets_at: when the limit ends, epoch seconds, UTC.
    """

    def __init__(
        self,
        message: str,
        *,
        resets_at: float,
        status: int = 429,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, request_id=request_id, retry_after=retry_after)
        self.resets_at = resets_at

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.resets_at, UTC).isoformat(timespec="seconds")
        return f"{super().__str__()}. {self._charge}The limit resets at {when}; run the task again after that."


class ServiceUnavailable(ApiError):
    """The service, or something in front of it, is in trouble (408, 5xx)."""


class ProtocolError(NanoGPTError):
    """An answer of success (2xx) that cannot be read.

    :param message: what is wrong with it.
    :param status: HTTP status.
    :param request_id: the answer's ``X-Request-ID``, if it had one.
    :param body: the beginning of the answer.
    """

    def __init__(self, message: str, *, status: int, request_id: str | None = None, body: str = "") -> None:
        self.status = status
        self.request_id = request_id
        self.body = body
        told = f", request id {request_id}" if request_id else ""
        super().__init__(f"NanoGPT's answer cannot be read: {message} (status {status}{told}); it began: {body!r}")


class AmbiguousSubmit(NanoGPTError):
    """A paid request went out and no readable answer came back, so it may or may not have been charged.

    Never repeated by the client. ``__cause__`` is what happened instead of an answer.

    :param reason: what happened instead of an answer.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.told: str | None = None
        """What was submitted, when, and for how much; set by whoever keeps a ledger."""
        self.before: float | None = None
        """USD in the account before the submit, if known."""
        self.now: float | None = None
        """USD in the account afterwards, if somebody asked."""

    def __str__(self) -> str:
        text = f"No readable answer to a paid request ({self.reason}). It may have been accepted and charged"
        if self.told is None:
            return (
                f"{text}, so it is not sent again by itself. Compare the balance or the usage page before you submit "
                "this audio once more."
            )
        return f"{text} ({self.told}); {self._what_now()}"

    def _what_now(self) -> str:
        return (
            f"balance before: {usd(self.before)}, now: {usd(self.now)}. Nothing is submitted again by itself. Either "
            "set on_ambiguous_submit='resubmit', or clear the task with force=True, and it is submitted and paid for "
            "once more."
        )


class OrphanedSubmit(AmbiguousSubmit):
    """An earlier attempt submitted and was gone before it could record the answer.

    :param told: what was submitted, when, and for how much.
    :param estimated_cost: USD it would have cost, if known.
    :param before: USD in the account before that submit, if known.
    """

    def __init__(self, told: str, *, estimated_cost: float | None, before: float | None) -> None:
        super().__init__(told)
        self.told = told
        self.estimated_cost = estimated_cost
        self.before = before

    def __str__(self) -> str:
        return (
            f"An earlier attempt submitted this and never recorded an answer ({self.told}). It may have been charged; "
            f"{self._what_now()}"
        )


class InputChanged(NanoGPTError):
    """The task asks for something else than what it has submitted before, and ``on_changed_input`` is ``fail``."""

    def __init__(self, told: str) -> None:
        super().__init__(
            f"The audio, model or options are not those submitted before ({told}), and on_changed_input is 'fail'. "
            "Nothing was submitted. Clear the task with force=True, or set on_changed_input='submit', to pay for the "
            "new input."
        )


class LedgerError(NanoGPTError):
    """It cannot be told, or not be recorded, what has been paid for; so nothing is submitted."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The ledger of what has been paid for: {what}. Nothing more is submitted while that is so.")


class LedgerMissing(LedgerError):
    """What was recorded when the jobs were submitted is not there now: a retry would pay for all of them again.

    :param what: names the place.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not there any more. If output is a disk, every worker has to have the same one. The jobs stay "
            "paid for; a retry that does not find them would pay again, so there is none"
        )


class BatchIncomplete(NanoGPTError):
    """Some recordings of a batch have no transcript; what there is has landed, and is not paid for again.

    :param missing: how many.
    :param total: how many recordings the batch has.
    :param told: their names and errors, for people.
    :param manifest: where the whole list is.
    :param retry: whether another attempt may do better.
    """

    def __init__(self, missing: int, total: int, told: str, *, manifest: str, retry: bool) -> None:
        self.missing = missing
        self.total = total
        self.retry = retry
        then = "A retry does only what is missing" if retry else "A retry would not help; a clear does what is missing"
        rest = "The others have landed and are not paid for again. " if missing < total else ""
        super().__init__(
            f"{missing} of {total} recordings have no transcript:\n{told}\n{rest}{then}. The whole list: {manifest}"
        )


class ResultTooLarge(NanoGPTError):
    """There is a transcript, paid for, that is too large for XCom.

    :param size: bytes of JSON.
    :param limit: bytes that ``xcom_limit`` allows.
    :param run_id: the job, which can be asked for the transcript again; None for an answer that came at once.
    :param cost: USD, None if nobody said.
    """

    def __init__(self, size: int, limit: int, *, run_id: str | None, cost: float | None) -> None:
        self.size = size
        self.limit = limit
        self.run_id = run_id
        self.cost = cost
        self.way_out = "Set output= to a folder."
        """How to get at the transcript; set by whoever knows."""
        super().__init__(size, limit)

    def __str__(self) -> str:
        there = "" if self.run_id is None else f" It is still there at the service, as run {self.run_id}."
        return (
            f"The transcript has {self.size:,} bytes, and xcom_limit allows {self.limit:,} in XCom. It is paid for "
            f"({usd(self.cost)}).{there} {self.way_out}"
        )


class JobError(NanoGPTError):
    """Something about a job that was accepted.

    :param job: the ticket, if it is known.
    """

    def __init__(self, message: str, *, job: Job | None = None) -> None:
        self.job = job
        super().__init__(message)


class JobLost(JobError):
    """The service does not know a job that it accepted."""

    def __init__(self, *, job: Job, told: str) -> None:
        super().__init__(
            f"NanoGPT no longer knows run {job.run_id} ({told}). It was paid for ({usd(job.cost)}) and its transcript "
            "cannot be fetched. Nothing is submitted again by itself. Set on_lost_job='submit', or clear the task with "
            "force=True, to pay for it once more.",
            job=job,
        )


class TranscriptionFailed(JobError):
    """The service says the job failed.

    :param reason: the service's words.
    :param job: the ticket, if there was one.
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

    :param job: the ticket.
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
