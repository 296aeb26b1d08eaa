"""What the triggerer leaves for the worker, and that nobody depends on it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt import storage
from airflow_provider_nanostt.handover import Handover, Keeper
from tests.real_store import Shelf

RUNS = ["run-1", "../../etc/passwd", "", "läuft/…", "x" * 5000]


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A folder that is not there yet."""
    if request.param == "disk":
        return storage.location(str(tmp_path / "out" / "answers"))
    shelf: Shelf = request.getfixturevalue("shelf")
    return storage.location(f"{shelf.uri}/out/answers")


def test_what_one_leaves_the_other_finds(place):
    """Under any run id, as often as it is left; the folder goes when it has served."""
    mine = Handover(place)
    told = json.loads(json.dumps(mine.open()))
    other = Handover.seen_from_here(told)
    assert other is not None
    for run_id in RUNS:
        other.put(run_id, {"of": "an earlier time"})
        other.put(run_id, {"of": run_id})
    found = Handover(place)
    assert [json.loads(found.take(run_id) or b"") for run_id in RUNS] == [{"of": run_id} for run_id in RUNS]
    assert found.take("run-2") is None
    found.clear()
    assert storage.names(place) == []
    assert Handover(place).take("run-1") is None
    Handover(place).clear()


def test_a_folder_of_the_same_name_elsewhere_is_not_the_same(place):
    """On another machine the path may lead nowhere, or to what an earlier attempt has left there."""
    told = Handover(place).open()
    assert told is not None
    assert Handover.seen_from_here({**told, "mark": "of-another-time"}) is None
    Handover(place).clear()
    assert Handover.seen_from_here(told) is None


def test_where_nothing_can_be_written_nothing_is_promised(tmp_path, caplog):
    """Then the worker asks the service."""
    (tmp_path / "out").write_text("a file")
    with caplog.at_level("INFO"):
        assert Handover(storage.location(str(tmp_path / "out" / "answers"))).open() is None
    assert "cannot be written" in caplog.text


class Slow:
    """A folder where storing takes until it is let go, or fails."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.kept: list[str] = []
        self.error: Exception | None = None

    def put(self, run_id: str, _answer: Any) -> None:
        self.go.wait(20)
        if self.error:
            raise self.error
        self.kept.append(run_id)


def keep(slow: Slow, count: int, log: Any) -> None:
    async def all_of_them() -> None:
        keeper = Keeper(slow, log)  # type: ignore[arg-type]
        given = [
            asyncio.create_task(keeper.keep(f"run-{number}", SimpleNamespace(raw={})))  # type: ignore[arg-type]
            for number in range(count)
        ]
        await asyncio.sleep(0)
        slow.go.set()
        await asyncio.gather(*given)

    asyncio.run(all_of_them())


def test_a_slow_storage_does_not_fill_the_memory(caplog):
    """What comes while enough is on its way is left to the worker."""
    slow = Slow()
    keep(slow, 100, SimpleNamespace())
    assert sorted(slow.kept) == sorted(f"run-{number}" for number in range(16))


def test_a_broken_storage_is_tried_no_more():
    """Nor does it fail the wait."""
    slow, said = Slow(), []
    slow.error = OSError("503 Slow Down")
    keep(slow, 10, SimpleNamespace(info=lambda *told: said.append(told)))
    assert slow.kept == []
    assert 1 <= len(said) <= 4  # as many as were under way


@pytest.mark.parametrize("told", [None, {}, {"folder": "nowhere://x", "mark": ""}, {"folder": "/nowhere", "mark": "x"}])
def test_no_keeper_where_there_is_nothing_to_keep_in(told):
    """Whatever the arguments of a trigger say, it waits."""
    assert asyncio.run(Keeper.of(told, SimpleNamespace(info=lambda *_: None))) is None
