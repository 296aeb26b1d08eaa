"""What the triggers of one triggerer share: one HTTP client and one request budget for each event loop and credential.

Triggers of a triggerer run in one event loop, so this is the only pooling there can be. Nothing is shared between
credentials, and a client is closed when the last one who uses it leaves. No Airflow in here.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_nanostt.api import transport
from airflow_provider_nanostt.polling import Pacer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.protocol import Call

T = TypeVar("T")


class SharedClient:
    """A client whose requests are spaced evenly, however many coroutines use it."""

    def __init__(self, config: Config) -> None:
        self.users = 0
        self._client = transport.AsyncClient(config)
        self._pacer = Pacer(config.requests_per_second)

    async def ask(self, call: Call[T]) -> T:
        """Make one attempt at a call, in its turn.

        :raises NanoGPTError: one of the typed errors.
        """
        await asyncio.sleep(self._pacer.take(asyncio.get_running_loop().time()))
        return await self._client.send(call, retry=transport.ONCE)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


_shared: weakref.WeakKeyDictionary[Any, dict[Config, SharedClient]] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def shared_client(config: Config) -> AsyncIterator[SharedClient]:
    """Join those who use this credential in the running event loop; the last to leave closes the connections."""
    clients = _shared.setdefault(asyncio.get_running_loop(), {})
    client = clients.get(config)
    if client is None:
        client = clients[config] = SharedClient(config)
    client.users += 1
    try:
        yield client
    finally:
        client.users -= 1
        if not client.users:
            clients.pop(config, None)
            await client.close()
