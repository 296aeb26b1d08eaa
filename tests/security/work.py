"""What a child process is asked to do in ``test_sandbox``."""

import builtins
import os
import socket
import subprocess
import time
from pathlib import Path


def read(file, progress):
    """Read all of it in pieces, backwards at last."""
    total = sum(len(piece) for piece in iter(lambda: file.read(50_000), b""))
    progress(total / 2)
    file.seek(-3, 2)
    return [total, list(file.read())]


def reach_out(_file, _progress):
    """Say what comes of opening a socket and running a program, and what the environment is."""
    found = []
    for attempt in (socket.socket, lambda: subprocess.run(["/bin/true"], check=True)):
        try:
            attempt()
            found.append("done")
        except OSError as error:
            found.append(type(error).__name__)
    return [*found, sorted(os.environ)]


def take_memory(_file, _progress):
    """Take more than there is."""
    return len(bytearray(400 << 20))


def take_time(_file, _progress):
    """Never end, at work."""
    while True:
        pass


def wait(_file, _progress):
    """Never end, asleep."""
    time.sleep(10_000)


def crash(_file, _progress):
    """End as FFmpeg would."""
    os.abort()


def fail(_file, _progress, *, error):
    """Raise an error."""
    raise getattr(builtins, error)("why")


def pid(_file, _progress):
    """Say who it is."""
    return os.getpid()


def say(file, _progress, *, kind, data):
    """Say something to the parent that was not agreed on."""
    file._parent.send(kind.encode(), bytes.fromhex(data))
    time.sleep(10_000)


def say_much(file, _progress, *, kind, data):
    """Say the same for ever."""
    while True:
        file._parent.send(kind.encode(), bytes.fromhex(data))


def complain(_file, _progress, *, text):
    """Fail with a text of its own."""
    raise ValueError(text)


def say_made(_file, _progress, *, method, folder, **_):
    """Claim to have made a file of a name."""
    (Path(folder) / "link.ogg").symlink_to("/etc/passwd")
    (Path(folder) / "folder.ogg").mkdir()
    return [{"file": method, "start": 0.0, "seconds": 1.0}]
