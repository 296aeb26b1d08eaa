"""One attempt at a batch of YouTube videos: several addresses go into one request, each with a record of its own.

The service answers at once, and charges for each transcript that it has; what it has none for costs nothing. Everything
else is as for recordings.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import YOUTUBE_MODEL, YOUTUBE_PRICE
from airflow_provider_nanostt.api.endpoints import MAX_YOUTUBE_URLS
from airflow_provider_nanostt.api.models import Options, Transcript
from airflow_provider_nanostt.ledger import WRITE_ANSWER, RequestFingerprint
from airflow_provider_nanostt.workflow.batch.item import ItemAttempt, Pending
from airflow_provider_nanostt.workflow.batch.items import Item
from airflow_provider_nanostt.workflow.batch.manifest_row import DUPLICATE
from airflow_provider_nanostt.workflow.batch.run import BatchRun
from airflow_provider_nanostt.workflow.recovery import Landed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.models import Job, YouTubeTranscript
    from airflow_provider_nanostt.ledger import Decision, Entry
    from airflow_provider_nanostt.workflow.batch.manifest_row import Row

_HOSTS = ("youtube.com", "youtube-nocookie.com")
_SHORT_HOST = "youtu.be"
_BEFORE_ID = ("embed", "live", "shorts", "v")


def video_of(url: str) -> str:
    """Return the id of the video that an address leads to.

    :raises InvalidInput: if it leads to none.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        parts, host = urlsplit(""), ""
    steps = [step for step in parts.path.split("/") if step]
    found = []
    if _is_of(host, _SHORT_HOST):
        found = steps[:1]
    elif any(_is_of(host, one) for one in _HOSTS):
        found = steps[1:2] if steps[:1] and steps[0] in _BEFORE_ID else parse_qs(parts.query).get("v", [])
    if parts.scheme not in ("http", "https") or not found:
        raise errors.InvalidInput(f"{url!r} is not the address of a YouTube video")
    return found[0]


def _is_of(host: str, name: str) -> bool:
    return host == name or host.endswith(f".{name}")


