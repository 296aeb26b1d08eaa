"""Scripted trouble: which request it hits, and what is answered instead.

:class:`Fault` is a value; :class:`FaultBook` decides when one is due. Playing it on a connection is here too, since
that is all a fault is for.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

Kind = Literal["status", "reset", "hang", "slow", "redirect", "html", "broken_json", "empty", "huge"]
Envelope = Literal["error_text", "error_object", "message", "detail", "detail_list", "html"]
KINDS = ("status", "reset", "hang", "slow", "redirect", "html", "broken_json", "empty", "huge")
ENVELOPES = ("error_text", "error_object", "message", "detail", "detail_list", "html")

HTML = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center><hr></body>\r\n</html>\r\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    :param endpoint: ``/transcribe``, ``/transcribe/status``, ``/youtube-transcribe``, ``/check-balance``,
        ``/v1/audio-models``, ``/v1/usage``, or ``*`` for all of them.
    :param kind: ``status`` answers `status` in an `envelope`; ``reset`` drops the connection with a TCP reset; ``hang``
        never answers, until the client leaves or the emulator stops; ``slow`` answers well after `delay`; ``redirect``
        sends a 307 to `location`; ``html``, ``broken_json`` and ``empty`` are bodies no client expects (with 200 unless
        `status` says otherwise); ``huge`` is a valid JSON body of `size` bytes.
    :param envelope: shape of the error body.
    :param message: text in it.
    :param code: ``error.code`` in the envelope ``error_object``, for example ``daily_rpd_limit_exceeded``.
    :param times: how many requests it hits.
    :param probability: hit each request with this chance, until cleared; `times` does not count then.
    :param retry_after: the header, in seconds (or as a date).
    :param delay: seconds to wait first.
    :param after_charge: let the request through first, and play the fault only if it was accepted: the money is
        gone and the answer is lost.
    :param match: only requests whose file name, URL or run id contains this.
    :param body: answered as it is, instead of an envelope.
    :param headers: added to the answer.
    """

    endpoint: str = "*"
    kind: Kind = "status"
    status: int | None = None
    envelope: Envelope = "error_text"
    message: str | None = None
    code: str | None = None
    times: int = 1
    probability: float | None = None
    retry_after: float | str | None = None
    delay: float = 0.0
    after_charge: bool = False
    match: str | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "http://elsewhere.invalid/"
    size: int = 70_000_000

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.envelope not in ENVELOPES:
            raise ValueError(f"unknown kind or envelope: {self.kind!r}, {self.envelope!r}")
        if self.kind == "status" and self.status is None and self.body is None:
            raise ValueError("a fault needs a status, a kind or a body")

    @property
    def name(self) -> str:
        """The kind, or the status of a plain one."""
        return str(self.status) if self.kind == "status" else self.kind

    def error_body(self) -> tuple[str, str]:
        """Return (content type, body) of the plain kind."""
        status = self.status or 200
        message = self.message or f"scripted failure {status}"
        if self.body is not None:
            return "application/json", self.body
        if self.envelope == "html":
            return "text/html", HTML.format(message)
        return "application/json", json.dumps(error_envelope(self.envelope, status, message, self.code))


def error_envelope(envelope: str, status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error body in one of the shapes the service and what stands before it use."""
    shapes: dict[str, dict[str, Any]] = {
        "error_text": {"error": message, "status": status},
        "error_object": {"error": {"message": message, "type": error_type(status), "code": code, "param": None}},
        "message": {"message": message},
        "detail": {"detail": message},
        "detail_list": {"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]},
    }
    return shapes[envelope]


def error_type(status: int) -> str:
    """Return the ``error.type`` that goes with a status."""
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


class FaultBook:
    """The faults still to come; the first that fits is played."""

    def __init__(self, seed: int) -> None:
        self._left: list[tuple[Fault, int]] = []
        self._rng = random.Random(seed)  # noqa: S311  # simulation, not secrets
        self._lock = threading.Lock()

    @property
    def pending(self) -> list[Fault]:
        """The faults that have not been used up."""
        with self._lock:
            return [fault for fault, _ in self._left]

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the line."""
        with self._lock:
            self._left.append((fault, fault.times))

    def clear(self, endpoint: str | None = None) -> None:
        """Forget the faults of one endpoint, or all."""
        with self._lock:
            self._left = [item for item in self._left if endpoint is not None and item[0].endpoint != endpoint]

    def take(self, endpoint: str, subject: str) -> Fault | None:
        """Return the fault due for a request, and count it."""
        if not self._left:
            return None
        with self._lock:
            for at, (fault, left) in enumerate(self._left):
                if fault.endpoint not in ("*", endpoint) or (fault.match and fault.match not in subject):
                    continue
                if fault.probability is not None:
                    if self._rng.random() < fault.probability:
                        return fault
                    continue
                if left > 1:
                    self._left[at] = (fault, left - 1)
                else:
                    del self._left[at]
                return fault
        return None

    def put_back(self, fault: Fault) -> None:
        """Undo `take`: the request was refused before the fault could be played."""
        if fault.probability is not None:
            return
        with self._lock:
            for at, (other, left) in enumerate(self._left):
                if other is fault:
                    self._left[at] = (fault, left + 1)
                    return
            self._left.insert(0, (fault, 1))


async def play(
    fault: Fault,
    request: web.Request,
    stopping: asyncio.Event,
    proceed: Callable[[], Awaitable[web.StreamResponse]],
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Do to `request` what the fault says; `proceed` gives the good answer a slow one still gets.

    :param stopping: set when the server stops, which ends a hang.
    :param headers: for every answer (the request id).
    """
    if fault.delay:
        await _wait(stopping, fault.delay)
    if fault.kind == "slow":
        return await proceed()
    if fault.kind in ("reset", "hang"):
        if fault.kind == "hang":
            while not (stopping.is_set() or request.transport is None or request.transport.is_closing()):
                await _wait(stopping, 0.1)
        _reset(request)
        return web.Response()
    headers = {**headers, **fault.headers}
    if fault.retry_after is not None:
        headers["Retry-After"] = (
            f"{fault.retry_after:g}" if isinstance(fault.retry_after, int | float) else fault.retry_after
        )
    if fault.kind == "redirect":
        return web.Response(status=fault.status or 307, headers={**headers, "Location": fault.location})
    if fault.kind == "huge":
        return await _huge(fault, request, headers)
    content_type, body = _body(fault)
    return web.Response(status=fault.status or 200, text=body, content_type=content_type, headers=headers)


def _body(fault: Fault) -> tuple[str, str]:
    if fault.kind == "html":
        return "text/html", fault.body or HTML.format(fault.message or "502 Bad Gateway")
    if fault.kind == "broken_json":
        return "application/json", fault.body or '{"status": "completed", "transcription": "half of a sen'
    if fault.kind == "empty":
        return "application/json", ""
    return fault.error_body()


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return


def _reset(request: web.Request) -> None:
    """Close with a TCP reset instead of an orderly end: SO_LINGER with zero seconds."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _huge(fault: Fault, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
    answer = web.StreamResponse(status=fault.status or 200, headers={**headers, "Content-Type": "application/json"})
    await answer.prepare(request)
    head, tail = b'{"status": "completed", "transcription": "', b'"}'
    await answer.write(head)
    left = fault.size - len(head) - len(tail)
    chunk = b"a" * 1_000_000
    try:
        while left > 0:
            await answer.write(chunk[:left])
            left -= len(chunk)
        await answer.write(tail)
        await answer.write_eof()
    except ConnectionError:
        pass  # the client had enough, which is what this fault is for
    return answer
