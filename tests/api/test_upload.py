"""Files on their way to the service: read as they go, the same each time, and not paid for if they are not."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.api.upload import Upload

from .conftest import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Replay, Sender

ACCEPTED = answer("transcribe-async/202.json", 202)
BUSY = answer("errors/503.txt", 503)


def recording(folder: Path, data: bytes = bytes(range(256)) * 4000) -> Path:
    path = folder / "call.wav"
    path.write_bytes(data)
    return path


def test_a_file_is_read_as_it_is_sent(service: Replay, send: Sender, tmp_path: Path):
    """Sent again after a refusal it arrives whole again; it is never in memory as one."""
    path = recording(tmp_path)
    pieces: list[int] = []
    service.play(BUSY, ACCEPTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Upload, "open", lambda upload: Watched(upload.data, pieces))
        send(endpoints.submit(Submission(audio=Upload("call.wav", "audio/wav", path))))
    assert [path.read_bytes() in seen.body for seen in service.seen] == [True, True]
    assert all(int(seen.headers["Content-Length"]) == len(seen.body) for seen in service.seen)
    assert not any("Transfer-Encoding" in seen.headers for seen in service.seen)
    assert max(pieces) <= 256 * 1024 < path.stat().st_size


class Watched(io.FileIO):
    """A file that notes how much of it is asked for at a time."""

    def __init__(self, path: Path, pieces: list[int]) -> None:
        super().__init__(path)
        self._pieces = pieces

    def read(self, size: int | None = -1, /) -> bytes:
        self._pieces.append(self.seek(0, 2) if size is None or size < 0 else size)
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        self._pieces.append(len(memoryview(buffer)))
        return super().readinto(buffer)


def shortened(path: Path) -> None:
    os.truncate(path, 500_000)


def altered(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")


@pytest.mark.parametrize("change", [shortened, altered, Path.unlink])
def test_a_file_that_is_no_longer_the_same_is_not_paid_for(
    service: Replay, send: Sender, tmp_path: Path, change: Callable[[Path], None]
):
    """The request is broken off before its end, so there is nothing to accept; nor is it sent again."""
    path = recording(tmp_path)
    upload = Upload("call.wav", "audio/wav", path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    call = endpoints.submit(Submission(audio=upload))
    change(path)
    service.play(ACCEPTED)
    with pytest.raises(errors.FileChanged, match=r"'call\.wav'.*nothing is paid for\. A retry"):
        send(call)
    assert all(int(seen.headers["Content-Length"]) > len(seen.body) for seen in service.seen)
    assert send.naps == []


def test_a_file_that_has_grown_is_sent_as_it_was(service: Replay, send: Sender, tmp_path: Path):
    """What was added after it was looked at is left for another time: the length that was announced holds."""
    path = recording(tmp_path, b"RIFF" * 100)
    upload = Upload("call.wav", "audio/wav", path, sha256=hashlib.sha256(b"RIFF" * 100).hexdigest())
    call = endpoints.submit(Submission(audio=upload))
    path.write_bytes(b"RIFF" * 100 + b"more")
    service.play(ACCEPTED)
    assert send(call).run_id == "run-7c1e"
    assert b"RIFF" * 100 + b"\r\n" in service.seen[0].body


def test_a_form_is_a_file_like_any_other():
    """Whatever reads files can read it, in whatever pieces."""
    form = endpoints.submit(Submission(audio=Upload("call.wav", "audio/wav", b"RIFF" * 9))).request.body
    with form.open() as whole, form.open() as bare, io.BufferedReader(bare) as buffered:
        pieces = iter(lambda: buffered.read(7), b"")
        assert b"".join(pieces) == whole.read()
        assert bare.tell() == len(form)
