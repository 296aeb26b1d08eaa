"""The record of one task instance as a value, and its form as JSON. No I/O, no decisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Options
from airflow_provider_nanostt.common.numbers import amount, number
from airflow_provider_nanostt.ledger.claim import Claim
from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot

T = TypeVar("T")

VERSION = 1

INTENDED = "intended"
SUBMITTED = "submitted"
ANSWERED = "answered"
WRITTEN = "written"
FAILED = "failed"
WITHDRAWN = "withdrawn"
SPLIT = "split"
"""The states of a record: about to submit, job accepted, transcript received, result written, given up by the service
at once, certainly not charged, split into parts with a record each."""

_STATES = (INTENDED, SUBMITTED, ANSWERED, WRITTEN, FAILED, WITHDRAWN, SPLIT)
_REQUIRED = {SUBMITTED: "job", ANSWERED: "answer", SPLIT: "split_points"}
RECEIVED = (SUBMITTED, ANSWERED, WRITTEN)
"""The states of a submit that the service has accepted."""

_MAX_PARTS = 1000
_END_OF_TIME = datetime.max.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class RequestFingerprint:
    """What a task asks for, as far as the record goes.

    :param digest: the same for the same recording, model and options.
    :param source: the recording's name for people, without any signature.
    :param model: model id.
    """

    digest: str
    source: str
    model: str

    @classmethod
    def of(cls, key: str, source: str, options: Options) -> RequestFingerprint:
        """Return the fingerprint of a recording with options.

        :param key: identifies the recording: a digest of its bytes, or its unsigned address.
        """
        parts: list[object] = [key, options.model, options.language.lower(), options.diarize, options.tag_audio_events]
        if options.extra_parameters:
            parts.append(options.extra_parameters)
        return cls(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32], source, options.model)

    def of_part(self, number: int, count: int) -> RequestFingerprint:
        """Return the fingerprint of one part, counted from 1."""
        digest = hashlib.sha256(f"{self.digest} {number}/{count}".encode()).hexdigest()[:32]
        return RequestFingerprint(digest, f"{self.source} (part {number} of {count})", self.model)


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one task instance.

    :param state: one of the states above.
    :param fingerprint: digest of what was submitted.
    :param source: the recording's name for people, without any signature.
    :param intended_at: epoch seconds of the intent.
    :param estimated_cost: USD expected before the submit, None if the length was not known.
    :param balance_before: USD in the account before the submit, None if unknown.
    :param forced: if ``force`` made this submit: the try for which it did, as :class:`~.decision.TaskTry` has it.
    :param job: the accepted job.
    :param answer: the service's answer, where it came at once and its transcript is not written yet.
    :param cost: USD that this submit has cost, None if nobody said.
    :param written_at: epoch seconds at which the result was written.
    :param result: what the task returned, once it is written.
    :param written: names, sizes and digests of the files, as ``outputs`` describes them.
    :param tables: by table, the file that has its rows, or will have them when the batch run that writes it ends.
    :param source_version: what identified the recording, as ``audio`` describes it.
    :param split_points: where the recording was split into parts, seconds; each part has a record of its own.
    :param history: what was submitted before for this task instance, with run ids and costs.
    :param owner: short name of the task instance that submitted it.
    :param claim: of an intent: who is sending it.
    :param usage_before: of the key, before the submit; only with ``on_ambiguous_submit="verify"``.
    """

    state: str
    fingerprint: str
    source: str
    model: str
    intended_at: float
    estimated_cost: float | None = None
    balance_before: float | None = None
    forced: Mapping[str, object] | None = None
    job: Job | None = None
    answer: Mapping[str, object] | None = None
    cost: float | None = None
    written_at: float | None = None
    result: Mapping[str, object] | None = None
    written: Mapping[str, object] | None = None
    tables: Mapping[str, str] | None = None
    source_version: Mapping[str, object] | None = None
    split_points: tuple[float, ...] = ()
    history: tuple[Mapping[str, object], ...] = ()
    owner: str | None = None
    claim: Claim | None = None
    usage_before: UsageSnapshot | None = None

    @property
    def spent_before(self) -> float:
        """USD that earlier submits of this task instance are known to have cost.

        Those of others, which a record shared by several runs may have, do not count, nor do parts of a recording that
        is still split: their costs are in their own records.
        """
        names = ("cost",) if self.split_points else ("cost", "cost_of_parts")
        own = [past for past in self.history if past.get("owner", self.owner) == self.owner]
        return sum(number(past.get(name)) or 0.0 for past in own for name in names)

    @property
    def submit_id(self) -> str:
        """What tells this submit from others: its run id, else the recording and the time of its intent."""
        return self.job.run_id if self.job else f"{self.source} {self.intended_at}"

    def open_claim(self, now: float) -> Claim | None:
        """Return the claim of an intent whose sender may still be at work; ``now`` in epoch seconds."""
        claim = self.claim if self.state == INTENDED else None
        return claim if claim is not None and claim.is_open(now) else None

    def describe(self) -> str:
        """Say in one line what was submitted, when, and for how much."""
        when = datetime.fromtimestamp(self.intended_at, UTC).isoformat(timespec="seconds")
        run = f"run {self.job.run_id}" if self.job else "no run id" if self.state == INTENDED else "answered at once"
        run = f"{len(self.split_points) + 1} parts" if self.split_points else run
        cost = errors.usd(self.cost) if self.cost is not None else f"likely {errors.usd(self.estimated_cost)}"
        return f"{run}, {self.source}, model {self.model}, {cost}, submitted at {when}"

    def to_history(self) -> Mapping[str, object]:
        """Return what a later submit keeps of this one."""
        return {
            "run_id": self.job.run_id if self.job else None,
            "cost": None if self.split_points else self.cost,
            **({"cost_of_parts": self.cost} if self.split_points else {}),
            "model": self.model,
            "source": self.source,
            "owner": self.owner,
            "at": self.intended_at,
        }

    def to_json(self) -> dict[str, object]:
        """Return the record as plain JSON; :meth:`from_json` reads it back."""
        plain: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["job"] = self.job.to_json() if self.job else None
        plain["claim"] = self.claim.to_json() if self.claim else None
        plain["usage_before"] = self.usage_before.to_json() if self.usage_before else None
        plain["split_points"] = list(self.split_points)
        plain["history"] = [dict(past) for past in self.history]
        return {"version": VERSION, **plain}

    @classmethod
    def from_json(cls, data: object) -> Record:
        """Read a record.

        :raises ValueError, TypeError: saying why, if this version cannot read it.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("version"), int):
            raise ValueError("it is not a record of this provider")  # noqa: TRY004  its value is wrong, whatever it is
        if data["version"] > VERSION:
            raise ValueError(f"the record has version {data['version']}; this provider knows {VERSION}")
        at, job, usage = number(data.get("intended_at")), _read(data, "job", dict), data.get("usage_before")
        if at is None or not 0 <= at < _END_OF_TIME:
            raise ValueError(f"its intended_at is {data.get('intended_at')!r}")
        fingerprint = _read(data, "fingerprint", str)
        if not fingerprint:
            raise ValueError("it has no fingerprint")
        result = _read(data, "result", dict)
        if result and not all(isinstance(uri, str) for uri in (_read(result, "files", dict) or {}).values()):
            raise ValueError("its list of files has other things than addresses")
        for name in ("cost_usd", "charged_minutes", "words"):
            _usd(result or {}, name)
        tables = _read(data, "tables", dict)
        if tables and not all(isinstance(file, str) for file in tables.values()):
            raise ValueError("its tables have other things than files")
        return cls(
            state=_state(data),
            fingerprint=fingerprint,
            source=_read(data, "source", str) or "",
            model=_read(data, "model", str) or "",
            intended_at=at,
            estimated_cost=_usd(data, "estimated_cost"),
            balance_before=number(data.get("balance_before")),
            owner=_read(data, "owner", str),
            forced=_read(data, "forced", dict),
            job=None if job is None else Job.from_json(job),
            answer=_read(data, "answer", dict),
            cost=_usd(data, "cost"),
            written_at=number(data.get("written_at")),
            result=result,
            written=_read(data, "written", dict),
            tables=tables,
            source_version=_read(data, "source_version", dict),
            split_points=_points(_read(data, "split_points", list) or []),
            claim=Claim.from_json(data.get("claim"), at=at),
            usage_before=None if usage is None else UsageSnapshot.from_json(usage),
            history=tuple(_past(past) for past in _read(data, "history", list) or ()),
        )


def total_spent(record: Record | None, parts: list[Record], owner: str | None) -> float:
    """Return USD that a task instance has spent on a recording, as far as its records say.

    :param parts: the records of the recording's parts, if it is split.
    """
    if record is None:
        return 0.0
    own = parts if record.split_points else [record]
    before = record.spent_before if record.split_points else 0.0
    return before + sum((one.cost or 0.0) * (one.owner == owner) + one.spent_before for one in own)


def _state(data: Mapping[str, object]) -> str:
    state = data.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise ValueError(f"its state is {state!r}")
    if state in _REQUIRED and not data.get(_REQUIRED[state]):
        raise ValueError(f"its state is {state!r}, but it has no {_REQUIRED[state]}")
    return state


def _read(data: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    """Return a value that is of this type, if it is there."""
    value = data.get(name)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"its {name} has the type {type(value).__name__}")
    return value


def _usd(data: Mapping[str, object], name: str) -> float | None:
    """Read an amount: a negative one would let a forged record pay for more than the limit."""
    value = number(data.get(name))
    if value is not None and value < 0:
        raise ValueError(f"its {name} is {value!r}")
    return value


def _points(values: list[object]) -> tuple[float, ...]:
    points = tuple(point for value in values if (point := amount(value)))
    if len(points) != len(values) or len(points) > _MAX_PARTS or any(a >= b for a, b in pairwise((0.0, *points))):
        raise ValueError("its split points cannot be read")
    return points


def _past(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("its history cannot be read")
    _usd(value, "cost"), _usd(value, "cost_of_parts")
    return value