class Video(Item):
    """A video as an item of a batch: the same one by whichever of its addresses it is named."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """What the ledger knows it by; of an address that leads to no video, the address."""
        try:
            return Item(video_of(self.audio)).key
        except errors.InvalidInput:
            return Item(self.audio).key


class VideoAttempt(ItemAttempt):
    """One attempt at one video; what is recorded of an answer is enough to read it again.

    Once there is an answer, the record bears title and id of the video as its source, and so do the files.
    """

    _video = ""

    def follow(self, entry: Entry | None, decision: Decision, options: Options) -> Landed | Transcript | Job | None:
        """Return what the record leads to; None if there is nothing left but to ask."""
        if decision.action == WRITE_ANSWER and entry is not None and entry.answer is not None:
            return transcript_of(entry.answer)
        return super().follow(entry, decision, options)

    def intend(self, wanted: RequestFingerprint, video: str) -> None:
        """Record that the video is about to be asked for."""
        self._video = video
        self.ledger.intend(
            wanted,
            estimated_cost=YOUTUBE_PRICE,
            balance=self._balance(),
            owner=self._owner_digest,
            forced_generation=self._forced_in,
        )

    def answered(self, found: YouTubeTranscript, cost: float | None) -> Transcript:
        """Record a transcript, before anything else is done with it."""
        told = {"url": found.url, "title": found.title, "transcription": found.text, "cost": cost}
        transcript = transcript_of(told)
        title = re.sub(r"[\s./\\]+", " ", found.title or "video").strip()
        named = f"{title}-{self._video}"
        self._record("the answer", lambda: self.ledger.answered(transcript, source=named))
        return transcript

    def not_charged(self) -> None:
        """Record that nothing was charged."""
        self._record("that nothing was charged", self.ledger.withdraw)


@dataclass(frozen=True, slots=True)
class _Video:
    """A video that has to be asked for."""

    number: int
    url: str
    attempt: VideoAttempt
    wanted: RequestFingerprint


def transcript_of(told: Any) -> Transcript:
    """Return what the record of an answer holds."""
    return Transcript(
        text=str(told["transcription"]),
        model=YOUTUBE_MODEL,
        cost=told.get("cost"),
        metadata={"url": told["url"], "title": told.get("title")},
        raw=dict(told),
    )


class VideoRun(BatchRun):
    """One attempt at a batch of videos."""

    def begin(self, items: Sequence[Item]) -> list[Pending]:
        """Find or ask for every video, and land what there is; nothing is left to wait for."""
        firsts = self._list(items)
        self._writing = [{} for _ in items]  # the id in each file's name tells them apart already
        if items:
            self.hook.get_conn()
            self.balance = self.plan.budget.balance = self.hook.try_balance()
        new = []
        for row, item in zip(list(self.rows), items, strict=True):
            if firsts[row.key] != row.number:
                self.rows[row.number] = replace(row, status=DUPLICATE)
            elif (video := self._known(row, item)) is not None:
                new.append(video)
        for first in range(0, len(new), MAX_YOUTUBE_URLS):
            self._ask(new[first : first + MAX_YOUTUBE_URLS])
        return []

    def _known(self, row: Row, item: Item) -> _Video | None:
        """Land a video that is paid for; return what is needed to ask for one that is not."""
        attempt = None
        try:
            wanted = RequestFingerprint.by(video_of(item.audio), item.shown, Options(YOUTUBE_MODEL))
            attempt = VideoAttempt(self, row, self._settings(row.number))
            entry, decision = attempt.decide(wanted)
            found = attempt.follow(entry, decision, Options(YOUTUBE_MODEL))
            self.plan.budget.spent += attempt.cost_so_far()
            if not isinstance(found, Landed | Transcript):
                return _Video(row.number, item.audio, attempt, wanted)
            self._taken_in(row.number, attempt, found)
        except Exception as error:  # noqa: BLE001  one bad video never stops the others
            self._broken(row.number, error, attempt)
        return None

    def _ask(self, videos: Sequence[_Video]) -> None:
        """Ask for up to ten videos with one request."""
        ready = [video for video in videos if self._is_intended(video)]
        if not ready:
            return
        try:
            answer = self.hook.youtube([video.url for video in ready])
        except errors.NanoGPTError as error:
            told = errors.AmbiguousSubmit(str(error)) if isinstance(error, errors.ProtocolError) else error
            for video in ready:
                if not isinstance(told, errors.AmbiguousSubmit):
                    self._not_charged(video)
                self._broken(video.number, told, video.attempt)
            return
        good = sum(one.success for one in answer.results)
        cost = answer.cost / good if answer.cost is not None and good else None
        told_of = _matched(ready, answer.results)
        # All are recorded before the first is landed: the service gives none of them a second time for nothing.
        recorded = [self._recorded(video, told_of.get(video.number), cost) for video in ready]
        for pending in recorded:
            if pending is not None:
                self._land_one(pending)

    def _is_intended(self, video: _Video) -> bool:
        """Record that a video is about to be asked for, unless the batch has stopped, or it would cost too much."""
        try:
            self.brake.check()
            if (refusal := self.plan.budget.refuses(YOUTUBE_PRICE)) is not None:
                raise refusal
            video.attempt.intend(video.wanted, video_of(video.url))
        except errors.NanoGPTError as error:
            self._broken(video.number, error, video.attempt)
            return False
        return True

    def _recorded(self, video: _Video, found: YouTubeTranscript | None, cost: float | None) -> Pending | None:
        """Record what the answer says of a video; return what is to be landed, None if there is no transcript."""
        try:
            if found is None:
                raise errors.AmbiguousSubmit("The answer does not speak of this video")
            if not found.success:
                self._not_charged(video)
                raise errors.InvalidInput(f"there is no transcript of this video: {found.error}. It costs nothing")
            return Pending(video.number, video.attempt, [(0.0, video.attempt.answered(found, cost))])
        except Exception as error:  # noqa: BLE001  one bad video never stops the others
            self._broken(video.number, error, video.attempt)
        return None

    def _land_one(self, pending: Pending) -> None:
        try:
            self._land(pending)
        except Exception as error:  # noqa: BLE001  one bad video never stops the others
            self._broken(pending.number, error, pending.attempt)

    def _not_charged(self, video: _Video) -> None:
        """Take back that a video was about to be paid for, in its record and in the sum."""
        video.attempt.not_charged()
        self.plan.budget.spent -= YOUTUBE_PRICE


def _matched(videos: Sequence[_Video], results: Sequence[YouTubeTranscript]) -> dict[int, YouTubeTranscript]:
    """Return which result is of which video, by the videos' numbers; the service may write an address in another way.

    By the order only if no address can be told: a transcript under another video's name is worse than none.
    """
    by_id: dict[str, YouTubeTranscript] = {}
    for one in results:
        with contextlib.suppress(errors.InvalidInput):
            by_id.setdefault(video_of(one.url), one)
    if not by_id and len(results) == len(videos):
        return {video.number: one for video, one in zip(videos, results, strict=True)}
    return {video.number: by_id[found] for video in videos if (found := video_of(video.url)) in by_id}
