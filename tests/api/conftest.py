"""A server that replays what a test tells it to, and one fixture through which both transports talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.transport import AsyncClient, Client, Retry

from .recorded import KEY, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

    from airflow_provider_nanostt.api.http import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Message
    body: bytes = field(repr=False)
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Connection(socketserver.StreamRequestHandler):
    server: Replay

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            number = self.server.count_connection()
            while line := self.rfile.readline().decode("latin-1"):
                method, path, _ = line.split(" ", 2)
                head = b"".join(iter(self.rfile.readline, b"\r\n"))
                headers = BytesParser().parsebytes(head + b"\r\n")
                body = self.rfile.read(int(headers.get("Content-Length", 0)))
                self.server.seen.append(Seen(method, path, headers, body, number))
                self.server.next_act()(self)


class Replay(socketserver.ThreadingTCPServer):
    """Answers each request with the next act of its script, and every further one with the last act."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.seen: list[Seen] = []
        self.over = threading.Event()
        self._acts: list[Callable[[_Connection], None]] = []
        self._connections = 0
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def play(self, *acts: Callable[[_Connection], None]) -> Replay:
        self._acts = list(acts)
        return self

    def next_act(self) -> Callable[[_Connection], None]:
        return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]

    def count_connection(self) -> int:
        self._connections += 1
        return self._connections

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the play."""

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self.thread.join(5)


def answer(body: bytes | str = b"", status: int = 200, **headers: str) -> Callable[[_Connection], None]:
    """Answer in full; text is the name of a sample, ``retry_after="3"`` the header ``retry-after: 3``."""
    data = sample(body) if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if "content_length" not in headers and "transfer_encoding" not in headers:
        lines.append(f"content-length: {len(data)}")
    return raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data)


def raw(data: bytes) -> Callable[[_Connection], None]:
    return lambda connection: connection.request.sendall(data)


def cut(body: bytes, length: int) -> Callable[[_Connection], None]:
    """Promise ``length`` bytes, send fewer, and close."""

    def act(connection: _Connection) -> None:
        answer(body, content_length=str(length))(connection)
        connection.request.shutdown(socket.SHUT_RDWR)

    return act


def close(connection: _Connection) -> None:
    """Close without a word."""
    connection.request.shutdown(socket.SHUT_RDWR)


def reset(connection: _Connection) -> None:
    """Tear the connection down the hard way."""
    connection.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.rfile.close()
    connection.wfile.close()
    connection.request.close()


def hang(connection: _Connection) -> None:
    """Say nothing until the test is over."""
    connection.server.over.wait(30)


def drip(connection: _Connection) -> None:
    """Begin an answer and let it trickle for as long as somebody listens."""
    connection.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not connection.server.over.wait(0.02):
        connection.request.sendall(b" ")


@pytest.fixture
def service() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.stop()


@pytest.fixture
def elsewhere() -> Iterator[Replay]:
    """Another host, which no key may reach."""
    server = Replay().play(answer(b"{}"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


class Sender:
    """Makes calls through one transport; ``naps`` are the pauses it would have made."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.naps: list[float] = []
        self.closing: list[Callable[[], Any]] = []

    def __call__(self, call: Call[T], *, retry: Retry | None = None, **config: Any) -> T:
        """Make one call, with a client of its own."""
        return self.client(**config)(call, retry=retry)

    def client(self, **config: Any) -> Callable[..., Any]:
        """Return a function that sends through one and the same client."""
        return self._open(Config(**{"api_key": KEY, "base_url": f"{self.base_url}/api", **config}))

    def _open(self, config: Config) -> Callable[..., Any]:
        raise NotImplementedError


class OverRequests(Sender):
    def _open(self, config: Config) -> Callable[..., Any]:
        client = Client(config, sleep=self.naps.append)
        self.closing.append(client.close)
        return client.send


class OverAiohttp(Sender):
    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.runner = asyncio.Runner()

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    def _open(self, config: Config) -> Callable[..., Any]:
        client = AsyncClient(config, sleep=self._nap)
        self.closing.append(lambda: self.runner.run(client.close()))
        return lambda call, **how: self.runner.run(client.send(call, **how))


@pytest.fixture(params=["requests", "aiohttp"])
def send(request: pytest.FixtureRequest, service: Replay) -> Iterator[Sender]:
    sender = {"requests": OverRequests, "aiohttp": OverAiohttp}[request.param](service.origin)
    yield sender
    for close_it in sender.closing:
        close_it()
    if isinstance(sender, OverAiohttp):
        sender.runner.close()
