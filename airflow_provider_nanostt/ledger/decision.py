"""What to do about a record: the user's rules, and the one decision that follows from both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.ledger.entry import FAILED, INTENDED, WITHDRAWN

if TYPE_CHECKING:
    from airflow_provider_nanostt.ledger.entry import Entry

SUBMIT = "submit"
REATTACH = "reattach"
WRITE_ANSWER = "write_answer"
REUSE = "reuse"
RESUME_PARTS = "resume_parts"


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
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


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt is to do, and why.

    :param action: ``submit``, ``attach`` to the recorded job, ``land`` the recorded answer, ``return`` the recorded
        result, or go on with the recorded ``parts``.
    """

    action: str
    why: str = ""


def decide(entry: Entry | None, wanted: str, rules: RecoveryPolicy) -> Decision:
    """Decide what to do about the record of earlier attempts.

    :param wanted: fingerprint of what the task asks for now.
    :raises OrphanedSubmit: if nobody knows whether the last submit was charged and the rules say to fail; also
        when the input has changed since, or a list that changes its order would hide it.
    :raises InputChanged: if the record is of something else and the rules say to fail.
    """
    if entry is None or entry.state == WITHDRAWN:
        return Decision(SUBMIT)
    if rules.force:
        return Decision(SUBMIT, f"force is set, so this submits once more; before: {entry.describe()}")
    if entry.state == INTENDED and rules.on_ambiguous_submit == "fail":
        raise errors.OrphanedSubmit(entry.describe(), estimated_cost=entry.estimated_cost, before=entry.balance_before)
    if entry.fingerprint != wanted:
        if rules.on_changed_input == "fail":
            raise errors.InputChanged(entry.describe())
        return Decision(
            SUBMIT, f"The audio, model or options have changed, so this submits anew; before: {entry.describe()}"
        )
    if entry.state == INTENDED:
        return Decision(SUBMIT, f"on_ambiguous_submit is 'resubmit', so this submits again; before: {entry.describe()}")
    return _reuse(entry)


def _reuse(entry: Entry) -> Decision:
    """Decide about a record of the very same submission, whose answer is known."""
    if entry.state == FAILED:
        return Decision(SUBMIT, f"The service gave up on it, so this submits anew; before: {entry.describe()}")
    if entry.result is not None:
        return Decision(REUSE, f"Already transcribed and paid for: {entry.describe()}")
    if entry.cuts:
        return Decision(RESUME_PARTS, f"Already split, its parts submitted one by one: {entry.describe()}")
    if entry.job is not None:
        return Decision(REATTACH, f"Already submitted and paid for: {entry.describe()}")
    if entry.answer is not None:
        return Decision(WRITE_ANSWER, f"Already answered and paid for, though it never landed: {entry.describe()}")
    return Decision(SUBMIT, f"The earlier result was not kept and cannot be asked for again: {entry.describe()}")
