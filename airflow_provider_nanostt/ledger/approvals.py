"""What people were asked before money was spent, and what they answered: one record for a task instance.

Beside the records of what was paid for. Airflow's task state (3.3 and newer) has a digest of what was approved, so that
it can be told from a forged one; before 3.3, whoever may write into the folder may forge it. What cannot be read is no
approval. Nobody is asked here, and nothing is decided but what an approval covers.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import amount
from airflow_provider_nanostt.ledger.stores import FileStore, ledger_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger.stores import StateAccessor
    from airflow_provider_nanostt.ledger.task_identity import TaskIdentity

VERSION = 1

APPROVED = "approved"
REJECTED = "rejected"
TIMED_OUT = "timed_out"

_ANSWERS = ("", APPROVED, REJECTED, TIMED_OUT)
_MAX_HISTORY = 20
_MAX_CHARS = 300
_SEAL_KEY = "nanostt-approval"
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class SpendingRequest:
    """What a person was asked for, and the answer.

    :param usd: what all of it may cost, with what earlier tries of the task have spent.
    :param expected_usd: what it was expected to cost.
    :param items: the keys of the recordings in the list.
    :param digest: of the list: the same recordings have the same, in any order.
    :param asked_at: epoch seconds; ``answered_at`` likewise, None while there is no answer.
    :param answer: one of the words above; empty while there is none.
    :param user_id: of who has answered, and the name, as Airflow has them; empty where nobody has.
    :param unlimited: how many of them may cost any amount.
    """

    usd: float
    expected_usd: float
    items: tuple[str, ...]
    digest: str
    asked_at: float
    answer: str = ""
    answered_at: float | None = None
    user_id: str = ""
    user_name: str = ""
    unlimited: int = 0

    @classmethod
    def of(cls, usd: float, expected_usd: float, items: Iterable[str], unlimited: int = 0) -> SpendingRequest:
        """Return a request that is made now."""
        ordered = tuple(sorted(set(items)))
        digest = hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16]
        return cls(usd, expected_usd, ordered, digest, time.time(), unlimited=unlimited)

    def covers(self, usd: float, items: Iterable[str], unlimited: int = 0) -> bool:
        """Return whether it is for these recordings, all of them, and for as much."""
        return usd <= self.usd + _ROUNDING and unlimited <= self.unlimited and self.has(items)

    def has(self, items: Iterable[str]) -> bool:
        """Return whether all of these recordings were in the list."""
        return set(items) <= set(self.items)

    @property
    def seal(self) -> str:
        """A digest of all of it."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """Say in one line for how much and by whom."""
        who = f" by {self.user_name or self.user_id}" if self.user_id else ""
        return f"up to {errors.usd(self.usd)} for {len(self.items)} recordings{who}"

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON; :meth:`from_json` reads it back."""
        return {**asdict(self), "items": list(self.items)}

    @classmethod
    def from_json(cls, data: object) -> SpendingRequest | None:
        """Read it; None if there is none.

        :raises ValueError: if it is not what this package writes.
        """
        if data is None:
            return None
        if not isinstance(data, Mapping):
            raise ValueError("a request to spend is no mapping")  # noqa: TRY004  its value is wrong, whatever it is
        usd, expected, asked = (amount(data.get(name)) for name in ("usd", "expected_usd", "asked_at"))
        items, answer = data.get("items"), data.get("answer")
        if usd is None or expected is None or asked is None:
            raise ValueError("an amount or a time is missing in a request to spend")
        if not isinstance(items, list) or not all(isinstance(key, str) for key in items) or answer not in _ANSWERS:
            raise ValueError("the list or the answer of a request to spend cannot be read")
        unlimited = data.get("unlimited", 0)
        if type(unlimited) is not int:
            raise ValueError("a request to spend does not say how many recordings may cost any amount")
        made = replace(cls.of(usd, expected, items, unlimited), asked_at=asked)
        if data.get("digest") != made.digest:
            raise ValueError("the digest of a request to spend is of another list")
        return replace(
            made,
            answer=str(answer),
            answered_at=amount(data.get("answered_at")),
            user_id=str(data.get("user_id") or "")[:_MAX_CHARS],
            user_name=str(data.get("user_name") or "")[:_MAX_CHARS],
        )


