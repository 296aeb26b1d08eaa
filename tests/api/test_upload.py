"""Files on their way to the service: read once, sent as they were when they were looked at, or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES, Upload

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


def test_a_retry_sends_the_same_bytes(service: Replay, send: Sender, tmp_path: Path):
    """Sent again after a refusal it arrives whole again, even if the file has changed or gone in between."""
    path = recording(tmp_path)
    data = path.read_bytes()
    call = endpoints.submit(Submission(audio=Upload("call.wav", "audio/wav", path)))
    path.unlink()
    service.play(BUSY, ACCEPTED)
    send(call)
    first, second = service.seen
    assert first.body == second.body
    assert data in first.body
    assert all(int(seen.headers["Content-Length"]) == len(seen.body) for seen in service.seen)
    assert not any("Transfer-Encoding" in seen.headers for seen in service.seen)


def shortened(path: Path) -> None:
    os.truncate(path, 500_000)


def altered(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def grown_too_large(path: Path) -> None:
    path.write_bytes(bytes(MAX_UPLOAD_BYTES + 1))


@pytest.mark.parametrize("change", [shortened, altered, grown, grown_too_large, Path.unlink])
def test_a_file_that_changed_is_never_paid_for(tmp_path: Path, change: Callable[[Path], None]):
    """Nothing is sent; another try looks at the file again."""
    path = recording(tmp_path)
    upload = Upload("call.wav", "audio/wav", path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    change(path)
    with pytest.raises(errors.FileChanged, match=r"'call\.wav'.*nothing was sent\. A retry") as caught:
        endpoints.submit(Submission(audio=upload))
    assert (caught.value.charged, caught.value.retry) == ("no", "yes")


def test_a_file_without_a_digest_has_to_keep_its_size(tmp_path: Path):
    """What was checked against the limit is what is sent."""
    path = recording(tmp_path)
    upload = Upload("call.wav", "audio/wav", path)
    grown(path)
    with pytest.raises(errors.FileChanged, match="has changed"):
        upload.read()


def test_bytes_are_sent_as_they_are():
    """Also with a digest that fits, and not with one that does not."""
    digest = hashlib.sha256(b"RIFF").hexdigest()
    assert Upload("call.wav", "audio/wav", b"RIFF", sha256=digest).read() == b"RIFF"
    with pytest.raises(errors.FileChanged):
        Upload("call.wav", "audio/wav", b"RIFX", sha256=digest).read()
