"""A private folder for files that are written on the way; it is removed when its block ends, however it ends.

After ``kill -9`` no block is left. Such a folder, which may hold gigabytes, is removed when the next one is made: each
is locked by the process that works in it, so one whose lock is free is abandoned.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "nanostt-"
_LOCK = ".lock"


@contextmanager
def temp_dir() -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it in the end."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / f"{_LOCK}-new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / f"{_LOCK}-new").rename(folder / _LOCK)  # locked before it has its final name
            yield folder


def _remove_if_abandoned(folder: Path) -> None:
    """Remove the folder of a killed process of this user."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return
        with os.fdopen(os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is gone already, is not one of ours, or a process works in it
        return
