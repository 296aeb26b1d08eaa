"""``nanostt models`` and ``nanostt costs``: what models cost and can do, and what was spent."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.cli import main
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import Memory

ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"
TODAY = dt.datetime.now(dt.UTC).date()
SINCE = ("--since", (TODAY - dt.timedelta(days=20)).isoformat())


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()  # what a task has logged before
    code = main(arguments)
    return code, *capsys.readouterr()


def document(capsys, *arguments: str) -> tuple[int, dict]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


@pytest.fixture
def as_the_table(emulator: Emulator) -> Emulator:
    """A service whose catalogue is that of the built-in table's day."""
    for model in list(emulator.models):
        emulator.set_model(model, listed=model in KNOWN_MODELS)
    for row in KNOWN_MODELS.values():
        entry = {"capabilities": {}, "supported_parameters": []}
        emulator.set_model(row.id, per_minute=row.per_minute, entry=entry)
    return emulator


def test_models_are_a_table_with_the_source_of_its_prices(emulator: Emulator, capsys):
    """What the catalogue says, one line a model, and no clone of a voice."""
    emulator.set_model("New-STT", per_minute=0.2, timestamps=True, max_megabytes=25)
    code, out, _ = run(capsys, "models")
    (line,) = (line for line in out.splitlines() if "New-STT" in line)
    assert (code, line.split()) == (0, ["New-STT", "$0.2", "yes", "yes", "no", "25", "MB"])
    (mini,) = (line for line in out.splitlines() if line.split()[:1] == ["gpt-4o-mini-transcribe"])
    assert "23 min" in mini
    assert f"Prices from the service's catalogue of {TODAY.isoformat()[:4]}" in out
    assert "voice-clone" not in out


def test_models_for_programs(emulator: Emulator, capsys):
    """Every figure by its name and unit."""
    code, found = document(capsys, "models")
    (one,) = (row for row in found["models"] if row["id"] == ASYNC)
    assert code == 0
    assert one.pop("price_source") == found["source"]
    assert one == {
        "id": ASYNC,
        "usd_per_minute": 0.03,
        "usd_per_minute_for_limits": 0.03,
        "diarizes": True,
        "gives_times": True,
        "takes_video": False,
        "max_seconds": None,
        "max_bytes": None,
    }


@pytest.mark.parametrize("trouble", ["no connection", "no answer", "a refused key"])
def test_models_without_a_catalogue_are_those_of_the_table(emulator: Emulator, capsys, monkeypatch, trouble):
    """With their date, why, and what a limit counts."""
    if trouble == "no connection":
        monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT")
    else:
        emulator.fail("/v1/audio-models", status=503 if trouble == "no answer" else 401, times=100)
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert "Without the service's catalogue: " in out
    assert "Prices from the built-in table of 2026-08-24." in out
    assert "A limit counts Whisper-Large-V3 at the highest price seen: $0.01" in out
    found = document(capsys, "models")[1]
    assert [row["id"] for row in found["models"]] == list(KNOWN_MODELS)
    code, out, err = run(capsys, "models", "--check")
    assert (code, out) == (2, "")
    assert "nanostt: " in err


def test_a_price_of_the_connection_is_marked(emulator: Emulator, capsys, monkeypatch):
    """It is not the catalogue's."""
    emulator.set_model("New-STT", entry={"pricing": None})
    extra = {"prices": {"New-STT": 0.5}}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**emulator.connection, "extra": extra}))
    assert "Prices from the connection: New-STT." in run(capsys, "models")[1]
    assert "Prices from nobody: Old-STT." in run_with_unknown(emulator, capsys)


def run_with_unknown(emulator: Emulator, capsys) -> str:
    emulator.set_model("Old-STT", entry={"pricing": None, "id": "Old-STT"})
    from airflow_provider_nanostt import hooks

    hooks._catalogues.clear()
    return run(capsys, "models")[1]


def test_the_check_passes_where_the_table_is_right(as_the_table: Emulator, capsys):
    """Nothing differs, and the code is 0."""
    code, out, _ = run(capsys, "models", "--check")
    assert (code, out.splitlines()[:-1]) == (0, [])
    assert "0 prices and 0 other facts differ" in out


