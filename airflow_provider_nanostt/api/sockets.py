"""Sockets whose every wait ends at one deadline, that of the exchange they are used in.

A timeout of requests or urllib3 is for one wait, so a head, a chunk's line or a stream of 1xx answers that trickles
goes on for ever. Here each wait, of TCP, a proxy, TLS, the request or the answer, has only what is left.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_until: ContextVar[float] = ContextVar("_until", default=math.inf)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let all waiting in the block end after so many seconds, or with an outer block's deadline, in a TimeoutError."""
    token = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(token)


def connect(host: str, port: int, options: Iterable[tuple[int, int, int | bytes]]) -> Socket:
    """Return a connection to one of a host's addresses; raises OSError if there is none."""
    problem = OSError("the host has no addresses")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = Socket(family, kind, protocol)
        try:
            for option in options:
                made.setsockopt(*option)
            made.bound()
            made.connect(address)
        except OSError as error:
            made.close()
            problem = error
        else:
            return made
    raise problem


class Socket(socket.socket):
    """A socket that keeps the :func:`deadline`.

    Its own timeout is for silence while it waits for an answer; sending a large body may take all the time there is.
    """

    _silence: float | None = None

    def settimeout(self, value: float | None, /) -> None:
        """Keep the time for which the other end may be silent."""
        self._silence = value
        super().settimeout(value)

    def bound(self, silence: float | None = None) -> None:
        """Let the next wait end with the deadline, or after so much silence; raises TimeoutError if that is over."""
        left = _until.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("it was not complete in time")
        limit = min(left, math.inf if silence is None else silence)
        super().settimeout(self._silence if limit == math.inf else limit)

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """Receive as a socket does."""
        self.bound(self._silence)
        return super().recv(size, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive as a socket does."""
        self.bound(self._silence)
        return super().recv_into(buffer, nbytes or 0, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Send as a socket does."""
        self.bound()
        return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """Send as a socket does."""
        self.bound()
        super().sendall(data, flags)


class TlsSocket(Socket, ssl.SSLSocket):
    """The same over TLS; for ``SSLContext.sslsocket_class``."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands as a socket does."""
        self.bound(self._silence)
        super().do_handshake(block)
