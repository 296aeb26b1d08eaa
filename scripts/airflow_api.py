"""Airflow's public REST API as the scripts and end-to-end tests need it, with the differences of 2.x and 3.x inside.

It keeps its connection open, so asking for a state a few times a second is cheap. Nothing here starts a process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ENDED = frozenset({"success", "failed"})
PAGE = 100
SHOWN_OTHERWISE = frozenset(
    "event timestamp level logger error_detail filename lineno dag_id run_id task_id try_number map_index ti_id".split()
)
T = TypeVar("T")


class AirflowApiError(RuntimeError):
    """Airflow answered with an error status."""

    def __init__(self, status: int, text: str, request: str) -> None:
        super().__init__(f"{request}: {status} {text[:500]}")
        self.status = status


class WaitTimeoutError(RuntimeError):
    """What was waited for did not happen in time."""


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """The state of one task instance; ``pid`` is that of the process which runs it, or ran it last."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    pid: int | None
    id: str | None  # Airflow 3 only

    @property
    def name(self) -> str:
        """The task id, with the map index if it has one."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


def wait_for(ask: Callable[[], T | None], what: str, timeout: float, interval: float = 0.25) -> T:
    """Ask until the answer is neither None nor False, and return it.

    :raises WaitTimeoutError: after ``timeout`` seconds, naming ``what``.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise WaitTimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


