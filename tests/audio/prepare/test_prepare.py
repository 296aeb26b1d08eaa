"""Carrying out a plan: what is made fits, sounds as before, bears a safe name, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import FileChanged, InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, Upload
from airflow_provider_nanostt.audio.inspect import formats
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan, plan_upload
from airflow_provider_nanostt.audio.sources import StoredObject, WebAddress, locate_source
from airflow_provider_nanostt.common import object_storage
from tests.audio.sounds import encoded, hiss, note, samples, seconds, wav

pytestmark = pytest.mark.airflow

SAMPLES = Path(__file__).parents[3] / "example_dags" / "audio"
WHISPER = "Whisper-Large-V3"


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where temporary files go, to see whether any stay."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """Two minutes of speech and hiss as WAV, more than an upload takes."""
    folder = tmp_path_factory.mktemp("loud")
    spoken = note() + hiss(108)
    file = folder / "Türgespräch 1.wav"
    file.write_bytes(wav(spoken))
    assert file.stat().st_size > MAX_UPLOAD_BYTES
    return file


def prepared(source, plan=None, split_points=None, *, progress=None, sha256=None, **preparation):
    """Enter the block in which the parts of a recording exist."""
    source = locate_source(source) if isinstance(source, Path) else source
    info, options = probe(source), PrepareOptions(PreparationRules(**preparation), progress=progress, sha256=sha256)
    if plan is None:
        plan = plan_upload(source, info, model=WHISPER, diarize=False, preparation=options.preparation)
    return prepared_audio(source, info, plan, options, split_points)


def split(seconds):
    return UploadPlan("split", "", seconds)


def make(source, **preparation):
    """Return the parts; the bytes of uploads with them, since their files are gone after the block."""
    with prepared(source, **preparation) as parts:
        return [replace(part, audio=held(part.audio)) for part in parts]


def held(audio):
    return replace(audio, data=audio.read()) if isinstance(audio, Upload) else audio


def test_a_small_file_travels_as_it_is():
    """Byte for byte, under its own name, with the type its bytes have."""
    (part,) = make(SAMPLES / "weekly-note.wav")
    assert part.audio == Upload("weekly-note.wav", "audio/wav", (SAMPLES / "weekly-note.wav").read_bytes())
    assert part.seconds == pytest.approx(12.0, abs=0.1)


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b""), lambda file: os.truncate(file, 9)])
def test_a_file_that_changes_before_it_is_sent_is_looked_at_anew(tmp_path, change):
    """The retry sees it as it is; whatever writes it may be done by then."""
    file = tmp_path / "talk.wav"
    file.write_bytes((SAMPLES / "weekly-note.wav").read_bytes())
    block = prepared(file)
    change(file)
    with pytest.raises(FileChanged, match=r"talk\.wav"), block:
        pass


def test_an_upload_has_the_digest_that_the_record_has(tmp_path):
    """Should the file change before it is sent, it is not paid for in the name of the old one."""
    with prepared(SAMPLES / "weekly-note.wav", sha256="0" * 64) as (part,), pytest.raises(FileChanged):
        part.audio.read()


def test_a_wrong_suffix_is_put_right(tmp_path):
    """The service refuses a file whose suffix and bytes do not agree."""
    file = tmp_path / "talk.opus"
    file.write_bytes((SAMPLES / "closed-office.ogg").read_bytes())
    (part,) = make(file)
    assert (part.audio.name, part.audio.content_type) == ("talk.ogg", "audio/ogg")


@pytest.mark.parametrize(
    ("codec", "suffix", "kind"), [("opus", ".ogg", formats.OGG_OPUS), ("mp3", ".mp3", formats.MP3)]
)
def test_what_is_compressed_fits_and_says_the_same(loud, codec, suffix, kind):
    """Under the limit, of the same length, in the codec that was asked for; the name keeps its letters."""
    (part,) = make(loud, oversize=("compress",), codec=codec)
    assert part.audio.size < MAX_UPLOAD_BYTES
    assert part.audio.name == f"Türgespräch 1{suffix}"
    assert formats.sniff(part.audio.data) == kind
    assert part.seconds == pytest.approx(120.0, abs=0.2)
    assert seconds(part.audio.data) == pytest.approx(120.0, abs=0.2)


def test_a_format_the_service_refuses_is_converted(tmp_path):
    """A FLAC becomes what the service takes, and sounds as before."""
    file = tmp_path / "note.flac"
    file.write_bytes(encoded(note(), "flac", "flac"))
    (part,) = make(file)
    assert part.audio.name == "note.ogg"
    assert len(samples(part.audio.data)) == pytest.approx(len(note()), rel=0.01)


def test_a_split_is_made_of_parts_that_fit_together(loud):
    """Each part begins where the one before has ended, and all of them are the recording."""
    with prepared(loud, split(100.0)) as parts:
        assert [part.audio.name for part in parts] == ["Türgespräch 1.part-001.ogg", "Türgespräch 1.part-002.ogg"]
        ends = [part.start + part.seconds for part in parts]
        assert [part.start for part in parts[1:]] == pytest.approx(ends[:-1], abs=0.1)
        assert ends[-1] == pytest.approx(120.0, abs=0.2)
        assert all(part.seconds <= 100.1 and part.audio.size < MAX_UPLOAD_BYTES for part in parts)


def test_the_same_cuts_make_the_same_parts(loud):
    """A later attempt cuts where the first one did, whatever its own ears would say."""
    with prepared(loud, split(50.0), [31.5, 77.25]) as parts:
        assert [part.start for part in parts] == pytest.approx([0.0, 31.5, 77.25], abs=0.1)


def test_small_parts_are_copied_and_not_encoded_again(tmp_path):
    """An MP3 of few bits is split into MP3s whose frames are the original's own."""
    file = tmp_path / "call.mp3"
    file.write_bytes(encoded(note(), "libmp3lame", "mp3", bit_rate=32_000))
    with prepared(file, split(7.0)) as parts:
        assert [formats.sniff(part.audio.read()) for part in parts] == [formats.MP3] * 2
        middle = file.read_bytes()[10_000:10_400]
        assert any(middle in part.audio.read() for part in parts)


