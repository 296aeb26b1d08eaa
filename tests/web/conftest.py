"""Tasks that have run in a real Airflow, and its own web application with the tab in it, for several users."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_nanostt import _compat
from airflow_provider_nanostt.emulator import Emulator
from tests.conftest import AUDIO, TEXT

DAG_ID = "tab"
DAGS = Path(__file__).parent / "dags"

RUN = """
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag
from airflow_provider_nanostt import triggers
from airflow_provider_nanostt.polling import Schedule
triggers.EARLIEST_EVENT = 0.0  # only real Airflow needs the pause
add = Schedule.add
Schedule.add = lambda *given, **how: add(*given, **{**how, "poll_interval": 0.05})
bag = DagBag(%r)
assert not bag.import_errors, bag.import_errors
run = bag.dags["tab"].test()
print("RAN", run.run_id)
"""

_USERS = {"admin": "ADMIN", "viewer": "VIEWER", "nobody": ""}


@dataclass
class Ran:
    """A run of the DAG above.

    :param out: the folder that has the folders of all its tasks.
    """

    run_id: str
    out: Path

    def path(
        self, task_id: str, rest: str = "", *, map_index: object = "{MAP_INDEX}", run_id: str | None = None
    ) -> str:
        """Return the address of a task's tab, or of something in it."""
        run = quote(run_id or self.run_id, safe=":+")
        return f"/nanostt/tab/{DAG_ID}/{run}/{task_id}/{quote(str(map_index))}{rest}"


@pytest.fixture(scope="package")
def home() -> Path:
    """Return this process's Airflow home, with its migrated database."""
    if not _compat.HAS_TABS:
        pytest.skip("this Airflow has no tabs")
    home = Path(os.environ.get("AIRFLOW_HOME", "/nowhere"))
    if not (home / "pristine.db").exists():
        pytest.skip("needs a migrated database: run it by `make unit` or `make matrix`")
    return home


@pytest.fixture(scope="package")
def ran(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the DAG once, in a process of its own that shares this one's database."""
    folder = tmp_path_factory.mktemp("tab")
    for name in ("note.wav", "call.wav"):
        (folder / name).write_bytes((AUDIO / "weekly-note.wav").read_bytes() + name.encode())
    with Emulator(processing_seconds=0.05, speed=100.0) as emulator:
        emulator.script("*.*", text=TEXT, duration=30.0)
        done = subprocess.run(
            [sys.executable, "-c", RUN % str(DAGS)],
            env={
                **os.environ,
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
                "AIRFLOW_CONN_NANOGPT_DEFAULT": emulator.connection_json,
                "TAB_AUDIO": str(folder),
                "TAB_OUT": str(folder / "out"),
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("RAN ")]
    assert found, done.stdout[-3000:] + done.stderr[-3000:]
    return Ran(found[0], folder / "out")


@pytest.fixture(scope="package")
def server(home: Path) -> Iterator[Any]:
    """Airflow's own web application, with the plugin loaded as Airflow loads it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", ",".join(f"{n}:{r}" for n, r in _USERS.items() if r))
        patched.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(home / "passwords.json"))
        patched.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        from airflow.api_fastapi.app import create_app, purge_cached_app

        yield create_app(apps="core")
        purge_cached_app()


@pytest.fixture
def client(server: Any, ran: Ran) -> Callable[[str | None], Any]:
    """Return a browser of a user; of nobody who has logged in for None."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    def browser(name: str | None) -> Any:
        found = TestClient(server, raise_server_exceptions=True)
        if name is not None:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=_USERS[name] or None))
            found.cookies.set("_token", token)
        return found

    return browser


@pytest.fixture
def viewer(client: Callable[[str | None], Any]) -> Any:
    """Return the browser of a user who may read."""
    return client("viewer")


@contextmanager
def changed(task_id: str, **values: Any) -> Iterator[None]:
    """Open a block in which the database says something else of a task.

    :param values: ``state``; ``rendered``, some of the rendered fields, None for none at all; or keys of XCom.
    """
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def apply(wanted: dict[str, Any]) -> dict[str, Any]:
        before: dict[str, Any] = {}
        with create_session() as session:
            # Another file of these tests may have run the DAG in this process before: the last run counts.
            ours = select(TaskInstance).where(TaskInstance.dag_id == DAG_ID, TaskInstance.task_id == task_id)
            ti = session.scalars(ours.order_by(TaskInstance.run_id.desc(), TaskInstance.map_index)).first()
            for name, value in wanted.items():
                if name == "state":
                    before[name], ti.state = ti.state, value
                elif name == "rendered":
                    row = _rendered_row(session, ti, Rendered)
                    before[name] = dict(row.rendered_fields)
                    row.rendered_fields = {} if value is None else {**row.rendered_fields, **value}
                else:
                    statement = XComModel.get_many(
                        key=name, dag_ids=DAG_ID, run_id=ti.run_id, task_ids=task_id, map_indexes=ti.map_index
                    )
                    row = session.scalars(statement).first()
                    before[name], stored = row.value, value if isinstance(value, str) else json.dumps(value)
                    if hasattr(XComModel, "set_for_attempt"):  # 3.4
                        XComModel.set_for_attempt(
                            key=name, value=stored, task_instance_id=ti.id, serialize=False, session=session
                        )
                    else:
                        row.value = stored
        return before

    old = apply(values)
    try:
        yield
    finally:
        apply({name: value for name, value in old.items() if name != "rendered"})
        if "rendered" in old:
            apply({"rendered": old["rendered"]})


def _rendered_row(session: Any, ti: Any, model: Any) -> Any:
    from sqlalchemy import select

    if hasattr(model, "task_instance_id"):  # 3.4
        return session.scalars(select(model).where(model.task_instance_id == ti.id)).one()
    return session.scalars(
        select(model).where(
            model.dag_id == ti.dag_id, model.task_id == ti.task_id, model.run_id == ti.run_id, model.map_index == -1
        )
    ).one()
