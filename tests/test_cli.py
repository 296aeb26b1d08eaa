"""The command line: recordings and the set-up, shown for people and for programs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_provider_nanostt.cli import main
from airflow_provider_nanostt.emulator import Emulator
from tests.conftest import AUDIO


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with two recordings, and an error page under the name of a third."""
    folder = tmp_path / "calls"
    folder.mkdir()
    for name in ("weekly-note.wav", "closed-office.ogg"):
        (folder / name).write_bytes((AUDIO / name).read_bytes())
    (folder / "broken.mp3").write_text("<!doctype html><html><body>404</body></html>")
    return folder


def run(capsys, *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    return code, capsys.readouterr().out


def document(capsys, *arguments: str) -> tuple[int, dict]:
    code, out = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_each_recording_is_a_line_with_its_price(emulator: Emulator, calls, capsys):
    """File, minutes, model, price, cost, what would be done, total, source of the prices; all for nothing."""
    names = [str(calls / name) for name in ("weekly-note.wav", "closed-office.ogg")]
    code, out = run(capsys, "estimate", *names, "--model", "Elevenlabs-STT")
    assert code == 0
    (line,) = (line for line in out.splitlines() if "weekly-note.wav" in line)
    minutes, model, price, cost, method = line.split()[1:]
    assert (minutes, model, price, method) == ("0.20", "Elevenlabs-STT", "$0.03", "upload")
    assert float(cost.removeprefix("$")) == pytest.approx(0.2 * 0.03, rel=0.01)
    assert "Prices from the service's catalogue of 20" in out
    costs = [float(line.split()[-2].removeprefix("$")) for line in out.splitlines() if line.rstrip().endswith("upload")]
    assert len(costs) == 2
    total = float(out.partition("Total: $")[2].split()[0])
    assert total == pytest.approx(sum(costs), abs=2e-6)
    assert list(emulator.charges) == []


def test_a_pattern_is_expanded_and_a_broken_file_hides_no_other(emulator: Emulator, calls, capsys):
    """The broken one is a row with its reason, and the code says that there is one."""
    code, found = document(capsys, "estimate", f"{calls}/*")
    assert code == 1
    rows = {Path(row["file"]).name: row for row in found["files"]}
    assert "is an HTML page, not a recording" in rows["broken.mp3"]["problem"]
    assert rows["weekly-note.wav"]["minutes"] == pytest.approx(0.2, abs=0.01)
    assert rows["closed-office.ogg"]["method"] == "upload"
    known = [row["usd"] for row in rows.values() if row["usd"] is not None]
    assert found["total"] == {"usd": pytest.approx(sum(known), abs=1e-8), "is_complete": False}


def test_a_pattern_without_a_match_is_a_row(emulator: Emulator, tmp_path, capsys):
    """It is not passed over in silence."""
    code, found = document(capsys, "estimate", f"{tmp_path}/*.mp3")
    assert code == 1
    assert "does not exist" in found["files"][0]["problem"]


def test_a_name_that_exists_is_no_pattern(emulator: Emulator, calls, capsys):
    """The command looks at the same recordings as a batch, and one that cannot be looked up is a row."""
    for name in ("What now?.wav", "What nowX.wav", "b[1].wav", "b1.wav"):
        (calls / name).write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    given = [f"{calls}/What now?.wav", f"file://{calls}/b[1].wav", f"{calls}/{'a' * 300}*.wav", "nosuch://bucket/*.wav"]
    code, found = document(capsys, "estimate", *given)
    assert code == 1
    assert [row["file"] for row in found["files"]] == [given[0], f"{calls}/b[1].wav", *given[2:]]
    assert [bool(row["problem"]) for row in found["files"]] == [False, False, True, True]


def test_storage_is_expanded_too(emulator: Emulator, bucket, capsys):
    """A pattern in object storage, behind the connection it names."""
    bucket.pipe_file("/calls/a.wav", (AUDIO / "weekly-note.wav").read_bytes())
    bucket.pipe_file("/calls/b.ogg", (AUDIO / "closed-office.ogg").read_bytes())
    bucket.pipe_file("/calls/c.txt", b"notes")
    code, found = document(capsys, "estimate", "s3://calls/*.wav", "s3://calls/b.ogg")
    assert code == 0, found
    assert [Path(row["file"]).name for row in found["files"]] == ["a.wav", "b.ogg"]
    assert all(row["minutes"] for row in found["files"])


def test_an_unknown_length_is_said_to_be_unknown(emulator: Emulator, calls, capsys):
    """The total is then the least it costs."""
    code, out = run(capsys, "estimate", "https://recordings.example/a.mp3", str(calls / "weekly-note.wav"))
    assert code == 0
    (line,) = (line for line in out.splitlines() if "recordings.example" in line)
    assert "unknown" in line
    assert "url" in line
    assert "Total: at least $0.00" in out


def test_brackets_in_a_name_are_no_markup(emulator: Emulator, calls, capsys):
    """A file's name is shown as it is."""
    odd = calls / "[red]call.wav"
    odd.write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    assert "[red]call.wav" in run(capsys, "estimate", str(odd))[1]


def test_what_may_be_done_can_be_said(emulator: Emulator, tmp_path, capsys):
    """A large recording for which no method is possible is a row that says what each needs."""
    large = tmp_path / "large.wav"
    large.write_bytes((AUDIO / "weekly-note.wav").read_bytes() + bytes(3_000_000))
    _, found = document(capsys, "estimate", str(large), "--oversize", "stage")
    assert "stage: needs --staging" in found["files"][0]["problem"]


def test_all_is_well(emulator: Emulator, capsys):
    """Connection, balance and catalogue are there, and nothing shows the key."""
    code, found = document(capsys, "doctor")
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert code == 0
    assert [states[name] for name in ("connection", "key and balance", "catalogue")] == ["ok"] * 3
    _, out = run(capsys, "doctor")
    assert "the account holds $100.00" in out
    assert emulator.api_key not in out + json.dumps(found)


@pytest.mark.parametrize(
    ("connection", "failing", "words"),
    [
        (lambda good: {**good, "password": "sk-nano-ffffffff-0000-4000-8000-000000000000"}, "key and balance", "401"),
        (lambda good: {**good, "host": "http://127.0.0.1:9/api"}, "key and balance", "127.0.0.1"),
        (lambda good: {**good, "password": ""}, "connection", "password is empty"),
        (lambda _: None, "connection", "AIRFLOW_CONN_NANOGPT_DEFAULT"),
    ],
)
def test_what_is_wrong_is_named(emulator: Emulator, monkeypatch, no_pauses, capsys, connection, failing, words):
    """A wrong key, a dead host, an empty password and a connection that is not there fail, each in its own words."""
    given = connection(emulator.connection)
    if given is None:
        monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT")
    else:
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(given))
    code, found = document(capsys, "doctor")
    (check,) = (check for check in found["checks"] if check["name"] == failing)
    assert code == 1
    assert check["state"] == "failed"
    assert words in check["message"] + check["remedy"]


