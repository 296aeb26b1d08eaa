"""What the tests of paying once share: an Airflow on PostgreSQL, the emulator that counts charges, and runs to look at.

States are read from the metadata database, because a dozen threads that wait for moments would keep the API server
busier than the tasks do; everything else goes through Airflow's public API.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from airflow_api import AirflowApi, TaskInstance, wait_for
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres
from matrix import Run as Preparation
from matrix import StepFailedError, build_wheel
from versions import ROOT, read_versions

from airflow_provider_nanostt.emulator import Charge, Emulator, JobRecord

WHOLE = os.environ.get("E2E_WHOLE") == "1"
"""Whether the tests run in their whole size, as `make chaos` does, or in the short one of ``.ci/run``."""

NEWEST = "newest"
OLDEST = "2.11.2"
VERSIONS = [NEWEST, pytest.param(OLDEST, marks=pytest.mark.long)]

DAGS = Path(__file__).parent / "dags"
KEY = "sk-nano-5ec2e7aa-0000-4000-8000-00000e2e0001"
SIGNED = {
    "fetched": "https://bucket.example/signed-1.mp3?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600"
    "&X-Amz-Signature=7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
    "mapped": "https://bucket.example/signed-2.mp3?versionId=3&X-Amz-Security-Token=FwoGZXIvYXdzEDsaDNotARealToken"
    "&X-Amz-Signature=d2a84f4b8b650937ec8f73cd8be2c74add5a911ba64df27458ed8229da804a26",
    "refused": "https://account.example/signed-3.mp3?sv=2026-02-06&sp=r&sig=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MDE%3D",
    "failing": "https://storage.example/signed-4.mp3?X-Goog-Credential=robot%40project.example%2F20261123"
    "&X-Goog-Signature=9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab&rlkey=q4xwpz81nkd0rlk3y"
    "&Authorization=Bearer%20ohT7pWq2xVbNm4Zs9",
}
"""Presigned addresses, which the tasks get from Variables of their environment."""

SECRETS = (
    "5ec2e7aa-0000-4000-8000-00000e2e0001",  # of the key
    "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
    "d2a84f4b8b650937ec8f73cd8be2c74add5a911ba64df27458ed8229da804a26",
    "FwoGZXIvYXdzEDsaDNotARealToken",
    "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MDE",
    "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
    "q4xwpz81nkd0rlk3y",
    "ohT7pWq2xVbNm4Zs9",
)
SOON = {  # Airflow notices sooner what has died or changed; tasks start sooner after a retry
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "30",
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}


def recording(name: str) -> str:
    """Return the address of a recording that exists only as a script of the emulator."""
    return f"https://recordings.example/{name}.mp3"


def text_of(url: str) -> str:
    """Return what is said in a recording: nothing that another one says."""
    name = url.partition("?")[0].rpartition("/")[2].removesuffix(".mp3")
    return f"These are the words of recording {name}, all of them."


class Stage:
    """Everything that runs for one module of tests."""

    def __init__(
        self, airflow: LocalAirflow, services: tuple[Emulator, Emulator], postgres: LocalPostgres, database: str
    ) -> None:
        self.airflow = airflow
        self.service, self.closed_service = services
        self.postgres = postgres
        self.database = database
        self.files = Path(airflow.env["E2E_FILES"])
        self._threads = threading.local()
        self._connection = psycopg2.connect(host="127.0.0.1", port=postgres.port, user="postgres", dbname=database)
        self._connection.autocommit = True
        self._lock = threading.Lock()

    @property
    def api(self) -> AirflowApi:
        """Airflow's API, over a connection of this thread's own."""
        if not hasattr(self._threads, "api"):
            self._threads.api = AirflowApi(self.airflow.url, self.airflow.major)
        return self._threads.api

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def script(self, url: str, seconds: float, **fields: Any) -> str:
        """Tell the emulator what a recording says and how long its job takes."""
        self.service.script(url, **{"text": text_of(url), "duration": 60.0, "processing_seconds": seconds, **fields})
        return url

    def run(self, dag_id: str, *urls: str, **conf: str) -> Run:
        """Start a run over some recordings, with what else its conf has to say."""
        return Run(self, dag_id, self.api.trigger_dag(dag_id, {"urls": list(urls), **conf}), urls)

    def set_variable(self, key: str, value: str) -> None:
        self.api.request("POST", "/variables", json={"key": key, "value": value})

    def change_variable(self, key: str, value: str) -> None:
        self.api.request("PATCH", f"/variables/{key}", json={"key": key, "value": value})

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Run:
    """One DAG run and its recordings."""

    stage: Stage
    dag_id: str
    run_id: str
    urls: tuple[str, ...]

    # At the service

    def charges(self, url: str | None = None) -> list[Charge]:
        wanted = self.urls if url is None else (url,)
        both = self.stage.service.charges + self.stage.closed_service.charges
        return [charge for charge in both if charge.source in wanted]

    def jobs(self) -> list[JobRecord]:
        return [job for job in self.stage.service.jobs if job.source in self.urls]

    def wait_charged(self, times: int = 1) -> None:
        wait_for(lambda: len(self.charges()) >= times, f"{times} charges for {self.urls[0]}", 180, 0.02)

    def wait_job(self) -> JobRecord:
        return wait_for(lambda: next(iter(self.jobs()), None), f"a job for {self.urls[0]}", 180, 0.05)

    def wait_fault(self, name: str) -> None:
        """Wait until a fault is being played on a status request of this run's job."""
        run_ids = {job.run_id for job in self.jobs()}

        def played() -> bool:
            return any(r.fault == name and r.fields.get("runId") in run_ids for r in self.stage.service.requests)

        wait_for(played, f"a {name} for {self.urls[0]}", 120, 0.1)

    # In Airflow

    def instances(self, task_id: str = "transcribe") -> list[TaskInstance]:
        identity = "id::text" if self.stage.airflow.major >= 3 else "NULL"
        rows = self.stage.query(
            f"SELECT map_index, state, try_number, pid, {identity} FROM task_instance "
            "WHERE dag_id = %s AND run_id = %s AND task_id = %s ORDER BY map_index",
            self.dag_id, self.run_id, task_id,
        )  # fmt: skip
        return [TaskInstance(self.dag_id, self.run_id, task_id, *row) for row in rows]

    def instance(self, map_index: int = -1) -> TaskInstance:
        return next(one for one in self.instances() if one.map_index == map_index)

    def wait_for_states(self, *states: str, tries: int = 1, count: int = 1, timeout: float = 240) -> list[TaskInstance]:
        """Wait until all task instances, at least ``count``, are in one of some states in at least their nth try."""

        def reached() -> list[TaskInstance] | None:
            found = self.instances()
            right = [one for one in found if one.state in states and one.try_number >= tries]
            return found if len(right) == len(found) >= count else None

        return wait_for(reached, f"{self.dag_id} {self.urls[0]} being {' or '.join(states)}", timeout, 0.1)

    def ended(self, timeout: float = 300) -> str:
        """Wait for the end of the run and return its state."""

        def state() -> str | None:
            ((now,),) = self.stage.query(
                "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s", self.dag_id, self.run_id
            )
            return now if now in ("success", "failed") else None

        return wait_for(state, f"the end of {self.dag_id} {self.urls[0]}", timeout, 0.2)

    def kill_task(self, map_index: int = -1) -> None:
        """Kill (-9) the process that runs a task now."""
        instance = self.instance(map_index)
        wait_for(lambda: self.stage.airflow.kill_task(instance) or None, f"a process of {instance}", 30, 0.05)

    def clear(self, map_index: int = -1, task_id: str = "transcribe") -> None:
        self.stage.api.clear_task(self.dag_id, self.run_id, task_id, map_index)

    def log(self, tries: int, map_index: int = -1) -> str:
        return self.stage.api.task_log(self.dag_id, self.run_id, "transcribe", tries, map_index)

    def logs(self, map_index: int = -1) -> str:
        """Return the logs of all tries."""
        tries = self.instance(map_index).try_number
        return "\n".join(self.log(number, map_index) for number in range(1, tries + 1))

    def result(self, map_index: int = -1) -> dict[str, Any] | None:
        return self.stage.api.xcom(self.dag_id, self.run_id, "transcribe", map_index=map_index)

    def transcript(self, map_index: int = -1) -> str | None:
        """Return the text that landed: the file that XCom names, else XCom's; None if there is none."""
        result = self.result(map_index)
        if result is None or "files" not in result:
            return result and result["transcription"]
        return json.loads(Path(result["files"]["json"].removeprefix("file://")).read_text(encoding="utf-8"))["text"]


