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

    from airflow_provider_nanostt.api.models import YouTubeTranscript
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.budget import Approval

_HOSTS = ("youtube.com", "youtube-nocookie.com")
_SHORT_HOST = "youtu.be"
_BEFORE_ID = ("embed", "live", "shorts", "v")
_COST = Estimate(YOUTUBE_MODEL, 1.0, Price(YOUTUBE_PRICE, "the built-in table"))
"""A video costs the same however long it is."""


def video_id(url: str) -> str:
    """Return the id of the video at an address.

    :raises InvalidInput: if it is not the address of a video.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        parts, host = urlsplit(""), ""
    steps = [step for step in parts.path.split("/") if step]
    found = []
    if _is_host(host, _SHORT_HOST):
        found = steps[:1]
    elif any(_is_host(host, one) for one in _HOSTS):
        found = steps[1:2] if steps[:1] and steps[0] in _BEFORE_ID else parse_qs(parts.query).get("v", [])
    if parts.scheme not in ("http", "https") or not found:
        raise errors.InvalidInput(f"{display(url)!r} is not the address of a YouTube video")
    return found[0]


def _is_host(host: str, name: str) -> bool:
    return host == name or host.endswith(f".{name}")


def video_items(urls: Iterable[str]) -> list[Item]:
    """Return videos as items of a batch: the same one by whichever of its addresses it is named.

    An address that leads to no video is an item of its own, which fails.
    """
    items = []
    for url in urls:
        try:
            video = video_id(url.strip())
            items.append(Item(url.strip(), identity=video, label=f"https://www.youtube.com/watch?v={video}"))
        except errors.InvalidInput:
            items.append(Item(url.strip()))
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
    first = run.open_rows(items, distinct_names=False)  # the id in each file's name makes it distinct
    if not items:
        return
    run.prepare([])
    opened = [
        (row.number, items[row.number], run.open_item(row.number)) for row in run.rows if first[row.key] == row.number
    ]
    run.add_earlier(_spent(attempt) for _, _, attempt in opened)
    missing = [video for one in opened if (video := _recover(run, *one)) is not None]
    for start in range(0, len(missing), MAX_YOUTUBE_URLS):
        _fetch(run, missing[start : start + MAX_YOUTUBE_URLS])


def _spent(attempt: Attempt) -> float:
    try:
        return recovery.spent_so_far(attempt, attempt.ledger.load())
    except errors.NanoGPTError:
        return 0.0  # it will fail for the same reason in a moment


def _recover(run: BatchRun, number: int, item: Item, attempt: Attempt) -> _Video | None:
    """Write a video that is paid for; return what is needed to ask for one that is not."""
    try:
        video = video_id(item.audio)
        request = RequestFingerprint.of(video, item.shown, Options(YOUTUBE_MODEL))
        attempt, record = recovery.read_record(attempt, attempt.ledger)
        found = recovery.recover(attempt, attempt.ledger, record, request)
        if found is None or isinstance(found, recovery.ResumeParts):  # a video has no parts
            return _Video(number, video, item.audio, attempt, request)
        run.accept(number, attempt, found if isinstance(found, recovery.ReusedResult) else [Part(0.0, found)])
    except Exception as error:  # noqa: BLE001  one bad video never stops the others
        run.record_error(number, error, attempt)
    run.budget.passed(number)
    return None


def _fetch(run: BatchRun, videos: Sequence[_Video]) -> None:
    """Ask for up to ten videos with one request."""
    approved = {video.number: approval for video in videos if (approval := _approve(run, video)) is not None}
    if not approved:
        return
    run.service.acquire_youtube_slot()
    ready = [v for v in videos if v.number in approved and _is_intended(run, v, approved[v.number])]
    if not ready:
        return
    try:
        answer = run.service.youtube([video.url for video in ready])
    except errors.NanoGPTError as error:
        for video in ready:
            failure = record_refusal(video.attempt, video.attempt.ledger, approved[video.number], error)
            run.record_error(video.number, failure, video.attempt)
        return
    good = sum(one.success for one in answer.results)
    cost = answer.cost / good if answer.cost is not None and good else None
    by_number = _match(ready, answer.results)
    # All are recorded before the first is written: the service gives none of them a second time for nothing.
    recorded = [(v, _record(run, v, approved[v.number], by_number.get(v.number), cost)) for v in ready]
    for video, transcript in recorded:
        if transcript is not None:
            try:
                run.accept(video.number, video.attempt, [Part(0.0, transcript)])
            except Exception as error:  # noqa: BLE001  one bad video never stops the others
                run.record_error(video.number, error, video.attempt)


def _approve(run: BatchRun, video: _Video) -> Approval | None:
    try:
        video.attempt.gate.check()
        return run.budget.approve(video.number, _COST)
    except errors.NanoGPTError as error:
        run.record_error(video.number, error, video.attempt)
        return None


def _is_intended(run: BatchRun, video: _Video, approval: Approval) -> bool:
    """Record that a video is about to be asked for, unless the batch has stopped."""
    attempt = video.attempt
    try:
        record_intent(attempt, attempt.ledger, video.request, approval, balance=run.budget.balance())
    except errors.NanoGPTError as error:
        run.record_error(video.number, error, attempt)
        return False
    return True


def _record(
    run: BatchRun, video: _Video, approval: Approval, found: YouTubeTranscript | None, cost: float | None
) -> Transcript | None:
    """Record what the answer says of a video; return its transcript, None if there is none."""
    try:
        if found is None:
            raise errors.AmbiguousSubmit("The answer does not mention this video")
        if not found.success:
            record_not_charged(video.attempt, video.attempt.ledger, approval)
            raise errors.InvalidInput(f"this video has no transcript: {found.error}. It costs nothing")
        transcript = _transcript(found, cost)
        title = re.sub(r"[\s./\\]+", " ", found.title or "video").strip()
        record_answer(video.attempt, video.attempt.ledger, transcript, approval, source=f"{title}-{video.id}")
    except Exception as error:  # noqa: BLE001  one bad video never stops the others
        run.record_error(video.number, error, video.attempt)
        return None
    return transcript


def _transcript(found: YouTubeTranscript, cost: float | None) -> Transcript:
    """Return a transcript whose answer is kept in the form of any other, so that it is read again like any other."""
    metadata = {"url": found.url, "title": found.title}
    return stored_answer({"transcription": found.text, "metadata": metadata, "cost": cost}, model=YOUTUBE_MODEL)


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
