"""One attempt at a batch of YouTube videos: several addresses go into one request, each with a record of its own.

The service answers at once, and charges for each transcript that it has; what it has none for costs nothing. Everything
else is as for recordings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import YOUTUBE_MODEL, YOUTUBE_PRICE
from airflow_provider_nanostt.api.models import Options, Transcript
from airflow_provider_nanostt.api.protocol import MAX_YOUTUBE_URLS
from airflow_provider_nanostt.attempt import Landed
from airflow_provider_nanostt.batch.attempts import ItemAttempt, Pending
from airflow_provider_nanostt.batch.rows import DUPLICATE
from airflow_provider_nanostt.batch.run import BatchRun
from airflow_provider_nanostt.ledger import LAND, Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt.api.models import Job, YouTubeTranscript
    from airflow_provider_nanostt.batch.items import Item
    from airflow_provider_nanostt.batch.rows import Row
    from airflow_provider_nanostt.ledger import Decision, Entry

_HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")


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
    found = parse_qs(parts.query).get("v") or steps[-1:]
    if parts.scheme not in ("http", "https") or not host.endswith(_HOSTS) or not found:
        raise errors.InvalidInput(f"{url!r} is not the address of a YouTube video")
    return found[0]


class VideoAttempt(ItemAttempt):
    """One attempt at one video; what is recorded of an answer is enough to read it again.

    Once there is an answer, the record bears title and id of the video as its source, and so do the files.
    """

    _video = ""

    def follow(self, entry: Entry | None, decision: Decision, options: Options) -> Landed | Transcript | Job | None:
        """Return what the record leads to; None if there is nothing left but to ask."""
        if decision.action == LAND and entry is not None and entry.answer is not None:
            return transcript_of(entry.answer)
        return super().follow(entry, decision, options)

    def intend(self, wanted: Wanted, video: str) -> None:
        """Record that the video is about to be asked for."""
        self._video = video
        self.ledger.intend(
            wanted,
            likely_cost=YOUTUBE_PRICE,
            balance=self._balance(),
            owner=self._owner_digest,
            forced_in=self._forced_in,
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
    wanted: Wanted


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
            self.balance = self.plan.budget.balance = self.hook.balance_if_known()
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
            wanted = Wanted.by(video_of(item.audio), item.shown, Options(YOUTUBE_MODEL))
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
                    video.attempt.not_charged()
                self._broken(video.number, told, video.attempt)
            return
        found = {one.url: one for one in answer.results}
        if len(answer.results) == len(ready):  # the service may write an address in another way
            found = {video.url: one for video, one in zip(ready, answer.results, strict=True)} | found
        good = sum(one.success for one in answer.results)
        cost = answer.cost / good if answer.cost is not None and good else None
        for video in ready:
            self._take(video, found.get(video.url), cost)

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

    def _take(self, video: _Video, found: YouTubeTranscript | None, cost: float | None) -> None:
        """Record and land what the answer says of a video."""
        try:
            if found is None:
                raise errors.AmbiguousSubmit("The answer does not speak of this video")
            if not found.success:
                video.attempt.not_charged()
                self.plan.budget.spent -= YOUTUBE_PRICE
                raise errors.InvalidInput(f"there is no transcript of this video: {found.error}. It costs nothing")
            self._land(Pending(video.number, video.attempt, [(0.0, video.attempt.answered(found, cost))]))
        except Exception as error:  # noqa: BLE001  one bad video never stops the others
            self._broken(video.number, error, video.attempt)
