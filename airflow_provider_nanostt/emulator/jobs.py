"""One accepted job: what it was asked, when it is done, and what a status request answers about it.

No HTTP and no recognition; times are passed in. Inside, times are monotonic seconds; records carry epoch seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.emulator.records import JobRecord
from airflow_provider_nanostt.emulator.transcript import Transcript

if TYPE_CHECKING:
    from airflow_provider_nanostt.emulator.settings import Model

ECHO = ("cost", "paymentSource", "isApiRequest", "fileName", "fileSize", "chargedDuration", "diarize")


@dataclass(slots=True)
class Job:
    """A job and its life: pending, then processing, then what `outcome` says.

    :param source: file name or URL.
    :param seconds: length of the audio; `minutes` of it are charged.
    :param created: epoch seconds; `started` is the same moment, monotonic.
    :param queued_until: when pending becomes processing; `due` when the formula says it is done, both monotonic.
    :param ready: when the outcome was known, monotonic; None while the recogniser listens. The job ends at the later of
        `due` and `ready`.
    :param outcome: ``completed``, ``failed`` or whatever word a script wants.
    """

    run_id: str
    key: str
    model: Model
    source: str
    file_name: str
    size: int
    seconds: float
    minutes: float
    cost: float
    diarize: bool
    events: bool
    created: float
    started: float
    queued_until: float = 0.0
    due: float = 0.0
    ready: float | None = None
    outcome: str = "completed"
    transcript: Transcript | None = None
    error: str | None = None
    seen: float | None = None
    polls: int = 0
    _final: bytes | None = field(default=None, repr=False)

    def settle(self, transcript: Transcript | None, error: str | None, outcome: str, now: float) -> None:
        """Write down how it ends."""
        self.transcript, self.error, self.outcome, self.ready = transcript, error, outcome, now

    def status(self, now: float) -> str:
        """Return the status at `now`."""
        if self.ready is not None and now >= self.due:
            return self.outcome
        return "pending" if now < self.queued_until else "processing"

    def finished(self, now: float) -> float | None:
        """Return when it ended, in epoch seconds, or None while it runs."""
        if self.ready is None or now < self.due:
            return None
        return self.created + max(self.due, self.ready) - self.started

    def ticket(self) -> dict[str, Any]:
        """Return the body of the 202."""
        return {
            "runId": self.run_id,
            "status": "pending",
            "model": self.model.id,
            "cost": self.cost,
            "paymentSource": "USD",
            "isApiRequest": True,
            "fileName": self.file_name,
            "fileSize": self.size,
            "chargedDuration": self.minutes,
            "diarize": self.diarize,
        }

    def echo_mistake(self, fields: dict[str, Any]) -> str | None:
        """Say what a status request failed to repeat of the 202, or None."""
        ticket = self.ticket()
        for name in ECHO:
            if name not in fields:
                return f"The field {name} of the initial response is missing"
            given, expected = fields[name], ticket[name]
            if given != expected or isinstance(given, bool) != isinstance(expected, bool):
                return f"The field {name} is {given!r}, but the initial response said {expected!r}"
        return None

    def answer(self, now: float, epoch: float) -> bytes:
        """Return the body of a status answer, and note that it was asked for."""
        self.polls += 1
        status = self.status(now)
        if self.ready is None or now < self.due:
            return b'{"status": "%s"}' % status.encode()
        if self.seen is None:
            self.seen = epoch
        if self._final is None:  # an hour of words takes a while to write as JSON: once is enough
            self._final = json.dumps(self._final_body(status)).encode()
        return self._final

    def result(self) -> dict[str, Any]:
        """Return the result as it stands in a 200: text, metadata, and words and speakers where the model has them."""
        transcript = self.transcript or Transcript("", [], [])
        body: dict[str, Any] = {
            "transcription": transcript.text,
            "metadata": {
                "fileName": self.file_name,
                "fileSize": self.size,
                "chargedDuration": self.minutes,
                "actualDuration": self.minutes,
                "language": transcript.language,
                "cost": self.cost,
                "currency": "USD",
                "model": self.model.id,
            },
        }
        if self.model.timestamps:
            body["words"] = transcript.words
            if self.diarize:
                body["diarization"] = {"segments": transcript.segments}
        return body

    def record(self, now: float) -> JobRecord:
        """Return the job as a value."""
        return JobRecord(
            run_id=self.run_id,
            key=self.key,
            model=self.model.id,
            source=self.source,
            status=self.status(now),
            created=self.created,
            finished=self.finished(now),
            seen=self.seen,
            polls=self.polls,
            seconds=self.seconds,
            cost=self.cost,
            error=self.error if self.finished(now) is not None else None,
        )

    def _final_body(self, status: str) -> dict[str, Any]:
        if status == "completed":
            return {"status": status, **self.result()}
        return {"status": status, "error": self.error} if self.error else {"status": status}
