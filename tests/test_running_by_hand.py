"""Tasks that a person runs: ``airflow tasks test``, ``airflow dags test``, ``dag.test()``, by the real commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import airflow
import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.ledger.task_identity import task_identity_of

pytestmark = pytest.mark.airflow

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])
SAYS_TEST = VERSION >= (3, 1)
"""Whether Airflow says of a run that ``dags test`` has started it; without that, 2.11 gives it the date's run id."""

TEXT = "Good morning, the parcels have arrived."
DAG_FILE = """
import os
from datetime import datetime, timezone
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
try:
    from airflow.sdk import DAG
except ImportError:  # 2.11
    from airflow import DAG

with DAG("by_hand", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    TranscribeOperator(
        task_id="one", audio=os.environ["AUDIO"], output_path=os.environ["OUTPUT"] + "/{{ ds or 'undated' }}",
        model=os.environ.get("MODEL", "Whisper-Large-V3"), deferrable=True, max_worker_wait=0, poll_interval=0.05,
        max_cost_usd=os.environ.get("LIMIT"),
    )

if __name__ == "__main__":
    dag.test({})  # noqa
"""
DATE = "2026-01-02"


@dataclass
class Place:
    """An Airflow with one DAG, and a service that counts charges."""

    service: Emulator
    folder: Path
    env: dict[str, str]

    def airflow(self, *words: str, **env: str) -> str:
        """Run an ``airflow`` command, and return what it has printed."""
        return self._run(str(Path(sys.executable).with_name("airflow")), *words, **env)

    def dag_test(self, arguments: str) -> str:
        """Run the DAG file, which calls ``dag.test()``."""
        file = self.folder / "dags" / "by_hand.py"
        other = self.folder / "dags" / "called.py"
        other.write_text(file.read_text().replace("dag.test({})", f"dag.test({arguments})"))
        try:
            return self._run(sys.executable, str(other))
        finally:
            other.unlink()

    def _run(self, *command: str, **env: str) -> str:
        done = subprocess.run(
            command, env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.stdout

    def written(self) -> list[str]:
        """Return the names of the files with transcripts, without their folders."""
        return sorted(path.name for path in self.folder.joinpath("out").rglob("*.json") if ".nanostt" not in path.parts)


@pytest.fixture
def place(tmp_path: Path):
    pristine = Path(os.environ.get("AIRFLOW_HOME", "/nowhere")) / "pristine.db"
    if not pristine.exists():
        pytest.skip("needs a migrated database: run it by `make unit` or `make matrix`")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "by_hand.py").write_text(DAG_FILE)
    shutil.copy(pristine, tmp_path / "airflow.db")
    audio = tmp_path / "note.wav"
    audio.write_bytes((Path(__file__).parents[1] / "example_dags" / "audio" / "weekly-note.wav").read_bytes())
    with Emulator(processing_seconds=0.02, speed=100.0) as service:
        service.script("note.wav", text=TEXT, duration=12.0)
        env = {
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
            "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json,
            "AUDIO": str(audio),
            "OUTPUT": str(tmp_path / "out"),
        }
        yield Place(service, tmp_path, env)


def context(run_id: str, date: datetime | None = None, user: str | None = None) -> dict[str, object]:
    run = SimpleNamespace(logical_date=date, triggering_user_name=user)
    return {"ti": SimpleNamespace(dag_id="by_hand", task_id="one", run_id=run_id, map_index=-1), "dag_run": run}


def test_tests_of_one_date_are_one_task_instance():
    """However the run is called for that time; a run of another date, or that no test has started, is another one."""
    first, other = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    temporary = "__airflow_temporary_run_{}__"
    same = [
        context(temporary.format("2026-11-26T10:00:00+00:00"), first),
        context(temporary.format("2026-11-26T11:00:00+00:00"), first),
        context("manual__2026-11-26T12:00:00+00:00", first, "dag_test"),
    ]
    others = [
        context(temporary.format("2026-11-26T10:00:00+00:00"), other),
        context(temporary.format("2026-11-26T10:00:00+00:00")),
        context("manual__2026-11-26T12:00:00+00:00", first, "admin"),
        context("manual__2026-11-26T13:00:00+00:00", first),
        context("scheduled__2026-01-02T00:00:00+00:00", first),
        context("backfill__2026-01-02T00:00:00+00:00", first),
    ]
    assert len({task_identity_of(one) for one in same}) == 1
    assert len({task_identity_of(one) for one in [*same, *others]}) == 1 + len(others)


@pytest.mark.long
def test_what_a_test_has_paid_for_the_next_test_finds(place):
    """``tasks test`` twice and ``dags test`` for one date are one charge: the record is that of the date."""
    said = [place.airflow("tasks", "test", "by_hand", "one", DATE)]
    assert [charge.source for charge in place.service.charges] == ["note.wav"], said[0][-3000:]
    said.append(place.airflow("tasks", "test", "by_hand", "one", DATE))
    assert "Already transcribed and paid for" in said[1]
    said.append(place.airflow("dags", "test", "by_hand", DATE))
    said.append(place.airflow("dags", "test", "by_hand", DATE))
    expected = 1 if SAYS_TEST else 3 if VERSION >= (3, 0) else 2
    assert len(place.service.charges) == len(place.written()) == expected, said[-1][-3000:]


@pytest.mark.long
def test_a_test_without_a_date_is_a_run_of_its_own(place):
    """``dag.test()`` and ``dags test`` pay each time then; with a date both find what either has paid for."""
    name = "logical_date" if VERSION >= (3, 0) else "execution_date"
    date = f"{name}=datetime(2026, 1, 2, tzinfo=timezone.utc)"
    said = [place.dag_test("")]
    assert len(place.service.charges) == 1, said[0][-3000:]
    place.airflow("dags", "test", "by_hand")
    assert len(place.service.charges) == 2
    said.append(place.dag_test(date))
    assert len(place.service.charges) == 3, said[-1][-3000:]
    place.dag_test(date)
    place.airflow("dags", "test", "by_hand", DATE)
    assert len(place.service.charges) == (3 if SAYS_TEST or VERSION < (3, 0) else 5)


@pytest.mark.long
def test_a_dry_run_by_the_real_command(place):
    """The variable makes ``tasks test`` a dry run on every Airflow; 2.11 has an option for it, too."""
    dry = ("--env-vars", json.dumps({"NANOSTT_DRY_RUN": "1"}))
    ways = [dry] if VERSION >= (3, 0) else [dry, ("--dry-run",)]
    for way in ways:
        said = place.airflow("tasks", "test", "by_hand", "one", DATE, *way)
        assert "Expected cost: 0.20 min" in said, said[-3000:]
        assert "Dry run: nothing was submitted" in said
    place.airflow("tasks", "test", "by_hand", "one", DATE, *dry, LIMIT="0.0000001")
    assert (list(place.service.charges), place.folder.joinpath("out").exists()) == ([], False)
    place.airflow("tasks", "test", "by_hand", "one", DATE)
    said = place.airflow("tasks", "test", "by_hand", "one", DATE, *dry)
    assert "Already transcribed and paid for" in said
    assert len(place.service.charges) == 1
