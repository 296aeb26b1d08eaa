"""What follows from a record: the user's rules, and the one decision that follows from both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.ledger.record import FAILED, INTENDED, WITHDRAWN, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBMIT = "submit"
REATTACH = "reattach"
WRITE_ANSWER = "write_answer"
REUSE = "reuse"
RESUME_PARTS = "resume_parts"
VERIFY = "verify"

WORDS = {
    "on_changed_input": ("submit", "fail"),
    "on_ambiguous_submit": ("fail", "resubmit", "verify"),
    "on_lost_job": ("fail", "submit"),
}


@dataclass(frozen=True, slots=True)
class RecoveryRules:
    """What the user wants done about a record.

    :param force: submit afresh, whatever is recorded.
    :param on_changed_input: ``submit`` or ``fail`` when the record is of another recording, model or option.
    :param on_ambiguous_submit: ``fail``, ``resubmit`` or ``verify`` when nobody knows whether the last submit was
        charged.
    :param on_lost_job: ``fail`` or ``submit`` when the service no longer knows the job.
    :raises InvalidInput: for any other word.
    """

    force: bool = False
    on_changed_input: str = "submit"
    on_ambiguous_submit: str = "fail"
    on_lost_job: str = "fail"

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise errors.InvalidInput(f"{name} must be one of {', '.join(words)}; got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class TaskTry:
    """What Airflow says of one try of a task; None for what it does not say.

    :param max_tries: the number of the try before the last clear, and the retries that the task had then.
    :param retries: that the task has now.
    :param clears: how often any task of the run was cleared.
    """

    max_tries: int | None = None
    try_number: int | None = None
    retries: int | None = None
    clears: int | None = None

    def is_of_same_clear(self, forced: Mapping[str, object], *, is_complete: bool) -> bool:
        """Return whether the task was not cleared between another try and this one.

        Only a clear changes ``max_tries``; but one may leave it as it is, if the task has fewer retries than before.

        :param forced: the other try, as it was recorded.
        :param is_complete: whether the other try, or one after it, has come to a result.
        """
        if self.max_tries is None or self.max_tries != forced.get("max_tries"):
            return False
        other = number(forced.get("try_number"))
        if self.try_number is None or self.retries is None or other is None or self.try_number == other:
            return True
        if self.max_tries - self.retries < other:  # the last clear came before the other try
            return True
        return not is_complete and (self.clears or 0) <= (number(forced.get("clears")) or 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt is to do, and the reason.

    :param action: ``submit``, ``reattach`` to the recorded job, ``write_answer``: write the recorded answer, ``reuse``
        the recorded result, ``resume_parts``: go on with the recorded parts, or ``verify`` by the service's figures
        that the last submit was not charged, and only then submit.
    """

    action: str
    reason: str = ""


def decide(record: Record | None, fingerprint: str, rules: RecoveryRules) -> Decision:
    """Decide what to do about the record of earlier attempts.

    :param fingerprint: of what the task asks for now.
    :raises OrphanedSubmit: if nobody knows whether the last submit was charged and the rules say to fail; also when the
        input has changed since, or a list that changes its order would hide it.
    :raises InputChanged: if the record is of something else and the rules say to fail.
    """
    if record is None or record.state == WITHDRAWN:
        return Decision(SUBMIT)
    before = record.describe()
    if rules.force:
        return Decision(SUBMIT, f"force is set, so this submits once more; before: {before}")
    if record.state == INTENDED and rules.on_ambiguous_submit == "fail":
        raise errors.OrphanedSubmit(before, estimated_cost=record.estimated_cost, before=record.balance_before)
    if record.state == INTENDED and rules.on_ambiguous_submit == "verify":
        return Decision(VERIFY, f"The service's figures show no charge for it, so this submits again; before: {before}")
    if record.fingerprint != fingerprint:
        if rules.on_changed_input == "fail":
            raise errors.InputChanged(before)
        return Decision(SUBMIT, f"The audio, model or options have changed, so this submits anew; before: {before}")
    if record.state == INTENDED:
        return Decision(SUBMIT, f"on_ambiguous_submit is 'resubmit', so this submits again; before: {before}")
    return _decide_for_same_request(record, before)


def _decide_for_same_request(record: Record, before: str) -> Decision:
    """Decide about a record of the very same request, whose answer is known."""
    if record.state == FAILED:
        return Decision(SUBMIT, f"The service gave up on it, so this submits anew; before: {before}")
    if record.result is not None:
        return Decision(REUSE, f"Already transcribed and paid for: {before}")
    if record.split_points:
        return Decision(RESUME_PARTS, f"Already split, its parts submitted one by one: {before}")
    if record.job is not None:
        return Decision(REATTACH, f"Already submitted and paid for: {before}")
    if record.answer is not None:
        return Decision(WRITE_ANSWER, f"Already answered and paid for, but not written yet: {before}")
    return Decision(SUBMIT, f"The earlier result was not kept and cannot be fetched again: {before}")
