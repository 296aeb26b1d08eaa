"""Reading what the service answers, tolerantly: a value or a typed error comes out of whatever bytes go in.

The published contract and the real answers disagree in many places, so nothing here is generated from it. One function
for each answer of success, and two for answers that were stored. What cannot be read raises an ``UnreadableBodyError``;
``http`` says what that means, and reads refusals. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from airflow_provider_nanostt.api import body as bodies
from airflow_provider_nanostt.api import errors, models
from airflow_provider_nanostt.api.body import UnreadableBodyError, decode, decode_object
from airflow_provider_nanostt.api.catalogue import AudioModel
from airflow_provider_nanostt.api.http import Response
from airflow_provider_nanostt.api.languages import language_tag
from airflow_provider_nanostt.api.model_entry import read_entry
from airflow_provider_nanostt.api.skim import skim
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.api.words import read_segments, read_words
from airflow_provider_nanostt.common.numbers import MAX_USD, amount, mapping, number, text_or_none
from airflow_provider_nanostt.common.urls import redact_answer

NO_REASON = "the service gave no reason"
_HIDDEN_REASON = "the service's reason may repeat values of extra_parameters, and is not shown"


def submitted(response: Response, submission: models.Submission) -> models.Transcript | models.Job:
    """Read the answer to a submit; raises TranscriptionFailed if it says so at once."""
    answer = decode_object(response.body)
    body = redact_answer(answer, words=False)
    text = _text_of(body)
    run_id = _run_id_of(answer)  # as it is, whatever it looks like
    word = models.status_word(_status_of(body))
    if run_id and (not text or word in models.RUNNING_WORDS):
        return _job(body, run_id, submission, response.received_at)
    if text is not None and word not in models.RUNNING_WORDS | models.FAILED_WORDS:
        return _transcript(body, text, model=submission.model, run_id=run_id)
    if word in models.FAILED_WORDS:
        raise errors.TranscriptionFailed(_reason(body, is_shown=not submission.extra_parameters))
    raise UnreadableBodyError("it has neither a transcript nor a runId")


def job_status(data: bytes, job: models.Job) -> models.JobStatus:
    """Read the answer to a status call; one without a status is completed if it has a text."""
    body = redact_answer(decode_object(data), words=False)  # it is stored and shown

    def completed(status: str, text: str) -> models.JobStatus:
        return models.JobStatus(status, transcript=_transcript(body, text, model=job.model, run_id=job.run_id, job=job))

    return _status(body, job, completed)


def unread_status(data: bytes, job: models.Job) -> models.JobStatus:
    """Read the answer to a status call for how the job stands; the transcript stays as it came, but for secrets."""
    body, kept = skim(data)
    return _status(body, job, lambda status, _: models.JobStatus(status, answer=kept()))


def _status(
    body: Mapping[str, object], job: models.Job, completed: Callable[[str, str], models.JobStatus]
) -> models.JobStatus:
    raw = _status_of(body)
    word = models.status_word(raw)
    if word in models.RUNNING_WORDS:  # nearly every answer: nothing else in it is of interest
        return models.JobStatus(models.shown_status(str(raw)))
    text = _text_of(body)
    status = models.shown_status(raw) if isinstance(raw, str) and raw else "completed"
    if word in models.COMPLETED_WORDS or (not word and text is not None):
        if text is None:
            raise UnreadableBodyError("it is completed but has no transcription")
        return completed(status, text)
    if word in models.FAILED_WORDS:
        return models.JobStatus(status, error=_reason(body, is_shown=not job.has_extra_parameters))
    if not word:
        raise UnreadableBodyError("it has no status")
    return models.JobStatus(status)


def _reason(body: Mapping[str, object], *, is_shown: bool) -> str:
    """Return why the service gave up, as far as it may be shown."""
    return (bodies.message_of(body) or NO_REASON) if is_shown else _HIDDEN_REASON


def stored_answer(answer: Mapping[str, object], *, model: str) -> models.Transcript:
    """Read again a transcript that the service answered at once, as a record keeps it.

    :param model: for an answer that names none.
    :raises LedgerError: if there is no transcript in it.
    """
    text = _text_of(answer)
    if text is None:
        raise errors.LedgerError("the recorded answer has no transcription", damaged=True)
    return _transcript(answer, text, model=model, run_id=_run_id_of(answer))


def stored_status(job: models.Job, data: bytes) -> models.JobStatus:
    """Read again the answer to a status call that was stored as JSON; raises LedgerError if it cannot be read."""
    try:
        return job_status(data, job)
    except UnreadableBodyError as error:
        raise errors.LedgerError.of(f"the stored answer about run {job.run_id} cannot be read", error) from error


def balance(response: Response) -> models.Balance:
    """Read a balance; numbers arrive as text."""
    body = decode_object(response.body)
    usd, nano = number(body.get("usd_balance")), number(body.get("nano_balance"))
    if usd is None and nano is None:
        raise UnreadableBodyError("it names no balance")
    return models.Balance(usd=usd, nano=nano, deposit_address=text_or_none(body.get("nanoDepositAddress")))


def audio_models(response: Response) -> tuple[AudioModel, ...]:
    """Read the catalogue; entries without an id are left out."""
    body = decode(response.body)
    entries = body.get("data") if isinstance(body, Mapping) else body
    if not isinstance(entries, list):
        raise UnreadableBodyError("it has no list of models")
    return tuple(entry for one in entries if (entry := read_entry(one)) is not None)


def youtube(response: Response) -> models.YouTubeAnswer:
    """Read the transcripts of a YouTube request; a success without text counts as a failure."""
    body = decode_object(response.body)
    entries = body.get("transcripts")
    if not isinstance(entries, list):
        raise UnreadableBodyError("it has no list of transcripts")
    results = tuple(_video(entry) for entry in entries if isinstance(entry, Mapping))
    return models.YouTubeAnswer(results, amount(mapping(body.get("summary")).get("totalCost")))


def usage(response: Response) -> models.Usage:
    """Read a usage report."""
    body = decode_object(response.body)
    totals = body.get("totals")
    if not isinstance(totals, Mapping):
        raise UnreadableBodyError("it has no totals")
    requests, net = models.whole_or_none(totals.get("requests")), number(totals.get("netCostUsd"))
    key = mapping(body.get("apiKey")).get("id")
    return models.Usage(
        net if net is not None and abs(net) <= MAX_USD else None,
        requests,
        raw=body,
        key_id=str(key) if isinstance(key, int | str) and not isinstance(key, bool) else None,
        as_of=_moment(body.get("asOf")),
        rows=_usage_rows(body.get("byDayModel"), requests),
    )


def _usage_rows(entries: object, total: int | None) -> tuple[models.UsageRow, ...] | None:
    """Read usage by day and model: all of it, or None."""
    rows: list[models.UsageRow] = []
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, Mapping):
            return None
        day, model, count = _label(entry.get("date")), _label(entry.get("model")), amount(entry.get("requests"))
        cost, refunded = amount(entry.get("costUsd")), amount(entry.get("refundedUsd"))
        if day is None or model is None or count is None or count % 1 or cost is None or refunded is None:
            return None
        if max(cost, refunded, count) > MAX_USD:
            return None
        rows.append(models.UsageRow(day, model, int(count), cost, refunded))
    is_whole = len({(row.day, row.model) for row in rows}) == len(rows) and sum(row.requests for row in rows) == total
    return tuple(rows) if is_whole else None


def _moment(value: object) -> float | None:
    """Read a time with its zone as epoch seconds; None for one that UTC cannot write."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _job(body: Mapping[str, object], run_id: str, submission: models.Submission, now: float) -> models.Job:
    # What a user has sent besides is not kept, should it come back: it may be names of people.
    kept = {name: value for name, value in body.items() if name not in submission.extra_parameters}
    return models.Job(
        run_id=run_id,
        model=_label(body.get("model")) or submission.model,
        submitted_at=now,
        cost=amount(body.get("cost")),
        charged_minutes=amount(body.get("chargedDuration")),
        body={**kept, "runId": run_id},  # a job is found again by its very id
        has_extra_parameters=bool(submission.extra_parameters),
    )


