"""Who may write into the output folder can forge records; none of them pays, none leads out of the folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException, ObjectStoragePath
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger.task_identity import TaskIdentity
from airflow_provider_nanostt.links import address_in
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.conftest import Memory
from tests.outside import killed, pauses, request
from tests.workflow.batch.conftest import ASYNC, PRICE, Batch, batch  # noqa: F401  a fixture

SYNC = "Whisper-Large-V3"


@pytest.fixture
def attempt(files: Memory, wav: Path, run_task: Any) -> Any:
    """Run one attempt of a task whose record is beside the results."""

    def run(**arguments: Any) -> Any:
        def operator() -> TranscribeOperator:
            given = {"model": SYNC, "audio_path": str(wav), "deferrable": True, "poll_interval": 0.03}
            return TranscribeOperator(task_id="transcribe", **{**given, **files.arguments, **arguments})

        return run_task(operator, files.context())

    return run


# A result that is not where it belongs


def test_only_what_we_return_is_taken_from_a_record(emulator: Emulator, files, attempt):
    """A key that no result of ours has does not get to XCom, nor into the button's address."""
    attempt()
    files.record = {**files.record, "result": {"files": {}, "manifest": {"html": "javascript:alert(1)"}, "x": "y"}}
    result = attempt()
    assert set(result) <= {"files", "cost_usd"}
    assert address_in(result) == ""


@pytest.mark.parametrize(
    "elsewhere",
    ["file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:1/x", "file:///dev/zero", "/proc/self/environ", "s3://b/k"],
)
def test_a_result_is_looked_for_in_its_own_folder(emulator: Emulator, files, attempt, elsewhere):
    """Whatever address a record names: it is a name in the folder, and if there is nothing, the recording is new."""
    first = attempt()
    files.record = {**files.record, "job": None, "result": {"files": {"json": elsewhere}}}
    assert attempt()["files"] == first["files"]


@pytest.mark.parametrize("make", ["fifo", "link", "large", "folder"])
def test_only_regular_files_of_bounded_size_are_read(tmp_path, monkeypatch, make):
    """A pipe would hang, a link leads out of the folder, and a sparse file costs its writer nothing."""
    path = tmp_path / "a.json"
    if make == "fifo":
        os.mkfifo(path)
    elif make == "link":
        (tmp_path / "b.json").write_text("{}")
        path.symlink_to(tmp_path / "b.json")
    elif make == "large":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        path.mkdir()
    with pytest.raises((OSError, ValueError)):
        object_storage.read(ObjectStoragePath(str(path)), at_most=1000)


@pytest.mark.parametrize("size", [0, 1, 1000, 1001])
def test_objects_are_bounded_too(shelf, size):
    """No more than the limit is asked for, and an empty object is an empty object."""
    shelf.put("a.json", b"x" * size)
    if size > 1000:
        with pytest.raises(ValueError, match="more than 1,000 bytes"):
            object_storage.read(shelf.at("a.json"), at_most=1000)
    else:
        assert object_storage.read(shelf.at("a.json"), at_most=1000) == b"x" * size


@pytest.mark.parametrize("make", ["fifo", "link"])
def test_what_lies_where_a_transcript_belongs_does_not_lose_it(emulator: Emulator, files, attempt, tmp_path, make):
    """It is written under another name, and what lay there is left alone."""
    files.folder.mkdir()
    other = tmp_path / "other.json"
    other.write_text("{}")
    place = files.folder / "note.json"
    os.mkfifo(place) if make == "fifo" else place.symlink_to(other)
    written = Path(attempt()["files"]["json"])
    assert written.name != place.name
    assert written.is_file()
    assert other.read_text() == "{}"


# Money


FORGED: dict[str, dict[str, Any]] = {
    "a negative cost": {"cost": -1e6, "fingerprint": "0" * 32},
    "a negative cost before": {"history": [{"cost": -1e6}], "fingerprint": "0" * 32},
    "a negative estimate": {"estimated_cost": -5.0, "fingerprint": "0" * 32},
    "a result that cost less than nothing": {"result": {"files": {}, "cost_usd": -5.0}},
    "split in many parts": {"state": "split", "split_points": [one / 50 for one in range(1, 102)], "cost": None},
    "withdrawn": {"state": "withdrawn", "intended_at": 4e9},
    "no history": {"state": "withdrawn", "history": [], "cost": None},
    "another recording": {"fingerprint": "0" * 32},
}


