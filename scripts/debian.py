"""Programs of the distribution that tests need and no package index has: found, or installed if we may.

Nothing that the packages bring as a service is used: every server here is a process of its own in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class UnavailableError(RuntimeError):
    """A program is neither here nor can it be installed."""


def ensure(package: str, find: Callable[[], T | None], error: type[RuntimeError] = UnavailableError) -> T:
    """Return what ``find`` finds, after installing the distribution's package if need be.

    :param error: raised, with the reason, if it is missing and cannot be installed.
    """
    if (found := find()) is not None:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise error(f"{package} is missing: install the package {package} and run this again")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", *arguments], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise error(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}")
    if (found := find()) is not None:
        return found
    raise error(f"the package {package} was installed, but what it should bring is not there")


def ensure_program(name: str, package: str) -> str:
    """Return the path of a program, after installing its package if need be.

    :raises UnavailableError: if it is missing and cannot be installed.
    """

    def find() -> str | None:
        return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")

    return ensure(package, find)


def as_user(user: str, command: list[str]) -> list[str]:
    """Return the command as one that another user runs, if we are root: some servers refuse to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
