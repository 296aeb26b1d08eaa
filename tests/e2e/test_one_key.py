"""Batches and triggerers share one key without talking: four processes, one limit, no Airflow around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "one_key.py"
WHOLE = bool(os.environ.get("E2E_WHOLE"))
SECONDS, RECORDINGS, REFUSED, USED, SHARE = (75, 600, 0.02, 0.8, 0.15) if WHOLE else (45, 350, 0.05, 0.5, 0.08)


def test_four_processes_share_a_key_and_leave_nothing_behind() -> None:
    """After 20 s nearly nothing is refused, the limit is used, each has its share; every recording has its job."""
    command = [sys.executable, str(SCRIPT), "--measure", str(SECONDS), str(RECORDINGS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS + 600, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["left"] == [0, 0], found
    assert found["refused"] <= REFUSED * found["requests"], found
    assert found["used"] >= USED, found
    assert min(found["shares"].values()) >= SHARE, found
