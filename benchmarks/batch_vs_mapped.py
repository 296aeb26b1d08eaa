"""200 recordings in one batch task against 200 mapped tasks: worker slots and wall time, in a real Airflow.

LocalExecutor on PostgreSQL, both with the same emulator, one after the other, the mapped tasks first. Each recording is
a minute long and takes 8.5 s at the service, which is the median by its published formula. Slot seconds are task
instances in the states "queued" and "running", which is what Airflow counts as the occupied slots of a pool: a queued
task has its place in the executor already. They are counted in the metadata database ten times a second and added up;
wall time is that of the DAG run.

How long 200 mapped tasks take depends on the slots: on this many cores, twice as many slots are no twice the work. So
this is measured with a slot for each core, to which the figures apply, and again with 16, Airflow's own limit for the
tasks of a DAG, for comparison.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from report import Row, in_development, run

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

SLOTS, WALL = 20.0, 10.0
JOB_SECONDS, MINUTES = 8.5, 1.0
MANY = 16  # tasks of a DAG that Airflow lets run at once by default
EVERY = 0.1  # seconds


def watched(cursor, api, dag_id: str) -> dict[str, float]:
    """Run a DAG to its end; return its slot seconds and wall seconds."""
    run_id = api.trigger_dag(dag_id, {})
    slots, running, last = 0.0, 0.0, time.monotonic()
    while True:
        time.sleep(EVERY)
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'running') FROM task_instance "
            "WHERE run_id = %s AND dag_id = %s AND state IN ('queued', 'running')",
            (run_id, dag_id),
        )
        now, (occupied, at_work) = time.monotonic(), cursor.fetchone()
        slots, running, last = slots + occupied * (now - last), running + at_work * (now - last), now
        cursor.execute(
            "SELECT state, extract(epoch FROM end_date - start_date) FROM dag_run WHERE run_id = %s AND dag_id = %s",
            (run_id, dag_id),
        )
        state, seconds = cursor.fetchone()
        if state in ("success", "failed"):
            cursor.execute("SELECT state, count(*) FROM task_instance WHERE run_id = %s AND dag_id = %s GROUP BY state",
                           (run_id, dag_id))  # fmt: skip
            return {"slots": slots, "running": running, "wall": float(seconds), "states": dict(cursor.fetchall())}


def both(count: int, at_once: int) -> dict[str, dict[str, float]]:
    import psycopg2
    from local_airflow import LocalAirflow
    from local_postgres import LocalPostgres

    from airflow_provider_nanostt.emulator import Emulator

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalPostgres() as postgres,
        Emulator(processing_seconds=JOB_SECONDS, recogniser="none", balance=1e6) as service,
    ):
        service.script("*.mp3", text="These are the words.", duration=MINUTES * 60)
        database, home = postgres.create_database("bench"), Path(folder)
        env = {
            "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json,
            "BENCH_OUTPUT": str(home / "results"),
            "BENCH_COUNT": str(count),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(at_once),
        }
        running = LocalAirflow(
            Path(sys.executable), home, HERE / "dags", database=database, env=env, parallelism=at_once
        )
        connection = psycopg2.connect(host="127.0.0.1", port=postgres.port, user="postgres", dbname="bench")
        connection.autocommit = True
        with running as airflow, connection.cursor() as cursor:
            for dag_id in ("mapped", "batch"):
                airflow.api.wait_for_dag(dag_id, 120)
            told = {dag_id: watched(cursor, airflow.api, dag_id) for dag_id in ("mapped", "batch")}
            for dag_id, found in told.items():
                landed = len(list((home / "results" / dag_id).glob(f"{dag_id}-*.json")))
                charges = sum(f"/{dag_id}-" in charge.source for charge in service.charges)
                if not landed == charges == count or set(found["states"]) != {"success"}:
                    raise RuntimeError(f"{dag_id}: {landed} landed, {charges} charged of {count}; {found['states']}")
        connection.close()
        return told


def measure(options: argparse.Namespace) -> list[Row]:
    count, cores = 10 if options.quick else 200, os.cpu_count() or 1
    return [row(count, at_once, both(count, at_once), applies=at_once == cores) for at_once in (cores, MANY)]


def row(count: int, at_once: int, told: dict[str, dict[str, float]], *, applies: bool) -> Row:
    mapped, batch = told["mapped"], told["batch"]
    slots, wall = mapped["slots"] / batch["slots"], mapped["wall"] / batch["wall"]
    running = f"{mapped['running']:.0f} and {batch['running']:.0f} s, {mapped['running'] / batch['running']:.0f} times"
    return Row(
        f"{count} recordings in one batch task against {count} mapped tasks (real Airflow on PostgreSQL), "
        f"{at_once} worker slots",
        f"mapped: {mapped['slots']:.0f} worker-slot seconds, {mapped['wall']:.0f} s",
        f"batch: {batch['slots']:.0f} worker-slot seconds, {batch['wall']:.0f} s; "
        f"{slots:.0f} times fewer slot seconds, {wall:.1f} times less wall time",
        f"≥ {SLOTS:.0f} times fewer slot seconds, ≥ {WALL:.0f} times less wall time" if applies else "for comparison",
        slots >= SLOTS and wall >= WALL if applies else None,
        [
            f"{at_once} slots on {os.cpu_count()} cores; a job takes {JOB_SECONDS:g} s.",
            f"In the state running alone: {running}.",
        ],
    )


if __name__ == "__main__":
    in_development()  # where Airflow's driver for PostgreSQL is
    run(measure, __doc__)
