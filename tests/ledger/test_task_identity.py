"""Which task instance the ledger takes a run for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_nanostt.ledger.task_identity import task_identity_of

DATE = datetime(2026, 1, 2, tzinfo=UTC)


def digest(run_id: str, user: str = "ada", run_type: str = "manual", date: Any = DATE) -> str:
    run = SimpleNamespace(logical_date=date, triggering_user_name=user, run_type=run_type)
    instance = SimpleNamespace(dag_id="d", task_id="t", run_id=run_id, map_index=-1)
    identity = task_identity_of({"ti": instance, "dag_run": run})
    assert identity is not None
    return identity.digest


def test_tests_of_one_date_are_one():
    """Airflow gives each test a run of its own; another date is another one."""
    assert digest("manual__1", "dag_test") == digest("manual__2", "dag_test")
    assert digest("manual__1", "dag_test") != digest("manual__1", "dag_test", date=datetime(2026, 1, 3, tzinfo=UTC))


def test_what_a_test_triggers_is_no_test():
    """A run that a task of a test has triggered inherits the name of who started it, and is a run as every other."""
    first, second = (digest(f"manual__{n}", "dag_test", "operator_triggered", None) for n in (1, 2))
    assert first != second


def test_no_run_id_that_airflow_allows_is_a_tests():
    """Whatever people call their runs: the pattern by which the API refuses others has no place for it."""
    from airflow.configuration import conf

    pattern = conf.get("scheduler", "allowed_run_id_pattern")
    for date in (None, DATE):
        run = SimpleNamespace(logical_date=date, triggering_user_name="dag_test", run_type="manual")
        instance = SimpleNamespace(dag_id="d", task_id="t", run_id="manual__1", map_index=-1)
        identity = task_identity_of({"ti": instance, "dag_run": run})
        assert identity is not None
        assert not re.fullmatch(pattern, identity.run_id)
