"""A private PostgreSQL on a free loopback port, for the tests that need what SQLite cannot do.

The server's binaries come from the distribution's package, which is installed if it is missing and we may. Nothing is
synced to disk: the data is thrown away at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from debian import as_user, ensure
from local_server import LocalServer
from processes import free_port

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


class LocalPostgres(LocalServer):
    """A cluster of its own in a temporary folder.

    :param folder: where its data goes, removed by :meth:`stop`; a new temporary folder by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__("postgres", folder)
        self._bin: Path | None = None

    def url(self, database: str = "airflow") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def start(self, database: str = "airflow", timeout: float = 30) -> str:
        """Create the cluster, start the server, create one database, and return its URL."""
        self._bin = ensure_binaries()
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        self._run(
            "initdb", "--pgdata", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        self.port = free_port()
        settings = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        command = self._as_postgres("postgres", "-D", str(data), "-p", str(self.port), *settings)
        self.launch(command, _plain_environment(), self._ask, timeout)
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
        self.launch_again(pause, self._ask, timeout)

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

    def _ask(self) -> None:
        self.execute("SELECT 1", database="postgres")


def _plain_environment() -> dict[str, str]:
    """Return the environment without the settings of another PostgreSQL, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}
