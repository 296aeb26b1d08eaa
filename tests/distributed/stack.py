"""The running machines as the tests see them: runs to start, states to wait for, a supervisor, and what was counted."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from airflow_api import AirflowApi, AirflowApiError, wait_for
from distributed import OUTPUT, Distributed
from local_emulator import start_emulator
from processes import LeftoverError
from psycopg2 import OperationalError, connect

from airflow_provider_nanostt.emulator import EmulatorControl
from tests.distributed.proxy import Network
from tests.e2e.stage import SOON, text_of

DAGS = Path(__file__).parent / "dags"
BEGAN = time.monotonic()
FAR = "worker-2"
"""The machine whose network to the store can be slow or broken."""

SETTINGS = {
    **SOON,
    # A task that was in a worker's hands when that died is given to another one, and not failed for it.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "50",
}


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)  # noqa: T201


@dataclass(frozen=True)
class Run:
    """One DAG run and its recordings.

    :param output: the key of its folder in the bucket.
    """

    dag_id: str
    run_id: str
    urls: tuple[str, ...]
    output: str


@dataclass
class Stack:
    """Everything that runs for the tests.

    :param service: the emulator, which counts charges.
    :param far: the network between the machine :data:`FAR` and the store.
    :param ended: how often parts of Airflow ended by themselves, by name; ``killed``: how often they were killed.
    :param connections: the most that were seen at PostgreSQL, and at PgBouncer.
    """

    machines: Distributed
    service: EmulatorControl
    far: Network
    ended: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    connections: dict[str, int] = field(default_factory=lambda: {"PostgreSQL": 0, "PgBouncer": 0})
    _just_killed: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._supervise, self._count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    # What goes on

    def run(self, dag_id: str, name: str, urls: list[str]) -> Run:
        """Start a run, as often as it takes while the API server has no database."""
        run = Run(dag_id, name, tuple(urls), f"results/{name}")
        conf = {"urls": urls, "output": f"{OUTPUT}/{run.output}"}

        def started() -> bool:
            api = AirflowApi(self.machines.airflow.url, 3)
            try:
                api.trigger_dag(dag_id, conf, run_id=name)
            except requests.RequestException:
                return False
            except AirflowApiError as error:
                if error.status not in (409, 500, 502, 503):
                    raise
                return error.status == 409
            finally:
                api.close()
            return True

        wait_for(started, f"a run of {dag_id}", 120, 1)
        return run

    def script(self, name: str, count: int, seconds: tuple[float, float]) -> list[str]:
        """Tell the emulator of recordings whose jobs take from the first to the second number of seconds."""
        urls = [f"https://192.0.2.7/{name}-{number:03d}.mp3" for number in range(count)]
        first, last = seconds
        for number, url in enumerate(urls):
            took = first + (last - first) * number / max(1, count - 1)
            self.service.script(url, text=text_of(url), duration=60.0, processing_seconds=took)
        return urls

    def query(self, sql: str) -> list[list[str]]:
        """Ask PostgreSQL directly; no rows while it is down."""
        try:
            found = self.machines.postgres.execute(sql)
        except RuntimeError:
            return []
        return [line.split("|") for line in found.splitlines()]

    def states(self, run: Run) -> Counter[str]:
        """How many of a run's tasks are in which state."""
        rows = self.query(
            "SELECT coalesce(state, 'none') FROM task_instance "
            f"WHERE dag_id = '{run.dag_id}' AND run_id = '{run.run_id}' AND task_id = 'transcribe'"
        )
        return Counter(state for (state,) in rows)

    def tries(self, run: Run) -> list[int]:
        """How many tries each of a run's tasks took."""
        where = f"dag_id = '{run.dag_id}' AND run_id = '{run.run_id}' AND task_id = 'transcribe'"
        return [int(tries) for (tries,) in self.query(f"SELECT try_number FROM task_instance WHERE {where}")]

    def waiting(self) -> Counter[str]:
        """How many triggers each triggerer has."""
        rows = self.query("SELECT job.hostname FROM trigger JOIN job ON job.id = trigger.triggerer_id")
        return Counter(name for (name,) in rows)

    def ended_runs(self, runs: list[Run], timeout: float) -> None:
        """Wait for the ends of runs."""
        names = ", ".join(f"'{run.run_id}'" for run in runs)

        def ended() -> bool:
            rows = self.query(f"SELECT state FROM dag_run WHERE run_id IN ({names})")
            return len(rows) == len(runs) and all(state in ("success", "failed") for (state,) in rows)

        wait_for(ended, f"the ends of {names}", timeout, 1)

    def kill(self, name: str) -> None:
        """Kill (-9) a part of Airflow; the supervisor starts it again."""
        self.killed[name] += 1
        self._just_killed.add(name)
        self.machines.airflow.kill(name)

    # In the background

    def _supervise(self) -> None:
        """Start again whatever part of Airflow has ended, as systemd or Kubernetes does."""
        airflow = self.machines.airflow
        while not self._stop.wait(1):
            for name, service in list(airflow.services.items()):
                if service.alive:
                    continue
                if name in self._just_killed:
                    self._just_killed.discard(name)
                else:
                    self.ended[name] += 1
                    say(f"    {name} has ended by itself, with {service.exit_code}")
                with contextlib.suppress(LeftoverError):
                    airflow.restart(name, wait=False)

    def _count(self) -> None:
        """Look now and then at how many connections there are."""
        bouncer = self.machines.pgbouncer
        while not self._stop.wait(2):
            rows = self.query("SELECT count(*) FROM pg_stat_activity WHERE application_name != 'psql'"
                              " AND backend_type = 'client backend'")  # fmt: skip
            at = {"PostgreSQL": int(rows[0][0]) if rows else 0, "PgBouncer": 0}
            with contextlib.suppress(OperationalError):
                admin = connect(host="127.0.0.1", port=bouncer.port if bouncer else 0, dbname="pgbouncer", user="p")
                admin.autocommit = True
                with contextlib.closing(admin), admin.cursor() as cursor:
                    cursor.execute("SHOW CLIENTS")
                    at["PgBouncer"] = len(cursor.fetchall()) - 1
            self.connections = {name: max(most, at[name]) for name, most in self.connections.items()}


@contextlib.contextmanager
def running(folder: Path, env: dict[str, str] | None = None, **options: Any) -> Iterator[Stack]:
    """Start everything, and end it.

    :param env: further settings of Airflow.
    :param options: of :class:`Distributed`.
    """
    emulator, facts = start_emulator(folder, "--recogniser", "none", "--balance", "100000")
    try:
        with Network() as far:
            machines = Distributed(
                folder / "machines",
                DAGS,
                env={**SETTINGS, **(env or {}), "AIRFLOW_CONN_NANOGPT_DEFAULT": json.dumps(facts["connection"])},
                of_machine=lambda store: {FAR: {"AIRFLOW_CONN_STORE": store.connection(endpoint=far.endpoint)}},
                progress=say,
                **options,
            )
            with machines:
                far.target = machines.store.port
                for dag_id in ("batch", "each", "each_in_a_queue"):
                    machines.airflow.api.wait_for_dag(dag_id, 120)
                with Stack(machines, EmulatorControl(facts["url"], timeout=60.0), far) as stack:
                    yield stack
                say("stopping everything")
    finally:
        emulator.stop()
        say("everything is stopped")
