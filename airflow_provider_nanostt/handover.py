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
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt import storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript

log = logging.getLogger(__name__)

_MARK = "open"
_AT_ONCE = 4
_MOST_WAITING = 16
"""Answers in memory while they are stored; an hour of words is 1.7 MB."""


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

    @classmethod
    def seen_from_here(cls, told: Mapping[str, str]) -> Handover | None:
        """Return the folder that :meth:`open` told of; None if that is another one on this machine.

        :raises Exception: whatever a storage raises.
        """
        folder = storage.location(told["folder"])
        return cls(folder) if storage.read(folder / _MARK) == told["mark"].encode() else None

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
        """Remove the folder, with whatever was left there."""
        try:
            storage.remove_folder(self._folder)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.warning("%s, which nobody needs any more, cannot be removed (%s)", self._folder, error)


def _name(run_id: str) -> str:
    """Return a file's name; a run id may be any text."""
    return f"{hashlib.sha256(run_id.encode()).hexdigest()[:32]}.json"


class Keeper:
    """Leaves answers in a folder without blocking the event loop, as long as that goes well.

    :param log: the trigger's log.
    """

    def __init__(self, handover: Handover, log: Any) -> None:
        self._handover: Handover | None = handover
        self._log = log
        self._waiting = 0
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    async def of(cls, told: Mapping[str, str] | None, log: Any) -> Keeper | None:
        """Return a keeper for what :meth:`Handover.open` told of, None if there is none to be had."""
        from asgiref.sync import sync_to_async

        if not told:
            return None
        try:
            # Not asyncio.to_thread: the storage may need a connection, see NanoGPTHook.aget_config.
            handover = await sync_to_async(Handover.seen_from_here)(told)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            log.info("Answers are left to the worker; %s cannot be used here (%s)", told.get("folder"), error)
            return None
        return cls(handover, log) if handover is not None else None

    async def keep(self, run_id: str, transcript: Transcript) -> None:
        """Store the answer with this transcript, unless too many are being stored."""
        if self._handover is None or self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        try:
            async with self._turns:
                if self._handover is not None:
                    await asyncio.to_thread(self._handover.put, run_id, transcript.raw)
        except Exception as error:  # noqa: BLE001  whatever a storage raises
            self._handover = None
            self._log.info("No more answers are stored from here; the worker fetches them (%s)", error)
        finally:
            self._waiting -= 1