def test_the_command_prints_json_and_nothing_else(emulator: Emulator, calls):
    """As a process of its own, Airflow's start included."""
    command = [sys.executable, "-m", "airflow_provider_nanostt.cli", "estimate", str(calls), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a file" in json.loads(done.stdout)["files"][0]["problem"]


@pytest.mark.long
@pytest.mark.parametrize(("encoding", "given"), [("utf-8:strict", "pattern"), ("ascii:strict", "names")])
def test_no_name_hides_the_other_recordings(emulator: Emulator, tmp_path, encoding, given):
    """Bytes that are no text, controls, line breaks and letters that the terminal lacks are escaped."""
    names = [
        b"fine.wav",
        b"mod\x85.wav",
        "é.wav".encode(),
        b"\x1b[31mred.wav",
        b"new\nline.wav",
        "\u202eevil.wav".encode(),
    ]
    paths = [os.fsencode(tmp_path) + b"/" + name for name in names]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    command = [sys.executable, "-m", "airflow_provider_nanostt.cli", "estimate"]
    command += [f"{tmp_path}/*.wav"] if given == "pattern" else paths
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    table = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert sum(b".wav" in line for line in table.splitlines()) == len(names)
    assert not any(raw in table for raw in (b"\x1b", b"mod\x85", "\u202e".encode()))
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, env=environment).stdout)
    shown = {Path(row["file"]).name for row in found["files"]}
    escapes = {r"mod\udc85.wav", r"\x1b[31mred.wav", r"new\nline.wav", r"\u202eevil.wav"}
    assert shown == {"fine.wav", "é.wav", *escapes}


def test_a_length_nobody_knows_says_why(emulator: Emulator, capsys):
    """An address that may not be looked at is a line with the reason; the total says that it is not whole."""
    code, out = run(capsys, "estimate", "https://127.0.0.1:9/a.mp3?sig=verysecret")
    assert code == 0
    assert "allow_private_addresses" in out
    assert "Total: unknown" in out
    assert "unknown" in next(line for line in out.splitlines() if "a.mp3" in line)


def test_a_price_nobody_knows_is_said_to_be_unknown(emulator: Emulator, calls, capsys):
    """A model that is in no list has no total, and no source of its price."""
    code, out = run(capsys, "estimate", str(calls / "weekly-note.wav"), "--model", "new-model")
    assert code == 0
    assert "has a price for new-model" in out
    assert "Prices from" not in out


def test_without_a_connection_the_prices_of_the_table_count_and_that_is_said(monkeypatch, calls, capsys):
    """With the day of the table, and once how to set a connection."""
    monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT", raising=False)
    monkeypatch.delenv("NANOGPT_API_KEY", raising=False)
    code, out = run(capsys, "estimate", f"{calls}/*")
    assert code == 1  # one is no recording
    assert re.search(r"Prices from .*table of 20\d\d-\d\d-\d\d", out)
    assert out.count("Without the service's catalogue: connection: ") == 1
    assert "AIRFLOW_CONN_NANOGPT_DEFAULT" in out
    assert "Total: at least $0.00" in out
    code, found = document(capsys, "estimate", f"{calls}/weekly-note.wav")
    assert code == 0
    assert "NANOGPT_API_KEY" in found["problem"]
    assert re.search(r"table of 20\d\d-\d\d-\d\d", found["files"][0]["price_source"])
    assert found["total"]["usd"] > 0


def test_a_way_that_is_none_is_refused(capsys):
    """Those that there are are named."""
    assert main(["estimate", "a.mp3", "--oversize", "compress,zip"]) == 2
    assert "'zip' is none of stage, compress, split" in capsys.readouterr().err


def test_many_recordings_are_looked_at_behind_a_progress_bar(emulator: Emulator, calls):
    """On a terminal; the standard output has the table and nothing of the bar."""
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "airflow_provider_nanostt.cli", "estimate", *(str(calls / name) for name in (
        "weekly-note.wav", "closed-office.ogg"))]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=inner, text=True, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(inner)
        shown = b""
        with suppress(OSError):  # what a terminal raises at its end
            while piece := os.read(outer, 4096):
                shown += piece
        out = process.stdout.read()
    os.close(outer)
    assert b"Looking" in shown
    assert "Total: $" in out
    assert "Looking" not in out