def gaps(stage: Stage) -> list[float]:
    """Return the milliseconds between the service's answer and the recorded ticket, of all submits."""
    told = re.compile(r"recorded in .{1,300}? after ([0-9.]+) ms")
    logs = (log.read_text(encoding="utf-8", errors="replace") for log in stage.airflow.logs.rglob("*.log"))
    return sorted(float(gap) for log in logs for gap in told.findall(log))


def where_told(stage: Stage, *texts: str) -> dict[str, list[str]]:
    """Return where texts can be read: lines of the database's dump, and files of Airflow's home."""
    places = [(line[:300], line) for line in stage.postgres.dump(stage.database).splitlines()]
    files = [path for path in stage.airflow.home.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    places += [(str(path), path.read_bytes().decode("latin-1")) for path in files]
    found = {text: [name for name, content in places if text in content] for text in texts}
    return {text: names for text, names in found.items() if names}


def python_of(wanted: str) -> Path:
    """Make the environment of one supported Airflow, with the wheel of this package in it.

    :param wanted: the version, or its beginning.
    """
    version = next(one for one in read_versions() if one.version.startswith(wanted))
    try:
        Preparation(version, build_wheel()).prepare()
    except (StepFailedError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the environment of Airflow {version.version} cannot be made: {error}")
    return ROOT / ".envs" / version.version / "bin" / "python"


@contextlib.contextmanager
def staged(version: str, home: Path, postgres: LocalPostgres, parallelism: int = 6) -> Iterator[Stage]:
    """Run an Airflow on PostgreSQL, and an emulator.

    :param version: the newest has its ledger in Airflow's task state, the oldest beside the results.
    """
    newest = version == NEWEST
    python = Path(sys.executable) if newest else python_of(OLDEST)
    database = f"airflow{time.monotonic_ns()}"
    url = postgres.create_database(database)
    closed = Emulator(keys=[KEY], recogniser="none")
    with closed:
        pass  # it has a port now, at which nobody listens
    with Emulator(keys=[KEY], recogniser="none") as service:
        for name, address in SIGNED.items():
            end = {"status": "failed", "error": f"cannot fetch {address}"} if name == "failing" else {}
            service.script(address, text=text_of(address), duration=60.0, processing_seconds=2.0, **end)
        settings = {
            **SOON,
            "E2E_FILES": str(home / "results"),
            "E2E_LEDGER": "task state" if newest else "files",
            **{f"AIRFLOW_VAR_{name.upper()}": address for name, address in SIGNED.items()},
            "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json,
            "AIRFLOW_CONN_NANOGPT_IMPATIENT": json.dumps({**service.connection, "extra": {"timeout": 5}}),
            "AIRFLOW_CONN_NANOGPT_UNHURRIED": json.dumps({**service.connection, "extra": {"requests_per_second": 8}}),
            "AIRFLOW_CONN_NANOGPT_CLOSED": closed.connection_json,
        }
        dags = home / "dags"
        dags.mkdir(parents=True)
        shutil.copy(DAGS / "paid_once.py", dags)
        running = LocalAirflow(python, home, dags, database=url, env=settings, parallelism=parallelism)
        with running as airflow:
            stage = Stage(airflow, (service, closed), postgres, database)
            stage.api.wait_for_dag("each_of_today", 120)
            try:
                yield stage
            finally:
                stage.close()
