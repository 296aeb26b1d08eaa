"""Answers on their way from the triggerer to the worker, by way of the storage for the results.

Whoever waits for a job gets its transcript with the answer that says it is completed. An event may not carry it, but
the triggerer can leave it where the worker that resumes finds it. That halves what a batch asks of the service, and
shortens the time for which it holds a slot. It is a favour and nothing to rely on: where the triggerer cannot reach the
storage, or does not see the same one, or storing takes too long, the service is asked once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_nanostt import storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript

log = logging.getLogger(__name__)

_MARK = "open"
_AT_ONCE = 4
_MOST_WAITING = 16
"""Answers in memory while they are stored; an hour of words is 1.7 MB."""
_PATIENCE = 20.0
"""Seconds for the storage to answer; whoever waits for jobs must not end up waiting for it."""


class Handover:
    """A folder for the answers to the jobs of one task instance.

    :param folder: nothing else lies in it.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._names: frozenset[str] | None = None

    def open(self) -> dict[str, str] | None:
        """Make it ready; return what the triggerer needs to know, as plain JSON, or None if that cannot be."""
        mark = secrets.token_hex(8)
        try:
            storage.write(self._folder / _MARK, mark.encode())
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.info("Answers are not handed over: %s cannot be written (%s)", self._folder, error)
            return None
        return {"folder": str(self._folder), "mark": mark}

    @property
    def fs(self) -> Any:
        """The storage's file system; to ask for it the first time may take a connection from Airflow."""
        return self._folder.fs

    def is_open(self, mark: str) -> bool:
        """Whether this is the folder that :meth:`open` told of, and not another of that name on another machine.

        :raises Exception: whatever a storage raises.
        """
        return storage.read(self._folder / _MARK) == mark.encode()

    def put(self, run_id: str, answer: Mapping[str, Any]) -> None:
        """Leave the service's answer about a job.

        :raises Exception: whatever a storage raises.
        """
        storage.write(self._folder / _name(run_id), json.dumps(answer).encode())

    def take(self, run_id: str) -> bytes | None:
        """Return the answer about a job, None if there is none or it cannot be read."""
        try:
            if self._names is None:
                self._names = frozenset(storage.names(self._folder))
            return storage.read(self._folder / _name(run_id)) if _name(run_id) in self._names else None
        except Exception:  # noqa: BLE001  whatever a storage raises: the service can be asked
            self._names = self._names or frozenset()
            return None

    def clear(self) -> None:
        """Remove the folder, if anything was found in it."""
        if not self._names:
            return
        try:
            storage.remove_folder(self._folder)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.warning("%s, which nobody needs any more, cannot be removed (%s)", self._folder, error)


def _name(run_id: str) -> str:
    """Return a file's name; a run id may be any text."""
    return f"{hashlib.sha256(run_id.encode()).hexdigest()[:32]}.json"


class Keeper:
    """Leaves answers in a folder without blocking the event loop, as long as that goes well.

    It has threads of its own: those that all share also look up host names.

    :param told: what :meth:`Handover.open` has told, None for no folder.
    :param log: the trigger's log.
    """

    def __init__(self, told: Mapping[str, str] | None, log: Any) -> None:
        self._told = told
        self._log = log
        self._handover: Handover | None = None
        self._waiting = 0
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nanostt-handover")

    @property
    def is_of_use(self) -> bool:
        """Whether answers are kept."""
        return self._handover is not None

    async def __aenter__(self) -> Self:
        if self._told:
            try:
                async with asyncio.timeout(_PATIENCE):
                    self._handover = await self._opened(self._told)
            except Exception as error:  # noqa: BLE001  whatever a storage raises
                self._give_up(error)
        return self

    async def _opened(self, told: Mapping[str, str]) -> Handover | None:
        from asgiref.sync import sync_to_async

        def found() -> Handover:
            handover = Handover(storage.location(told["folder"]))
            _ = handover.fs
            return handover

        # A connection comes through asgiref's thread (see NanoGPTHook.aget_config), which must not wait for a storage.
        handover = await sync_to_async(found)()
        seen = await asyncio.get_running_loop().run_in_executor(self._threads, handover.is_open, told["mark"])
        return handover if seen else None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def keep(self, run_id: str, transcript: Transcript) -> None:
        """Store the answer with this transcript, unless too many are being stored."""
        handover = self._handover
        if handover is None or self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, handover.put, run_id, transcript.raw)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            self._give_up(error)
        finally:
            self._waiting -= 1

    def _give_up(self, error: Exception) -> None:
        if self._told is not None:
            self._log.info(
                "Answers are left to the worker: %s cannot be used from here (%s: %s)",
                self._told.get("folder"),
                type(error).__name__,
                error,
            )
        self._told = self._handover = None
