"""The errors for a service that answered no: one class for each meaning of a status, and nothing that reads an answer.

Import them from ``api.errors``, where the whole tree is drawn.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self, TypedDict, Unpack

from airflow_provider_nanostt.common.errors import Charged, NanoGPTError, RetryWorth, Scope, usd

FUNDS_PAGE = "https://nano-gpt.com/balance"
KEYS_PAGE = "https://nano-gpt.com/api"
"""Where a user makes and revokes API keys."""


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
