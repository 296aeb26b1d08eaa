"""A worker killed (-9) while it submits a batch: which items are left uncertain, and were they on their way?

A task process is killed ten times in the middle of sixty submits, at moments drawn at random. Its next attempt says of
some items that they may have been charged; the emulator knows whether their requests had arrived. The gap between the
recorded intent and the ticket is the request itself: an item that waited for its turn is not in it, so nearly every
item that is left uncertain has arrived at the service. What remains are the milliseconds between the recorded intent
and the first byte on the wire, in which at most the one item can be whose turn it is.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow_api import wait_for

from airflow_provider_nanostt.emulator import Emulator
from tests.e2e.stage import WHOLE

pytestmark = pytest.mark.e2e

ITEMS, KILLS = 60, 10 if WHOLE else 2
UNKNOWN = "An earlier attempt submitted this and never recorded an answer"
SEED = 20261125


def transcribe(urls: list[str], folder: str) -> None:
    """Run an attempt of the batch to its end, in this process."""
    from airflow_provider_nanostt.operators import TranscribeBatchOperator

    ti = SimpleNamespace(dag_id="night", task_id="t", run_id="r", map_index=-1, max_tries=1, try_number=1, hostname="w")
    operator = TranscribeBatchOperator(
        task_id="t",
        audio=urls,
        output_path=folder,
        model="Elevenlabs-STT",
        actual_duration=1.0,
        poll_interval=1,
        deferrable=False,
        on_item_error="continue",
    )
    operator.execute({"ti": ti})


WORKER = f"""
import json, sys
from types import SimpleNamespace
{inspect.getsource(transcribe)}
transcribe(*json.load(sys.stdin))
"""


@dataclass(frozen=True)
class Kill:
    """What one kill has left.

    :param recorded: items that had been charged, and whose ticket was on record.
    :param uncertain: items of which the next attempt says that they may have been charged.
    :param arrived: of these, those whose request the emulator has seen.
    :param charged: of these, those that it has charged.
    """

    recorded: int
    uncertain: int
    arrived: int
    charged: int


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator(processing_seconds=0.0, recogniser="none") as running:
        yield running


def start(service: Emulator, folder: Path, urls: list[str]) -> subprocess.Popen[str]:
    """Start a task process on the batch."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env={**os.environ, "AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert worker.stdin is not None
    with worker.stdin as given:
        json.dump([urls, str(folder)], given)
    return worker


def kill(service: Emulator, folder: Path, name: str, moment: Callable[[], tuple[int, float]]) -> Kill:
    """Kill a worker in the middle of submitting, let the next attempt come to its end, and count."""
    urls = [f"https://192.0.2.7/{name}-{number:02d}.mp3" for number in range(ITEMS)]

    def charged() -> set[str]:
        return {charge.source for charge in service.charges} & set(urls)

    after, pause = moment()
    worker = start(service, folder, urls)
    wait_for(lambda: len(charged()) >= after, f"{after} charges", 60, 0.005)
    time.sleep(pause)
    worker.kill()
    worker.wait()
    time.sleep(0.5)  # what is on its way arrives, and is charged
    arrived = {str(one.fields.get("audioUrl")) for one in service.requests if one.endpoint == "/transcribe"}
    paid = charged()
    assert len(paid) < ITEMS
    with pytest.MonkeyPatch.context() as patch:
        hurried = {**service.connection, "extra": {"requests_per_second": 1000}}
        patch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(hurried))
        transcribe(urls, str(folder))
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    uncertain = {row["audio"] for row in rows if row["status"] != "written"}
    assert all(row["error"].startswith(UNKNOWN) for row in rows if row["audio"] in uncertain)
    everything = [charge.source for charge in service.charges if charge.source in urls]
    assert len(everything) == len(set(everything)), "an item was charged twice"
    return Kill(len(paid - uncertain), len(uncertain), len(uncertain & arrived), len(uncertain & paid))


@pytest.mark.parametrize("seconds", [0.0, 0.3], ids=["answers at once", "answers after 0.3 s"])
def test_what_is_left_uncertain_was_on_its_way(
    service: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: float
):
    """Items that may have been charged, as the next attempt says, had arrived; none of them waited for its turn."""
    service.reset()
    service.add_key(service.api_key, balance=1000.0, requests_per_second=0)
    service.script("*", text="Good morning.", duration=60.0)
    if seconds:
        service.fail("/transcribe", kind="slow", delay=seconds, after_charge=True, probability=1.0)
    drawn = random.Random(SEED)
    kills = []
    for number in range(KILLS):
        moment = (drawn.randrange(5, ITEMS - 20), drawn.uniform(0.0, 0.15))
        kills.append(kill(service, tmp_path / str(number), f"{seconds}-{number}", lambda moment=moment: moment))
    with capsys.disabled():
        print(table(f"The service answers after {seconds:g} s; {ITEMS} items, {KILLS} kills", kills))  # noqa: T201
    # Between writing an intent and the request's arrival is a moment, which a kill may hit; of intents that wait for
    # their turn there would be several for each kill.
    assert sum(one.uncertain - one.arrived for one in kills) <= max(2, KILLS // 3)


def table(title: str, kills: list[Kill]) -> str:
    counts = [(one.recorded, one.uncertain, one.arrived, one.charged) for one in kills]
    counts.append(tuple(map(sum, zip(*counts, strict=True))))
    lines = [
        f"| {number} | {' | '.join(map(str, row))} |"
        for number, row in zip([*range(1, len(counts)), "all"], counts, strict=True)
    ]
    head = "| kill | tickets recorded | left uncertain | of these arrived | of these charged |\n|---|---|---|---|---|"
    return "\n".join(["", title, "", head, *lines])
