"""The service's protocol without any I/O: what to send, how to read what comes back, and what may be sent again.

One function per endpoint returns a :class:`Call`; :func:`read` turns an answer into the call's value or raises one of
the errors in ``errors``; :func:`is_retryable` decides about repeating per call, not per HTTP verb: a status request is
a POST and free, a submit is a POST and costs money. Sending is in ``transport``, reading bodies in ``responses``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar
from urllib.parse import urlencode

from airflow_provider_nanostt.api import errors, responses
from airflow_provider_nanostt.api.upload import Form, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from airflow_provider_nanostt.api.models import (
        AudioModel,
        Balance,
        Job,
        JobStatus,
        Submission,
        Transcript,
        Usage,
        YouTubeAnswer,
    )

T = TypeVar("T")

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Answers above this are refused: an hour of words is under 2 MB."""

MAX_YOUTUBE_URLS = 10

_SHORTEST_SECRET = 12
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: ``path`` is below the base URL, ``body`` is ready for the wire or, a form, to be read from."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Form | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: header names in lower case; ``received_at`` in epoch seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received_at: float

    @property
    def request_id(self) -> str | None:
        """The service's name for this exchange, for questions to its support."""
        return self.headers.get("x-request-id")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One exchange with the service.

    :param request: what to send.
    :param parse: reads a successful answer.
    :param paid: whether being accepted costs money; such a call is repeated only where that is surely not yet so.
    :param secrets: what is in the request and must not come back in an answer, a ticket or an error.
    """

    request: Request
    parse: Callable[[Response], T]
    paid: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


def submit(submission: Submission) -> Call[Transcript | Job]:
    """``POST /transcribe``: the transcript, or the ticket for it. Which of the two, only the answer tells. Paid."""
    fields: dict[str, Any] = {"model": submission.model, "language": submission.language}
    if submission.actual_minutes is not None:
        fields["actualDuration"] = _minutes(submission.actual_minutes)
    if submission.sends_options:
        # Said even when off: the service's own default may be on.
        fields |= {"diarize": submission.diarize, "tagAudioEvents": submission.tag_audio_events}
    if isinstance(submission.audio, Upload):
        request, query = _multipart("/transcribe", fields, submission.audio), ""
    else:
        request = _json("/transcribe", {"audioUrl": submission.audio, **fields})
        query = submission.audio.partition("?")[2]  # of a presigned URL: a secret
    return Call(
        request,
        lambda response: responses.submitted(response, submission),
        paid=True,
        secrets=(query,) if len(query) >= _SHORTEST_SECRET else (),
    )


def status(job: Job) -> Call[JobStatus]:
    """``POST /transcribe/status``: how the job stands, with the transcript once it is completed. Free."""
    return Call(_json("/transcribe/status", job.echo()), lambda response: responses.job_status(response, job))


def balance() -> Call[Balance]:
    """``POST /check-balance``: what is left in the account. Free."""
    return Call(Request("POST", "/check-balance"), responses.balance)


def audio_models() -> Call[tuple[AudioModel, ...]]:
    """``GET /v1/audio-models``: the speech-to-text models of the service's catalogue, with prices. Free."""
    return Call(Request("GET", "/v1/audio-models?type=stt&detailed=true"), responses.audio_models)


def youtube(urls: Sequence[str]) -> Call[YouTubeAnswer]:
    """``POST /youtube-transcribe``: captions of one to ten videos. Paid per success.

    :raises InvalidInput: for no URL, or more than ten.
    """
    if isinstance(urls, str) or not all(isinstance(url, str) and url.strip() for url in urls):
        raise errors.InvalidInput("urls is a list of addresses of videos, each a text")
    if not 1 <= len(urls) <= MAX_YOUTUBE_URLS:
        raise errors.InvalidInput(f"{len(urls)} URLs; one request takes 1 to {MAX_YOUTUBE_URLS}")
    return Call(_json("/youtube-transcribe", {"urls": list(urls)}), responses.youtube, paid=True)


def usage(start: date | None = None, end: date | None = None, group_by: str = "day,model") -> Call[Usage]:
    """``GET /v1/usage``: what this key spent, by UTC day and model; ``end`` is inclusive. Free.

    :raises InvalidInput: if only one of the two dates is given, or the grouping is none of the service's.
    """
    if (start is None) != (end is None):
        raise errors.InvalidInput("usage needs both dates, start and end, or neither")
    if group_by not in ("day", "model", "day,model", "model,day"):
        raise errors.InvalidInput(f"group_by={group_by!r}; the service groups by 'day', 'model' or 'day,model'")
    query = {"group_by": group_by}
    if start is not None and end is not None:
        if end < start:
            raise errors.InvalidInput(f"usage from {start} to {end}: the end lies before the start")
        query = {"from": start.isoformat(), "to": end.isoformat(), **query}
    return Call(Request("GET", f"/v1/usage?{urlencode(query, safe=',')}"), responses.usage)


def read(call: Call[T], response: Response) -> T:
    """Turn an answer into the call's value.

    :raises NanoGPTError: one of the typed errors, whatever the bytes are.
    """
    problem: errors.NanoGPTError
    if 200 <= response.status < 300:
        try:
            return call.parse(response)
        except errors.ProtocolError as error:
            problem = error
    else:
        problem = responses.error_from_response(response)
    raise classify(call, problem)


def classify(call: Call[Any], error: errors.NanoGPTError) -> errors.NanoGPTError:
    """Return the error as the caller sees it: on a paid call, one that leaves the charge open is ambiguous."""
    if not call.paid:
        return error.of_free_call()
    if error.charged != "maybe":
        return error
    ambiguous = errors.AmbiguousSubmit(str(error).rstrip("."))
    ambiguous.__cause__ = error
    return ambiguous


def is_retryable(call: Call[Any], error: BaseException) -> bool:
    """Whether sending this again is both harmless and promising.

    A free call is repeated through any weather. A paid one only when nothing was sent, or when the answer says that
    nothing was accepted (429, 503). A limit for the whole day is never waited for.
    """
    return is_transient(error) and (not call.paid or error.charged == "no")


def is_transient(error: BaseException) -> TypeGuard[errors.NanoGPTError]:
    """Whether an error of the exchange passes within minutes, so that a free call is worth repeating."""
    if not isinstance(error, errors.TransportError | errors.ApiError | errors.ProtocolError):
        return False
    return error.retry == "yes" and not isinstance(error, errors.DailyLimitReached)


def _json(path: str, payload: Mapping[str, Any]) -> Request:
    body = json.dumps(payload, allow_nan=False).encode()
    return Request("POST", path, {"Content-Type": "application/json"}, body)


def _multipart(path: str, fields: Mapping[str, Any], upload: Upload) -> Request:
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
    form = Form(texts, "audio", _file_name(upload.name), upload)
    # The length is said here: aiohttp cannot ask a form for it.
    return Request("POST", path, {"Content-Type": form.content_type, "Content-Length": str(len(form))}, form)


def _file_name(name: str) -> str:
    """Return the last part of a path in characters that every reader of multipart takes; the suffix stays."""
    last = re.split(r"[/\\]", name)[-1].encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() and char != '"' else "_" for char in last)[-_LONGEST_NAME:] or "audio"


def _minutes(value: float) -> str:
    return f"{max(value, 0.0001):.4f}".rstrip("0").rstrip(".")