def test_the_check_says_what_the_table_has_wrong(as_the_table: Emulator, capsys):
    """A price, an ability, a new model and a vanished one; only a price makes the code 1."""
    as_the_table.set_model("New-STT")
    as_the_table.set_model("Wizper", listed=False)
    as_the_table.set_model(SYNC, entry={"capabilities": {"diarization": True}, "supported_parameters": []})
    code, found = document(capsys, "models", "--check")
    assert code == 0
    assert [tuple(one.values()) for one in found["differences"]] == [
        ("New-STT", "it", "missing", "there"),
        (SYNC, "diarizes", "False", "True"),
        ("Wizper", "it", "there", "missing"),
    ]


def test_a_price_that_differs_fails_the_check(as_the_table: Emulator, capsys):
    """For a nightly job that wants to know."""
    as_the_table.set_model(ASYNC, per_minute=0.06)
    code, out, _ = run(capsys, "models", "--check")
    assert code == 1
    assert f"{ASYNC}: the price is $0.051/min in the table, $0.06/min in the catalogue" in out
    assert "1 price and 0 other facts differ" in out


@pytest.fixture
def spent(emulator: Emulator, wav: Path, tmp_path: Path) -> Path:
    """A folder above two output folders: one recording in one, a batch of two in the other."""
    context = Memory("files", tmp_path).context()
    given = {"poll_interval": 0.03}
    one = tmp_path / "all" / "calls"
    TranscribeOperator(task_id="t", audio=str(wav), model=ASYNC, output_path=str(one), **given).execute(context)
    audio = [str(wav), {"audio": str(wav), "language": "en", "model": ASYNC}]
    batch = TranscribeBatchOperator(task_id="b", audio=audio, output_path=str(tmp_path / "all" / "b" / "c"), **given)
    batch.execute(context)
    assert len(emulator.charges) == 3
    return tmp_path / "all"


def test_the_ledgers_explain_what_was_spent(emulator: Emulator, spent: Path, capsys):
    """By day and model, from all folders below, to the cent; and nothing is submitted."""
    code, found = document(capsys, "costs", *SINCE, str(spent))
    assert code == 0
    rows = {row["model"]: row for row in found["rows"]}
    assert {name: (row["requests"], row["submits"], row["difference"]) for name, row in rows.items()} == {
        ASYNC: (2, 2, 0.0),
        SYNC: (1, 1, 0.0),
    }
    assert rows[ASYNC]["usd"] == pytest.approx(sum(one.cost for one in emulator.charges if one.model == ASYNC))
    assert any("the difference is none" in note for note in found["notes"])
    assert len(emulator.charges) == 3


def test_ledgers_in_object_storage_are_read_too(emulator: Emulator, bucket, wav, tmp_path, capsys):
    """From the folder that is named and from all below it."""
    for folder in ("s3://calls/a", "s3://calls/deep/er/b"):
        made = TranscribeOperator(task_id="t", audio=str(wav), model=SYNC, output_path=folder)
        made.execute(Memory("files", tmp_path).context())
    for folder, submits in (("s3://calls/", 2), ("s3://calls/deep", 1), ("s3://calls/a", 1)):
        (row,) = document(capsys, "costs", *SINCE, folder)[1]["rows"]
        assert (row["requests"], row["submits"]) == (2, submits)


def test_the_difference_is_told(emulator: Emulator, spent: Path, wav, capsys):
    """What somebody else spent with the key, with the reasons that there may be; and what cannot be read."""
    TranscribeOperator(task_id="else", audio=str(wav), model=ASYNC, poll_interval=0.03).execute({})
    (spent / "calls" / ".nanostt" / "broken.json").write_text("{")
    code, out, _ = run(capsys, "costs", *SINCE, str(spent))
    (line,) = (line for line in out.splitlines() if ASYNC in line)
    assert code == 0
    assert line.split()[2] == "3"
    assert line.split()[-1] == f"+${emulator.charges[-1].cost:.6f}".rstrip("0")
    for words in ("net of refunds", "the difference is +$", "1 record cannot be read", "other users of the key"):
        assert words in out


