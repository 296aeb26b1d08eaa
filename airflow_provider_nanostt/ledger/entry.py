"""The record of one task instance as a value: whose it is, of what it is, and its form as JSON. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Options, Submission, number
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.common.urls import unsigned

VERSION = 1
INTENDED = "intended"
SUBMITTED = "submitted"
ANSWERED = "answered"
WRITTEN = "written"
FAILED = "failed"
WITHDRAWN = "withdrawn"
SPLIT = "split"
"""The states of a record: about to submit, ticket in hand, transcript in hand, result in place, given up by the service
at once, certainly not charged, split into parts with a record each."""

_STATES = (INTENDED, SUBMITTED, ANSWERED, WRITTEN, FAILED, WITHDRAWN, SPLIT)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """Whose record it is: one task instance, whatever the try.

    :param part: one part of a recording that was split, from 1; 0 is the whole.
    :param item: one recording of a batch; empty for a task that has only one.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    part: int = 0
    item: str = ""

    def of_part(self, part: int) -> TaskIdentity:
        """Return the identity of one part."""
        return replace(self, part=part)

    def of_item(self, item: str, *, of_any_run: bool = False) -> TaskIdentity:
        """Return the identity of one recording of a batch.

        :param of_any_run: the same for every task and run that writes into the same folder.
        """
        return TaskIdentity("batch", "any", "any", item=item) if of_any_run else replace(self, item=item)

    @property
    def digest(self) -> str:
        """A short name of it that is the same on every try."""
        plain = {name: value for name, value in asdict(self).items() if name not in ("part", "item") or value}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def file_name(self) -> str:
        """A name that a person can find and that no other task instance has."""
        readable = "-".join(_clean(part) for part in (self.dag_id, self.task_id, self.run_id))
        mapped = f"-{self.map_index}" if self.map_index >= 0 else ""
        part = f"-part-{self.part:03d}" if self.part else ""
        item = f"-item-{self.item[:12]}" if self.item else ""
        return f"{readable[:150]}{mapped}{item}{part}-{self.digest}.json"


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)[:60]


@dataclass(frozen=True, slots=True)
class RequestFingerprint:
    """What a task asks for, as far as the record goes.

    :param fingerprint: what makes it the same the next time: the audio, model and options.
    :param source: the audio's name for people, without any signature.
    :param model: model id.
    """

    fingerprint: str
    source: str
    model: str

    @classmethod
    def by(cls, key: str, source: str, options: Options) -> RequestFingerprint:
        """Return what is wanted of a recording.

        :param key: what makes it the same recording: a digest of its bytes, or its unsigned address.
        :param source: its name.
        """
        told = [options.model, options.language.lower(), options.diarize, options.tag_audio_events]
        return cls(hashlib.sha256(json.dumps([key, *told]).encode()).hexdigest()[:32], source, options.model)

    @classmethod
    def of(cls, submission: Submission) -> RequestFingerprint:
        """Return what is wanted by a submission that is ready."""
        audio = submission.audio
        key = audio.digest if isinstance(audio, Upload) else unsigned(audio)
        return cls.by(key, submission.name, submission.options)

    def part(self, number: int, count: int) -> RequestFingerprint:
        """Return what is wanted of one part, counted from 1."""
        digest = hashlib.sha256(f"{self.fingerprint} {number}/{count}".encode()).hexdigest()[:32]
        return RequestFingerprint(digest, f"{self.source} (part {number} of {count})", self.model)


