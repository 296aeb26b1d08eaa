"""Starting and stopping an emulator: in a thread of its own (:class:`Emulator`) or in an event loop that already runs.

Nothing about the service's behaviour belongs here.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from airflow_provider_nanostt.emulator.control import control_routes
from airflow_provider_nanostt.emulator.server import Service
from airflow_provider_nanostt.emulator.settings import Settings
from airflow_provider_nanostt.emulator.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

MAX_BODY = 64_000_000  # bytes of a JSON body; uploads have their own, smaller limit


class Emulator(State):
    """A local NanoGPT.

    As a context manager it listens from entry to exit, in a background thread; the methods to look at it and steer it
    are those of :class:`State`::

        with Emulator(speed=20) as nanogpt:
            nanogpt.script("hello.wav", text="hello world", duration=2)
            ...  # talk to nanogpt.url with nanogpt.api_key
            assert len(nanogpt.charges) == 1

    :param settings: how it behaves; None takes the defaults.
    :param overrides: single fields of :class:`Settings`.
    :raises ValueError: when entered with a host that is not loopback and without `allow_remote`.
    """

    def __init__(self, settings: Settings | None = None, **overrides: Any) -> None:
        super().__init__(dataclasses.replace(settings or Settings(), **overrides))
        self._port = self.settings.port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL, ending in ``/api``; the port stays the same when the emulator is left and entered again.

        :raises RuntimeError: it has not run yet, so its port is not known.
        """
        if not self._port:
            raise RuntimeError("the emulator has not been started: enter it with `with`")
        host = self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/api"

    @property
    def connection(self) -> dict[str, str]:
        """The Airflow connection to it, as the JSON object ``AIRFLOW_CONN_<ID>`` takes."""
        return {"conn_type": "nanogpt", "password": self.api_key, "host": self.url}

    @property
    def connection_json(self) -> str:
        """`connection` as text, for the environment."""
        return json.dumps(self.connection)

    @classmethod
    @contextlib.asynccontextmanager
    async def serve_async(cls, settings: Settings | None = None, **overrides: Any) -> AsyncIterator[Self]:
        """Run an emulator in the current event loop: ``async with Emulator.serve_async() as nanogpt``."""
        emulator = cls(settings, **overrides)
        async with emulator.listening():
            yield emulator

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen in the current event loop."""
        service = Service(self)
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes(service.routes())
        app.add_routes(control_routes(self, listens=service.workshop.recogniser.available))
        runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=self.settings.keepalive_seconds, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            sock = listening_socket(self.settings, self._port)
            self._port = sock.getsockname()[1]
            await web.SockSite(runner, sock).start()
            yield
        finally:
            await service.close()
            await runner.cleanup()

    def __enter__(self) -> Self:
        started: list[BaseException | None] = []
        ready = threading.Event()

        async def serve() -> None:
            try:
                async with self.listening():
                    self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
                    started.append(None)
                    ready.set()
                    await self._stop.wait()
            except BaseException as error:
                started.append(error)
                raise
            finally:
                ready.set()

        def run() -> None:
            # What goes wrong at the start is raised in __enter__; afterwards there is nobody to raise it to.
            with contextlib.suppress(OSError, ValueError):
                asyncio.run(serve())

        self._thread = threading.Thread(target=run, name="nanogpt-emulator", daemon=True)
        self._thread.start()
        ready.wait()
        if started[0] is not None:
            self._thread.join()
            raise started[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()
        self._loop = self._stop = self._thread = None


def listening_socket(settings: Settings, port: int) -> socket.socket:
    """Return a socket that listens on the settings' host.

    :raises ValueError: not a loopback address, and `allow_remote` is not set.
    :raises OSError: the port is taken.
    """
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    address = ipaddress.ip_address(host)
    if not (address.is_loopback or settings.allow_remote):
        raise ValueError(
            f"{settings.host} is not a loopback address; the emulator has no real protection: set allow_remote"
        )
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if address.version == 6 else socket.AF_INET, backlog=1024
    )
