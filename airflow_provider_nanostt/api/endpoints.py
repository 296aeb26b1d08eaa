"""The service's endpoints, one function each: what to send, how the answer is read, and whether it costs money.

No network and no decisions: a file to be uploaded is read here, everything else about a :class:`Call` is in ``http``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import urlencode

from airflow_provider_nanostt.api import errors, models, responses
from airflow_provider_nanostt.api.catalogue import AudioModel
from airflow_provider_nanostt.api.extra_parameters import texts_in
from airflow_provider_nanostt.api.http import MAX_LIST_BYTES, Call, Request
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.common.urls import opaque_parts

MAX_YOUTUBE_URLS = 10

_MAX_FILE_NAME_CHARS = 200


def submit(submission: models.Submission) -> Call[models.Transcript | models.Job]:
    """``POST /transcribe``: the transcript, or the job that makes it; the answer decides which. Paid.

    :raises FileChanged: if a file is not what it was when its digest was taken.
    """
    secrets: tuple[str, ...]
    fields: dict[str, object] = {"model": submission.model, "language": submission.language}
    if submission.actual_minutes is not None:
        fields["actualDuration"] = f"{max(submission.actual_minutes, 0.0001):.4f}".rstrip("0").rstrip(".")
    if submission.named_options:
        fields |= {"diarize": submission.diarize, "tagAudioEvents": submission.tag_audio_events}
    fields |= submission.extra_parameters
    if isinstance(submission.audio, Upload):
        request, secrets = _multipart(fields, submission.audio), ()
    else:
        request = _json("/transcribe", {"audioUrl": submission.audio, **fields})
        secrets = opaque_parts(submission.audio)
    return Call(
        request,
        lambda response: responses.submitted(response, submission),
        paid=True,
        max_bytes=None,
        secrets=secrets,
        private=texts_in(submission.extra_parameters),
    )


def status(job: models.Job) -> Call[models.JobStatus]:
    """``POST /transcribe/status``: how the job stands, with the transcript once it is completed. Free."""
    return Call(
        _json("/transcribe/status", job.echo()),
        lambda response: responses.job_status(response.body, job),
        max_bytes=None,
    )


def unread_status(job: models.Job) -> Call[models.JobStatus]:
    """Return :func:`status` for those who hand the answer on: with its bytes, not with the transcript."""
    return Call(status(job).request, lambda response: responses.unread_status(response.body, job), max_bytes=None)


def balance() -> Call[models.Balance]:
    """``POST /check-balance``: what is left in the account. Free."""
    return Call(Request("POST", "/check-balance"), responses.balance)


def audio_models() -> Call[tuple[AudioModel, ...]]:
    """``GET /v1/audio-models``: the speech-to-text models of the service's catalogue, with prices. Free."""
    return Call(
        Request("GET", "/v1/audio-models?type=stt&detailed=true"), responses.audio_models, max_bytes=MAX_LIST_BYTES
    )


def youtube(urls: Sequence[str]) -> Call[models.YouTubeAnswer]:
    """``POST /youtube-transcribe``: captions of one to ten videos, or InvalidInput. Paid per success."""
    if isinstance(urls, str) or not all(isinstance(url, str) and url.strip() for url in urls):
        raise errors.InvalidInput("urls must be a list of the addresses of videos, each a text")
    if not 1 <= len(urls) <= MAX_YOUTUBE_URLS:
        raise errors.InvalidInput(f"{len(urls)} URLs; one request takes 1 to {MAX_YOUTUBE_URLS}")
    return Call(_json("/youtube-transcribe", {"urls": list(urls)}), responses.youtube, paid=True, max_bytes=None)


def usage(start: date | None = None, end: date | None = None, group_by: str = "day,model") -> Call[models.Usage]:
    """``GET /v1/usage``: what this key spent, by UTC day and model; ``end`` is inclusive. Free.

    :raises InvalidInput: if only one of the two dates is given, or the grouping is none of the service's.
    """
    if (start is None) != (end is None):
        raise errors.InvalidInput("usage needs both dates, start and end, or neither")
    if group_by not in ("day", "model", "day,model", "model,day"):
        raise errors.InvalidInput(f"group_by must be 'day', 'model' or 'day,model', got {group_by!r}")
    query = {"group_by": group_by}
    if start is not None and end is not None:
        if end < start:
            raise errors.InvalidInput(f"usage from {start} to {end}: the end is before the start")
        query = {"from": start.isoformat(), "to": end.isoformat(), **query}
    return Call(Request("GET", f"/v1/usage?{urlencode(query, safe=',')}"), responses.usage, max_bytes=MAX_LIST_BYTES)


def _json(path: str, payload: Mapping[str, object]) -> Request:
    body = json.dumps(payload, allow_nan=False).encode()
    return Request("POST", path, {"Content-Type": "application/json"}, body)


def _multipart(fields: Mapping[str, object], upload: Upload) -> Request:
    """Return a submit as a form; what is not text is written as JSON, a flag so as ``true`` or ``false``."""
    from urllib3.filepost import encode_multipart_formdata

    parts: dict[str, bytes | tuple[str, bytes, str]] = {}
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False, ensure_ascii=False)
        parts[name] = text.encode("utf-8", "replace")
    parts["audio"] = (_file_name(upload.name), upload.read(), upload.content_type)
    body, content_type = encode_multipart_formdata(parts)
    return Request("POST", "/transcribe", {"Content-Type": content_type}, body)


def _file_name(name: str) -> str:
    """Return the last part of a path in characters that every reader of multipart takes; the suffix stays."""
    last = re.split(r"[/\\]", name)[-1].encode("utf-8", "replace").decode()
    plain = "".join(char if char.isprintable() and char != '"' else "_" for char in last)
    return plain[-_MAX_FILE_NAME_CHARS:] or "audio"
