"""One exchange with the service without any I/O: what goes out, what came back, and what an answer or an error means.

A call that costs money is treated differently from one that is free, whatever its HTTP verb: that is decided here and
nowhere else. The calls themselves are in ``endpoints``, sending them is in ``transport``.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Generic, TypeGuard, TypeVar

from airflow_provider_nanostt.api import body as bodies
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.reprs import redacted_repr

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Answers with a transcript above this are refused: an hour of words is under 2 MB."""

MAX_LIST_BYTES = 8 * 1024 * 1024
"""Likewise for the catalogue and the usage."""

MAX_PLAIN_BYTES = 1024 * 1024
"""Likewise for every other answer; also for one that may have a transcript and has none so far."""

MAX_ERROR_BYTES = 64 * 1024
"""Of a refusal no more than this is read."""

READ_HEADERS = ("x-request-id", "retry-after", "location")
"""Of an answer's headers only these are kept."""

_TEXT_NAMES = (b'"text"', b'"transcript', b'"words"')

_LONGEST_RETRY_AFTER = 7 * 86_400
_MAX_DATE_CHARS = 100
_EXCHANGE_ERRORS = (errors.TransportError, errors.ApiError, errors.ProtocolError)


@dataclass(frozen=True, slots=True)
class Request:
    """What to send; ``body`` is ready for the wire."""

    __repr__ = redacted_repr

    method: str
    path: str  # below the base URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, with those of :data:`READ_HEADERS` that it has; ``received_at`` in epoch seconds."""

    __repr__ = redacted_repr

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received_at: float

    @property
    def request_id(self) -> str | None:
        """The service's name for this exchange, for questions to its support."""
        found = self.headers.get("x-request-id")
        return bodies.label(found) if found is not None else None


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One exchange with the service. One that is paid is repeated only where nothing can have been charged yet."""

    request: Request
    parse: Callable[[Response], T_co]  # reads a successful answer; may raise an UnreadableBodyError
    paid: bool = False  # whether being accepted costs money
    max_bytes: int | None = MAX_PLAIN_BYTES  # of a successful answer; None for one that may have a transcript
    secrets: tuple[str, ...] = field(default=(), repr=False)  # must not come back in an answer, a job or an error
    private: tuple[str, ...] = field(default=(), repr=False)  # likewise in an error; a transcript may have it


def read(call: Call[T], response: Response) -> T:
    """Turn an answer into the call's value or one of the typed errors, whatever the bytes are."""
    with classified(call):
        try:
            if not 200 <= response.status < 300:
                raise error_from_response(_without_private(call, response))
            if len(response.body) > (limit := limit_for(call, response.status, response.body)):
                raise bodies.UnreadableBodyError(f"it is over {limit >> 20} MiB")
            return call.parse(response)
        except bodies.UnreadableBodyError as error:
            raise errors.ProtocolError(
                str(error),
                status=response.status,
                request_id=response.request_id,
                body=bodies.shorten(_without_private(call, response).body),
            ) from error


def _without_private(call: Call[object], response: Response) -> Response:
    """Return an answer that an error is made of, without what the request had that is nobody's business."""
    body = response.body[:MAX_ERROR_BYTES]
    for text in sorted(call.private, key=len, reverse=True):
        as_json = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
        for written in {text, html.escape(text), *as_json}:
            body = body.replace(written.encode("utf-8", "replace"), b"***")
    return replace(response, body=body)


def limit_for(call: Call[object], status: int, body: bytes | bytearray) -> int:
    """Return how many bytes an answer may have, by what has come of it so far."""
    if not 200 <= status < 300:
        return MAX_ERROR_BYTES
    if call.max_bytes is not None or len(body) <= MAX_PLAIN_BYTES:
        return call.max_bytes or MAX_RESPONSE_BYTES
    has_text = any(body.find(name, 0, MAX_PLAIN_BYTES) >= 0 for name in _TEXT_NAMES)
    return MAX_RESPONSE_BYTES if has_text else MAX_PLAIN_BYTES