@pytest.mark.parametrize("forged", FORGED)
def test_no_record_lifts_a_limit(emulator: Emulator, files, attempt, forged):
    """Every submit is approved, whatever a record claims; or the record is refused."""
    attempt()
    before = len(emulator.charges)
    files.record = {**files.record, "job": None, "answer": None, "result": None, **FORGED[forged]}
    with suppress(errors.LedgerError, AirflowFailException):
        attempt(max_cost_usd=1e-7)
    assert len(emulator.charges) == before


def rows_after_a_kill(attempt: Any, arguments: dict[str, Any]) -> list[list[object]]:
    """End an attempt between the charge and its record; return the key's usage with the charge in it, as JSON."""
    with killed(after=request("/transcribe")):
        attempt(**arguments)
    usage = NanoGPTHook().usage()
    assert usage.rows is not None
    return [[row.day, row.model, row.requests, row.cost, row.refunded] for row in usage.rows]


@pytest.mark.parametrize("limit", [PRICE[ASYNC] / 2, PRICE[ASYNC] * 1.5])
def test_forged_figures_pay_no_more_than_the_approval_allows(emulator: Emulator, files, attempt, hours_pass, limit):
    """A writer of the folder can make a charge look as if it was none; the submit is approved all the same."""
    arguments = {"model": ASYNC, "actual_duration": 0.5, "recovery_policy": {"on_ambiguous_submit": "verify"}}
    rows = rows_after_a_kill(attempt, arguments)
    forged = {**files.record["usage_before"], "rows": rows}
    files.record = {**files.record, "balance_before": 100.0 - PRICE[ASYNC], "usage_before": forged}
    if limit < PRICE[ASYNC]:
        with pytest.raises(AirflowFailException, match="max_cost_usd"):
            attempt(**arguments, max_cost_usd=limit)
        assert len(emulator.charges) == 1
    else:
        for _ in range(2):
            attempt(**arguments, max_cost_usd=limit)
        assert len(emulator.charges) == 2


def test_figures_that_are_later_than_their_intent_are_not_believed(emulator: Emulator, files, attempt, hours_pass):
    """They could have the charge in them, whoever has written them."""
    arguments = {"model": ASYNC, "actual_duration": 0.5, "recovery_policy": {"on_ambiguous_submit": "verify"}}
    rows = rows_after_a_kill(attempt, arguments)
    later = {**files.record["usage_before"], "rows": rows, "at": files.record["intended_at"] + 1}
    files.record = {**files.record, "balance_before": 100.0 - PRICE[ASYNC], "usage_before": later}
    with pytest.raises(AirflowFailException, match="not on record"):
        attempt(**arguments)
    assert len(emulator.charges) == 1


FORGED_FIGURES: dict[str, dict[str, Any]] = {
    "a balance of before": {"balance_before": 100.0 - PRICE[ASYNC]},
    "no balance of before": {"balance_before": None},
    "no usage of before": {"usage_before": None},
    "a usage of later": {"intended_at": 1.7e9},
    "a submit of the far future": {"intended_at": 2e11},
    "no likely cost": {"estimated_cost": None},
    "a likely cost of nothing": {"estimated_cost": 0.0},
}


@pytest.mark.parametrize("forged", FORGED_FIGURES)
def test_no_single_figure_of_a_record_authorises(emulator: Emulator, files, attempt, hours_pass, forged):
    """The other one, which the service has, still shows the charge; and no made-up time is waited for."""
    arguments = {"model": ASYNC, "actual_duration": 0.5, "recovery_policy": {"on_ambiguous_submit": "verify"}}
    with killed(after=request("/transcribe")):
        attempt(**arguments)
    files.record = {**files.record, **FORGED_FIGURES[forged]}
    skipped = pauses.skipped
    with pytest.raises(AirflowFailException, match="on_ambiguous_submit is 'verify'"):
        attempt(**arguments)
    assert len(emulator.charges) == 1
    assert pauses.skipped - skipped < 2000


@pytest.mark.parametrize("points", [[-1.0], [0.0], [5.0, 5.0], [9.0, 3.0], [float("nan")], ["x"], list(range(1, 2000))])
def test_split_points_are_in_order_and_not_too_many(emulator: Emulator, files, attempt, points):
    """Anything else is no record of ours."""
    attempt()
    files.record = {**files.record, "state": "split", "result": None, "split_points": points}
    with pytest.raises((errors.LedgerError, AirflowFailException), match="split points"):
        attempt()


