"""``nanostt transcribe``: what is paid for once is found again, whoever asks first, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest

from airflow_provider_nanostt.cli import outcome, wording
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator
from tests.audio.range_server import RangeServer
from tests.cli.conftest import signalled, start
from tests.conftest import AUDIO, TESTS, TEXT
from tests.outside import Event, counted, record

ASYNC = "Elevenlabs-STT"
PACKAGE = f"airflow_provider_nanostt{os.sep}cli{os.sep}"
pytestmark = pytest.mark.usefixtures("asked_often")


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch):
    """The connection is what the emulator's fixture sets."""
    for name in ("NANOGPT_API_KEY", "NANOGPT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two recordings of a few seconds."""
    place = tmp_path / "calls"
    place.mkdir()
    for name in ("weekly-note.wav", "closed-office.ogg"):
        (place / name).write_bytes((AUDIO / name).read_bytes())
    return place


def test_recordings_become_files(emulator: Emulator, recordings, folder, nanostt):
    """One line for each, with its files, and what it has cost; each is charged once."""
    emulator.script("*", text=TEXT, duration=12.0)
    done = nanostt("transcribe", f"{recordings}/*", "--output", folder, "--formats", "txt,srt", "--model", ASYNC)
    assert done.code == 0, done
    assert (folder / "weekly-note.txt").read_text().strip() == TEXT
    assert (folder / "closed-office.srt").read_text().startswith("1\n00:00:0")
    lines = done.out.splitlines()
    assert f"{recordings}/weekly-note.wav: written, $" in done.out
    assert str(folder / "weekly-note.srt") in next(line for line in lines if "weekly-note.wav" in line)
    assert lines[-1].startswith("2 recordings: 2 written. This command has spent $0.0")
    assert len(emulator.charges) == 2


def test_the_same_command_again_pays_nothing(emulator: Emulator, wav, folder, nanostt, monkeypatch):
    """From whichever folder, and whichever way leads to the recording; other formats are written from what is there."""
    assert nanostt("transcribe", wav, "--output", folder).code == 0
    link = wav.parent / "link"
    link.symlink_to(wav.parent)
    monkeypatch.chdir(wav.parent)
    for name, output in (
        (wav.name, folder.name),
        (f"./link/../{wav.parent.name}/{wav.name}", folder),
        ("*.wav", folder),
    ):
        again = nanostt("transcribe", name, "--output", output, "--formats", "html", "--json")
        assert (again.code, again.document["spent_usd"]) == (0, 0.0)
        assert [row["status"] for row in again.document["recordings"]] == ["written"]
    assert (folder / "note.html").exists()
    assert len(emulator.charges) == 1


def test_other_options_are_another_transcript_beside(emulator: Emulator, wav, folder, nanostt):
    """A model that is tried in between replaces nothing, and to come back to the first one costs nothing."""
    emulator.script("note.wav", text=TEXT, duration=12.0)
    files = []
    for model in ("Whisper-Large-V3", ASYNC, "Whisper-Large-V3", ASYNC):
        done = nanostt("transcribe", wav, "--output", folder, "--model", model, "--json")
        assert done.code == 0
        files.append(done.document["recordings"][0]["files"]["json"])
    assert len(emulator.charges) == 2
    assert files[:2] == files[2:]
    assert [json.loads(Path(one).read_text())["model"] for one in files[:2]] == ["Whisper-Large-V3", ASYNC]


def test_a_task_and_the_command_do_not_use_each_others_records(emulator: Emulator, wav, folder, nanostt):
    """Both in one folder: each pays for its own, and finds it again."""
    assert nanostt("transcribe", wav, "--output", folder).code == 0
    names = {"dag_id": "nanostt", "task_id": "transcribe", "run_id": "manual__1", "map_index": -1, "max_tries": 0}
    for _ in range(2):
        task = TranscribeBatchOperator(
            task_id="transcribe", audio=[str(wav)], output_path=str(folder), deferrable=False
        )
        assert task.execute({"ti": SimpleNamespace(**names)})["written"] == 1
    assert nanostt("transcribe", wav, "--output", folder).code == 0
    assert len(emulator.charges) == 2


def test_without_a_terminal_nothing_dear_is_submitted(emulator: Emulator, recordings, folder, nanostt):
    """The figures are said, and how to go on; what was paid for before does not count."""
    emulator.script("*", text=TEXT, duration=12.0)
    dear = ["transcribe", f"{recordings}/*", "--output", folder, "--model", ASYNC, "--yes-up-to", "0.008"]
    done = nanostt(*dear)
    assert done.code == 3
    assert "2 recordings are not paid for: $0.0097" in done.err
    assert "To go on: --yes-up-to 0.01" in done.err
    assert emulator.charges == []
    assert nanostt("transcribe", f"{recordings}/weekly-note.wav", *dear[2:]).code == 0
    assert nanostt(*dear).code == 0
    assert len(emulator.charges) == 2


def test_what_nobody_can_price_is_refused_unless_it_is_allowed(emulator: Emulator, folder, nanostt):
    """An address of unknown length may cost any amount."""
    emulator.script("https://recordings.example/a.mp3", text=TEXT, duration=12.0)
    given = ["transcribe", "https://recordings.example/a.mp3", "--output", folder, "--model", ASYNC]
    refused = nanostt(*given, "--yes-up-to", "1000")
    assert refused.code == 3
    assert "1 of unknown length or price may cost any amount" in refused.err
    assert emulator.charges == []
    assert nanostt(*given, "--unknown-length", "allow").code == 0
    assert len(emulator.charges) == 1


def test_some_paid_some_unknown_some_dear(emulator: Emulator, recordings, folder, nanostt):
    """What is paid for is written all the same, and nothing else is submitted, however little it would cost."""
    emulator.script("*", text=TEXT, duration=12.0)
    usual = ["--output", folder, "--model", ASYNC, "--json"]
    assert nanostt("transcribe", f"{recordings}/weekly-note.wav", *usual).code == 0
    given = ["transcribe", f"{recordings}/*", "https://recordings.example/a.mp3", *usual, "--yes-up-to", "0.007"]
    refused = nanostt(*given)
    assert (refused.code, refused.document["counts"]) == (3, {"written": 1, "not_started": 2})
    assert refused.document["spent_usd"] == 0.0
    assert "2 recordings are not paid for" in refused.err
    assert "1 of unknown length or price may cost any amount" in refused.err
    assert len(emulator.charges) == 1
    allowed = nanostt(*given, "--unknown-length", "allow")
    assert (allowed.code, allowed.document["counts"]) == (0, {"written": 3})
    assert len(emulator.charges) == 3


def test_a_price_that_rises_after_the_estimate_ends_the_command(emulator: Emulator, recordings, folder, nanostt):
    """What was measured was within the limit; the first charge is not, and nothing is sent after it."""
    emulator.script("*", text=TEXT, duration=12.0)

    def rise(event: Event) -> bool:
        return record("intended")(event) and bool(emulator.set_model(ASYNC, per_minute=3.0))

    given = ["transcribe", f"{recordings}/*", "--output", folder, "--model", ASYNC, "--json", "--max-parallel", 1]
    with counted(rise):
        stopped = nanostt(*given)
    assert (stopped.code, stopped.document["counts"]) == (3, {"written": 1, "not_started": 1})
    (row,) = (one for one in stopped.document["recordings"] if one["status"] == "not_started")
    assert "$0.6" in row["error"]
    assert "went to earlier submits" in row["error"]
    assert len(emulator.charges) == 1


def test_programs_get_one_document(emulator: Emulator, recordings, folder, nanostt):
    """Whatever the outcome, and nothing else on either output if all goes well."""
    emulator.script("*", text=TEXT, duration=12.0)
    done = nanostt("transcribe", f"{recordings}/*.wav", "--output", folder, "--json")
    assert (done.code, done.err) == (0, "")
    found = done.document
    assert (found["outcome"], found["exit_code"], found["counts"]) == ("done", 0, {"written": 1})
    (row,) = found["recordings"]
    assert set(row["files"]) == {"json", "txt"}
    assert row["cost_usd"] == pytest.approx(found["spent_usd"])
    (recordings / "broken.mp3").write_text("<!doctype html><html></html>")
    some = nanostt("transcribe", f"{recordings}/*", "--output", folder, "--json")
    assert (some.code, some.document["outcome"], some.document["counts"]) == (1, "failed", {"failed": 1, "written": 2})
    none = nanostt("transcribe", f"{recordings}/*.flac", "--output", folder, "--json")
    assert (none.code, none.document["outcome"]) == (2, "bad_input")
    assert "matches no recording" in none.document["problem"]


def test_more_fields_of_the_request(emulator: Emulator, wav, folder, nanostt):
    """They are sent as they are given; other values are another transcript beside, and nothing is paid for twice."""
    given = ["transcribe", wav, "--output", folder, "--model", ASYNC, "--json"]
    for terms in ('["Reykjavik"]', '["Akureyri"]', '["Reykjavik"]'):
        done = nanostt(*given, "--extra", f"keyterms={terms}", "--extra", "seed=7")
        assert done.code == 0, done
        assert "Reykjavik" not in done.out + done.err
    sent = [one.fields for one in emulator.requests if one.endpoint == "/transcribe"]
    assert [(json.loads(one["keyterms"]), one["seed"]) for one in sent] == [(["Reykjavik"], "7"), (["Akureyri"], "7")]


def test_a_number_with_a_fraction_of_nothing_is_the_same_job(emulator: Emulator, wav, folder, nanostt):
    """The same command is the same job however a program writes its numbers; it is paid for once."""
    for seed in ("7", "7.0"):
        done = nanostt("transcribe", wav, "--output", folder, "--model", ASYNC, "--json", "--extra", f"seed={seed}")
        assert done.code == 0, done
    assert len(emulator.charges) == 1


def test_what_is_written_may_be_marked_changed_and_tabled(emulator: Emulator, wav, folder, nanostt):
    """Asked for later, too, which costs nothing; each command has a file of its own in the table."""
    emulator.script("*", text=TEXT, duration=12.0)
    given = ["transcribe", wav, "--output", folder, "--model", ASYNC, "--json"]
    assert nanostt(*given).code == 0
    marked = nanostt(*given, "--review-below", "1")
    assert (marked.code, marked.document["spent_usd"]) == (0, 0.0)
    assert marked.document["recordings"][0]["review_words"] > 0
    done = nanostt(*given, "--transform", f"{__name__}.louder", "--tables", "chunks")
    assert (done.code, done.document["spent_usd"]) == (0, 0.0)
    assert (folder / "note.txt").read_text().strip() == TEXT.upper()
    assert [row["source"] for row in rows_of(done.document["tables"]["chunks"])] == [str(wav)]
    other = wav.with_name("call.wav")
    other.write_bytes((AUDIO / "closed-office.ogg").read_bytes())
    more = nanostt("transcribe", wav, other, *given[2:], "--tables", "chunks")
    assert [row["source"] for row in rows_of(more.document["tables"]["chunks"])] == [str(other)]
    assert len(list((folder / "chunks").rglob("*.jsonl"))) == 2
    assert len(emulator.charges) == 2


BAD = {
    "a format": (["--formats", "docx"], "unknown format 'docx'"),
    "captions without times": (["--formats", "srt"], "gives no times"),
    "a model that clones": (["--model", "qwen-voice-clone"], "clones voices"),
    "speakers": (["--diarize"], "does not work with --model"),
    "an amount": (["--yes-up-to", "nan"], "--yes-up-to must be"),
    "a length": (["--actual-duration", "long"], "--actual-duration must be"),
    "a width": (["--max-parallel", "1000"], "--max-parallel must be"),
    "a field that is set": (["--extra", 'language="en"'], "--extra has 'language'"),
    "a field twice": (["--extra", "seed=1", "--extra", "seed=2"], "the same name twice"),
    "a confidence": (["--review-below", "60%"], "--review-below must be a confidence"),
    "a function": (["--transform", "nowhere.redact"], "--transform nowhere.redact cannot be imported"),
    "a table": (["--tables", "lines"], "--tables must be any of"),
    "less than nothing": (["--yes-up-to=-1"], "--yes-up-to must be"),
    "any amount": (["--yes-up-to", "inf"], "--yes-up-to must be"),
    "a connection": (["--conn", "nobody"], "AIRFLOW_CONN_NOBODY"),
    "a storage": (["--output", "nosuch://bucket/x"], "nosuch"),
    "a folder below a file": (["--output", "/dev/null/x"], "--output cannot be written to"),
    "a folder nobody may write": (["--output", "/proc/nanostt"], "--output cannot be written to"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_before_anything_is_paid(emulator: Emulator, wav, folder, nanostt, options, words):
    """What is wrong, code 2, and nothing submitted."""
    done = nanostt("transcribe", wav, "--output", folder, *options)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("nanostt: ")
    assert words in line
    assert not {name for name in wording.FLAGS if "_" in name} & set(re.findall(r"\w+", line))  # arguments of a task
    assert done.out == ""
    assert emulator.charges == []
    assert words in nanostt("transcribe", wav, "--output", folder, *options, "--json").document["problem"]


@pytest.mark.parametrize(
    "given", [("--nosuch",), ("--extra", "names=Anna"), ("--extra", "Anna"), ("--on-lost-job", "pay")]
)
def test_arguments_that_cannot_be_read_are_one_document(wav, folder, nanostt, given):
    """With code 2, and without what may be private."""
    done = nanostt("transcribe", wav, "--output", folder, *given, "--json")
    assert (done.code, done.document["exit_code"]) == (2, 2)
    assert given[0] in done.document["problem"]
    assert "Anna" not in done.out + done.err


@pytest.mark.parametrize("name", ["nosuch.wav", "*.wav", ".", "page.mp3"])
def test_what_is_no_recording_is_said(emulator: Emulator, tmp_path, wav, folder, nanostt, name):
    """A missing file, a pattern without a match, a folder, an error page: alone, and beside one that is written."""
    place = tmp_path / "empty"
    place.mkdir()
    (place / "page.mp3").write_text("<!doctype html><html></html>")
    alone = nanostt("transcribe", f"{place}/{name}", "--output", folder)
    assert alone.code in (1, 2)
    assert "Traceback" not in alone.err
    assert emulator.charges == []
    beside = nanostt("transcribe", f"{place}/{name}", wav, "--output", folder, "--json")
    assert beside.code == 1
    assert beside.document["counts"] == {"failed": 1, "written": 1}
    assert len(emulator.charges) == 1


def test_the_key_alone_is_enough_and_is_never_shown(emulator: Emulator, wav, folder, nanostt, monkeypatch):
    """From the environment, before a connection that nobody named; a wrong one is one line that names the variable."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**emulator.connection, "password": "sk-nano-other-key"})
    )
    monkeypatch.setenv("NANOGPT_URL", emulator.url)
    wrong = "sk-nano-00000000-1111-2222-3333-444444444444"
    monkeypatch.setenv("NANOGPT_API_KEY", wrong)
    refused = nanostt("transcribe", wav, "--output", folder)
    assert refused.code == 2
    (line,) = refused.err.splitlines()
    assert "401" in line
    assert "'NANOGPT_API_KEY'" in line
    monkeypatch.setenv("NANOGPT_API_KEY", f" {emulator.api_key}\n")
    done = nanostt("transcribe", wav, "--output", folder)
    named = nanostt("transcribe", wav, "--output", folder, "--conn", "nanogpt_default")
    assert (done.code, named.code) == (0, 2)
    shown = "".join([*refused[1:], *done[1:], *named[1:]])
    kept = "".join(one.read_text() for one in folder.rglob("*") if one.is_file())
    assert not any(key in shown + kept for key in (wrong, emulator.api_key, "sk-nano-other-key"))
    assert "AIRFLOW_CONN_NANOGPT_API_KEY" not in os.environ
    assert len(emulator.charges) == 1


@pytest.mark.parametrize(("words", "pays"), [((), 1), (("--on-ambiguous-submit", "resubmit"), 2), (("--force",), 2)])
def test_a_charge_of_which_nobody_knows_has_a_code_of_its_own(emulator, wav, folder, nanostt, no_pauses, words, pays):
    """It is not submitted again until somebody says so, and how to say that is said."""
    emulator.fail("/transcribe", kind="reset", after_charge=True)
    given = ["transcribe", wav, "--output", folder, "--json"]
    for _ in range(2):
        lost = nanostt(*given)
        assert (lost.code, lost.document["outcome"]) == (4, "uncertain_charge")
        assert "--on-ambiguous-submit" in lost.document["next_step"]
        assert len(emulator.charges) == 1
    assert nanostt(*given, *words).code == (0 if words else 4)
    assert len(emulator.charges) == pays


class TestInterrupted:
    """A signal in the middle loses nothing, and says how to go on."""

    @pytest.fixture
    def job_seconds(self) -> float:
        return 1.0

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_while_waiting(self, emulator: Emulator, wav, folder, nanostt, number):
        """The same command waits on for the job, and pays for nothing twice."""
        given = ["transcribe", wav, "--output", folder, "--model", ASYNC]
        before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with signalled(number, lambda: "/transcribe/status" in str(emulator.counts)):
            stopped = nanostt(*given)
        assert stopped.code == 128 + number
        assert "note.wav: paid for ($0.0" in stopped.out
        assert "Run the same command again" in stopped.out
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
        again = nanostt(*given)
        assert again.code == 0
        assert "has spent $0." in again.out
        assert len(emulator.charges) == 1

    def test_while_it_is_sent(self, emulator: Emulator, recordings, folder, nanostt):
        """What is on its way is recorded before the end; what was not begun is not begun."""
        emulator.script("*", text=TEXT, duration=12.0)
        emulator.fail("/transcribe", kind="slow", delay=0.5)
        given = ["transcribe", f"{recordings}/*", "--output", folder, "--model", ASYNC, "--max-parallel", "1"]
        with signalled(signal.SIGINT, lambda: not emulator.faults):
            stopped = nanostt(*given)
        assert stopped.code == 130
        assert "Stopping. 1 recording is being sent" in stopped.err
        assert stopped.out.count("paid for ($0.0") == 1
        assert len(emulator.charges) == 1
        assert nanostt(*given).code == 0
        assert len(emulator.charges) == 2

    def test_by_a_deadline(self, emulator: Emulator, wav, folder, nanostt):
        """A wait that ends is no failure: the same command waits on."""
        given = ["transcribe", wav, "--output", folder, "--model", ASYNC, "--json"]
        late = nanostt(*given, "--timeout", "0.1")
        assert (late.code, late.document["outcome"]) == (5, "unfinished")
        assert nanostt(*given).code == 0
        assert len(emulator.charges) == 1

    def test_after_force_the_next_command_has_none(self, emulator: Emulator, wav, folder, nanostt):
        """The same command would pay once more; the one that it names goes on with what is paid for."""
        given = ["transcribe", wav, "--output", folder, "--model", ASYNC, "--json"]
        late = nanostt(*given, "--timeout", "0.1", "--force")
        assert late.document["outcome"] == "unfinished"
        assert "again, without --force" in late.document["next_step"]
        assert nanostt(*given).code == 0
        assert len(emulator.charges) == 1

    @pytest.fixture
    def looked_at(self, emulator: Emulator, monkeypatch) -> Iterator[list[object]]:
        """The recordings of a command that is interrupted while it measures one behind an address."""

        class Interrupting(RangeServer):
            def answer(self, path: str, asked: str) -> object:
                if len(self.seen) == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().answer(path, asked)

        allowed = {**emulator.connection, "extra": {"allow_private_addresses": True, "allow_insecure_http": True}}
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(allowed))
        with Interrupting({"note.wav": (AUDIO / "weekly-note.wav").read_bytes()}) as server:
            yield [server.url("note.wav")]

    def test_while_it_is_measured(self, emulator: Emulator, looked_at, folder, nanostt):
        """Nothing is submitted then, and programs are told how it ended."""
        given = ["transcribe", *looked_at, "--output", folder, "--model", ASYNC, "--json"]
        stopped = nanostt(*given)
        assert (stopped.code, stopped.document["outcome"], stopped.document["exit_code"]) == (130, "interrupted", 130)
        assert emulator.charges == []
        assert nanostt(*given).code == 0
        assert len(emulator.charges) == 1

    def test_while_it_is_written(self, emulator: Emulator, wav, folder, nanostt, monkeypatch):
        """What is paid for is said, and the same command writes all of it."""
        monkeypatch.setenv("CTRL_C", "while it is written")
        given = ["transcribe", wav, "--output", folder, "--model", ASYNC, "--formats", "txt,srt", "--json"]
        given += ["--transform", f"{__name__}.interrupting", "--tables", "chunks"]
        stopped = nanostt(*given)
        assert (stopped.code, stopped.document["counts"]) == (130, {"waiting": 1})
        assert stopped.document["recordings"][0]["run_id"]
        assert list(folder.glob("*.txt")) == []
        again = nanostt(*given)
        assert (again.code, again.document["counts"]) == (0, {"written": 1})
        assert rows_of(again.document["tables"]["chunks"])
        assert len(emulator.charges) == 1

    @pytest.mark.long
    def test_at_any_moment(self, emulator: Emulator, wav, folder, nanostt):
        """Whichever function of the command is about to begin: one document, no traceback, one charge in the end."""
        emulator.script("*", text=TEXT, duration=12.0)
        begun = [one for one in begun_by(nanostt, "transcribe", wav, "--output", folder, "--json") if one != "main"]
        assert len(begun) > 20
        for number, moment in enumerate(begun):
            given = ["transcribe", wav, "--output", f"{folder}-{number}", "--model", ASYNC, "--json"]
            with interrupted_at(moment):
                stopped = nanostt(*given)
            assert (moment, stopped.code, stopped.document["exit_code"]) == (moment, stopped.code, stopped.code)
            assert stopped.code in (0, 130)
            assert "Traceback" not in stopped.err
            assert nanostt(*given).code == 0
            assert len(emulator.charges) == number + 2


def interrupting(text: str) -> str:
    """Leave a text as it is; the first time, if the test wants it, Ctrl-C comes while that is done."""
    if os.environ.pop("CTRL_C", ""):
        os.kill(os.getpid(), signal.SIGINT)
    return text


def louder(text: str) -> str:
    """Return a text in capitals."""
    return text.upper()


def rows_of(uri: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(uri.removeprefix("file://")).read_text().splitlines()]


def begun_by(nanostt, *arguments: object) -> list[str]:
    """Return the functions of the command that begin in the main thread, by name, in order."""
    names: dict[str, None] = {}
    with watching(names.setdefault):
        assert nanostt(*arguments).code == 0
    return list(names)


@contextmanager
def interrupted_at(name: str) -> Iterator[None]:
    """Send this process Ctrl-C when a function of the command begins for the first time."""
    left = [name]

    def interrupt(begun: str) -> None:
        if begun in left:
            left.remove(begun)
            os.kill(os.getpid(), signal.SIGINT)

    with watching(interrupt):
        yield


@contextmanager
def watching(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell of each function of the command that begins in this thread."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and PACKAGE in frame.f_code.co_filename:
            tell(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_two_at_once_pay_once(emulator: Emulator, wav, folder):
    """Whichever is second waits for the job of the first, or is told to come back."""
    emulator.fail("/transcribe", kind="slow", delay=0.3)
    both = [start("transcribe", wav, "--output", folder, "--model", ASYNC) for _ in range(2)]
    assert [(one.communicate()[1], one.returncode)[1] for one in both] == [0, 0]
    assert len(emulator.charges) == 1


def test_lines_say_how_each_recording_stands(emulator: Emulator, wav, folder, nanostt):
    """Without a terminal, in order: measured, uploading, waiting with the expected rest, written."""
    done = nanostt("transcribe", wav, "--output", folder, "--model", ASYNC)
    states = [line.removeprefix(f"{wav}: ") for line in done.err.splitlines()]
    assert [one.partition(":")[0] for one in states] == ["measured", "uploading", "waiting", "written"]
    assert states[0] == "measured: 0.20 min, $0.006018"
    assert states[2].startswith("waiting: about ")


def test_no_name_does_anything_to_a_terminal(emulator: Emulator, tmp_path, folder, nanostt):
    """Controls, line breaks and bytes that are no text are escaped wherever a name is shown."""
    emulator.script("*", text=TEXT, duration=12.0)
    for name in (b"\x1b[31mred.wav", b"new\nline.wav", b"mod\x85.wav", "\u202eevil.wav".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    done = nanostt("transcribe", f"{tmp_path}/*.wav", "--output", folder, "--yes-up-to", "0")
    assert done.code == 3
    done = nanostt("transcribe", f"{tmp_path}/*.wav", "--output", folder)
    assert done.code == 0, done
    assert not any(raw in done.out + done.err for raw in ("\x1b", "\x85", "\u202e"))
    assert r"\x1b[31mred.wav" in done.out
    assert len(emulator.charges) == 4


def test_messages_name_the_options_of_the_command(nanostt):
    """In place of a task's arguments, with their values; names of files and other words stay as they are."""
    options = nanostt("transcribe", "--help").out
    assert {flag for flag in wording.FLAGS.values() if f"{flag} " not in options} == set()
    for message, shown in (
        ("Set on_lost_job='submit', or clear the task with force=True, to pay.",
         "Set --on-lost-job submit, or add --force, to pay."),
        ("Set actual_duration, or unknown_length='allow' in cost_limits",
         "Set --actual-duration, or --unknown-length allow"),
        ("diarize=True does not work with model='a b', says", "--diarize does not work with --model 'a b', says"),
        ("stage: needs staging_path, a folder", "stage: needs --staging, a folder"),
        ("language is empty; another model", "--language is empty; another model"),
        ("'max_parallel.wav' is in /x/output_path/force=1.wav", "'max_parallel.wav' is in /x/output_path/force=1.wav"),
        ("audio='/x' is not a file", "'/x' is not a file"),
        ("Add funds and run the task again", "Add funds and run the command again"),
        ("The service answers: model not found", "The service answers: model not found"),
        ("It cannot be reached: timeout while reading", "It cannot be reached: timeout while reading"),
        ("'/x/Talk: language=en, run the task.wav' is gone", "'/x/Talk: language=en, run the task.wav' is gone"),
        ("audio='/x/a timeout=5' is not a file", "'/x/a timeout=5' is not a file"),
        ("https://x/a?language=en&model=b", "https://x/a?language=en&model=b"),
        ("the service's reason; force=True isn't set", "the service's reason; --force isn't set"),
    ):  # fmt: skip
        assert wording.with_flags(message) == shown


def test_what_is_counted_is_in_the_right_number(emulator: Emulator, wav, folder, nanostt):
    """One recording is one, and no more are "recordings"."""
    asked = nanostt("transcribe", wav, "--output", folder, "--yes-up-to", "0")
    assert "1 recording is not paid for" in asked.err
    assert "\n1 recording: 1 not started. " in asked.out


def test_the_page_has_every_option_and_every_end(nanostt):
    """What may be given, and what a command may come to, for people and for programs."""
    page = (TESTS.parent / "docs" / "cli.md").read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", nanostt("transcribe", "--help").out)) - {"--help"}
    assert {one for one in options if f"`{one}`" not in page} == set()
    ends = [one for one in vars(outcome).values() if isinstance(one, outcome.Outcome)]
    assert len(ends) > 5
    assert all(f"| {one.code} | `{one.word}` |" in page for one in ends)
