"""What has been paid for: the record that an attempt leaves so that the next one need not pay again.

Written in two phases: an intent before a submit goes out, the ticket right after the answer. The record is found by
dag, task, run and map index, never by the try number, and a fingerprint of audio, model and options tells a changed
task from the same one. It lies beside the results on object storage, or in Airflow's task state; reading it fails
loudly and never degrades to "nothing recorded". What to do about a record is decided here, by :func:`decide`; talking
to the service is not.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_nanostt import storage
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Submission, Upload, number
from airflow_provider_nanostt.signed_urls import unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath

VERSION = 1
STATE_KEY = "nanostt"
FOLDER = ".nanostt"
INTENDED = "intended"
SUBMITTED = "submitted"
LANDED = "landed"
WITHDRAWN = "withdrawn"
"""The states of a record: about to submit, ticket in hand, result in place, certainly not charged."""

_EARLIER_KEPT = 20
_MOST_KEPT = 48_000


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

    :param state: ``intended``, ``submitted``, ``landed`` or ``withdrawn``.
    :param fingerprint: of what was submitted.
    :param source: the audio's name for people, without any signature.
    :param intended_at: epoch seconds of the intent.
    :param likely_cost: USD expected before the submit, None if the length was not known.
    :param balance_before: USD in the account before the submit, None if that could not be told.
    :param job: the ticket, once there is one.
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
    job: Job | None = None
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
        known = self.job.cost if self.job else (self.result or {}).get("cost_usd")
        cost = errors.usd(known) if known is not None else f"likely {errors.usd(self.likely_cost)}"
        return f"{run}, {self.source}, model {self.model}, {cost}, submitted at {when}"

    def as_earlier(self) -> Mapping[str, Any]:
        """Return what a later submit remembers of this one."""
        job = self.job
        return {
            "run_id": job.run_id if job else None,
            "cost": job.cost if job else (self.result or {}).get("cost_usd"),
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

        :raises LedgerError: if it is not one that this version can read.
        """
        try:
            if data["version"] > VERSION:
                raise errors.LedgerError(f"the record is of version {data['version']}; this provider knows {VERSION}")
            job = data.get("job")
            return cls(
                state=str(data["state"]),
                fingerprint=str(data["fingerprint"]),
                source=str(data.get("source") or ""),
                model=str(data.get("model") or ""),
                intended_at=float(data["intended_at"]),
                likely_cost=number(data.get("likely_cost")),
                balance_before=number(data.get("balance_before")),
                job=Job.from_json(job) if job else None,
                landed_at=number(data.get("landed_at")),
                result=data.get("result"),
                earlier=tuple(data.get("earlier") or ()),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise errors.LedgerError(f"the record cannot be read ({type(error).__name__}: {error})") from error


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user wants done about a record.

    :param force: submit afresh, whatever is recorded.
    :param on_changed_input: ``submit`` or ``fail`` when the record is of another audio, model or option.
    :param on_ambiguous_submit: ``fail`` or ``resubmit`` when nobody knows whether the last submit was charged.
    :param on_lost_job: ``fail`` or ``submit`` when the service no longer knows the job.
    :raises InvalidInput: for any other word.
    """

    force: bool = False
    on_changed_input: str = "submit"
    on_ambiguous_submit: str = "fail"
    on_lost_job: str = "fail"

    def __post_init__(self) -> None:
        allowed = {
            "on_changed_input": ("submit", "fail"),
            "on_ambiguous_submit": ("fail", "resubmit"),
            "on_lost_job": ("fail", "submit"),
        }
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                raise errors.InvalidInput(f"{name}={getattr(self, name)!r}; it is one of {', '.join(words)}")


SUBMIT = "submit"
ATTACH = "attach"
RETURN = "return"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt is to do: ``submit``, ``attach`` to the recorded job, or ``return`` the recorded result."""

    action: str
    why: str = ""


def decide(entry: Entry | None, wanted: str, rules: Rules) -> Decision:
    """Decide what to do about the record of earlier attempts.

    :param wanted: fingerprint of what the task asks for now.
    :raises InputChanged: if the record is of something else and the rules say to fail.
    :raises EarlierSubmitUnknown: if nobody knows whether the last submit was charged and the rules say to fail.
    """
    if entry is None or entry.state == WITHDRAWN:
        return Decision(SUBMIT)
    if rules.force:
        return Decision(SUBMIT, f"force is set, so this submits once more; before: {entry.told()}")
    if entry.fingerprint != wanted:
        if rules.on_changed_input == "fail":
            raise errors.InputChanged(entry.told())
        return Decision(
            SUBMIT, f"The audio, model or options have changed, so this submits anew; before: {entry.told()}"
        )
    if entry.state == INTENDED:
        if rules.on_ambiguous_submit == "fail":
            raise errors.EarlierSubmitUnknown(entry.told(), likely_cost=entry.likely_cost, before=entry.balance_before)
        return Decision(SUBMIT, f"on_ambiguous_submit is 'resubmit', so this submits again; before: {entry.told()}")
    return _reuse(entry)


def _reuse(entry: Entry) -> Decision:
    """Decide about a record of the very same submission, known to be charged."""
    if entry.result is not None:
        return Decision(RETURN, f"Already transcribed and paid for: {entry.told()}")
    if entry.job is not None:
        return Decision(ATTACH, f"Already submitted and paid for: {entry.told()}")
    return Decision(SUBMIT, f"The earlier result was not kept and cannot be asked for again: {entry.told()}")


class Store(Protocol):
    """Where one record lies."""

    where: str
    keeps_text: bool
    """Whether a whole result may be kept here: true only where that is neither large nor shown around."""

    def load(self) -> Any:
        """Return the record as JSON, or None if there certainly is none."""

    def save(self, record: dict[str, Any], *, is_open: bool) -> None:
        """Keep the record; ``is_open`` while a job may still be running."""


class FileStore:
    """A record as a file beside the results."""

    keeps_text = False

    def __init__(self, folder: ObjectStoragePath, identity: Identity) -> None:
        self._file = storage.child(folder, (FOLDER, identity.file_name))
        self.where = str(self._file)

    def load(self) -> Any:
        """Return the record, or None if the storage says that there is none."""
        data = storage.read(self._file)
        return None if data is None else json.loads(data)

    def save(self, record: dict[str, Any], *, is_open: bool) -> None:  # noqa: ARG002  files do not expire
        """Replace the record."""
        storage.write(self._file, json.dumps(record, indent=1).encode())


class TaskStateStore:
    """A record in Airflow's own task state (3.3 and newer), which survives retries.

    :param accessor: ``context["task_state_store"]``.
    :param forever: Airflow's ``NEVER_EXPIRE``; an open job's record must not expire.
    """

    keeps_text = True
    where = "Airflow's task state"

    def __init__(self, accessor: Any, forever: Any) -> None:
        self._accessor = accessor
        self._forever = forever

    def load(self) -> Any:
        """Return the record, or None if there is none."""
        return self._accessor.get(STATE_KEY)

    def save(self, record: dict[str, Any], *, is_open: bool) -> None:
        """Replace the record, and make sure that it arrived: setting a value does not report a refusal."""
        self._accessor.set(STATE_KEY, record, retention=self._forever if is_open else None)
        if self._accessor.get(STATE_KEY) != json.loads(json.dumps(record)):
            raise OSError("Airflow did not keep the record")


class Ledger:
    """Reads and writes the record of one task instance.

    :param store: where it lies; None keeps nothing, and every attempt begins anew.
    :param clock: epoch seconds.
    """

    def __init__(self, store: Store | None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self.entry: Entry | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a retry will find what this attempt writes."""
        return self._store is not None

    @property
    def where(self) -> str:
        """Where the record lies, for people."""
        return self._store.where if self._store else "nowhere"

    def find(self) -> Entry | None:
        """Return the record of earlier attempts.

        :raises LedgerError: if it cannot be told whether there is one.
        """
        if self._store is None:
            return None
        try:
            data = self._store.load()
        except Exception as error:  # whatever a storage raises, it is not the answer "no record"
            raise errors.LedgerError(f"{self.where} cannot be read ({type(error).__name__}: {error})") from error
        self.entry = None if data is None else Entry.from_json(data)
        return self.entry

    def intend(self, submission: Submission, *, likely_cost: float | None, balance: float | None) -> None:
        """Record that a submit is about to go out.

        :raises LedgerError: if that cannot be recorded; then nothing may be submitted.
        """
        past: tuple[Mapping[str, Any], ...] = self.entry.earlier if self.entry else ()
        if self.entry and self.entry.state != WITHDRAWN:
            past = (*past, self.entry.as_earlier())[-_EARLIER_KEPT:]
        self._save(
            Entry(
                state=INTENDED,
                fingerprint=fingerprint(submission),
                source=submission.name,
                model=submission.model,
                intended_at=self._clock(),
                likely_cost=likely_cost,
                balance_before=balance,
                earlier=past,
            )
        )

    def withdraw(self) -> None:
        """Take the intent back: the service certainly charged nothing."""
        if self.entry:
            self._save(replace(self.entry, state=WITHDRAWN))

    def submitted(self, job: Job) -> None:
        """Record the ticket."""
        if self.entry:
            self._save(replace(self.entry, state=SUBMITTED, job=job))

    def landed(self, result: Mapping[str, Any]) -> None:
        """Record that the result exists; kept whole where it may be and no service could be asked for it again."""
        if self.entry:
            kept = result if self._keeps(self.entry, result) else None
            self._save(replace(self.entry, state=LANDED, landed_at=self._clock(), result=kept))

    def _keeps(self, entry: Entry, result: Mapping[str, Any]) -> bool:
        if "files" in result:
            return True
        return (
            entry.job is None
            and self._store is not None
            and self._store.keeps_text
            and len(json.dumps(result)) <= _MOST_KEPT
        )

    def _save(self, entry: Entry) -> None:
        self.entry = entry
        if self._store is None:
            return
        try:
            self._store.save(entry.to_json(), is_open=entry.state in (INTENDED, SUBMITTED))
        except Exception as error:
            raise errors.LedgerError(f"{self.where} cannot be written ({type(error).__name__}: {error})") from error
