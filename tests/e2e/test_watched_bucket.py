"""Recordings arrive in a real Airflow, some half-written at first: each is transcribed and charged once, and whole.

The short form has a folder, in the Airflow of other tests. The long one has a bucket and a folder for two minutes, on
PostgreSQL, and the triggerer is killed in between; ``E2E_AIRFLOW="3.1.8 3.4.0b2"`` runs it on other versions. Where
nothing for S3 is installed in an environment, it is the folder alone.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from airflow_api import AirflowApi, wait_for
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres
from local_store import LocalStore

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import DAGS, KEY, NEWEST, SOON, python_of

pytestmark = pytest.mark.e2e

TEXT = "Good morning, the parcels have arrived."
SETTLE = 6.0  # seconds between the two looks of a run
PAUSE = 0.5  # seconds between two pieces of a file, far less, however busy this machine is
PIECES = 6
ARRIVALS, MINUTES = 24, 2.0


def sound(number: int) -> bytes:
    """A second of a recording, unlike any other."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(number.to_bytes(2, "little") * 8000)
    return file.getvalue()


@dataclass
class Inbox:
    """A watched place.

    :param write: stores a beginning of a recording under a name, replacing what is there.
    :param results: returns the names of the recordings that have a transcript.
    """

    name: str
    write: Callable[[str, bytes], object]
    results: Callable[[], set[str]]
    whole: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When each recording was complete, in epoch seconds, and its bytes."""

    def drop(self, number: int, pieces: int) -> None:
        """Let a recording arrive, in so many pieces."""
        name, data = f"{self.name}-{number:03d}.wav", sound(number)
        for piece in range(1, pieces):
            self.write(name, data[: len(data) * piece // pieces])
            time.sleep(PAUSE)
        self.write(name, data)
        self.whole[name] = time.time(), len(data)


def folder_inbox(name: str, folder: Path, output: Path) -> Inbox:
    """A folder on the disk, in which a growing file is seen."""
    folder.mkdir(parents=True)

    def write(file: str, data: bytes) -> None:
        path = folder / file
        with path.open("ab") as out:
            out.write(data[out.tell() :])

    return Inbox(name, write, lambda: {f"{path.stem}.wav" for path in output.glob(f"{name}-*.json")})


def bucket_inbox(name: str, root: str, store: LocalStore) -> Inbox:
    """A bucket, in which an object is put several times."""
    from airflow_provider_nanostt._compat import ObjectStoragePath

    inbox = ObjectStoragePath(f"{root}/inbox")
    prefix = f"transcripts/{name}-"

    def results() -> set[str]:
        keys = (key.removeprefix("transcripts/") for key in store.keys(prefix))
        return {f"{key.removesuffix('.json')}.wav" for key in keys if key.endswith(".json")}

    return Inbox(name, lambda key, data: inbox.fs.pipe_file(f"{inbox.path}/{key}", data), results)


def watched(*places: tuple[str, str, str, float]) -> str:
    return json.dumps(places)


def dag_state(api: AirflowApi, dag_id: str) -> list[tuple[str, str]]:
    runs = api.get(f"/dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
    return [(run["dag_run_id"], run["state"]) for run in runs]


def assert_each_once(inbox: Inbox, service: Emulator, timeout: float) -> None:
    """All are transcribed, each charged once, none before it was whole; print how long each has waited."""
    wait_for(lambda: inbox.results() >= set(inbox.whole), f"transcripts of {len(inbox.whole)} recordings", timeout, 0.5)
    charges = [charge for charge in service.charges if charge.source.startswith(f"{inbox.name}-")]
    assert Counter(charge.source for charge in charges) == dict.fromkeys(inbox.whole, 1)
    for charge in charges:
        completed, size = inbox.whole[charge.source]
        assert charge.size == size, f"{charge.source} was half-written"
        assert charge.time > completed - PAUSE
    waits = sorted(charge.time - inbox.whole[charge.source][0] for charge in charges)
    print(  # noqa: T201
        f"\n{inbox.name}: {len(waits)} recordings waited {waits[0]:.0f} to {waits[-1]:.0f} s for their submit, "
        f"half of them {statistics.median(waits):.0f} s"
    )


def test_what_arrives_is_transcribed(airflow: LocalAirflow, service: Emulator):
    """A whole recording and one that is written in pieces, in a folder; nobody starts a run."""
    service.script("folder-*.wav", text=TEXT, duration=1.0, processing_seconds=0.5)
    home = Path(airflow.env["E2E_INBOX"]).parent
    inbox = folder_inbox("folder", home / "inbox" / "today", home / "transcripts")
    airflow.api.wait_for_dag("watched_folder")
    inbox.drop(1, 1)
    inbox.drop(2, PIECES)
    assert_each_once(inbox, service, 120)


def speaks_s3(python: Path) -> bool:
    code = "import s3fs, airflow.providers.amazon"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def versions() -> list[str]:
    return os.environ.get("E2E_AIRFLOW", NEWEST).split()


@pytest.fixture(params=versions())
def arena(
    request: pytest.FixtureRequest,
    postgres: LocalPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[LocalAirflow, Emulator, list[Inbox]]]:
    """An Airflow on PostgreSQL that watches a folder, and a bucket where it can."""
    home = tmp_path_factory.mktemp("airflow")
    python = Path(sys.executable) if request.param == NEWEST else python_of(request.param)
    with ExitStack() as held:
        service = held.enter_context(Emulator(keys=[KEY], recogniser="none"))
        service.script("*.wav", text=TEXT, duration=1.0, processing_seconds=1.0)
        inboxes = [folder_inbox("folder", home / "inbox", home / "transcripts")]
        places = [("folder", f"{home}/inbox/**/*.wav", str(home / "transcripts"), SETTLE)]
        settings = {**SOON, "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json}
        if speaks_s3(python):
            store = held.enter_context(LocalStore())
            # Airflow keeps what it connects to by the connection's id, in this process too: each store has one.
            conn_id = f"store_{store.port}"
            settings[f"AIRFLOW_CONN_{conn_id.upper()}"] = store.connection()
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", store.connection())
            root = f"s3://{conn_id}@{store.bucket}"
            inboxes.append(bucket_inbox("bucket", root, store))
            places.append(("bucket", f"{root}/inbox/**/*.wav", f"{root}/transcripts", SETTLE))
        dags = home / "dags"
        dags.mkdir()
        shutil.copy(DAGS / "watched.py", dags)
        url = postgres.create_database(f"watched{time.monotonic_ns()}")
        settings["E2E_WATCHED"] = watched(*places)
        airflow = held.enter_context(LocalAirflow(python, home, dags, database=url, env=settings, parallelism=4))
        for inbox in inboxes:
            airflow.api.wait_for_dag(f"watched_{inbox.name}", 180)
        yield airflow, service, inboxes


@pytest.mark.long
def test_two_minutes_of_arrivals_with_a_triggerer_killed(arena: tuple[LocalAirflow, Emulator, list[Inbox]]):
    """Every third is written in pieces; the triggerer dies after a third of the time, and another one goes on."""
    airflow, service, inboxes = arena
    print(f"\nAirflow {airflow.version}")  # noqa: T201
    writers: list[threading.Thread] = []
    began = time.monotonic()
    for number in range(ARRIVALS):
        for inbox in inboxes:
            pieces = PIECES if number % 3 == 0 else 1
            writers.append(threading.Thread(target=inbox.drop, args=(number, pieces), daemon=True))
            writers[-1].start()
        if number == ARRIVALS // 3:
            airflow.kill("triggerer")
            airflow.restart("triggerer", wait=False)
        time.sleep(max(0.0, began + (number + 1) * MINUTES * 60 / ARRIVALS - time.monotonic()))
    for writer in writers:
        writer.join()
    for inbox in inboxes:
        assert len(inbox.whole) == ARRIVALS
        assert_each_once(inbox, service, 300)
        states = Counter(state for _, state in dag_state(airflow.api, f"watched_{inbox.name}"))
        print(f"{inbox.name}: runs {dict(states)}")  # noqa: T201
        assert not states["failed"]