class AirflowApi:
    """One Airflow's REST API.

    :param url: address of the API server or the 2.x webserver.
    :param major: 2 or 3.
    :param user: who logs in, with the name as the password; None where nobody has to.
    """

    def __init__(self, url: str, major: int, user: str | None = None) -> None:
        self.url = url
        self.major = major
        self._user = user
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between this machine and itself
        self._root = url + ("/api/v2" if major >= 3 else "/api/v1")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def request(self, method: str, path: str, *, accept: str = "application/json", **options: Any) -> requests.Response:
        """Send a request to a path below ``/api/vN``.

        :raises AirflowApiError: on an error status.
        :raises requests.ConnectionError: if the server is not there.
        """
        answer = self._send(method, path, accept, options)
        if answer.status_code in (401, 403) and self.major >= 3:
            self._log_in()
            answer = self._send(method, path, accept, options)
        if not answer.ok:
            raise AirflowApiError(answer.status_code, answer.text, f"{method} {path}")
        return answer

    def _send(self, method: str, path: str, accept: str, options: dict[str, Any]) -> requests.Response:
        return self._session.request(method, self._root + path, headers={"Accept": accept}, timeout=30, **options)

    def _log_in(self) -> None:
        login = {"username": self._user, "password": self._user} if self._user else None
        answer = self._session.request("POST" if login else "GET", f"{self.url}/auth/token", json=login, timeout=30)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON at a path."""
        return self.request("GET", path, params=parameters).json()

    def heartbeats(self) -> dict[str, float]:
        """Return for each healthy component when it was last heard of, in epoch seconds; empty while none answers."""
        path = "/monitor/health" if self.major >= 3 else "/health"
        try:
            answer = self._send("GET", path, "application/json", {})
        except requests.RequestException:
            return {}
        if not answer.ok:
            return {}
        beats = {}
        for name, state in answer.json().items():
            beat = state and state.get(f"latest_{name}_heartbeat")
            if beat and state["status"] == "healthy":
                beats[name.replace("_", "-")] = datetime.fromisoformat(beat).replace(tzinfo=UTC).timestamp()
        return beats

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG has been parsed and can be run."""
        try:
            found = self.get(f"/dags/{quote(dag_id)}")
        except AirflowApiError as error:
            if error.status == 404:
                return False
            raise
        return not found.get("is_stale", False) and found.get("is_active", True) is not False

    def import_errors(self) -> list[str]:
        """Return what went wrong while parsing DAG files, one text a file."""
        found = self.get("/importErrors")["import_errors"]
        return [f"{error['filename']}\n{error['stack_trace']}" for error in found]

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Wait until a DAG can be run.

        :raises WaitTimeoutError: after ``timeout`` seconds, with the import errors.
        """
        try:
            wait_for(lambda: self.has_dag(dag_id), f"DAG {dag_id}", timeout)
        except WaitTimeoutError as error:
            raise WaitTimeoutError("\n".join([str(error), *self.import_errors()])) from None

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        self.request("PATCH", f"/dags/{quote(dag_id)}", json={"is_paused": False})

    def trigger_dag(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run and return its id."""
        body: dict[str, Any] = {"conf": conf or {}}
        if run_id:
            body["dag_run_id"] = run_id
        if self.major >= 3:
            body["logical_date"] = None
        answer = self.request("POST", f"/dags/{quote(dag_id)}/dagRuns", json=body)
        return str(answer.json()["dag_run_id"])

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state, such as ``running``."""
        return str(self.get(self._run(dag_id, run_id))["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait until a run has ended and return its state."""

        def ended() -> str | None:
            state = self.dag_run_state(dag_id, run_id)
            return state if state in ENDED else None

        return wait_for(ended, f"the end of {dag_id} {run_id}", timeout)

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return all task instances of a run, mapped ones each by itself."""
        found: list[TaskInstance] = []
        while True:
            page = self.get(f"{self._run(dag_id, run_id)}/taskInstances", limit=PAGE, offset=len(found))
            items = page["task_instances"]
            found += [
                TaskInstance(
                    dag_id, run_id, i["task_id"], i["map_index"], i["state"], i["try_number"], i["pid"], i.get("id")
                )
                for i in items
            ]
            if len(items) < PAGE:
                return found

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task instance."""
        for instance in self.task_instances(dag_id, run_id):
            if (instance.task_id, instance.map_index) == (task_id, map_index):
                return instance
        raise LookupError(f"{dag_id} {run_id} has no task {task_id} with map index {map_index}")

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: Iterable[str], *, map_index: int = -1, timeout: float = 60
    ) -> TaskInstance:
        """Wait until a task instance is in one of some states."""
        wanted = frozenset(states)

        def reached() -> TaskInstance | None:
            instance = self.task_instance(dag_id, run_id, task_id, map_index)
            return instance if instance.state in wanted else None

        return wait_for(reached, f"{task_id} being {' or '.join(sorted(wanted))}", timeout)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value; None if there is none."""
        path = f"{self._run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        parameters = {"map_index": map_index, "stringify": "false"}
        try:
            return self.get(path, **parameters)["value"]
        except AirflowApiError as error:
            if error.status == 404:
                return None
            raise

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Return what a try has logged, as text."""
        path = f"{self._run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        accept = "application/json" if self.major >= 3 else "text/plain"
        answer = self.request("GET", path, accept=accept, params={"map_index": map_index, "full_content": "true"})
        if self.major < 3:
            return answer.text
        content = answer.json()["content"]
        return "\n".join(_log_line(line) for line in content)

    def clear_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Clear a task instance, so that it runs again; with 2.x all map indexes of the task."""
        task: Any = [task_id, map_index] if map_index >= 0 and self.major >= 3 else task_id
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task], "only_failed": False}
        self.request("POST", f"/dags/{quote(dag_id)}/clearTaskInstances", json={**body, "reset_dag_runs": True})

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance as ``success`` or ``failed``."""
        path = f"{self._run(dag_id, run_id)}/taskInstances/{quote(task_id)}"
        if map_index >= 0:
            path += f"/{map_index}"
        body = {"new_state": state} if self.major >= 3 else {"new_state": state, "dry_run": False}
        self.request("PATCH", path, json=body)

    def _run(self, dag_id: str, run_id: str) -> str:
        return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"


def _log_line(line: Any) -> str:
    """Write one structured log line as text: the message, what else it says, and the traceback."""
    if not isinstance(line, dict):
        return str(line)
    extras = " ".join(f"{name}={value}" for name, value in line.items() if name not in SHOWN_OTHERWISE)
    parts = [line.get("timestamp") or "", (line.get("level") or "").upper(), str(line.get("event", "")), extras]
    text = " ".join(part for part in parts if part)
    for error in line.get("error_detail") or []:
        text += f"\n    {error.get('exc_type')}: {error.get('exc_value')}"
        frames = error.get("frames") or []
        text += "".join(f"\n      {f.get('filename')}:{f.get('lineno')} {f.get('name')}" for f in frames[-5:])
    return text
