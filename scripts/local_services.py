"""Redis and PgBouncer on free loopback ports, from the distribution's packages, for an Airflow on many machines."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from debian import as_user, ensure_program
from processes import Service, free_port

if TYPE_CHECKING:
    from collections.abc import Callable


class LocalServer:
    """A server with a temporary folder of its own.

    :param name: what to call it.
    :param command: how it is started: given its port and its folder, into which it may write settings.
    """

    def __init__(self, name: str, command: Callable[[int, Path], list[str]]) -> None:
        self.name = name
        self.port = free_port()
        self._command = command
        self._folder: Path | None = None
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The server's processes."""
        if self._service is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._service

    def start(self) -> None:
        """Start the server, and wait until it listens.

        :raises debian.UnavailableError: if its program is missing and cannot be installed.
        """
        self._folder = Path(tempfile.mkdtemp(prefix=f"local-{self.name}-"))
        command = self._command(self.port, self._folder)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        self._service = Service(self.name, command, env=environment, log=self._folder / f"{self.name}.log")
        self._service.start()
        self._wait()

    def restart(self, pause: float = 0.0) -> None:
        """End the server, and start it again after ``pause`` seconds, its data as it was."""
        self.service.stop()
        time.sleep(pause)
        self.service.start()
        self._wait()

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._service is not None:
            self._service.stop(grace=2)
            self._service = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _wait(self, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if not self.service.alive or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.service.tail()}")
            time.sleep(0.05)


def redis() -> LocalServer:
    """Return a Redis that forgets nothing when it is restarted."""

    def command(port: int, folder: Path) -> list[str]:
        program = ensure_program("redis-server", "redis-server")
        options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        return [program, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    return LocalServer("redis", command)


def pgbouncer(postgres_port: int, database: str, connections: int = 20) -> LocalServer:
    """Return a PgBouncer that lends a connection for one transaction at a time.

    :param postgres_port: where PostgreSQL listens on loopback.
    :param database: the only database.
    :param connections: how many it holds to PostgreSQL at the most.
    """

    def command(port: int, folder: Path) -> list[str]:
        program = ensure_program("pgbouncer", "pgbouncer")
        settings = f"""\
[databases]
{database} = host=127.0.0.1 port={postgres_port} dbname={database} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = {connections}
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
"""
        file = folder / "pgbouncer.ini"
        file.write_text(settings, encoding="utf-8")
        if os.geteuid() == 0:  # it refuses to run as root
            for path in (folder, file):
                shutil.chown(path, "postgres", "postgres")
        return as_user("postgres", [program, str(file)])

    return LocalServer("pgbouncer", command)
