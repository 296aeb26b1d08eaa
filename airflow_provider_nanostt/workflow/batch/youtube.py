"""A batch of YouTube videos: up to ten addresses go into one request, each with a record of its own.

The service answers at once, and charges for each transcript that it has; what it has none for costs nothing. Everything
else is as for recordings.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import YOUTUBE_MODEL, YOUTUBE_PRICE, Price
from airflow_provider_nanostt.api.endpoints import MAX_YOUTUBE_URLS
from airflow_provider_nanostt.api.models import Options, Transcript
from airflow_provider_nanostt.api.responses import stored_answer
from airflow_provider_nanostt.common.urls import display
from airflow_provider_nanostt.ledger import RequestFingerprint
from airflow_provider_nanostt.workflow import recovery
from airflow_provider_nanostt.workflow.batch.items import Item
from airflow_provider_nanostt.workflow.pricing import Estimate
from airflow_provider_nanostt.workflow.submit import record_answer, record_intent, record_not_charged, record_refusal
from airflow_provider_nanostt.workflow.transcribe import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_nanostt.api.models import YouTubeAnswer, YouTubeTranscript
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.budget import Approval

_BEFORE_ID = ("embed", "live", "shorts", "v")
_COST = Estimate(YOUTUBE_MODEL, 1.0, Price(YOUTUBE_PRICE, "the built-in table"))
"""A video costs the same however long it is."""


def video_id(url: str) -> str:
    """Return the id of the video at an address.

    :raises InvalidInput: if it is not the address of a video.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    site = ".".join((parts.hostname or "").split(".")[-2:])
    steps = [step for step in parts.path.split("/") if step]
    found: list[str] = []
    if site == "youtu.be":
        found = steps[:1]
    elif site in ("youtube.com", "youtube-nocookie.com"):
        found = steps[1:2] if steps[:1] and steps[0] in _BEFORE_ID else parse_qs(parts.query).get("v", [])
    if parts.scheme not in ("http", "https") or not found:
        raise errors.InvalidInput(f"{display(url)!r} is not the address of a YouTube video")
    return found[0]


def video_items(urls: Iterable[str]) -> list[Item]:
    """Return videos as items of a batch: the same one by whichever of its addresses it is named.

    An address that leads to no video is an item of its own, which fails.
    """
    items = []
    for url in map(str.strip, urls):
        label = None
        with contextlib.suppress(errors.InvalidInput):
            label = f"https://www.youtube.com/watch?v={video_id(url)}"
        items.append(Item(url, label=label))
    return items


@dataclass(frozen=True, slots=True)
class _Video:
    """A video that has to be asked for."""

    number: int
    id: str
    url: str
    attempt: Attempt
    request: RequestFingerprint


def fetch_videos(run: BatchRun, items: Sequence[Item]) -> None:
    """Find or ask for every video, and write what there is; nothing is left to wait for."""
    attempts = run.open_all(items, distinct_names=False)  # the id in each file's name makes it distinct
    missing: list[_Video] = []
    for number, attempt in attempts.items():
        with run.recording_errors(number, attempt):
            video = _recover(run, number, items[number], attempt)
            if video is not None:
                missing.append(video)
        run.budget.passed(number)
    for start in range(0, len(missing), MAX_YOUTUBE_URLS):
        _fetch(run, missing[start : start + MAX_YOUTUBE_URLS])


def _recover(run: BatchRun, number: int, item: Item, attempt: Attempt) -> _Video | None:
    """Write a video that is paid for; return what is needed to ask for one that is not."""
    video = video_id(item.audio)
    request = RequestFingerprint.of(video, item.shown, Options(YOUTUBE_MODEL))
    attempt, record = recovery.read_record(attempt, attempt.ledger)
    found = recovery.recover(attempt, attempt.ledger, record, request)
    if found is None or isinstance(found, recovery.ResumeParts):  # a video has no parts
        return _Video(number, video, item.audio, attempt, request)
    run.accept(number, attempt, found if isinstance(found, recovery.ReusedResult) else [Part(0.0, found)])
    return None


def _fetch(run: BatchRun, videos: Sequence[_Video]) -> None:
    """Ask for up to ten videos with one request."""
    approved: list[tuple[_Video, Approval]] = []
    for video in videos:
        with run.recording_errors(video.number, video.attempt):
            video.attempt.gate.check()
            approved.append((video, run.budget.approve(video.number, _COST)))
    if not approved:
        return
    run.service.acquire_youtube_slot()
    ready: list[tuple[_Video, Approval]] = []
    for video, approval in approved:
        attempt = video.attempt
        with run.recording_errors(video.number, attempt):
            record_intent(attempt, attempt.ledger, video.request, approval, balance=run.budget.balance())
            ready.append((video, approval))
    if not ready:
        return
    try:
        answer = run.service.youtube([video.url for video, _ in ready])
    except errors.NanoGPTError as error:
        for video, approval in ready:
            failure = record_refusal(video.attempt, video.attempt.ledger, approval, error)
            run.record_error(video.number, failure, video.attempt)
    else:
        _take_in(run, ready, answer)


def _take_in(run: BatchRun, asked: Sequence[tuple[_Video, Approval]], answer: YouTubeAnswer) -> None:
    """Record what the answer says of each video, then write the transcripts.

    All are recorded before the first is written: the service gives none of them a second time for nothing.
    """
    good = sum(one.success for one in answer.results)
    cost = answer.cost / good if answer.cost is not None and good else None
    by_number = _match([video for video, _ in asked], answer.results)
    recorded: list[tuple[_Video, Transcript]] = []
    for video, approval in asked:
        with run.recording_errors(video.number, video.attempt):
            recorded.append((video, _record(video, approval, by_number.get(video.number), cost)))
    for video, transcript in recorded:
        with run.recording_errors(video.number, video.attempt):
            run.accept(video.number, video.attempt, [Part(0.0, transcript)])


def _record(video: _Video, approval: Approval, found: YouTubeTranscript | None, cost: float | None) -> Transcript:
    """Record what the answer says of a video; return its transcript, in the form in which any other is kept."""
    if found is None:
        raise errors.AmbiguousSubmit("The answer does not mention this video")
    if not found.success:
        record_not_charged(video.attempt, video.attempt.ledger, approval)
        raise errors.InvalidInput(f"this video has no transcript: {found.error}. It costs nothing")
    metadata = {"url": found.url, "title": found.title}
    answer = {"transcription": found.text, "metadata": metadata, "cost": cost}
    transcript = stored_answer(answer, model=YOUTUBE_MODEL)
    title = re.sub(r"[\s./\\]+", " ", found.title or "video").strip()
    record_answer(video.attempt, video.attempt.ledger, transcript, approval, source=f"{title}-{video.id}")
    return transcript


def _match(videos: Sequence[_Video], results: Sequence[YouTubeTranscript]) -> dict[int, YouTubeTranscript]:
    """Return which result is of which video, by the videos' numbers; the service may write an address in another way.

    By the order only if no address can be read: a transcript under another video's name is worse than none.
    """
    by_id: dict[str, YouTubeTranscript] = {}
    for one in results:
        with contextlib.suppress(errors.InvalidInput):
            by_id.setdefault(video_id(one.url), one)
    if not by_id and len(results) == len(videos):
        return {video.number: one for video, one in zip(videos, results, strict=True)}
    return {video.number: by_id[video.id] for video in videos if video.id in by_id}
