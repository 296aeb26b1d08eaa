"""A real Airflow on this machine: its own home, database, DAG folder and loopback ports, each component a process.

:class:`LocalAirflow` starts what a small deployment has, on Airflow 2.11 and every 3.x, always with the LocalExecutor,
and lets a test kill, freeze, restart or double any component. Talking to it is :class:`airflow_api.AirflowApi`'s part;
ending it without leftovers is that of :mod:`processes`.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_api import AirflowApi, wait_for
from local_server import Started
from processes import Service, all_processes, free_port, read_process, record, send, stop_all, with_descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from airflow_api import TaskInstance
    from processes import Process

# What the caller's environment must not bring along: another Airflow's settings, another Python's paths, and the one
# that makes every start three times as slow.
FOREIGN = ("AIRFLOW_", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COVERAGE_")
LOCAL_ONLY = "AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n"  # 2.x: whoever reaches it may do everything


@dataclass(frozen=True, slots=True)
class Part:
    """One process of Airflow.

    :param component: the words after ``airflow``.
    :param name: by which it is killed or restarted, and after which its log is called; the component by default.
    :param arguments: what follows the component.
    :param env: its own environment variables, stronger than those of all.
    """

    component: str
    name: str = ""
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class LocalAirflow(Started):
    """Airflow's components as processes.

    :param python: interpreter of the environment Airflow is installed in.
    :param home: AIRFLOW_HOME, created if missing.
    :param dags: the DAG folder.
    :param database: SQLAlchemy URL of an empty or migrated PostgreSQL database; SQLite in ``home`` by default, which
        Airflow 2.x does not allow with the LocalExecutor.
    :param env: further environment variables, stronger than what is set here.
    :param parallelism: how many tasks may run at once.
    :param parts: its processes; one of each component by default.
    :param path: below which it is served, as behind a proxy, such as ``/team/airflow``; Airflow 3.
    :param users: who may log in, role by name; the name is the password, too. By default nobody has to. Airflow 3.
    :param progress: called with one line of text whenever there is something to say.
    """

    def __init__(
        self,
        python: Path,
        home: Path,
        dags: Path,
        *,
        database: str | None = None,
        env: Mapping[str, str] | None = None,
        parallelism: int = 4,
        parts: Sequence[Part] | None = None,
        path: str = "",
        users: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home.absolute()
        self.dags = dags.absolute()
        self.logs = self.home / "logs"
        self._bin = python.absolute().parent
        self._progress = progress
        self.version = self._read_version()
        self.major = int(self.version.partition(".")[0])
        if database is None and self.major < 3:
            raise ValueError("Airflow 2.x refuses the LocalExecutor on SQLite: give it a PostgreSQL database")
        self.database = database or f"sqlite:///{self.home}/airflow.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{path}"
        self.users = dict(users or {})
        self.api = AirflowApi(self.url, self.major, next(iter(self.users), None))
        self.env = {**self._environment(parallelism), **(env or {})}
        self.services: dict[str, Service] = {}
        self.parts = tuple(parts or map(Part, self.components))

    @property
    def components(self) -> tuple[str, ...]:
        """The components that :meth:`start` starts; on 2.x the scheduler parses the DAG files."""
        if self.major >= 3:
            return ("api-server", "scheduler", "dag-processor", "triggerer")
        return ("webserver", "scheduler", "triggerer")

    def start(self, timeout: float = 120) -> None:
        """Migrate the database, start every component, and wait until all are healthy, each for ``timeout`` seconds."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "webserver_config.py").write_text(LOCAL_ONLY, encoding="utf-8")
        (self.home / "passwords.json").write_text(json.dumps({name: name for name in self.users}), encoding="utf-8")
        self.migrate(timeout)
        began = time.time()
        for part in self.parts:
            self.start_part(part)
        self.wait_healthy(since=began, timeout=timeout)

    def migrate(self, timeout: float = 120) -> None:
        """Bring the metadata database to this version's schema."""
        self._progress("preparing the metadata database")
        done = self.cli("db", "migrate", timeout=timeout)
        if done.returncode:
            raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-3000:]}")

    def cli(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command to its end; output and errors are both in ``stdout``."""
        return subprocess.run(
            [str(self._bin / "airflow"), *arguments],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def start_component(self, component: str, name: str | None = None) -> Service:
        """Start one component, under another ``name`` if it is the second of its kind, and return at once."""
        return self.start_part(Part(component, name or component))

    def start_part(self, part: Part) -> Service:
        """Start one process, and return at once."""
        name = part.name or part.component
        options = ["--skip-serve-logs"] if part.component in {"scheduler", "triggerer", "celery worker"} else []
        command = [str(self._bin / "airflow"), *part.component.split(), *options, *part.arguments]
        service = Service(name, command, env={**self.env, **part.env}, log=self.home / f"{name}.log")
        service.start()
        self.services[name] = service
        self._record()
        return service

    def wait_healthy(self, since: float = 0, timeout: float = 120, only: str | None = None) -> None:
        """Wait until every component (or ``only`` one) is healthy, with a heartbeat later than ``since`` (epoch)."""
        web = self.components[0]
        wanted = {only} if only else {"scheduler", "triggerer", web, *self.components}
        seen: set[str] = set()

        def healthy() -> bool:
            for service in self.services.values():
                if service.exit_code is not None and (only is None or service.name == only):
                    raise RuntimeError(f"{service.name} ended by itself:\n{service.tail()}")
            beats = self.api.heartbeats()
            now = {name for name, beat in beats.items() if beat >= since} | ({web} if beats else set())
            for name in sorted((now & wanted) - seen):
                self._progress(f"{name} is up")
            seen.update(now)
            return wanted <= seen

        try:
            wait_for(healthy, "all of Airflow being healthy", timeout, 0.5)
        except RuntimeError as error:
            missing = ", ".join(sorted(wanted - seen))
            raise RuntimeError(f"{error} (missing: {missing}; logs are in {self.home})") from error

    def stop(self, grace: float = 8) -> None:
        """End every component, its tasks included, and make sure that none remains.

        :raises processes.LeftoverError: if a process survives.
        """
        stop_all(list(self.services.values()), grace)
        self.services.clear()
        self._pid_file.unlink(missing_ok=True)
        self.api.close()

    def restart(self, name: str, *, wait: bool = True, timeout: float = 60) -> None:
        """Start a component again, ended or not, and wait until it is healthy."""
        service = self.services[name]
        service.stop()
        began = time.time()
        service.start()
        self._record()
        if wait:
            component = next((c for c in self.components if name == c or name.startswith(f"{c}-")), name)
            self.wait_healthy(since=began, timeout=timeout, only=component)

    def kill(self, name: str, signal_number: int = signal.SIGKILL, *, children: bool = True) -> None:
        """Signal all processes of a component, or its first one only; with the scheduler, its tasks are among them."""
        self.services[name].kill(signal_number, children=children)

    def suspend(self, name: str) -> None:
        """Freeze all processes of a component."""
        self.services[name].suspend()

    def resume(self, name: str) -> None:
        """Let a frozen component go on."""
        self.services[name].resume()

    def pids(self, name: str | None = None) -> list[int]:
        """Return the ids of all processes of a component, the first one first; of all components by default."""
        chosen = self.services.values() if name is None else [self.services[name]]
        return [pid for service in chosen for pid in service.pids()]

    def task_pids(self, instance: TaskInstance) -> list[int]:
        """Return the ids of the processes that run a task's code now, its first one first; empty if none does."""
        first = self._task_process(instance)
        if first is None:
            return []
        return [first, *sorted(with_descendants([first], all_processes()) - {first})]

    def supervisor_pid(self, instance: TaskInstance) -> int | None:
        """Return the id of the executor's process that watches over a running task; None if there is none."""
        first = self._task_process(instance)
        process = None if first is None else read_process(first)
        return None if process is None else process.parent

    def _task_process(self, instance: TaskInstance) -> int | None:
        """Find the process that says of itself that it runs this task instance."""
        own = set(self.pids("scheduler"))
        for process in all_processes():
            if process.pid in own and self._runs(process, instance):
                return process.pid
        return None

    def _runs(self, process: Process, instance: TaskInstance) -> bool:
        if self.major >= 3:
            return process.title == f"airflow worker -- {instance.id}"
        if not process.title.startswith(f"airflow task runner: {instance.dag_id} {instance.task_id} {instance.run_id}"):
            return False
        parent = read_process(process.parent)  # only its title says which of the mapped instances it is
        return instance.map_index < 0 or (parent is not None and f"'{instance.map_index}'" in parent.title)

    def kill_task(self, instance: TaskInstance, signal_number: int = signal.SIGKILL) -> list[int]:
        """Signal the processes that run a task instance now, and return their ids."""
        pids = self.task_pids(instance)
        send(pids, signal_number)
        return pids

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace=1)  # whoever leaves the block has seen all there is; an orderly end takes seconds

    def _read_version(self) -> str:
        code = "from importlib.metadata import version; print(version('apache-airflow'))"
        done = subprocess.run([self._bin / "python", "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _environment(self, parallelism: int) -> dict[str, str]:
        secret = base64.urlsafe_b64encode(os.urandom(32)).decode()
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": str(parallelism),
            "CORE__FERNET_KEY": secret,
            "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # no name server is asked
            "DATABASE__SQL_ALCHEMY_CONN": self.database,
            "LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            **(self._settings_3(secret) if self.major >= 3 else self._settings_2(secret)),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1,localhost",
            "PATH": f"{self._bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        }

    def _settings_3(self, secret: str) -> dict[str, str]:
        return {
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not self.users),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in self.users.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": secret,
            "API_AUTH__JWT_SECRET": secret,
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        }

    def _settings_2(self, secret: str) -> dict[str, str]:
        return {
            "API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.session,"
            "airflow.api.auth.backend.default",
            "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "WEBSERVER__WEB_SERVER_PORT": str(self.port),
            "WEBSERVER__BASE_URL": self.url,
            "WEBSERVER__WORKERS": "1",
            "WEBSERVER__SECRET_KEY": secret,
            "SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "15",
        }

    @property
    def _pid_file(self) -> Path:
        return self.home / "pids.json"

    def _record(self) -> None:
        record(self.services.values(), self._pid_file)