def test_an_object_in_storage_is_fetched_where_nothing_else_will_do(loud, scratch):
    """It is compressed like a local file, under its own name."""
    (part,) = make(StoredObject(object_storage.resolve(str(loud))))
    assert part.audio.name == "Türgespräch 1.ogg"
    assert list(scratch.iterdir()) == []


def test_an_address_stays_what_it_is():
    """Nothing is fetched, made or changed."""
    (part,) = make(WebAddress("https://example.invalid/a.mp3?sig=0123456789"))
    assert part.audio == "https://example.invalid/a.mp3?sig=0123456789"


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind_however_the_block_ends(loud, scratch, error):
    """The folder is private while it is there, and gone afterwards."""
    try:
        with prepared(loud, oversize=("compress",)):
            (folder,) = scratch.iterdir()
            assert folder.stat().st_mode & 0o077 == 0
            if error:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_behind_when_the_recording_breaks(tmp_path, scratch):
    """Bytes that begin like a recording and go on as noise end in an error that names it, and no file."""
    file = tmp_path / "call.flac"
    flac = encoded(note(), "flac", "flac")
    file.write_bytes(flac[:2000] + random.Random(3).randbytes(60_000))
    with pytest.raises(InvalidInput, match=r"call\.flac"):
        make(file)
    assert list(scratch.iterdir()) == []


def test_an_object_that_breaks_is_named_as_it_is_called(tmp_path, scratch):
    """Not as the copy of it that is worked on."""
    file = tmp_path / "call.flac"
    file.write_bytes(encoded(note(), "flac", "flac")[:2000] + random.Random(3).randbytes(60_000))
    with pytest.raises(InvalidInput, match=r"'call\.flac'"):
        make(StoredObject(object_storage.resolve(str(file))))
    assert list(scratch.iterdir()) == []


def test_names_from_outside_never_become_paths(tmp_path, scratch):
    """Whatever the file is called, its parts are written into the private folder only."""
    file = tmp_path / "..%2F..%2Fetc;passwd\n.wav"
    file.write_bytes(wav(note()))
    with prepared(file, split(7.0)) as parts:
        names = [part.audio.name for part in parts]
    assert not any(set("/\\\n;%") & set(name) for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file.name, scratch.name])


def test_long_work_tells_how_far_it_is(loud):
    """The seconds of sound done, upwards."""
    reported = []
    with prepared(loud, oversize=("compress",), progress=reported.append):
        assert reported == sorted(reported)
    assert reported[-1] > 100


CHILD = """
import sys, tempfile
from airflow_provider_nanostt.audio.prepare.temp_dir import temp_dir
tempfile.tempdir = sys.argv[1]
with temp_dir() as folder:
    (folder / "original.wav").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def worker(scratch):
    """Another process that works in a folder of its own: the process, and the folder."""
    command = [sys.executable, "-c", CHILD, str(scratch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child, Path(child.stdout.readline().strip())
        child.kill()


def test_what_a_killed_process_left_goes_with_the_next(worker, scratch):
    """After ``kill -9`` the next one to work on a recording removes the folder."""
    child, folder = worker
    assert (folder / "original.wav").exists()
    child.kill()
    child.wait()
    assert folder.exists()
    make(SAMPLES / "weekly-note.wav")
    assert list(scratch.iterdir()) == []


def test_a_folder_in_which_somebody_works_stays(worker, scratch):
    """As does one of the same name that is not one of these."""
    _, folder = worker
    (scratch / "nanostt-notes").mkdir()
    (scratch / "nanostt-link").symlink_to(folder)
    make(SAMPLES / "weekly-note.wav")
    assert (folder / "original.wav").exists()
    assert sorted(path.name for path in scratch.iterdir()) == sorted([folder.name, "nanostt-link", "nanostt-notes"])


def test_nobody_else_can_look_into_the_folder(worker):
    """Recordings are private."""
    _, folder = worker
    assert folder.stat().st_mode & 0o077 == 0


def test_a_pipe_in_place_of_a_lock_holds_nobody_up(scratch):
    """Whoever may write into the folder for temporary files could put one there."""
    (scratch / "nanostt-odd").mkdir()
    os.mkfifo(scratch / "nanostt-odd" / ".lock")
    command = [sys.executable, "-c", CHILD, str(scratch)]
    subprocess.run(command, input="", check=True, capture_output=True, text=True, timeout=60)