def test_damaged_records_are_left_out_and_counted(spent: Path, capsys):
    """Broken, negative, absurd and nested ones, pipes, links and what is too large: none hides the others."""
    records = spent / "calls" / ".nanostt"
    (good,) = records.glob("*.json")
    plain = {
        **json.loads(good.read_text()),
        "job": None,
        "state": "answered",
        "answer": {"text": ""},
        "source": "other",
    }
    at = plain["intended_at"]
    forged = {
        "broken": "{",
        "list": "[]",
        "nested": "[" * 100_000,
        "many": f"[{'[],' * 1_100_000}[]]",
        "negative": json.dumps({**plain, "cost": -1.0}),
        "absurd": json.dumps({**plain, "cost": 1e300}),
        "late": json.dumps({**plain, "intended_at": 1e18}),
        "past": json.dumps({**plain, "history": [{"at": at, "cost": 1e300}]}),
        "past late": json.dumps({**plain, "history": [{"at": 1e300, "cost": 1.0}]}),
    }
    before = document(capsys, "costs", *SINCE, str(spent))[1]["rows"]
    for name, text in forged.items():
        (records / f"{name}.json").write_text(text)
    os.mkfifo(records / "pipe.json")
    (records / "link.json").symlink_to(good)
    with (records / "sparse.json").open("wb") as sparse:
        sparse.truncate(2**30)
    (spent / "around").symlink_to(spent)
    (spent / "elsewhere").symlink_to("/proc")
    count = len(forged) + 3
    for folders in ([spent], [spent, records.parent], [records.parent, spent, spent]):
        code, found = document(capsys, "costs", *SINCE, *map(str, folders))
        assert (code, found["rows"]) == (0, before)
        assert [note for note in found["notes"] if note.startswith(f"{count} records cannot be read")]


def test_a_record_without_a_figure_hides_no_other(spent: Path, capsys):
    """A copy of a record in which the cost is no number leaves the cost that the other has."""
    (good,) = (spent / "calls" / ".nanostt").glob("*.json")
    before = document(capsys, "costs", *SINCE, str(spent))[1]["rows"]
    for name in ("0", "z"):
        copy = json.dumps({**json.loads(good.read_text()), "cost": float("nan")})
        good.with_name(f"{name}.json").write_text(copy)
    assert document(capsys, "costs", *SINCE, str(spent))[1]["rows"] == before


def test_absurd_figures_of_the_service_are_none(emulator: Emulator, capsys):
    """Nor does a moment that no calendar has end the command."""
    row = {"date": TODAY.isoformat(), "model": ASYNC, "requests": 1, "costUsd": 1e300, "refundedUsd": 0}
    usage = {"totals": {"requests": 1, "netCostUsd": 1e300}, "byDayModel": [row], "asOf": "9999-12-31T23:59:59-12:00"}
    emulator.fail("/v1/usage", status=200, body=json.dumps(usage), times=2)
    code, out, _ = run(capsys, "costs", *SINCE)
    assert code == 0
    assert "The service says an unknown amount in all" in out
    assert "only its total is shown" in out
    assert document(capsys, "costs", *SINCE)[1]["net_usd"] is None


def test_a_service_that_does_not_answer_is_one_line(emulator: Emulator, spent: Path, capsys, no_pauses):
    """With folders, too; nothing is shown that would look like all that was spent."""
    emulator.fail("/v1/usage", kind="reset", times=1000)
    code, out, err = run(capsys, "costs", *SINCE, str(spent))
    assert (code, out) == (2, "")
    assert [line.startswith("nanostt: ") for line in err.splitlines()] == [True]


def test_a_refund_is_told_apart(emulator: Emulator, spent: Path, wav, tmp_path, capsys):
    """A job that failed is in the ledger and was given back."""
    emulator.script("note.wav", status="failed", error="noise", duration=12.036)
    made = TranscribeOperator(
        task_id="f", audio=str(wav), model=ASYNC, poll_interval=0.03, output_path=str(spent / "failed")
    )
    with pytest.raises(Exception, match="noise"):
        made.execute(Memory("files", tmp_path).context())
    rows = document(capsys, "costs", *SINCE, str(spent))[1]["rows"]
    (row,) = (row for row in rows if row["model"] == ASYNC)
    assert row["refunded"] == -row["difference"] == pytest.approx(12.036 / 60 * 0.03, rel=0.01)


