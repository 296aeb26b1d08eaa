"""A batch of YouTube videos: up to ten addresses go into one request, each with a record of its own.

The service answers at once, and charges for each transcript that it has; what it has none for costs nothing. Everything
else is as for recordings.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DOCUMENTATION, YOUTUBE_MODEL, YOUTUBE_PRICE, Price
from airflow_provider_nanostt.api.endpoints import MAX_YOUTUBE_URLS
from airflow_provider_nanostt.api.http import is_refused_for_now
from airflow_provider_nanostt.api.models import Options, Transcript
from airflow_provider_nanostt.api.patience import until_accepted
from airflow_provider_nanostt.api.responses import stored_answer
from airflow_provider_nanostt.common.urls import display
from airflow_provider_nanostt.ledger import RequestFingerprint, holding
from airflow_provider_nanostt.workflow import recovery
from airflow_provider_nanostt.workflow.batch.items import Item
from airflow_provider_nanostt.workflow.pricing import Estimate
from airflow_provider_nanostt.workflow.submit import (
    record_answer,
    record_intent,
    record_not_charged,
    record_refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_nanostt.api.models import YouTubeAnswer, YouTubeTranscript
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.batch.run import BatchRun
    from airflow_provider_nanostt.workflow.budget import Approval

_SITES = ("youtube.com", "youtube-nocookie.com", "youtubekids.com", "youtube.googleapis.com", "ytimg.com")
_SHORT = "youtu.be"
_BEFORE_ID = ("embed", "live", "shorts", "v", "vi", "vi_webp", "e", "watch")
_NESTED = ("u", "url", "q", "continue", "next")
"""Parameters of pages that lead on to another address."""
_ID = re.compile(r"[A-Za-z0-9_-]{11}(?![A-Za-z0-9_-])")
_NO_IDS = ("videoseries", "live_stream")
"""Of the form of an id, and what YouTube calls players of a playlist and of a channel."""
_OTHERS = {"playlist": "a playlist", "channel": "a channel", "c": "a channel", "user": "a channel", "clip": "a clip"}
_COST = Estimate(YOUTUBE_MODEL, 1.0, Price(YOUTUBE_PRICE, DOCUMENTATION))
"""A video costs the same however long it is."""


def video_id(url: str) -> str:
    """Return the id of the video at an address, which is 11 letters, digits, ``_`` and ``-``.

    :raises InvalidInput: if it is not the address of a video.
    """
    text = url.strip().removeprefix("<").removesuffix(">").strip()
    try:
        return _id_in(text)
    except ValueError as error:
        raise errors.InvalidInput(f"{display(url)!r} is not the address of a YouTube video: {error}") from None


def _id_in(text: str, *, is_nested: bool = False) -> str:
    if "\\" in text or not text.isprintable():
        raise ValueError("it has a backslash or a control character")
    if _ID.fullmatch(text) and text not in _NO_IDS:
        return text
    parts = urlsplit(text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"https://{text.lstrip('/')}")
    host = (parts.hostname or "").removesuffix(".").removeprefix("www.")
    if parts.scheme not in ("http", "https") or not any(f".{host}".endswith(f".{site}") for site in (*_SITES, _SHORT)):
        raise ValueError("it is of another site")
    if "@" in parts.netloc:
        raise ValueError("it has a user name")
    steps = [step for step in unquote(parts.path).split("/") if step] or [""]
    fragment = parts.fragment.lstrip("!")
    query, later = _values(parts.query), _values(fragment.rpartition("?")[2])
    found = steps[1:2] if steps[0] in _BEFORE_ID else steps[:1] if host == _SHORT else []
    found += [*query.get("v", ()), *later.get("v", ()), *(fragment.split("/")[-1:] if "/u/" in fragment else ())]
    for one in map(str.strip, found):
        if (match := _ID.match(one)) and match[0] not in _NO_IDS:
            return match[0]
    for nested in [] if is_nested else [one for name in _NESTED for one in query.get(name, ())]:
        with contextlib.suppress(ValueError):
            return _id_in(f"www.youtube.com{nested}" if nested.startswith("/") else nested, is_nested=True)
    if "list" in query and "v" not in query:
        raise ValueError("it is a playlist")
    kind = "a channel" if steps[0].startswith("@") else _OTHERS.get(steps[0])
    raise ValueError(f"it is {kind}" if kind else "it has no video id of 11 characters")


def _values(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query by their names in small letters."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.replace(";", "&")):
        values.setdefault(name.lower(), []).append(value)
    return values


def video_items(urls: Iterable[str]) -> list[Item]:
    """Return videos as items of a batch, each by its canonical address, whichever of its addresses names it.

    An address that leads to no video is an item of its own, which fails.
    """
    items = []
    for url in urls:
        item = Item(url.strip())
        with contextlib.suppress(errors.InvalidInput):
            canonical = f"https://www.youtube.com/watch?v={video_id(url)}"
            item = Item(canonical, label=canonical)
        items.append(item)
    return items


@dataclass(frozen=True, slots=True)
class _Video:
    """A video that has to be asked for."""

    id: str
    url: str
    attempt: Attempt
    request: RequestFingerprint


def fetch_videos(run: BatchRun, items: Sequence[Item]) -> None:
    """Find or ask for every video, and write what there is; nothing is left to wait for."""
    attempts = run.open_all(items, distinct_names=False)  # the id in each file's name makes it distinct
    missing: list[_Video] = []
    for number, attempt in attempts.items():
        with run.recording_errors(attempt):
            video = _recover(run, items[number], attempt)
            if video is not None:
                missing.append(video)
        run.budget.passed(number)
    for start in range(0, len(missing), MAX_YOUTUBE_URLS):
        _fetch(run, missing[start : start + MAX_YOUTUBE_URLS])


def _recover(run: BatchRun, item: Item, attempt: Attempt) -> _Video | None:
    """Write a video that is paid for; return what is needed to ask for one that is not."""
    video = video_id(item.audio)
    request = RequestFingerprint.of(video, item.shown, Options(YOUTUBE_MODEL))
    attempt, record = recovery.read_record(attempt, attempt.ledger)
    found = recovery.recover(attempt, attempt.ledger, record, request)
    if found is None or isinstance(found, recovery.ResumeParts):  # a video has no parts
        return _Video(video, item.audio, attempt, request)
    run.accept(attempt, found if isinstance(found, recovery.ReusedResult) else [recovery.Part(0.0, found)])
    return None


def _fetch(run: BatchRun, videos: Sequence[_Video]) -> None:
    """Ask for up to ten videos with one request."""
    asked: list[tuple[_Video, Approval]] = []
    for video in videos:
        with run.recording_errors(video.attempt):
            video.attempt.breaker.raise_if_open()
            asked.append((video, run.budget.approve(video.attempt.number, _COST)))
    if not asked:
        return
    try:
        answer = until_accepted(partial(_send, run, asked))
    except errors.NanoGPTError as error:
        for video, approval in asked:
            failure = record_refusal(video.attempt, video.attempt.ledger, error)
            if failure.charged == "no":
                approval.settle(0.0)
            run.record_error(video.attempt.number, failure, video.attempt)
    else:
        if answer is not None:
            _take_in(run, asked, answer)


def _send(run: BatchRun, asked: list[tuple[_Video, Approval]]) -> YouTubeAnswer | None:
    """Take a slot, record the intents, and send once; those whose intent cannot be recorded are taken out of the list.

    :return: None if none is left.
    """
    run.service.acquire_youtube_slot()
    with holding(asked[0][0].attempt.holder, run.service.get_conn().config.longest_submit(0)) as claim:
        for video, approval in list(asked):
            asked.remove((video, approval))
            attempt = video.attempt
            with run.recording_errors(attempt):
                try:
                    figures = attempt.uncertain.figures_before(run.budget.balance)
                    record_intent(attempt, attempt.ledger, video.request, approval, claim=claim, figures=figures)
                except errors.NanoGPTError:
                    approval.settle(0.0)
                    raise
                asked.append((video, approval))
        try:
            return run.service.youtube([video.url for video, _ in asked]) if asked else None
        except errors.NanoGPTError as error:
            if is_refused_for_now(error):  # nothing is on its way while it pauses
                for video, _ in asked:
                    record_not_charged(video.attempt, video.attempt.ledger)
            raise


def _take_in(run: BatchRun, asked: Sequence[tuple[_Video, Approval]], answer: YouTubeAnswer) -> None:
    """Record what the answer says of each video, then write the transcripts.

    All are recorded before the first is written: the service gives none of them a second time for nothing.
    """
    good = sum(one.success for one in answer.results)
    cost = answer.cost / good if answer.cost is not None and good else None
    by_id = _match([video for video, _ in asked], answer.results)
    recorded: list[tuple[_Video, Transcript]] = []
    for video, approval in asked:
        with run.recording_errors(video.attempt):
            recorded.append((video, _record(video, approval, by_id.get(video.id), cost)))
    for video, transcript in recorded:
        with run.recording_errors(video.attempt):
            run.accept(video.attempt, [recovery.Part(0.0, transcript)])


def _record(video: _Video, approval: Approval, found: YouTubeTranscript | None, cost: float | None) -> Transcript:
    """Record what the answer says of a video; return its transcript, in the form in which any other is kept."""
    if found is None:
        raise errors.AmbiguousSubmit("The answer does not mention this video")
    if not found.success:
        record_not_charged(video.attempt, video.attempt.ledger)
        approval.settle(0.0)
        raise errors.InvalidInput(f"this video has no transcript: {found.error}. It costs nothing")
    metadata = {"url": found.url, "title": found.title}
    answer = {"transcription": found.text, "metadata": metadata, "cost": cost}
    transcript = stored_answer(answer, model=YOUTUBE_MODEL)
    title = re.sub(r"[\s./\\]+", " ", found.title or "video").strip()
    record_answer(video.attempt, video.attempt.ledger, transcript, approval, source=f"{title}-{video.id}")
    return transcript


def _match(videos: Sequence[_Video], results: Sequence[YouTubeTranscript]) -> dict[str, YouTubeTranscript]:
    """Return which result is of which video, by the videos' ids; the service may write an address in another way.

    By the order only if no address can be read: a transcript under another video's name is worse than none.
    """
    by_id: dict[str, YouTubeTranscript] = {}
    for one in results:
        with contextlib.suppress(errors.InvalidInput):
            by_id.setdefault(video_id(one.url), one)
    if not by_id and len(results) == len(videos):
        return {video.id: one for video, one in zip(videos, results, strict=True)}
    return by_id
