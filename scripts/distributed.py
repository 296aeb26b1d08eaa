"""An Airflow as it runs on many machines, on this one: Celery workers, triggerers, PgBouncer, Redis, an object store.

What would be a machine is a process with a name, a temporary folder of its own and nothing of the others' disks:
workers and triggerers share the database, the queue and the bucket. Every server listens on loopback, on a free port.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_api import wait_for
from local_airflow import LocalAirflow, Part
from local_postgres import LocalPostgres
from local_server import Started
from local_services import CommandServer, pgbouncer, redis
from local_store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DATABASE = "airflow"
BUCKET = "calls"
OUTPUT = f"s3://store@{BUCKET}"
"""The bucket as DAGs write it."""
SLOTS = 4
"""How many tasks a worker runs at once."""

# PgBouncer lends a connection for one transaction. A statement that was prepared in one is not there in the next, and
# one of the same name may be: so nothing is cached, and statements have no names. psycopg2 prepares none by itself.
SETTINGS = '''\
"""Settings that have to be Python: Airflow imports them."""

import os

NOTHING_PREPARED = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}


def machine():
    return os.environ.get("MACHINE", "elsewhere")
'''
# A worker writes this for each leg of a task: before it is deferred, and after.
_LEG = re.compile(r"^(\S+) .* Executing workload in Celery: .*log_path='([^']+)/attempt=\d+\.log'", re.MULTILINE)


class Distributed(Started):
    """All of it.

    :param folder: takes the homes, logs and temporary folders; created if missing.
    :param dags: the DAG folder, which every machine sees.
    :param env: further environment variables of every part of Airflow.
    :param of_machine: further ones of some machines, by name such as ``worker-2``; given once the store is up.
    :param workers: how many there are.
    :param triggerers: the arguments of each.
    :param queues: of tasks, which every worker serves.
    :param progress: called with one line of text whenever there is something to say.
    """

    def __init__(
        self,
        folder: Path,
        dags: Path,
        *,
        env: Mapping[str, str],
        of_machine: Callable[[LocalStore], Mapping[str, Mapping[str, str]]] = lambda _: {},
        workers: int = 2,
        triggerers: Iterable[tuple[str, ...]] = ((), ()),
        queues: str = "default",
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.absolute()
        self.dags = dags
        self.postgres = LocalPostgres()
        self.store = LocalStore(BUCKET)
        self.redis = redis()
        self.pgbouncer: CommandServer | None = None
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.triggerers = {f"triggerer-{number}": options for number, options in enumerate(triggerers, 1)}
        self._queues = queues
        self._env = dict(env)
        self._of_machine = of_machine
        self._progress = progress
        self._airflow: LocalAirflow | None = None
        self._stack = ExitStack()

    @property
    def airflow(self) -> LocalAirflow:
        """Airflow itself."""
        if self._airflow is None:
            raise RuntimeError("Airflow has not been started")
        return self._airflow

    def start(self) -> None:
        """Start everything, and wait until all of it is healthy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self.postgres)
        self._progress(f"PostgreSQL is up on port {self.postgres.port}")
        self.pgbouncer = pgbouncer(self.postgres.port, DATABASE)
        for server in (self.pgbouncer, self.redis):
            self._stack.callback(server.stop)
            server.start()
            self._progress(f"{server.name} is up on port {server.port}")
        self._stack.enter_context(self.store)
        self._progress(f"the object store is up at {self.store.endpoint}")
        self._start_airflow(f"postgres@127.0.0.1:{self.pgbouncer.port}/{DATABASE}")

    def _start_airflow(self, database: str) -> None:
        home = self.folder / "airflow"
        (home / "config").mkdir(parents=True)
        (home / "config" / "distributed_settings.py").write_text(SETTINGS, encoding="utf-8")
        settings = {
            "CORE__EXECUTOR": "CeleryExecutor",
            "CORE__HOSTNAME_CALLABLE": "distributed_settings.machine",
            "DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": "distributed_settings.NOTHING_PREPARED",
            "CELERY__BROKER_URL": f"redis://127.0.0.1:{self.redis.port}/0",
            "CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{database}",
            "CELERY__WORKER_CONCURRENCY": str(SLOTS),
            "CELERY__SYNC_PARALLELISM": "1",
            "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        }
        airflow = LocalAirflow(
            Path(sys.executable),
            home,
            self.dags,
            database=f"postgresql+psycopg2://{database}",
            env={
                **{f"AIRFLOW__{name}": value for name, value in settings.items()},
                "AIRFLOW_CONN_STORE": self.store.connection(),
                **self._env,
            },
            parallelism=SLOTS * len(self.workers) * 2,
            parts=[self._part(*words) for words in self._components()],
            progress=self._progress,
        )
        self._airflow = airflow
        self._stack.callback(airflow.stop)
        self._progress(f"starting Airflow {airflow.version}")
        airflow.start()
        for name in self.workers:
            self.wait_worker(name)

    def _components(self) -> list[tuple[str, str, tuple[str, ...]]]:
        ones = [(name, name, ()) for name in ("api-server", "scheduler", "dag-processor")]
        workers = [
            ("celery worker", name, ("--celery-hostname", name, "--queues", self._queues)) for name in self.workers
        ]
        return [*ones, *workers, *(("triggerer", name, options) for name, options in self.triggerers.items())]

    def _part(self, component: str, name: str, arguments: tuple[str, ...]) -> Part:
        own = self.folder / name
        own.mkdir()
        env = {"MACHINE": name, "TMPDIR": str(own), **self._of_machine(self.store).get(name, {})}
        return Part(component, name, arguments, env)

    def wait_worker(self, name: str, starts: int = 1) -> None:
        """Wait until a worker takes tasks, after it was started that many times."""
        service = self.airflow.services[name]

        def ready() -> bool:
            if not service.alive:
                raise RuntimeError(f"{name} ended by itself:\n{service.tail()}")
            return service.log.read_text(encoding="utf-8", errors="replace").count(f"{name} ready") >= starts

        wait_for(ready, f"{name} being ready", 90)
        self._progress(f"{name} is up")

    def machines(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        """Return which machines had a part in each task of a run, by its name and in order, as their logs say."""
        run = f"dag_id={dag_id}/run_id={run_id}/task_id="
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in self.workers:
            log = self.airflow.services[name].log.read_text(encoding="utf-8", errors="replace")
            for moment, task in _LEG.findall(log):
                if task.startswith(run):
                    found[task.removeprefix(run)].append((moment, name))
        rows = self.postgres.execute("SELECT id, hostname FROM job WHERE job_type = 'TriggererJob'").split()
        triggerers = dict(row.split("|") for row in rows)
        # The log of a wait is called after the triggerer's job.
        for path in (self.airflow.logs / run).parent.glob("task_id=*/**/attempt=*.log.trigger.*.log"):
            first = json.loads(path.read_text(encoding="utf-8").partition("\n")[0])
            task = str(path.parent.relative_to(self.airflow.logs)).removeprefix(run)
            found[task].append((first["timestamp"], triggerers[path.suffixes[-2].removeprefix(".")]))
        return {_name(task): [name for _, name in sorted(legs)] for task, legs in found.items()}

    def stop(self) -> None:
        """End everything."""
        self._stack.close()


def _name(task: str) -> str:
    """Return a task's name, with the map index if it has one, from the end of its log's folder."""
    task_id, _, index = task.partition("/map_index=")
    return f"{task_id}[{index}]" if index else task_id