class Approvals:
    """The record of one task instance: ``approved`` is what holds, ``asked`` what nobody has answered yet.

    ``problem`` says why there is no approval.

    :param folder: for results.
    :param state: Airflow's task state, None before 3.3.
    :param may_have_lost_state: whether the task was cleared, which takes its state away on Airflow 3.4.
    """

    def __init__(
        self,
        folder: ObjectStoragePath,
        identity: TaskIdentity,
        state: StateAccessor | None,
        *,
        may_have_lost_state: bool,
    ) -> None:
        self._state = state
        self._must_be_sealed = state is not None and not may_have_lost_state
        self._store = FileStore(folder, f"{identity.file_name.removesuffix('.json')}.approval")
        self.path = self._store.path
        self.approved: SpendingRequest | None = None
        self.asked: SpendingRequest | None = None
        self.problem: str | None = None
        self._history: list[Mapping[str, object]] = []

    def load(self) -> None:
        """Read the record; one that is damaged is no approval.

        :raises LedgerError: if the storage does not say whether there is one.
        """
        try:
            data = self._store.load()
            if data is not None:
                self._read(data)
        except Exception as error:  # whatever a storage raises
            failure = errors.LedgerError.of(f"{self.path} cannot be read", error)
            if not failure.damaged:
                raise failure from error
            self.approved = self.asked = None
            self.problem = errors.describe_exception(error)

    def _read(self, data: Mapping[str, object]) -> None:
        version, past = data.get("version"), data.get("history")
        if version != VERSION:
            raise ValueError(f"the record has version {version!r}; this provider knows {VERSION}")
        approved = SpendingRequest.from_json(data.get("approved"))
        if approved is not None and (approved.answer != APPROVED or not approved.user_id):
            raise ValueError("an approval has nobody who approved")
        seal = None if self._state is None else self._state.get(_SEAL_KEY)
        if approved is not None and seal is not None and seal != approved.seal:
            raise ValueError("Airflow's own state has another approval")
        if approved is not None and seal is None and self._must_be_sealed:
            approved, self.problem = None, "Airflow knows nothing of it"
        self.approved, self.asked = approved, SpendingRequest.from_json(data.get("asked"))
        self._history = [one for one in past if isinstance(one, Mapping)] if isinstance(past, list) else []

    def ask(self, request: SpendingRequest) -> None:
        """Record what a person is being asked; raises as :meth:`answer`."""
        self.asked = request
        self._save()

    def answer(self, word: str, *, user_id: str = "", user_name: str = "") -> SpendingRequest | None:
        """Record the answer to what was asked last; return that, None if nothing was.

        :param word: ``approved``, ``rejected`` or ``timed_out``.
        :raises LedgerError: if it cannot be recorded.
        :raises SubmittedElsewhere: if another try of the task has changed the record meanwhile.
        """
        if self.asked is None:
            return None
        done = replace(
            self.asked,
            answer=word,
            answered_at=time.time(),
            user_id=user_id[:_MAX_CHARS],
            user_name=user_name[:_MAX_CHARS],
        )
        past = done
        if word == APPROVED:
            if self._state is not None:  # first: a record without it is still whole
                self._state.set(_SEAL_KEY, done.seal, retention=None)
            past, self.approved = self.approved or done, done
        if past is not self.approved:
            self._history = [*self._history, {**past.to_json(), "items": []}][-_MAX_HISTORY:]
        self.asked = None
        self._save()
        return done

    def _save(self) -> None:
        record = {
            "version": VERSION,
            "token": secrets.token_hex(8),  # no other try writes the same bytes
            "approved": self.approved and self.approved.to_json(),
            "asked": self.asked and self.asked.to_json(),
            "history": self._history,
        }
        with ledger_errors(f"{self.path} cannot be written"):
            is_ours = self._store.claim(record)
        if not is_ours:
            raise errors.SubmittedElsewhere(f"Another try of this task is writing {self.path}")
