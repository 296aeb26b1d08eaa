"""A private PostgreSQL on a free loopback port, for the tests that need what SQLite cannot do.

The server's binaries come from the distribution's package, which is installed if it is missing and we may. Nothing is
synced to disk: the data is thrown away at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from debian import as_user, ensure
from processes import Service, free_port

if TYPE_CHECKING:
    from types import TracebackType

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class PostgresUnavailableError(RuntimeError):
    """PostgreSQL is neither here nor can it be installed."""


def find_binaries() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``, the newest if there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def ensure_binaries() -> Path:
    """Return the folder with the binaries, after installing the distribution's package if need be.

    :raises PostgresUnavailableError: if they are missing and cannot be installed.
    """
    return ensure("postgresql", find_binaries, PostgresUnavailableError)


class LocalPostgres:
    """A cluster of its own in a temporary folder; also a context manager.

    :param folder: where its data goes, removed by :meth:`stop`; a new temporary folder by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._wanted = folder
        self._folder: Path | None = None
        self._service: Service | None = None
        self._bin: Path | None = None
        self.port = 0

    @property
    def service(self) -> Service:
        """The server's processes: kill them, freeze them."""
        if self._service is None:
            raise RuntimeError("PostgreSQL has not been started")
        return self._service

    def url(self, database: str = "airflow") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def start(self, database: str = "airflow", timeout: float = 30) -> str:
        """Create the cluster, start the server, create one database, and return its URL."""
        self._bin = ensure_binaries()
        self._folder = self._wanted or Path(tempfile.mkdtemp(prefix="local-postgres-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
        data = self._folder / "data"
        self._run(
            "initdb", "--pgdata", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        self.port = free_port()
        settings = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        command = self._as_postgres("postgres", "-D", str(data), "-p", str(self.port), *settings)
        self._service = Service("postgres", command, env=_plain_environment(), log=self._folder / "postgres.log")
        self._service.start()
        self._wait(timeout)
        return self.create_database(database)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self.execute(f'CREATE DATABASE "{name}"', database="postgres")
        return self.url(name)

    def execute(self, sql: str, database: str = "airflow") -> str:
        """Run a statement and return what it answers, one row a line, columns separated by ``|``."""
        return self._run("psql", *self._address(database), "-v", "ON_ERROR_STOP=1", "-qAtc", sql)

    def dump(self, database: str = "airflow") -> str:
        """Return everything in a database as SQL text."""
        return self._run("pg_dump", *self._address(database))

    def restart(self, pause: float = 0.0, timeout: float = 30) -> None:
        """End the server, whoever is connected, and start it again after ``pause`` seconds, its data as it was."""
        self.service.kill(signal.SIGINT, children=False)
        deadline = time.monotonic() + timeout
        while self.service.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        self.service.stop()
        time.sleep(pause)
        self.service.start()
        self._wait(timeout)

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _address(self, database: str) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]

    def _as_postgres(self, program: str, *arguments: str) -> list[str]:
        command = [str((self._bin or ensure_binaries()) / program), *arguments]
        return as_user("postgres", command)

    def _run(self, program: str, *arguments: str) -> str:
        command = self._as_postgres(program, *arguments)
        done = subprocess.run(
            command, cwd="/", env=_plain_environment(), capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
        return done.stdout

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.execute("SELECT 1", database="postgres")
            except RuntimeError as error:
                if not self.service.alive or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self.service.tail()}") from error
                time.sleep(0.1)
            else:
                return


def _plain_environment() -> dict[str, str]:
    """Return the environment without the settings of another PostgreSQL, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}
