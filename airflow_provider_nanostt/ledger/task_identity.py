"""What the context of an Airflow task tells: whose record it is, which round of tries, and where the record may lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import NEVER_EXPIRE
from airflow_provider_nanostt.ledger import FileStore, MirroredStore, TaskIdentity, TaskStateStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger import Store


def task_identity_of(context: Mapping[str, Any]) -> TaskIdentity | None:
    """Return whose record it is; None outside of a task."""
    instance = _instance(context)
    if instance is None:
        return None
    return TaskIdentity(instance.dag_id, instance.task_id, instance.run_id, getattr(instance, "map_index", -1))


def clear_generation_of(context: Mapping[str, Any]) -> int | None:
    """Return what tells retries of one round from the next: Airflow's ``max_tries``, which only a clear raises."""
    most = getattr(_instance(context), "max_tries", None)
    return most if isinstance(most, int) else None


def _instance(context: Mapping[str, Any]) -> Any:
    return context.get("ti") or context.get("task_instance")


def store_for(
    context: Mapping[str, Any], folder: ObjectStoragePath | None, identity: TaskIdentity | None
) -> Store | None:
    """Return where the record lies: beside the results, in Airflow's task state, or in both; None for nowhere.

    What is of a batch lies beside the results only: task state is not made for thousands of records.
    """
    if identity is None:
        return None
    accessor = context.get("task_state_store")
    state = None if accessor is None or identity.item else TaskStateStore(accessor, NEVER_EXPIRE, identity.part)
    if folder is None:
        return state
    beside = FileStore(folder, identity)
    return beside if state is None else MirroredStore(beside, state)