def _transcript(
    body: Mapping[str, object], text: str, *, model: str, run_id: str | None, job: models.Job | None = None
) -> models.Transcript:
    merged = {name: value for place in reversed(_places(body)) for name, value in place.items() if value is not None}
    metadata = mapping(merged.get("metadata"))
    words = read_words(merged.get("words"))
    cost = (metadata.get("cost"), merged.get("cost"), job.cost if job else None)
    minutes = (metadata.get("chargedDuration"), merged.get("chargedDuration"), job.charged_minutes if job else None)
    found = models.Transcript(
        text=text,
        segments=read_segments(merged.get("diarization"), words),
        words=words,
        language=language_tag(metadata.get("language")) or language_tag(merged.get("language")),
        model=_label(metadata.get("model")) or _label(merged.get("model")) or model,
        cost=_first_amount(*cost),
        charged_minutes=_first_amount(*minutes),
        run_id=None if run_id is None else models.shown_run_id(run_id),
        metadata=metadata,
        raw=body,
    )
    return normalised(found)


def _video(entry: Mapping[str, object]) -> models.YouTubeTranscript:
    text = text_or_none(entry.get("transcript"))
    success = entry.get("success") is not False and text is not None
    reason = None if success else bodies.message_of(entry.get("error")) or NO_REASON
    url = text_or_none(entry.get("url")) or ""
    return models.YouTubeTranscript(url, success, _label(entry.get("title")), text if success else None, reason)


def _label(value: object) -> str | None:
    return bodies.label(value) if isinstance(value, str) else None


def _text_of(body: Mapping[str, object]) -> str | None:
    found = (place.get(name) for place in _places(body) for name in ("transcription", "text"))
    return next((text for text in found if isinstance(text, str)), None)


def _status_of(body: Mapping[str, object]) -> object:
    return next((place["status"] for place in _places(body) if place.get("status") is not None), None)


def _places(body: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """Return where to look: some answers are wrapped in ``data``."""
    inner = body.get("data")
    return (body, inner) if isinstance(inner, Mapping) else (body,)


def _run_id_of(body: Mapping[str, object]) -> str | None:
    for value in (place.get(name) for place in _places(body) for name in ("runId", "run_id")):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            if len(value) > models.MAX_RUN_ID_CHARS:
                raise UnreadableBodyError(f"its runId has {len(value):,} characters")
            return value
    return None


def _first_amount(*values: object) -> float | None:
    return next((read for value in values if (read := amount(value)) is not None), None)
