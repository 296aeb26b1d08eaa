"""The command as people have it: a process of its own, on a terminal, in a pipe, killed in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import pytest

from airflow_provider_nanostt.emulator import Emulator
from tests.cli.conftest import PATIENCE_SECONDS, Ended, start, until
from tests.conftest import AUDIO, TEXT

pytestmark = pytest.mark.long
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d[;m]")


@pytest.fixture
def calls(tmp_path: Path, emulator: Emulator) -> Path:
    """A folder of recordings whose names are too long for a line."""
    emulator.script("*", text=TEXT, duration=12.0)
    place = tmp_path / "calls"
    place.mkdir()
    for number in range(3):
        name = f"the-weekly-meeting-of-everybody-in-the-large-room-upstairs-{number}.wav"
        (place / name).write_bytes((AUDIO / "weekly-note.wav").read_bytes() + bytes([number]))
    return place


@pytest.fixture
def nothing_ends(emulator: Emulator) -> None:
    """Let all jobs be under way until ``clear_faults``, however slow this machine is."""
    emulator.fail("/transcribe/status", status=503, times=1_000_000)


@pytest.fixture
def given(calls: Path, folder: Path) -> list[object]:
    """What the commands are given: they differ in nothing."""
    return ["transcribe", f"{calls}/*.wav", "--output", folder, "--model", "Elevenlabs-STT"]


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Ended(process.returncode, out, err)


def test_a_board_shows_how_they_stand(emulator: Emulator, nothing_ends, given, terminal):
    """In 80 columns, with the expected rest; then it is gone, and a line for each stays."""
    command = terminal(*given)
    until(lambda: "3 waiting" in command.shown)
    emulator.clear_faults()
    assert command.end() == 0
    lines = [_CONTROL.sub("", line) for line in re.split(r"[\r\n]+", command.shown)]
    of_board = [line.rstrip() for line in lines if re.search(r" {2}(measured|uploading|waiting) ", f"{line} ")]
    assert any(re.search(r"about \d+ s more|any moment now", line) for line in of_board)
    assert all(len(line) <= 80 and line.startswith("…") for line in of_board)
    assert any("upstairs-2.wav" in line for line in of_board)
    assert command.shown.count("written, $0.0") == 3
    assert command.shown.rindex("\x1b[?25h") > command.shown.rindex("\x1b[?25l")  # the cursor is there again
    assert _COLOUR.search(command.shown)


def test_a_terminal_without_colours_gets_none(emulator: Emulator, given, terminal):
    """As NO_COLOR asks for; and one that can do nothing gets plain lines."""
    plain, dumb = terminal(*given, NO_COLOR="1"), terminal(*given, "--output", f"{given[3]}-2", TERM="dumb")
    assert (plain.end(), dumb.end()) == (0, 0)
    assert not _COLOUR.search(plain.shown)
    assert "\x1b" not in dumb.shown
    assert dumb.shown.count("waiting: ") == 3
    assert len(emulator.charges) == 6


@pytest.mark.parametrize(
    ("answer", "code", "charges"),
    [("y\n", 0, 3), ("\n", 3, 0), ("\x04", 3, 0), ("\x03", 130, 0), (None, 128 + signal.SIGHUP, 0)],
    ids=["yes", "nothing", "the end of the input", "Ctrl-C", "a terminal that is closed"],
)
def test_a_person_is_asked(emulator: Emulator, given, terminal, answer, code, charges):
    """What it costs is shown first; whatever is not a yes is a no, and Ctrl-C ends it."""
    command = terminal(*given, "--yes-up-to", "0.01")
    until(lambda: "Spend up to $0.02? [y/N]" in command.shown)
    assert "3 recordings are not paid for: $0.018" in command.shown
    if answer is None:
        command.hang_up()
    else:
        command.type(answer)
    assert command.end() == code
    assert "Traceback" not in command.shown
    assert len(emulator.charges) == charges


def test_ctrl_c_in_the_middle(emulator: Emulator, nothing_ends, given, terminal, folder):
    """The terminal is as it was, all that is paid for is said, and the same command pays for nothing twice."""
    command = terminal(*given)
    until(lambda: len(emulator.charges) == 3 and "3 waiting" in command.shown)
    command.type("\x03")
    assert command.end() == 130
    emulator.clear_faults()
    assert command.shown.rindex("\x1b[?25h") > command.shown.rindex("\x1b[?25l")
    assert "Traceback" not in command.shown
    assert command.shown.count("paid for ($0.0") == 3
    again = ended(start(*given))
    assert (again.code, again.err.count("uploading")) == (0, 0)
    assert len(list(folder.glob("*.txt"))) == 3
    assert len(emulator.charges) == 3


def test_ctrl_c_twice_ends_it_at_once(emulator: Emulator, given, terminal):
    """Though a submit hangs; nobody knows then whether it is paid for, and it is not sent again by itself."""
    emulator.fail("/transcribe", kind="hang", times=3)
    command = terminal(*given)
    until(lambda: not emulator.faults)
    command.type("\x03")
    until(lambda: "Stopping. 3 recordings are being sent" in _CONTROL.sub("", command.shown))
    command.type("\x03")
    assert command.end() == 130
    assert "Traceback" not in command.shown
    again = ended(start(*given))
    assert again.code == 4
    assert "--on-ambiguous-submit" in again.out
    assert emulator.charges == []


def test_a_terminal_that_is_closed(emulator: Emulator, nothing_ends, given, terminal, folder):
    """As by Ctrl-C: nothing that is paid for is lost."""
    command = terminal(*given)
    until(lambda: len(emulator.charges) == 3 and "3 waiting" in command.shown)
    command.hang_up()
    assert command.end() == 128 + signal.SIGHUP
    emulator.clear_faults()
    assert ended(start(*given)).code == 0
    assert len(emulator.charges) == 3


def test_killed_while_waiting(emulator: Emulator, nothing_ends, given, folder):
    """The same command finds the jobs."""
    process = start(*given)
    until(lambda: "/transcribe/status" in str(emulator.counts))
    process.kill()
    ended(process)
    emulator.clear_faults()
    assert ended(start(*given)).code == 0
    assert len(list(folder.glob("*.txt"))) == 3
    assert len(emulator.charges) == 3


def test_killed_while_sending(emulator: Emulator, given):
    """Those whose answer was not recorded are uncertain; nothing is paid for twice."""
    emulator.fail("/transcribe", kind="hang", after_charge=True, times=3)
    process = start(*given)
    until(lambda: len(emulator.charges) == 3)
    process.kill()
    ended(process)
    again = ended(start(*given))
    assert again.code == 4
    assert again.out.count("An earlier attempt submitted this and never recorded an answer") == 3
    assert len(emulator.charges) == 3


def test_two_processes_at_once(emulator: Emulator, given, folder):
    """Each recording is charged once, and whoever has come late is told to come back or waits along."""
    emulator.fail("/transcribe", kind="slow", delay=0.5, times=3)
    codes = [one.code for one in map(ended, [start(*given), start(*given)])]
    assert set(codes) <= {0, 5}
    assert 0 in codes
    assert ended(start(*given)).code == 0
    assert len(emulator.charges) == 3


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads(emulator: Emulator, given, folder, closed):
    """As with ``| head``: the work is done all the same, and there is no traceback."""
    process = start(*given, **{closed: subprocess.PIPE})
    getattr(process, closed).close()
    other = process.stderr if closed == "stdout" else process.stdout
    said = other.read()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert "Traceback" not in said
    assert "Exception" not in said
    assert len(list(folder.glob("*.txt"))) == 3
    assert len(emulator.charges) == 3


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A file on a disk that is full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w") as file:
        yield file


def test_a_log_on_a_full_disk(emulator: Emulator, given, folder, full):
    """What people would have read is lost, and no recording with it."""
    done = ended(start(*given, stderr=full))
    assert done.code == 0
    assert "3 written" in done.out
    assert len(list(folder.glob("*.txt"))) == len(emulator.charges) == 3


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_result_on_a_full_disk(emulator: Emulator, given, calls, folder, full, form):
    """A script has to notice that it got nothing; the work is done all the same, and there is no traceback."""
    for command in (given, ["estimate", f"{calls}/*.wav"], ["models"]):
        done = ended(start(*command, *form, stdout=full))
        assert done.code == 1
        assert done.err.endswith("cannot be written: No space left on device. What was done is done\n")
        assert "Traceback" not in done.err
    assert len(list(folder.glob("*.txt"))) == len(emulator.charges) == 3
    refused = ended(start("models", "--unknown", "--json", stdout=full))
    assert (refused.code, "Traceback" in refused.err) == (2, False)


def test_an_estimate_that_nobody_reads(emulator: Emulator, calls):
    """Likewise for the commands that only show."""
    process = start("estimate", f"{calls}/*.wav")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE_SECONDS) == 0


def test_on_a_machine_without_anything(emulator: Emulator, calls, tmp_path):
    """Prices and models need no key, no connection and no database of Airflow's; their date is said."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NANOGPT"))}
    own["AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY"] = "True"  # of which Airflow 2 warns
    how = {"env": {**own, "AIRFLOW_HOME": str(tmp_path / "new")}, "cwd": tmp_path}
    for command in (["estimate", f"{calls}/*.wav"], ["models"]):
        done = ended(start(*command, **how))
        assert (done.code, done.err) == (0, "")
        assert re.search(r"Prices from the built-in table of 20\d\d-\d\d-\d\d", done.out)
        assert "Without the service's catalogue: connection: " in done.out
    assert IS_AIRFLOW_2 or list((tmp_path / "new").rglob("*.db")) == []  # Airflow 2 makes an empty file


@pytest.mark.parametrize("given", [["--help"], ["transcribe", "--help"], ["models"]])
def test_what_is_shown_may_be_cut_short(given):
    """As by ``| head``, whatever it is."""
    process = start(*given)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE_SECONDS) == 0
