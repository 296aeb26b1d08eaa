"""Triggerers share one key without talking to each other: three processes, one limit, no Airflow around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "three_triggerers.py"
WHOLE = bool(os.environ.get("E2E_WHOLE"))
SECONDS, REFUSED, SHARE = (120, 0.01, 0.2) if WHOLE else (40, 0.04, 0.1)


def test_three_processes_find_a_pace_and_share_it() -> None:
    """After 20 s nearly nothing is refused any more, and each of the three gets its share of what the key allows."""
    command = [sys.executable, str(SCRIPT), "--measure", str(SECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS + 240, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["refused_share"] < REFUSED, found
    assert min(found["shares"]) >= SHARE, found
    assert found["answered"] > 10 * found["seconds"], found