@pytest.mark.parametrize("forged", [{"state": "withdrawn"}, {"fingerprint": "0" * 32}, {"state": "failed"}])
def test_airflows_own_record_counts(emulator: Emulator, tmp_path, wav, run_task, forged):
    """A record beside the results that claims to be newer does not hide what Airflow knows is paid for."""
    memory, given = Memory("task state", tmp_path / "results"), {"output_path": str(tmp_path / "results")}

    def run() -> Any:
        given.update(model=ASYNC, audio_path=str(wav), deferrable=True, poll_interval=0.03)
        return run_task(lambda: TranscribeOperator(task_id="transcribe", **given), memory.context())

    run()
    (file,) = (tmp_path / "results" / ".nanostt").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "intended_at": 4e9, "result": None, **forged}))
    run()
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("factor", [1.0, 50.0])
def test_a_limit_holds_against_what_the_service_says_it_charged(batch: Batch, factor):  # noqa: F811
    """One that cost more than expected leaves nothing for the next."""
    audio = batch.recordings(2)
    batch.script("call-000.wav", duration=30 * factor)
    batch.run(audio, max_cost_usd=3 * PRICE[ASYNC], max_parallel=1, on_item_error="continue")
    assert len(batch.emulator.charges) == (2 if factor == 1 else 1)


# A batch


@pytest.mark.parametrize(
    "row",
    [
        {"cost_usd": -5e9}, {"words": -1}, {"charged_minutes": "x"}, {"number": 7}, {"number": -1}, {"status": "paid"},
        {"files": {"json": 5}}, {"files": {"json": "/"}}, {"speakers": [5]}, {"audio": None}, {"run_id": 5}, {"key": 5},
    ],
)  # fmt: skip
def test_a_forged_checkpoint_is_refused_and_found_again(batch: Batch, row):  # noqa: F811
    """The retry goes by the records of the recordings, and pays for none again."""

    def forge() -> None:
        (file,) = (batch.memory.folder / ".nanostt").glob("*.batch.jsonl")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        lines[0]["row"].update(row)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    audio = batch.recordings(2)
    batch.before_resume = forge
    with pytest.raises((errors.LedgerError, AirflowFailException), match="cannot be read"):
        batch.run(audio)
    batch.before_resume = None
    batch.run(audio)
    assert batch.statuses == ["written"] * 2
    assert len(batch.emulator.charges) == 2


def test_files_of_a_checkpoint_are_in_the_folder(batch: Batch):  # noqa: F811
    """An address that would run in a browser does not get into the manifest."""

    def forge() -> None:
        (file,) = (batch.memory.folder / ".nanostt").glob("*.batch.jsonl")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        lines[0]["row"].update(status="written", files={"html": "javascript:alert(1)", "json": "/etc/passwd"})
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    batch.before_resume = forge
    batch.run(batch.recordings(2))
    assert all(uri.startswith(str(batch.memory.folder)) for row in batch.rows for uri in row["files"].values())


@pytest.mark.parametrize("key", ["/../../../xx", "../x", "a/b", "a\\..\\b", "\0", "..", "x" * 500])
def test_a_key_is_cleaned_before_it_becomes_a_path(key):
    """One level, one name."""
    name = TaskIdentity("d", "t", "r").for_item(key).file_name
    assert Path(name).name == name
    assert "\0" not in name
    assert len(name) < 255


# The button


@pytest.mark.parametrize(
    ("address", "is_shown"),
    [
        ("s3://conn@bucket/a.html", True),
        ("gs://bucket/a.html", True),
        ("abfs://c@a.dfs.core.windows.net/a.html", True),
        ("file:///srv/a.html", True),
        ("/srv/a.html", True),
        ("https://files.example/a.html", True),
        ("javascript:alert(1)", False),
        ("JavaScript://%0aalert(1)", False),
        (" javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,<script>", False),
        ("vbscript:x", False),
        ("//evil.example/a", False),
        ("blob:https://x", False),
    ],
)
def test_a_link_leads_to_a_storage_or_the_web(address, is_shown):
    """Nothing that a browser would run."""
    assert address_in({"files": {"html": address}}) == (address if is_shown else "")
