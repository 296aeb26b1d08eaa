"""The emulator as a process of its own, for the demo and the tests with many machines."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from airflow_api import wait_for
from local_airflow import FOREIGN
from processes import Service

if TYPE_CHECKING:
    from pathlib import Path


def start_emulator(folder: Path, *options: str) -> tuple[Service, dict[str, Any]]:
    """Start the emulator and return it with what it says about itself: url, key and connection.

    :param folder: takes its log and what it says.
    :param options: of its command line.
    """
    ready = folder / "emulator.json"
    command = [sys.executable, "-m", "airflow_provider_nanostt.emulator", "--ready-file", str(ready), *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    emulator = Service("emulator", command, env=env, log=folder / "emulator.log")
    emulator.start()

    def listening() -> dict[str, Any] | None:
        if not emulator.alive:
            raise RuntimeError(f"the emulator ended by itself:\n{emulator.tail()}")
        return json.loads(ready.read_text(encoding="utf-8")) if ready.exists() else None

    try:
        return emulator, wait_for(listening, "the emulator listening", 30, 0.1)
    except BaseException:
        emulator.stop()
        raise
