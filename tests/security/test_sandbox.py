"""FFmpeg's work on bytes from outside: whatever they make it do, this process neither grows, hangs nor crashes."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio import sandbox
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan
from airflow_provider_nanostt.audio.sources import LocalFile
from tests.security import work

pytest.importorskip("av")


def as_it_is(answer):
    return answer


def run(what, data: bytes = b"0123456789", *, cpu_seconds: float = 30.0, **given):
    return sandbox.run(what, io.BytesIO(data), read=as_it_is, cpu_seconds=cpu_seconds, **given)


def test_the_child_reads_what_its_parent_has():
    """Every byte, wherever it is asked for; and it reports how far it is."""
    data, reported = os.urandom(1_000_003), []
    assert run(work.read, data, progress=reported.append) == [len(data), list(data[-3:])]
    assert reported == [len(data) / 2]


def test_the_child_has_no_network_no_programs_and_no_secrets(monkeypatch):
    """What a recording could be made to do with them, it cannot."""
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", "secret")
    assert run(work.pid) != os.getpid()
    opened, ran, environment = run(work.reach_out)
    assert (opened, ran) == ("PermissionError", "PermissionError")
    assert not [name for name in environment if name.startswith("AIRFLOW")]


@pytest.mark.parametrize(
    ("what", "seconds", "reason"),
    [
        (work.take_memory, 30, "needs more than 256 MB of memory"),
        (work.take_time, 1, "takes more than 1 seconds of processor time"),
        (work.wait, 0.1, "takes more than 1 seconds"),
        (work.crash, 30, r"has crashed \(SIGABRT\)"),
    ],
)
def test_a_limit_is_an_error_that_names_it(what, seconds, reason):
    """And the next recording finds a child that works."""
    with pytest.raises(InvalidInput, match=f"cannot be read: FFmpeg {reason}"):
        run(what, cpu_seconds=seconds)
    assert run(work.read) == [10, [55, 56, 57]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("ValueError", ValueError),
        ("KeyError", InvalidInput),
        ("EOFError", InvalidInput),
        ("ConnectionResetError", InvalidInput),
    ],
)
def test_errors_of_the_work_are_ours(error, expected):
    """Those that are expected as they are, any other as one of a recording that cannot be read."""
    with pytest.raises(expected, match="why"):
        run(work.fail, raises=(ValueError,), error=error)


def test_without_pyav_the_extra_is_named(monkeypatch):
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidInput, match=r"pip install 'airflow-provider-nanostt\[audio\]'"):
        run(work.read)


def test_a_child_is_used_again():
    """Its start costs more than most recordings."""
    assert len({run(work.pid) for _ in range(5)}) == 1


def test_what_interrupts_the_parent_ends_the_child():
    """A storage that fails, or a task that is killed, leaves no work behind."""

    class Broken(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError("the storage is gone")

    before = run(work.pid)
    with pytest.raises(ConnectionResetError, match="storage"):
        sandbox.run(work.read, Broken(b"0" * 100), read=as_it_is, cpu_seconds=30)
    assert run(work.pid) != before


@pytest.mark.parametrize("kind", [b"?", b"P", b"D", b"E"])
@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff" * 64, b"[" * 100_000, b"{}"])
def test_a_child_that_a_recording_has_taken_over_is_not_believed(kind, data):
    """Whatever it says instead of an answer, it is an error of ours, and it is not asked again."""
    before = run(work.pid)
    with pytest.raises(InvalidInput, match="answers what nobody has asked"):
        sandbox.run(work.say, io.BytesIO(b"0123"), read=int, cpu_seconds=30, kind=kind.decode(), data=data.hex())
    assert run(work.pid) != before


def test_a_child_that_a_recording_has_taken_over_cannot_write_what_it_likes_into_the_log(caplog):
    """Neither lines and colours of its own, nor so much that the disk is full."""
    forged = b"\x1b[2J\n[2026-01-01] INFO - paid" + b"x" * 20_000
    with pytest.raises(InvalidInput, match="answers what nobody has asked"):
        sandbox.run(work.say_much, io.BytesIO(b"0"), read=int, cpu_seconds=1, kind="L", data=forged.hex())
    assert 0 < len(caplog.records) <= 100
    assert all(line.getMessage().isprintable() and len(line.getMessage()) < 5000 for line in caplog.records)
    with pytest.raises(InvalidInput) as caught:
        run(work.complain, text="\x1b[2J\n" + "x" * 1_000_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("file", ["../secret.ogg", "/etc/passwd", "link.ogg", "folder.ogg", ".", "", "part.exe"])
def test_what_a_child_says_that_it_made_is_below_the_folder_it_was_given(file, monkeypatch, tmp_path):
    """A recording that has taken the child over cannot have another file of the worker submitted."""
    recording = tmp_path / "call.wav"
    recording.write_bytes(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 80_036, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16_000,
                                      2, 16, b"data", 80_000) + os.urandom(80_000))  # fmt: skip
    monkeypatch.setattr("airflow_provider_nanostt.audio.prepare.prepare.make_parts", work.say_made)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    source, options = LocalFile(recording), PrepareOptions(PreparationRules())
    with (
        pytest.raises(InvalidInput, match="answers what nobody has asked"),
        prepared_audio(source, probe(source), UploadPlan(file, "", 60.0), options),
    ):
        pass


def test_threads_do_not_share_a_child():
    """Each has its own recording's bytes."""
    found = {}

    def one(number):
        data = bytes([number]) * (100_000 + number)
        found[number] = run(work.read, data)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [100_000 + number, [number] * 3] for number in range(6)}


