"""The network between one machine and the object store: slow or broken when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Self

from processes import free_port


class Network:
    """Passes bytes on to another loopback port, from a thread of its own; also a context manager.

    :param target: that port, set before the first connection.

    ``delay`` is how many seconds each piece of data takes, in each direction.
    """

    def __init__(self, target: int = 0) -> None:
        self.port = free_port()
        self.target = target
        self.delay = 0.0
        self._broken = False
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """Where the store is reached through it."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """End every connection, and every new one at once, until the block is left."""
        self._broken = True
        self._loop.call_soon_threadsafe(self._end)
        try:
            yield
        finally:
            self._broken = False

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        self._end()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _end(self) -> None:
        for task in self._open:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._both_ways(reader, writer))
        self._open.add(task)
        await asyncio.wait([task])
        self._open.discard(task)

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._broken:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, far_writer))
                    both.create_task(self._pass(far_reader, writer))
            finally:
                far_writer.transport.abort()
        except* (OSError, EOFError):
            pass  # either side has ended it, or is not there
        finally:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()
        raise EOFError  # ends the other direction, too: HTTP needs no connection that is open in one
