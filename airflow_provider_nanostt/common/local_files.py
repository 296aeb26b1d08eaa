"""Files on this machine's disks: read and written whole or not at all, and changed by one process at a time.

Nothing about other storages, nor about content.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_MAX_PREFIX_BYTES = 80
_LOCK_FILE = ".lock"
_LOCK_SECONDS = 30.0
"""For which another process is waited for; it holds the lock for the time of one comparison and one rename."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""How a file system says that it has no hard links."""


def read(path: Path, at_most: int) -> bytes:
    """Return the first bytes of a file.

    :raises ValueError: as ``reading``.
    """
    with reading(path) as file:
        return file.read(at_most)


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a block that reads a file.

    :raises ValueError: if it is no regular file: a pipe would not end, and a link leads elsewhere.
    """

    def no_link_nor_wait(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

    if path.is_symlink():
        raise ValueError("it is no regular file")
    with open(path, "rb", opener=no_link_nor_wait) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        yield file


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a block that writes a file piece by piece; it replaces the one that is there at the block's end."""
    with _temporary(path) as temporary:
        with temporary.open("xb") as file:
            yield file
            _flush(file)
        temporary.replace(path)


def create(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    :raises FileExistsError: if one of that name is there.
    """
    with _written(path, data) as temporary:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with _locked(path.parent):
                if os.path.lexists(path):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
                temporary.rename(path)


def replace(path: Path, old: bytes, data: bytes) -> bool:
    """Replace a file while its content is the given one; False if it is another by now, or gone."""
    if not path.parent.is_dir():
        return False
    with _written(path, data) as temporary, _locked(path.parent):
        try:
            is_old = read(path, len(old) + 1) == old
        except FileNotFoundError:
            return False
        if is_old:
            temporary.rename(path)
        return is_old


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """Write a file beside another one, which is removed unless the block renames it."""
    with _temporary(path) as temporary:
        with temporary.open("xb") as file:
            file.write(data)
            _flush(file)
        yield temporary


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Name a file beside another one, which is removed unless the block renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = os.fsdecode(b"." + os.fsencode(path.name)[:_MAX_PREFIX_BYTES] + b".")
    # Made with the permissions that any new file gets: to ask for the umask is to set it, for all threads at once.
    temporary = path.parent / f"{prefix}{secrets.token_hex(8)}.part"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out of a block; some network file systems lock files only, not folders.

    :raises TimeoutError: if another one stays in it, as a stopped process does.
    """
    for name, flags in ((folder, os.O_RDONLY), (folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)):
        lock = os.open(name, flags, 0o666)
        try:
            if not _lock(lock):
                continue
            yield
            return
        finally:
            os.close(lock)
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), str(folder))


def _lock(lock: int) -> bool:
    """Wait for the lock; False if there is no such lock here."""
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise TimeoutError("another process has locked the folder and does not go on") from error
            time.sleep(0.005)
        except OSError:
            return False
        else:
            return True
