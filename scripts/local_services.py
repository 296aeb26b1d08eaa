"""Redis and PgBouncer on free loopback ports, from the distribution's packages, for an Airflow on many machines."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

from debian import as_user, ensure_program
from local_server import LocalServer
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class CommandServer(LocalServer):
    """A server that one command starts.

    :param name: what to call it.
    :param command: how it is started: given its port and its folder, into which it may write settings.
    """

    def __init__(self, name: str, command: Callable[[int, Path], list[str]]) -> None:
        super().__init__(name)
        self.port = free_port()
        self._command = command

    def start(self) -> None:
        """Start the server, and wait until it listens.

        :raises debian.UnavailableError: if its program is missing and cannot be installed.
        """
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        self.launch(self._command(self.port, self.folder), environment, self._connect)

    def restart(self, pause: float = 0.0) -> None:
        """End the server, and start it again after ``pause`` seconds, its data as it was."""
        self.launch_again(pause, self._connect)

    def _connect(self) -> None:
        socket.create_connection(("127.0.0.1", self.port), timeout=1).close()


def redis() -> CommandServer:
    """Return a Redis that forgets nothing when it is restarted."""

    def command(port: int, folder: Path) -> list[str]:
        program = ensure_program("redis-server", "redis-server")
        options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        return [program, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    return CommandServer("redis", command)


def pgbouncer(postgres_port: int, database: str, connections: int = 20) -> CommandServer:
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

    return CommandServer("pgbouncer", command)