def fingerprint(submission: Submission) -> str:
    """Return what makes a submission the same one: the audio itself (or its unsigned address), model and options."""
    return RequestFingerprint.of(submission).fingerprint


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of one task instance.

    :param state: one of the states above.
    :param fingerprint: of what was submitted.
    :param source: the audio's name for people, without any signature.
    :param intended_at: epoch seconds of the intent.
    :param estimated_cost: USD expected before the submit, None if the length was not known.
    :param balance_before: USD in the account before the submit, None if that could not be told.
    :param forced_generation: the round of tries (see ``attempt``) in which ``force`` was what made this submit.
    :param job: the ticket, once there is one.
    :param answer: the service's answer, where it came at once and its transcript has not landed yet.
    :param cost: USD that this submit has cost, None if nobody said.
    :param result: what the task returned, once it landed.
    :param cuts: where the recording was cut into parts, seconds; each part has a record of its own.
    :param earlier: what was submitted before for this task instance, with run ids and costs.
    :param owner: short name of the task instance that submitted it.
    """

    state: str
    fingerprint: str
    source: str
    model: str
    intended_at: float
    estimated_cost: float | None = None
    balance_before: float | None = None
    forced_generation: int | None = None
    job: Job | None = None
    answer: Mapping[str, Any] | None = None
    cost: float | None = None
    written_at: float | None = None
    result: Mapping[str, Any] | None = None
    cuts: tuple[float, ...] = ()
    earlier: tuple[Mapping[str, Any], ...] = ()
    owner: str | None = None

    @property
    def spent_before(self) -> float:
        """USD that earlier submits of this task instance are known to have cost.

        Those of others, which a record shared by several runs may have, do not count.
        What parts have cost stands in their own records, which only a recording that goes in parts looks at.
        """
        names = ("cost",) if self.cuts else ("cost", "cost_of_parts")
        own = [past for past in self.earlier if past.get("owner", self.owner) == self.owner]
        return sum(number(past.get(name)) or 0.0 for past in own for name in names)

    def describe(self) -> str:
        """Say in one line what was submitted, when, and for how much."""
        when = datetime.fromtimestamp(self.intended_at, UTC).isoformat(timespec="seconds")
        run = f"run {self.job.run_id}" if self.job else "no run id" if self.state == INTENDED else "answered at once"
        run = f"{len(self.cuts) + 1} parts" if self.cuts else run
        cost = errors.usd(self.cost) if self.cost is not None else f"likely {errors.usd(self.estimated_cost)}"
        return f"{run}, {self.source}, model {self.model}, {cost}, submitted at {when}"

    def to_history(self) -> Mapping[str, Any]:
        """Return what a later submit remembers of this one."""
        return {
            "run_id": self.job.run_id if self.job else None,
            "cost": None if self.cuts else self.cost,
            **({"cost_of_parts": self.cost} if self.cuts else {}),
            "model": self.model,
            "source": self.source,
            "owner": self.owner,
            "at": self.intended_at,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON; :meth:`from_json` reads it back."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        plain["job"] = self.job.to_json() if self.job else None
        plain["cuts"] = list(self.cuts)
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
        needed = {SUBMITTED: "job", ANSWERED: "answer", SPLIT: "cuts"}.get(state)
        if needed and not data.get(needed):
            raise ValueError(f"its state is {state!r}, but what was answered is not in it")
        return cls(
            state=state,
            fingerprint=_text(data, "fingerprint"),
            source=str(data.get("source") or ""),
            model=str(data.get("model") or ""),
            intended_at=at,
            estimated_cost=number(data.get("estimated_cost")),
            balance_before=number(data.get("balance_before")),
            owner=data.get("owner") if isinstance(data.get("owner"), str) else None,
            forced_generation=_whole(data.get("forced_generation")),
            job=Job.from_json(job) if job else None,
            answer=_mapping("answer", data.get("answer")),
            cost=number(data.get("cost")),
            written_at=number(data.get("written_at")),
            result=_result(data.get("result")),
            cuts=_cuts(data.get("cuts") or []),
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


def _cuts(value: Any) -> tuple[float, ...]:
    cuts = [number(cut) for cut in value] if isinstance(value, list) else [None]
    if None in cuts:
        raise ValueError("where it was cut cannot be read")
    return tuple(cut for cut in cuts if cut is not None)


def _earlier(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(past, Mapping) for past in value):
        raise ValueError("its earlier submits cannot be read")
    return tuple(value)
