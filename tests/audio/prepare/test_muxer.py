"""Files of sound appear whole or not at all."""

from __future__ import annotations

import io

import pytest

from airflow_provider_nanostt.audio.prepare.muxer import Writer, whole
from tests.audio.sounds import av


def test_a_path_appears_when_it_is_whole(tmp_path):
    """Until then there is only a hidden file beside it, which is gone afterwards."""
    target = tmp_path / ("long" * 60 + ".ogg")
    with whole(target) as file:
        file.write(b"sound")
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"sound"


def test_an_interrupted_path_does_not_appear(tmp_path):
    """Even if what interrupts is no error: a killed task's last act."""
    writing = whole(tmp_path / "note.ogg")
    writing.__enter__().write(b"half")
    assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_says_so(tmp_path):
    """As any file does."""
    with pytest.raises(FileNotFoundError), whole(tmp_path / "missing" / "note.ogg"):
        pass


def test_a_writer_that_writes_nothing_is_none():
    """What is written, and how, is for its kinds to say."""
    assert av
    with pytest.raises(NotImplementedError), Writer(io.BytesIO(), "ogg", 16_000) as writer:
        writer.write(b"", 1)
