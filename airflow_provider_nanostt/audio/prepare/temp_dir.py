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
    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / f"{_LOCK}-new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / f"{_LOCK}-new").rename(folder / _LOCK)  # locked before it has its final name
            yield folder


def remove_abandoned() -> None:
    """Remove the folders that killed processes of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # it is gone already, or is not one of ours
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # a process works in it
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
