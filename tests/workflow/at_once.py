"""A task process for ``test_at_once``: it executes a task at the same instant as another process, round after round."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

PATIENCE = 5
"""Attempts that an Airflow with ``retries=4`` makes."""


def execute(number: int, together: Any, ended: Any, rounds: int, form: str, folder: str, audio: list[str]) -> None:
    """Execute the task of each round when all processes are ready; say how its attempts ended.

    :param number: of the process.
    :param form: ``single``, ``batch``, or ``runs``: two DAG runs over one folder.
    :param audio: recordings, as many for each round.
    """
    from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator

    each = len(audio) // rounds
    usual = {"task_id": "transcribe", "model": "Elevenlabs-STT", "deferrable": False, "poll_interval": 0.05}
    for at in range(rounds):
        run_id = f"{at} of {number}" if form == "runs" else f"{at}"
        names = {"dag_id": "calls", "task_id": "transcribe", "run_id": run_id, "map_index": -1, "max_tries": 2}
        context: Any = {"ti": SimpleNamespace(**names, try_number=1 + number)}
        own = audio[at * each : (at + 1) * each]
        if form == "single":
            make: Any = lambda: TranscribeOperator(**usual, audio_path=own[0], output_path=f"{folder}/{at}")  # noqa: B023, E731
        else:
            more = {"skip_existing": form == "runs", "manifest": f"manifest-{number}"}
            make = lambda: TranscribeBatchOperator(**usual, **more, audio=own, output_path=f"{folder}/{at}")  # noqa: B023, E731
        together.wait()
        ends = []
        for _ in range(PATIENCE):
            try:
                make().execute(context)
            except Exception as error:  # noqa: BLE001  said to the test
                ends.append(f"{type(error).__name__}: {error}"[:2000])
            else:
                ends.append("")
                break
        ended.put((at, number, ends))


def claimed_elsewhere(data: Any, until: float) -> Any:
    """A record as another machine leaves it that is sending the submit."""
    claim = {"token": "t", "holder": "calls.transcribe of run manual__1, try 1", "machine": "worker-7 x y"}
    return {**data, "claim": {**claim, "process": 7, "started": 1.0, "until": until}}
