"""Reading what the service answers, tolerantly: a value or a typed error comes out of whatever bytes go in.

The published contract and the real answers disagree in many places, so nothing here is generated from it. No I/O, and
nothing about requests: one function per answer, called through ``protocol``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.languages import language_tag
from airflow_provider_nanostt.api.models import (
    COMPLETED_WORDS,
    FAILED_WORDS,
    RUNNING_WORDS,
    AudioModel,
    Balance,
    Job,
    JobStatus,
    Submission,
    Transcript,
    Usage,
    YouTubeAnswer,
    YouTubeTranscript,
    number,
    status_word,
)
from airflow_provider_nanostt.api.words import read_segments, read_words

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.endpoints import Response

_EXCERPT = 500
_QUERY = re.compile(r"""(:(?:\\?/){2}[^\s?"'<>]*)\?[^\s"'<>]*""")  # of an address, also as JSON writes it


def submitted(response: Response, submission: Submission) -> Transcript | Job:
    """Read the answer to a submit.

    :raises ProtocolError: if it is neither a transcript nor a ticket; it may have been charged all the same.
    :raises TranscriptionFailed: if it says so at once.
    """
    body = _mapping(response)
    text = _transcription(body)
    run_id = _run_id(body)
    word = status_word(_status(body))
    if run_id and (not text or word in RUNNING_WORDS):
        return _job(body, run_id, submission, response.received_at)
    if text is not None and word not in RUNNING_WORDS | FAILED_WORDS:
        return _transcript(body, text, model=submission.model, run_id=run_id)
    if word in FAILED_WORDS:
        raise errors.TranscriptionFailed(_reason(body))
    raise _unreadable(response, "it has neither a transcript nor a runId")


def job_status(response: Response, job: Job) -> JobStatus:
    """Read the answer to a status call.

    :raises ProtocolError: if it is completed but has no text, or says nothing at all.
    """
    body = _mapping(response)
    text = _transcription(body)
    raw = _status(body)
    word = status_word(raw)
    if word in COMPLETED_WORDS or (not word and text is not None):
        if text is None:
            raise _unreadable(response, "it is completed but has no transcription")
        transcript = _transcript(body, text, model=job.model, run_id=job.run_id, job=job)
        return JobStatus(str(raw or "completed"), transcript=transcript)
    if word in FAILED_WORDS:
        return JobStatus(str(raw), error=_reason(body))
    if not word:
        raise _unreadable(response, "it has no status")
    return JobStatus(str(raw))


def balance(response: Response) -> Balance:
    """Read a balance; numbers arrive as text."""
    body = _mapping(response)
    found = Balance(
        usd=number(body.get("usd_balance")),
        nano=number(body.get("nano_balance")),
        deposit_address=_str(body.get("nanoDepositAddress")),
    )
    if found.usd is None and found.nano is None:
        raise _unreadable(response, "it names no balance")
    return found


def audio_models(response: Response) -> tuple[AudioModel, ...]:
    """Read the catalogue; entries without an id are left out."""
    body = _json(response)
    entries = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(entries, list):
        raise _unreadable(response, "it has no list of models")
    models = []
    for entry in entries:
        model_id = _str(entry.get("id")) if isinstance(entry, Mapping) else None
        if model_id:
            pricing = entry.get("pricing")
            price = number(pricing.get("per_minute")) if isinstance(pricing, Mapping) else None
            models.append(AudioModel(model_id, _str(entry.get("name")) or model_id, price, raw=entry))
    return tuple(models)


def youtube(response: Response) -> YouTubeAnswer:
    """Read the transcripts of a YouTube request; a success without text counts as a failure."""
    body = _mapping(response)
    entries = body.get("transcripts")
    if not isinstance(entries, list):
        raise _unreadable(response, "it has no list of transcripts")
    results = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        text = _str(entry.get("transcript"))
        success = entry.get("success") is not False and text is not None
        reason = None if success else _str(entry.get("error")) or "the service gave no reason"
        url = _str(entry.get("url")) or ""
        results.append(YouTubeTranscript(url, success, _str(entry.get("title")), text if success else None, reason))
    summary = body.get("summary")
    return YouTubeAnswer(tuple(results), number(summary.get("totalCost")) if isinstance(summary, Mapping) else None)


def usage(response: Response) -> Usage:
    """Read a usage report."""
    body = _mapping(response)
    totals = body.get("totals")
    if not isinstance(totals, Mapping):
        raise _unreadable(response, "it has no totals")
    requests = number(totals.get("requests"))
    return Usage(number(totals.get("netCostUsd")), None if requests is None else int(requests), raw=body)


def error_from_response(response: Response) -> errors.ApiError:
    """Read an answer that is not a success: the documented envelopes, the undocumented ones, and HTML."""
    status, request_id = response.status, response.request_id
    body = _lenient(response)
    message, code = _message(body) or _plain(response.body) or "no explanation", _code(body)
    told: dict[str, Any] = {"status": status, "code": code, "request_id": request_id}
    if status == 402:
        return errors.PaymentRequired(message, required=_required(body), **told)
    told["retry_after"] = retry_after(response)
    if status == 429 and re.fullmatch(r"daily_\w*limit_exceeded", code or ""):
        return errors.DailyLimitReached(message, resets_at=_resets_at(response), **told)
    if 300 <= status < 400:
        target = response.headers.get("location", "")
        return errors.Redirected(f"a redirect to {target.split('?', 1)[0][:200]!r}", **told)
    if status >= 500 or status == 408 or status < 300:
        return errors.ServiceUnavailable(message, **told)
    return _REFUSALS.get(status, errors.BadRequest)(message, **told)


_REFUSALS: dict[int, type[errors.ApiError]] = {
    401: errors.AuthError,
    403: errors.AuthError,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.PayloadTooLarge,
    429: errors.RateLimited,
}


def retry_after(response: Response) -> float | None:
    """Seconds the service asks us to wait, from ``Retry-After`` in either of its forms; None if it does not say."""
    raw = response.headers.get("retry-after")
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
    if wait is not None and wait <= 7 * 86_400:
        return response.received_at + wait
    today = datetime.fromtimestamp(response.received_at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()


def _job(body: Mapping[str, Any], run_id: str, submission: Submission, now: float) -> Job:
    kept = dict(body)
    name = kept.get("fileName")
    if isinstance(name, str) and "://" in name:
        kept["fileName"] = name.split("?", 1)[0]  # the query of a presigned URL is a secret; a ticket is stored
    return Job(
        run_id=run_id,
        model=_str(body.get("model")) or submission.model,
        submitted_at=now,
        cost=number(body.get("cost")),
        charged_minutes=number(body.get("chargedDuration")),
        body=kept,
    )


def _transcript(
    body: Mapping[str, Any], text: str, *, model: str, run_id: str | None, job: Job | None = None
) -> Transcript:
    outer = {name: value for place in reversed(_places(body)) for name, value in place.items() if value is not None}
    metadata = outer.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    words = read_words(outer.get("words"))
    cost = _first(metadata.get("cost"), outer.get("cost"), job.cost if job else None)
    minutes = _first(
        metadata.get("chargedDuration"), outer.get("chargedDuration"), job.charged_minutes if job else None
    )
    return Transcript(
        text=text,
        segments=read_segments(outer.get("diarization"), words),
        words=words,
        language=language_tag(metadata.get("language")) or language_tag(outer.get("language")),
        model=_str(metadata.get("model")) or _str(outer.get("model")) or model,
        cost=cost,
        charged_minutes=minutes,
        run_id=run_id,
        metadata=metadata,
        raw=body,
    )


def _transcription(body: Mapping[str, Any]) -> str | None:
    for place in _places(body):
        for name in ("transcription", "text"):
            if isinstance(place.get(name), str):
                return str(place[name])
    return None


def _status(body: Mapping[str, Any]) -> object:
    return next((place["status"] for place in _places(body) if place.get("status") is not None), None)


def _places(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Where to look: some answers are wrapped in ``data``."""
    inner = body.get("data")
    return (body, inner) if isinstance(inner, Mapping) else (body,)


def _run_id(body: Mapping[str, Any]) -> str | None:
    for place in _places(body):
        for name in ("runId", "run_id"):
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            if isinstance(value, str) and value.strip():
                return value
    return None


def _reason(body: Mapping[str, Any]) -> str:
    return _message(body) or "the service gave no reason"


def _message(body: object, depth: int = 4) -> str | None:
    """Find the words for people in any of the envelopes seen so far; deeper than ``depth`` there are none."""
    if isinstance(body, str):
        return _shorten(body) or None
    if isinstance(body, list) and depth:
        found = [_message(item, depth - 1) for item in body]
        return _shorten("; ".join(text for text in found if text)) or None
    if isinstance(body, Mapping) and depth:
        found = [_message(body.get(name), depth - 1) for name in ("error", "message", "detail", "msg")]
        return next((text for text in found if text), None)
    return None


def _code(body: object) -> str | None:
    if not isinstance(body, Mapping):
        return None
    inner = body.get("error")
    for place in (inner if isinstance(inner, Mapping) else {}, body):
        if isinstance(place.get("code"), str) and place["code"]:
            return str(place["code"])
    return None


def _required(body: object) -> float | None:
    if not isinstance(body, Mapping):
        return None
    inner = body.get("error")
    return _first(body.get("requiredBalance"), inner.get("requiredBalance") if isinstance(inner, Mapping) else None)


def _first(*values: object) -> float | None:
    return next((read for value in values if (read := number(value)) is not None), None)


def _str(value: object) -> str | None:
    return value if isinstance(value, str) else None


# NaN, Infinity and 1e999 become None: a ticket and a transcript are written out as JSON again.
# ``json.loads`` would make a new decoder for each of thousands of answers.
_DECODER = json.JSONDecoder(parse_constant=number, parse_float=number)


def _json(response: Response) -> Any:
    try:
        return _DECODER.decode(response.body.decode(json.detect_encoding(response.body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(response, "it is not JSON") from error


def _mapping(response: Response) -> Mapping[str, Any]:
    body = _json(response)
    if not isinstance(body, Mapping):
        raise _unreadable(response, "it is not a JSON object")
    return body


def _lenient(response: Response) -> Any:
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None


def _plain(body: bytes) -> str:
    """Make a line of an answer that is not JSON; of HTML only its title."""
    text = body[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title[^<>]*>([^<]*\S[^<]*)</title>", text, re.IGNORECASE)
    if title:
        return _shorten(title[1])
    return _shorten(re.sub(r"<[^<>]*>", " ", text))


def _shorten(text: str) -> str:
    """Make a line of the service's words, which are logged and stored; what may sign an address in them is left out."""
    flat = _QUERY.sub(r"\1?…", " ".join(text.split())[: 4 * _EXCERPT])
    return flat if len(flat) <= _EXCERPT else flat[: _EXCERPT - 1] + "…"


def _unreadable(response: Response, what: str) -> errors.ProtocolError:
    excerpt = _shorten(response.body[: 4 * _EXCERPT].decode("utf-8", "replace"))
    return errors.ProtocolError(what, status=response.status, request_id=response.request_id, body=excerpt)


def stored_answer(answer: Mapping[str, Any], *, model: str) -> Transcript:
    """Read an answer to a submit again, as a record keeps it.

    :raises ProtocolError: if it has no transcription.
    """
    text = _transcription(answer)
    if text is None:
        raise errors.ProtocolError("the stored answer has no transcription", status=200)
    return _transcript(answer, text, model=model, run_id=_run_id(answer))


def stored_status(job: Job, data: bytes) -> JobStatus:
    """Read an answer to a status call again, as it was stored.

    :raises ProtocolError: if it is something else.
    """
    return job_status(Response(200, {}, data, 0.0), job)
