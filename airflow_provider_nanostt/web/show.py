"""Which of the tab's views a task has now: decided from what Airflow knows of it. No I/O, no markup."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_nanostt.common.numbers import amount, mapping
from airflow_provider_nanostt.web.tasks import WAITING, Task
from airflow_provider_nanostt.web.views import Failed, Text, Waiting

_FAILED = frozenset(("failed", "up_for_retry", "upstream_failed"))
_ENDED = _FAILED | {"success", "skipped", "removed"}
_MAX_TEXT = 400_000


@dataclass(frozen=True, slots=True)
class Page:
    """The page of the task's recording."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of the batch."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """One line.

    :param may_change: whether there may be more to be shown soon.
    """

    message: str
    may_change: bool = False


View = Page | Table | Text | Failed | Waiting | Quiet


def view_of(task: Task) -> View:
    """Return what is to be shown of a task."""
    if not task.is_ours:
        return Quiet("This task makes no transcript.")
    if task.state in _FAILED:
        return _failed(task)
    return _result(task) if task.state in _ENDED else _waiting(task)


def _result(task: Task) -> View:
    result = task.result
    if mapping(result.get("manifest")):
        return Table()
    if mapping(result.get("files")):
        return Page()
    if isinstance(text := result.get("transcription"), str):
        return Text(
            text[:_MAX_TEXT],
            model=_text(result.get("model")),
            language=_text(result.get("language")),
            cost_usd=amount(result.get("cost_usd")),
            charged_minutes=amount(result.get("charged_minutes")),
            is_cut=len(text) > _MAX_TEXT,
        )
    if "job" in result:
        return Quiet("This task has submitted the recording and left the waiting to another task, which has its page.")
    return Quiet("This task has left no transcript.")


def _failed(task: Task) -> Failed:
    return Failed(
        next_step=_text(task.xcom.get("next_step")),
        run_id=_text(task.xcom.get("run_id")),
        cost_usd=amount(task.xcom.get("cost_usd")),
        charged_minutes=amount(task.xcom.get("charged_minutes")),
        has_manifest=bool(mapping(task.xcom.get("manifest"))),
        state=str(task.state),
    )


def _waiting(task: Task) -> Waiting | Quiet:
    """Return how a task waits, by what it left when it began to."""
    given = mapping(task.xcom.get(WAITING))
    if not given:
        return Quiet("Nothing has been submitted yet. This page follows the task.", may_change=True)
    items, run_ids, jobs = given.get("items"), given.get("run_ids"), given.get("jobs")
    return Waiting(
        run_ids=list(map(str, run_ids)) if isinstance(run_ids, list) else [],
        model=_text(given.get("model")),
        submitted_at=amount(given.get("submitted_at")),
        expected_at=amount(given.get("expected_at")),
        cost_usd=amount(given.get("cost_usd")),
        minutes=amount(given.get("charged_minutes")),
        items=items if isinstance(items, int) else None,
        record=_text(given.get("record")),
        jobs=jobs if isinstance(jobs, int) else 0,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
