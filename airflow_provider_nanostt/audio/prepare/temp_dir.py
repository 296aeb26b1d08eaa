"""A private folder for what is written on the way: gone when its block is left, however that is left.

After ``kill -9`` nobody leaves a block. Such a folder, which may hold gigabytes, goes when the next one is made: each
is locked by the process that works in it, so one whose lock is free belongs to nobody any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "nanostt-"
_LOCK = ".lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder that only this user can look into, and remove it in the end."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / f"{_LOCK}-new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / f"{_LOCK}-new").rename(folder / _LOCK)  # locked before it has the name that is looked for
            yield folder


def sweep() -> None:
    """Remove the folders that killed processes of this user have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # it went in between, or is none of ours
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody works in it
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
