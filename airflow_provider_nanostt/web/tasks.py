"""What Airflow's database knows of a task instance: its state, its rendered fields, and what it left in XCom.

XCom may be changed by whoever has the right to, so it is a hint and never a proof. Rendered fields are written by the
task's own process when it starts, and no address of Airflow's changes them. Nothing of a storage here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_nanostt.common.numbers import mapping
from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.ledger.task_identity import task_identity_of
from airflow_provider_nanostt.web import OPERATORS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RESULT = "return_value"
WAITING = "waiting"
_MARKS = ("_link_TranscriptLink", WAITING)
"""What Airflow keeps of our button, and what our tasks leave when they wait: a derived class has them, too."""

_KEYS = (RESULT, WAITING, "run_id", "cost_usd", "charged_minutes", "next_step", "manifest")
_MAX_CHARS = 4_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """A task instance.

    :param writer: whom its files name; for a run that is a test, not the same as ``identity``.
    :param state: Airflow's word; None before it is scheduled.
    :param is_ours: whether it is a task of this provider.
    :param rendered: its template fields as they were rendered for the last try; empty if Airflow has them no longer.
    :param xcom: the values under the keys that our tasks use.
    """

    identity: TaskIdentity
    writer: TaskIdentity
    state: str | None
    is_ours: bool
    rendered: Mapping[str, object] = field(default_factory=dict)
    xcom: Mapping[str, object] = field(default_factory=dict)

    @property
    def result(self) -> Mapping[str, object]:
        """What the task returned; empty if it has not."""
        return mapping(self.xcom.get(RESULT))


def load(identity: TaskIdentity) -> Task | None:
    """Return a task instance; None if there is no such one."""
    with create_session() as session:
        found = session.scalar(
            select(TaskInstance).filter_by(
                dag_id=identity.dag_id, run_id=identity.run_id, task_id=identity.task_id, map_index=identity.map_index
            )
        )
        if found is None:
            return None
        writer = task_identity_of({"ti": found, "dag_run": found.dag_run}) or identity
        name = getattr(found, "custom_operator_name", None) or found.operator
        state = None if found.state is None else str(getattr(found.state, "value", found.state))
        if name not in OPERATORS and not any(_xcom(session, identity, key) for key in _MARKS):
            return Task(identity, writer, state, is_ours=False)
        rendered = RenderedTaskInstanceFields.get_templated_fields(found, session=session)
        xcom = {key: _xcom(session, identity, key) for key in _KEYS}
        return Task(identity, writer, state, is_ours=True, rendered=mapping(rendered), xcom=xcom)


def _xcom(session: Session, identity: TaskIdentity, key: str) -> object:
    """Return a value as plain JSON. No object is made of it, whatever it says that it is."""
    statement = XComModel.get_many(
        key=key,
        dag_ids=identity.dag_id,
        run_id=identity.run_id,
        task_ids=identity.task_id,
        map_indexes=identity.map_index,
        limit=1,
    )
    row: Any = session.scalars(statement).first()
    value: object = None if row is None else row.value
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if len(value) <= _MAX_CHARS else None
    except (ValueError, RecursionError):
        return value