def test_an_uncertain_submit_is_counted_apart(emulator: Emulator, wav, tmp_path, capsys):
    """Nobody knows whether it was charged, so it explains nothing."""
    emulator.fail("/transcribe", kind="reset", after_charge=True)
    made = TranscribeOperator(task_id="t", audio=str(wav), model=ASYNC, output_path=str(tmp_path / "out"))
    with pytest.raises(Exception, match="accepted and charged"):
        made.execute(Memory("files", tmp_path).context())
    out = run(capsys, "costs", *SINCE, str(tmp_path))[1]
    assert "1 submit that may or may not have been charged" in out
    assert "the difference is +$" in out


def test_without_folders_the_service_alone_is_shown(emulator: Emulator, spent, capsys):
    """And only the days that were asked for."""
    code, out, _ = run(capsys, "costs", *SINCE, "--until", TODAY.isoformat())
    assert code == 0
    assert "ledgers" not in out
    assert document(capsys, "costs", *SINCE, "--until", (TODAY - dt.timedelta(days=3)).isoformat())[1]["rows"] == []


def test_labels_of_the_service_are_matched_with_ids(emulator: Emulator, spent, capsys):
    """The usage names a model by its label; one that no single model has stays as it is."""
    for charge_model in (ASYNC, SYNC):
        emulator.set_model(charge_model, name=f"Label of {charge_model}")
    usage = {
        "totals": {"requests": 4, "netCostUsd": 0.4},
        "byDayModel": [
            {"date": TODAY.isoformat(), "model": model, "requests": 2, "costUsd": 0.2, "refundedUsd": 0}
            for model in (f"Label of {ASYNC}", "GPT-4o mini Transcribe")
        ],
    }
    from airflow_provider_nanostt import hooks

    hooks._catalogues.clear()
    emulator.fail("/v1/usage", status=200, body=json.dumps(usage))
    rows = document(capsys, "costs", *SINCE, str(spent))[1]["rows"]
    assert [(row["model"], row["requests"], row["submits"]) for row in rows] == [
        (ASYNC, 2, 2),
        ("GPT-4o mini Transcribe", 2, 0),
        (SYNC, 0, 1),
    ]


@pytest.mark.parametrize("by_day", [None, [{"date": 7}], "none"])
def test_figures_that_cannot_be_read_leave_the_total(emulator: Emulator, capsys, by_day):
    """A report in a form that nobody knows is not a failure."""
    usage = {"totals": {"requests": 4, "netCostUsd": "0.4"}, "byDayModel": by_day, "asOf": "2026-11-26T10:00:00Z"}
    emulator.fail("/v1/usage", status=200, body=json.dumps(usage))
    code, out, _ = run(capsys, "costs", *SINCE)
    assert code == 0
    assert "The service says $0.4 in all" in out
    assert "only its total is shown" in out
    assert "Its figures are of 2026-11-26 10:00 UTC" in out


def test_a_report_that_is_not_ready_says_so(emulator: Emulator, capsys, no_pauses):
    """Asked again a few times, then a clear error; a later try is worth it."""
    emulator.fail("/v1/usage", status=503, message="Usage rollup data is not ready", times=100)
    code, out, err = run(capsys, "costs", *SINCE)
    assert (code, out) == (2, "")
    assert "Usage rollup data is not ready" in err
    assert "may not have added up these days yet" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "--since"), (("--since", "yesterday"), "'yesterday' is not a day"), (("--since", "2026-13-01"), "not a day")],
)
def test_a_day_has_to_be_named(capsys, arguments, words):
    """Before anything is asked; programs are told, too."""
    code, out, err = run(capsys, "costs", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    code, found = document(capsys, "costs", *arguments)
    assert code == found["exit_code"] == 2
    assert words in found["problem"]


def test_what_cannot_be_asked_or_read_is_said(emulator: Emulator, tmp_path, capsys, monkeypatch):
    """A folder without a ledger, days in the wrong order, and no connection."""
    (tmp_path / "file").touch()
    for name in ("", "file", "missing"):
        assert "there is no ledger below" in run(capsys, "costs", *SINCE, str(tmp_path / name))[2]
    tomorrow = (TODAY + dt.timedelta(days=1)).isoformat()
    assert "the end is before the start" in run(capsys, "costs", "--since", tomorrow)[2]
    monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT")
    assert run(capsys, "costs", *SINCE)[0] == 2
    for command in (("costs", *SINCE), ("models", "--check")):
        code, found = document(capsys, *command)
        assert code == found["exit_code"] == 2
        assert "AIRFLOW_CONN_NANOGPT_DEFAULT" in found["problem"]