def test_the_child_ends_with_its_parent():
    """However the parent ends."""
    code = (
        "import io, os, sys\nsys.path.append(os.getcwd())\n"
        "from airflow_provider_nanostt.audio import sandbox\nfrom tests.security import work\n"
        "print(sandbox.run(work.pid, io.BytesIO(b'x'), read=int, cpu_seconds=9), flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, cwd=Path.cwd())
    child = int(done.stdout)
    for _ in range(1000):
        try:
            os.kill(child, 0)
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        threading.Event().wait(0.01)
    raise AssertionError("it is still there")


# Recordings that make FFmpeg take memory


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def track(number: int, count: int, sizes: bytes, extra: bytes = b"") -> bytes:
    esds = bytes.fromhex("0000000003190000000411401500000000000000000000000005021210060102")
    entry = b"\0" * 6 + struct.pack(">H", 1) + b"\0" * 8 + struct.pack(">HHHHI", 2, 16, 0, 0, 44_100 << 16)
    table = [box(b"stsd", struct.pack(">II", 0, 1), box(b"mp4a", entry, box(b"esds", esds)))]
    if count:
        table.append(box(b"stts", struct.pack(">IIII", 0, 1, count, 1024)))
        table.append(box(b"stsc", struct.pack(">IIIII", 0, 1, 1, count, 1)))
        table.append(sizes)
        table.append(box(b"stco", struct.pack(">III", 0, 1, 40)))
    else:
        table += [box(kind, b"\0" * size) for kind, size in ((b"stts", 8), (b"stsc", 8), (b"stsz", 12), (b"stco", 8))]
    length = min(1024 * count, 2**32 - 1)
    media = [box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 44_100, length, 0, 0))]
    media.append(box(b"hdlr", struct.pack(">II4s", 0, 0, b"soun") + b"\0" * 13))
    media.append(box(b"minf", box(b"smhd", b"\0" * 8), box(b"stbl", *table)))
    head = box(b"tkhd", struct.pack(">IIIII", 7, 0, 0, number + 1, 0) + b"\0" * 64)
    return box(b"trak", head, box(b"mdia", *media, extra))


def stsz(count: int) -> bytes:
    return box(b"stsz", struct.pack(">III", 0, 1, count))


def bomb(kind: str) -> bytes:
    """A small M4A that claims tens of millions of pieces, where only FFmpeg looks."""
    claimed = 85_000_000
    moof, more, room = b"", b"", 4096
    if kind == "a fragment":
        tracks = [track(0, 0, b"")]
        more = box(b"mvex", box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1024, 1, 0)))
        run_of = box(b"trun", struct.pack(">II", 0, claimed))
        inner = box(b"traf", box(b"tfhd", struct.pack(">II", 0x020000, 1)), run_of)
        moof = box(b"moof", box(b"mfhd", struct.pack(">II", 0, 1)), inner)
    elif kind == "a second table":
        tracks = [track(0, claimed, stsz(10), box(b"stbl", stsz(claimed)))]
    else:
        room = 400_000
        tracks = [track(number, room, stsz(room)) for number in range(64)]
    mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 44_100, 44_100) + b"\0" * 80)
    start = box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom")
    return start + box(b"moov", mvhd, *tracks, more) + moof + box(b"mdat", b"\0" * room)


@pytest.mark.parametrize("kind", ["a fragment", "a second table", "many tracks"])
@pytest.mark.parametrize("method", ["", "convert", "split"])
def test_a_small_file_cannot_fill_the_memory(kind, method, tmp_path):
    """Its length is unknown, or making something of it is an error; the worker does not grow."""
    file = tmp_path / "call.m4a"
    file.write_bytes(bomb(kind))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    info = probe(LocalFile(file))
    if method:
        options, plan = PrepareOptions(PreparationRules()), UploadPlan(method, "", 60.0)
        with pytest.raises(InvalidInput), prepared_audio(LocalFile(file), info, plan, options):
            pass
    else:
        assert info.length.seconds is None or kind == "many tracks"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100 * 1024
