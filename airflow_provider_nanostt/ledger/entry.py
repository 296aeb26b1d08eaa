"""The record of one task instance as a value: whose it is, of what it is, and its form as JSON. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Submission, Upload, number
from airflow_provider_nanostt.signed_urls import unsigned

VERSION = 1
INTENDED = "intended"
SUBMITTED = "submitted"
ANSWERED = "answered"
LANDED = "landed"
FAILED = "failed"
WITHDRAWN = "withdrawn"
"""The states of a record: about to submit, ticket in hand, transcript in hand, result in place, given up by the service
at once, certainly not charged."""

_STATES = (INTENDED, SUBMITTED, ANSWERED, LANDED, FAILED, WITHDRAWN)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose record it is: one task instance, whatever the try."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1

    @property
    def digest(self) -> str:
        """A short name of it that is the same on every try."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def file_name(self) -> str:
        """A name that a person can find and that no other task instance has."""
        readable = "-".join(_clean(part) for part in (self.dag_id, self.task_id, self.run_id))
        mapped = f"-{self.map_index}" if self.map_index >= 0 else ""
        return f"{readable[:150]}{mapped}-{self.digest}.json"


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)[:60]


def fingerprint(submission: Submission) -> str:
    """Return what makes a submission the same one: the audio itself (or its unsigned address), model and options."""
    audio = submission.audio
    source = hashlib.sha256(audio.data).hexdigest() if isinstance(audio, Upload) else unsigned(audio)
    options = [submission.model, submission.language.lower(), submission.diarize, submission.tag_audio_events]
    return hashlib.sha256(json.dumps([source, *options]).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of one task instance.

    :param state: one of the states above.
    :param fingerprint: of what was submitted.
    :param source: the audio's name for people, without any signature.
    :param intended_at: epoch seconds of the intent.
    :param likely_cost: USD expected before the submit, None if the length was not known.
    :param balance_before: USD in the account before the submit, None if that could not be told.
    :param forced_in: the round of tries (see ``attempt``) in which ``force`` was what made this submit.
    :param job: the ticket, once there is one.
    :param answer: the service's answer, where it came at once and its transcript has not landed yet.
    :param cost: USD that this submit has cost, None if nobody said.
    :param result: what the task returned, once it landed.
    :param earlier: what was submitted before for this task instance, with run ids and costs.
    """

    state: str
    fingerprint: str
    source: str
    model: str
    intended_at: float
    likely_cost: float | None = None
    balance_before: float | None = None
    forced_in: int | None = None
    job: Job | None = None
    answer: Mapping[str, Any] | None = None
    cost: float | None = None
    landed_at: float | None = None
    result: Mapping[str, Any] | None = None
    earlier: tuple[Mapping[str, Any], ...] = ()

    @property
    def spent_before(self) -> float:
        """USD that earlier submits of this task instance are known to have cost."""
        return sum(number(past.get("cost")) or 0.0 for past in self.earlier)

    def told(self) -> str:
        """Say in one line what was submitted, when, and for how much."""
        when = datetime.fromtimestamp(self.intended_at, UTC).isoformat(timespec="seconds")
        run = f"run {self.job.run_id}" if self.job else "no run id" if self.state == INTENDED else "answered at once"
        cost = errors.usd(self.cost) if self.cost is not None else f"likely {errors.usd(self.likely_cost)}"
        return f"{run}, {self.source}, model {self.model}, {cost}, submitted at {when}"

    def as_earlier(self) -> Mapping[str, Any]:
        """Return what a later submit remembers of this one."""
        return {
            "run_id": self.job.run_id if self.job else None,
            "cost": self.cost,
            "model": self.model,
            "source": self.source,
            "at": self.intended_at,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON; :meth:`from_json` reads it back."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        plain["job"] = self.job.to_json() if self.job else None
        plain["earlier"] = [dict(past) for past in self.earlier]
        return {"version": VERSION, **plain}

    @classmethod
    def from_json(cls, data: Any) -> Entry:
        """Read a record.

        :raises ValueError: saying why, if it is not one that this version can read.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("version"), int):
            raise ValueError("it is not a record of this provider")  # noqa: TRY004  its value is wrong, whatever it is
        if data["version"] > VERSION:
            raise ValueError(f"the record is of version {data['version']}; this provider knows {VERSION}")
        state, at, job = data.get("state"), number(data.get("intended_at")), data.get("job")
        if state not in _STATES:
            raise ValueError(f"its state is {state!r}")
        if at is None or not 0 <= at < _END_OF_TIME:
            raise ValueError(f"it was intended at {data.get('intended_at')!r}")
        if (state == SUBMITTED and not job) or (state == ANSWERED and not data.get("answer")):
            raise ValueError(f"its state is {state!r}, but what was answered is not in it")
        return cls(
            state=state,
            fingerprint=_text(data, "fingerprint"),
            source=str(data.get("source") or ""),
            model=str(data.get("model") or ""),
            intended_at=at,
            likely_cost=number(data.get("likely_cost")),
            balance_before=number(data.get("balance_before")),
            forced_in=_whole(data.get("forced_in")),
            job=Job.from_json(job) if job else None,
            answer=_mapping("answer", data.get("answer")),
            cost=number(data.get("cost")),
            landed_at=number(data.get("landed_at")),
            result=_result(data.get("result")),
            earlier=_earlier(data.get("earlier") or []),
        )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"its {name} is {value!r}")
    return value


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _mapping(name: str, value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"its {name} is of type {type(value).__name__}")
    return value


def _result(value: Any) -> Mapping[str, Any] | None:
    result = _mapping("result", value)
    files = _mapping("list of files", (result or {}).get("files")) or {}
    if not all(isinstance(uri, str) for uri in files.values()):
        raise ValueError("its list of files has other things than addresses")
    return result


def _earlier(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(past, Mapping) for past in value):
        raise ValueError("its earlier submits cannot be read")
    return tuple(value)
