"""What every server has that is started here for tests: a folder and processes of its own, gone at the end."""

from __future__ import annotations

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from processes import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType


class Started(ABC):
    """What is started and stopped, by hand or by a ``with`` block; a start that fails leaves nothing behind."""

    @abstractmethod
    def start(self) -> object:
        """Start it, and wait until it can be used."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whether or not it has started whole."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class LocalServer(Started):
    """A server on a loopback port, with a folder that goes with it.

    :param name: what to call it in messages and for its log.
    :param folder: where its data goes; a new temporary folder by default.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.port = 0
        self._wanted = folder
        self._folder: Path | None = None
        self._service: Service | None = None

    @property
    def folder(self) -> Path:
        """Where its data and settings lie."""
        if self._folder is None:
            self._folder = self._wanted or Path(tempfile.mkdtemp(prefix=f"local-{self.name.replace(' ', '-')}-"))
            self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def service(self) -> Service:
        """The server's processes: kill them, freeze them."""
        if self._service is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._service

    def launch(
        self, command: Sequence[str], env: Mapping[str, str], answers: Callable[[], object], timeout: float = 30
    ) -> None:
        """Start the processes, and wait until the server answers.

        :param answers: asks it something; raises anything while it does not answer.
        """
        self._service = Service(self.name, command, env=env, log=self.folder / f"{self.name}.log")
        self._service.start()
        self.wait(answers, timeout)

    def launch_again(self, pause: float, answers: Callable[[], object], timeout: float = 30) -> None:
        """End the processes, and start them again after ``pause`` seconds, the data as it was."""
        self.service.stop(grace=5)
        time.sleep(pause)
        self.service.start()
        self.wait(answers, timeout)

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._service is not None:
            self._service.stop(grace=2)
            self._service = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def wait(self, answers: Callable[[], object], timeout: float) -> None:
        """Wait until it answers.

        :raises RuntimeError: if it has ended, or does not within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                answers()
            except Exception as error:
                if not self.service.alive or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} did not start: {error}\n{self.service.tail()}") from error
                time.sleep(0.1)
            else:
                return
