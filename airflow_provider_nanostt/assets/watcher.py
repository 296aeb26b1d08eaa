"""The trigger that watches a folder or a bucket in the triggerer: one scan after another, for as long as it runs.

A scan is a listing and runs in a thread of its own, which nobody else waits for, so the event loop never waits for a
storage. Nothing that a storage, a connection or Airflow's state does ends the watcher: it says so in the log, a few
times an hour at most, and looks again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_nanostt._compat import BaseEventTrigger, without_loggers
from airflow_provider_nanostt.common.errors import InvalidInput, NanoGPTError, describe_exception
from airflow_provider_nanostt.common.threads import in_own_thread, with_connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_nanostt.assets.arrivals import Arrivals, Look

SLOW_SECONDS = 120.0
"""How long a storage may take for a listing before that is said."""
REOPEN_SECONDS = 300.0
"""Between two readings of a connection that was refused; the library of a store logs each."""
QUIET_SECONDS = 600.0
"""Between two lines about trouble, whether it goes on or comes and goes."""


class RecordingsTrigger(BaseEventTrigger):
    """Ring when there are new recordings; :func:`~airflow_provider_nanostt.assets.recordings` makes one.

    :param pattern: a pattern in a folder, or in object storage with the connection in it.
    :param every: seconds between the end of a scan and the next.
    :param settle: seconds for which a recording has to be the same.
    :param name: of the asset. Airflow runs triggers with the same arguments as one, whose state would be nobody's.
    """

    def __init__(self, *, pattern: str, every: float, settle: float, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base classes are partly untyped
        self.pattern = pattern
        self.every = every
        self.settle = settle
        self.name = name
        self._opened_at: float | None = None
        self._is_refused = False
        self._said_at = -math.inf
        self._is_said = False

    def serialize(self) -> tuple[str, dict[str, object]]:
        """Return the class path, which is kept in users' databases and does not change, and every argument."""
        arguments = {"pattern": self.pattern, "every": self.every, "settle": self.settle, "name": self.name}
        return "airflow_provider_nanostt.assets.RecordingsTrigger", arguments

    def __getstate__(self) -> dict[str, Any]:
        return without_loggers(self.__dict__)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Scan until Airflow ends it; yield an event for each bell."""
        from airflow_provider_nanostt.assets.arrivals import Arrivals
        from airflow_provider_nanostt.assets.bell import Bell

        arrivals = Arrivals(max(1, math.ceil(self.settle / self.every)), await self._load())
        bell, cursor = Bell(self.pattern), None
        while True:
            # A round late: by now Airflow has stored the event. Killed before, the watcher rings once more.
            if cursor is not None and await self._save(cursor):
                cursor = None
            look = await self._look(arrivals)
            if look is not None:
                cursor = look.cursor or cursor
                event = bell.ring(look, time.monotonic())
                if event is not None:
                    self.log.info("%d new recordings, %d in all", look.new, look.total)
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.every)

    async def _look(self, arrivals: Arrivals) -> Look | None:
        """Return what a scan finds, None if it cannot be done; however long the storage takes."""
        scan = asyncio.ensure_future(self._scan(arrivals))
        began = time.monotonic()
        try:
            while not scan.done():
                await asyncio.wait({scan}, timeout=SLOW_SECONDS)
                if not scan.done():
                    self._complain(f"the storage has not answered for {time.monotonic() - began:.0f} s")
            look = scan.result()
        except Exception as error:  # noqa: BLE001  whatever a storage or a connection raises
            self._is_refused = isinstance(error, InvalidInput)
            self._complain(str(error) if isinstance(error, NanoGPTError) else describe_exception(error))
            return None
        finally:
            scan.cancel()
        self._is_refused = False
        if self._is_said:
            self._is_said = False
            self.log.info("The recordings can be listed again")
        return look

    async def _scan(self, arrivals: Arrivals) -> Look:
        now = time.monotonic()
        is_due = self._opened_at is None or (self._is_refused and now - self._opened_at >= REOPEN_SECONDS)
        if "://" in self.pattern and is_due:
            await with_connections(partial(_open, self.pattern, anew=self._opened_at is not None))
            self._opened_at = now
        return await in_own_thread(partial(_take, arrivals, self.pattern))

    def _complain(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= QUIET_SECONDS:
            self._said_at, self._is_said = now, True
            self.log.warning("New recordings cannot be looked for, which is tried again and again: %s", reason)

    @property
    def _state_key(self) -> str:
        return f"nanostt_recordings:{hashlib.sha256(self.pattern.encode('utf-8', 'replace')).hexdigest()[:16]}"

    async def _load(self) -> str | None:
        """Return the cursor of an earlier process, None where there is none or Airflow keeps none (before 3.3.2)."""
        read = getattr(getattr(self, "asset_state_store", None), "aget", None)
        if read is None:
            return None
        try:
            state = await read(self._state_key, default=None)
        except Exception as error:  # noqa: BLE001  such as ValueError, where several assets share this watcher
            self.log.info("Watching without a memory of earlier scans: %s", describe_exception(error))
            return None
        cursor = state.get("known") if isinstance(state, dict) and state.get("version") == 1 else None
        return cursor if isinstance(cursor, str) else None

    async def _save(self, cursor: str) -> bool:
        """Keep the cursor; return False if that is worth another try."""
        write = getattr(getattr(self, "asset_state_store", None), "aset", None)
        if write is None:
            return True
        try:
            await write(self._state_key, {"version": 1, "known": cursor})
        except ValueError:  # said when it was loaded
            return True
        except Exception as error:  # noqa: BLE001  whatever Airflow raises
            self._complain(f"what was found cannot be kept for a restart: {describe_exception(error)}")
            return False
        return True


def _open(pattern: str, *, anew: bool) -> None:
    """Make the file system of a pattern, with its connection, which is read anew if the last one was refused."""
    from airflow_provider_nanostt._compat import BaseHook
    from airflow_provider_nanostt.common import object_storage

    scheme, _, rest = pattern.strip().partition("://")
    authority = rest.partition("/")[0]
    if conn_id := authority.rpartition("@")[0]:
        BaseHook.get_connection(conn_id)  # for one that is missing, some libraries ask the cloud instead
    root = object_storage.resolve(f"{scheme}://{authority}/")
    if anew:
        object_storage.reopen(root)
    _ = root.fs


def _take(arrivals: Arrivals, pattern: str) -> Look:
    from airflow_provider_nanostt.audio.find import listing

    return arrivals.take((found.audio, found.version) for found in listing(pattern) if found.version)
