"""The tutorial as a new user meets it: every block is copied into one shell, in a fresh folder, and works."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PORTS = (8080, 8377)  # those of the page
pytest.importorskip("playwright", reason="once, in the development environment, is enough")
pytestmark = [pytest.mark.long, pytest.mark.anywhere]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def end_session(leader: int) -> None:
    """End whatever the shell has left running."""
    for _ in range(50):
        every = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        left = [pid for pid in every if session_of(pid) == leader]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def session_of(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


@pytest.mark.skipif(not all(map(is_free, PORTS)), reason="something listens where the tutorial's servers would")
def test_every_command_of_the_tutorial_works(tmp_path: Path):
    """From the installation to the first transcript, and the second run is not paid for."""
    wheels, fresh = tmp_path / "wheels", tmp_path / "fresh"
    fresh.mkdir()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)], cwd=ROOT, check=True)
    pins = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    env = {
        "HOME": os.environ["HOME"],  # has this machine's settings of pip; Airflow has a folder of its own
        "PATH": f"{Path(sys._base_executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        "PIP_FIND_LINKS": f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}",  # as if on the index
        "PIP_CONSTRAINT": str(tmp_path / "pins.txt"),
    }
    script = "set -e -m\n" + "\n".join(f"echo '=== block {number}'\n{code}" for number, code in enumerate(BLOCKS, 1))
    (tmp_path / "page.sh").write_text(script)
    log = tmp_path / "page.log"
    with log.open("wb") as out:
        shell = subprocess.Popen(
            ["bash", str(tmp_path / "page.sh")],
            cwd=fresh, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = shell.wait(timeout=1500)
        finally:
            end_session(shell.pid)
    said = log.read_text()
    assert code == 0, said[-4000:]
    assert said.count(f"=== block {len(BLOCKS)}") == 1
    assert "Good morning. This is the first transcript." in said
    assert "\n1 charge" in said
    assert (fresh / "nanostt-tutorial" / "transcripts" / "note.html").exists()
