"""Which task instance a record belongs to, and where its record may be, read from Airflow's context. No decisions."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_nanostt.ledger.decision import TaskTry
from airflow_provider_nanostt.ledger.stores import FileStore, MirroredStore, TaskStateStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger.stores import StateAccessor, Store

_TEMPORARY = "__airflow_temporary_run_"
"""How the run ids begin that ``airflow tasks test`` makes, each time another one, and removes again."""

_DAG_TEST = "dag_test"
"""Who starts a run by ``airflow dags test`` or ``dag.test()``, which removes the one before of the same date."""


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """One task instance, whatever the try, or a part or an item of it.

    :param part: one part of a recording that was split, from 1; 0 is the whole.
    :param item: the key of one item of a batch; empty for a task that has only one recording.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    part: int = 0
    item: str = ""

    def for_item(self, item: str, *, shared: bool = False) -> TaskIdentity:
        """Return the identity of one item of a batch.

        :param shared: the same for every task and run that writes into the same folder.
        """
        return TaskIdentity("batch", "any", "any", item=item) if shared else replace(self, item=item)

    def describe(self) -> str:
        """Name the task instance for people."""
        mapped = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} of run {self.run_id}"

    @property
    def digest(self) -> str:
        """A short name that is the same on every try."""
        plain = {name: value for name, value in asdict(self).items() if name not in ("part", "item") or value}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def file_name(self) -> str:
        """A file name that a person can find and that no other task instance has."""
        readable = "-".join(_clean(part) for part in (self.dag_id, self.task_id, self.run_id))
        mapped = f"-{self.map_index}" if self.map_index >= 0 else ""
        part = f"-part-{self.part:03d}" if self.part else ""
        item = f"-item-{_clean(self.item)[:12]}" if self.item else ""
        return f"{readable[:150]}{mapped}{item}{part}-{self.digest}.json"


SHELL = TaskIdentity("nanostt", "transcribe", "from the shell")
"""Of whoever transcribes with the command ``nanostt``: in one folder, one record for a recording and the options of its
job, however often and with whatever else the command is run. Airflow allows no blank in a run id, so no task has it."""


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)[:60]


def task_identity_of(context: Mapping[str, object]) -> TaskIdentity | None:
    """Return the identity of the running task instance; None outside of a task."""
    instance = _instance(context)
    if instance is None:
        return None
    dag_id, task_id, run_id = (str(getattr(instance, name)) for name in ("dag_id", "task_id", "run_id"))
    run = context.get("dag_run")
    if run_id.startswith(_TEMPORARY) or _is_dag_test(run):
        run_id = _test_run_id(run)
    return TaskIdentity(dag_id, task_id, run_id, getattr(instance, "map_index", -1))


def day_of(context: Mapping[str, object]) -> str:
    """Return the day of a run, as in ``2026-11-26``: of its logical date, or of when it was due; the same on every try.

    Outside of a run it is today. All in UTC.
    """
    run = context.get("dag_run")
    dates = (getattr(run, name, None) for name in ("logical_date", "run_after"))
    when = next((date for date in dates if isinstance(date, datetime)), None) or datetime.now(UTC)
    return when.astimezone(UTC).date().isoformat()


def _is_dag_test(run: object) -> bool:
    """Return whether ``dag.test()`` made a run; a run that a task of such a run triggers inherits the user's name."""
    is_triggered = getattr(run, "run_type", None) == "operator_triggered"
    return getattr(run, "triggering_user_name", None) == _DAG_TEST and not is_triggered


def _test_run_id(run: object) -> str:
    """Return the same run id for every test of one date: what one test has paid for, the next one finds.

    It has a space, which Airflow allows in no run id, so that no other run has it.
    """
    date = getattr(run, "logical_date", None)
    return f"test of {date.isoformat() if date else 'no date'}"


def task_try_of(context: Mapping[str, object]) -> TaskTry:
    """Return what Airflow says of this try."""
    instance, task, run = _instance(context), context.get("task"), context.get("dag_run")
    values = {
        "max_tries": getattr(instance, "max_tries", None),
        "try_number": getattr(instance, "try_number", None),
        "retries": getattr(task, "retries", None),
        "clears": getattr(run, "clear_number", None),
    }
    return TaskTry(**{name: value for name, value in values.items() if isinstance(value, int)})


def _instance(context: Mapping[str, object]) -> object:
    return context.get("ti") or context.get("task_instance")


def store_for(
    context: Mapping[str, object], folder: ObjectStoragePath | None, identity: TaskIdentity | None
) -> Store | None:
    """Return where the record is kept: beside the results, in Airflow's task state, or in both; None for nowhere.

    Records of a batch are beside the results only: task state is not made for thousands of records.
    """
    if identity is None:
        return None
    accessor: StateAccessor | None = context.get("task_state_store")  # type: ignore[assignment]  # Airflow >= 3.3
    state = None if accessor is None or identity.item else TaskStateStore(accessor, identity.part)
    if folder is None:
        return state
    beside = FileStore(folder, identity.file_name)
    return beside if state is None else MirroredStore(beside, state)
