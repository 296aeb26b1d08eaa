"""Real Airflow processes for the end-to-end tests, with the emulator as the service and the judge of charges."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres, PostgresUnavailableError

from airflow_provider_nanostt.emulator import Emulator

JOB_SECONDS = 15.0  # long enough to look at a task while it is deferred
DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="session")
def running_service() -> Iterator[Emulator]:
    """A local NanoGPT for all modules that need no other."""
    with Emulator(processing_seconds=JOB_SECONDS) as running:
        yield running


@pytest.fixture(scope="module")
def service(running_service: Emulator) -> Emulator:
    """The same, with nothing of the module before."""
    running_service.reset()
    return running_service


@pytest.fixture(scope="session")
def metrics() -> Iterator[dict[str, str]]:
    """What StatsD was sent last of each metric, by name; its port is ``port``."""
    heard: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        heard["port"] = str(server.getsockname()[1])

        def listen() -> None:
            while line := server.recv(10_000).decode():
                heard.update([line.partition(":")[::2]])

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield heard
        server.sendto(b"", server.getsockname())
        listener.join()


@pytest.fixture(scope="session")
def airflow(
    running_service: Emulator, metrics: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAirflow]:
    """Scheduler, triggerer, DAG processor and API server of this environment's Airflow, on SQLite."""
    wrong = json.dumps({**running_service.connection, "password": "sk-nano-ffffffff-0000-4000-8000-000000000000"})
    env = {
        "AIRFLOW_CONN_NANOGPT_DEFAULT": running_service.connection_json,
        "AIRFLOW_CONN_NANOGPT_WRONG_KEY": wrong,
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": metrics["port"],
        "E2E_TOLD": str(tmp_path_factory.mktemp("told")),
        "PYTHONPATH": str(DAGS),  # a triggerer runs the callback of a deadline, and knows no DAG folder
    }
    home = tmp_path_factory.mktemp("airflow")
    watched = tmp_path_factory.mktemp("watched")
    places = [("folder", f"{watched}/inbox/**/*.wav", str(watched / "transcripts"), 3.0)]
    env |= {"E2E_INBOX": str(watched / "inbox"), "E2E_WATCHED": json.dumps(places)}
    with LocalAirflow(Path(sys.executable), home, DAGS, env=env) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A database server for all tests; each Airflow gets a database of its own."""
    try:
        with LocalPostgres() as server:
            yield server
    except PostgresUnavailableError as error:
        pytest.skip(str(error))