@contextmanager
def classified(call: Call[object]) -> Iterator[None]:
    """Let errors of an exchange leave the block as :func:`classify` returns them."""
    try:
        yield
    except _EXCHANGE_ERRORS as error:
        raise classify(call, error)  # noqa: B904  it keeps or has the right cause


def classify(call: Call[object], error: errors.NanoGPTError) -> errors.NanoGPTError:
    """Return the error as the caller sees it: on a paid call, one that leaves the charge open is ambiguous."""
    if not call.paid:
        return error.of_free_call()
    if error.charged != "maybe":
        return error
    ambiguous = errors.AmbiguousSubmit(str(error).rstrip("."))
    ambiguous.__cause__ = error
    return ambiguous


def is_retryable(call: Call[object], error: BaseException) -> bool:
    """Whether sending this again is both harmless and promising.

    A free call is repeated after any transient error. A paid one only when nothing was sent, or when the answer says
    that nothing was accepted (429, 503). A limit for the whole day is never waited for.
    """
    return is_refused_for_now(error) if call.paid else is_transient(error)


def is_refused_for_now(error: BaseException) -> bool:
    """Whether a paid request was certainly not accepted, and may be if it is sent again."""
    return is_transient(error) and error.charged == "no"


def is_transient(error: BaseException) -> TypeGuard[errors.NanoGPTError]:
    """Whether an error of an exchange passes within minutes, so that a free call is worth repeating."""
    if not isinstance(error, _EXCHANGE_ERRORS):
        return False
    return error.retry == "yes" and not isinstance(error, errors.DailyLimitReached)


# --- answers that say no --------------------------------------------------------------------------------------------

_REFUSALS: dict[int, type[errors.ApiError]] = {
    401: errors.AuthError,
    403: errors.AuthError,
    404: errors.NotFound,
    408: errors.ServiceUnavailable,
    409: errors.Conflict,
    413: errors.PayloadTooLarge,
    429: errors.RateLimited,
}


def error_from_response(response: Response) -> errors.ApiError:
    """Read an answer that is not a success: the documented envelopes, the undocumented ones, and HTML."""
    status = response.status
    body = None
    with suppress(bodies.UnreadableBodyError):
        body = bodies.decode(response.body)
    code = bodies.code_of(body)
    message = bodies.message_of(body) or bodies.excerpt(response.body) or "no explanation"
    kind: Callable[..., errors.ApiError] = _REFUSALS.get(status, errors.BadRequest)
    if status == 402:
        kind = partial(errors.PaymentRequired, required=bodies.required_balance_of(body))
    elif status == 429 and re.fullmatch(r"daily_\w*limit_exceeded", code or ""):
        kind = partial(errors.DailyLimitReached, resets_at=_resets_at(response))
    elif 300 <= status < 400:
        target = bodies.label(response.headers.get("location", "")).partition("?")[0]
        kind, message = errors.Redirected, f"a redirect to {target!r}"
    elif status >= 500 or status < 300:
        kind = errors.ServiceUnavailable
    asked = retry_after(response)
    return kind(message, status=status, code=code, request_id=response.request_id, retry_after=asked)


def retry_after(response: Response) -> float | None:
    """Return the seconds the service asks us to wait, from ``Retry-After`` in either of its forms; None without one."""
    raw = response.headers.get("retry-after", "")[:_MAX_DATE_CHARS]
    seconds = number(raw)
    if seconds is None and raw:
        try:
            moment = parsedate_to_datetime(raw)
            # A date without a zone is UTC by the HTTP standard.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = moment.timestamp() - response.received_at
        except (ValueError, OverflowError, IndexError, TypeError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _resets_at(response: Response) -> float:
    wait = retry_after(response)
    if wait is not None and wait <= _LONGEST_RETRY_AFTER:
        return response.received_at + wait
    today = datetime.fromtimestamp(response.received_at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()
