"""Each command line of this package that a page shows, run as it stands, against the emulator."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from airflow_provider_nanostt.emulator import Emulator
from tests.conftest import AUDIO, TESTS, TEXT

pytestmark = pytest.mark.usefixtures("asked_often")
PAGES = sorted({*(TESTS.parent / "docs").rglob("*.md"), TESTS.parent / "README.md"})
_BLOCK = re.compile(r"^```(?:bash|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?:\$ )?nanostt (.+)$", re.MULTILINE)
LINES = sorted(
    {
        line
        for page in PAGES
        if page.stem != "tutorial"  # whose commands have a test of their own
        for block in _BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in _LINE.findall(block)
        if not line.startswith("emulator")  # which serves until it is ended; the tutorial starts it
    }
)


@pytest.mark.parametrize("line", LINES)
def test_a_command_on_a_page_works(emulator: Emulator, nanostt, tmp_path: Path, monkeypatch, line):
    """With recordings where the page has some, and a folder in place of a bucket."""
    emulator.script("*", text=TEXT, duration=12.0)
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "monday.wav").write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    (tmp_path / "transcripts").mkdir()
    monkeypatch.chdir(tmp_path)
    if line.startswith("costs"):
        assert nanostt("transcribe", "calls/monday.wav", "--output", "transcripts").code == 0
    given = [re.sub(r"^s3://.*", str(tmp_path / "transcripts"), one) for one in shlex.split(line)]
    done = nanostt(*given)
    assert done.code == (1 if "--check" in given else 0), done.err  # something differs, as on the page
    assert done.out or done.err


def test_there_are_such_lines():
    """Of each command that ends by itself."""
    assert {line.split()[0] for line in LINES} >= {"transcribe", "estimate", "models", "costs", "doctor"}
