"""Sending calls: one client over requests for workers, one over aiohttp for the triggerer, and no logic in either.

Each has a single I/O method, :meth:`send`. What an answer means and whether to repeat a call is decided in ``http``;
proxies, certificates and the meaning of foreign exceptions are in ``network``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import io
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from airflow_provider_nanostt.api import errors, http, network, sockets
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.http import Call, Response
from airflow_provider_nanostt.api.incoming import Incoming

if TYPE_CHECKING:
    import aiohttp
    import requests
    import tenacity


T = TypeVar("T")
L = TypeVar("L")
log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_READ_AT_ONCE = 256 * 1024
"""Bytes of an answer that are read in the event loop, in some milliseconds; larger ones in a thread."""
_LARGE_AT_ONCE = 8
"""Such answers in memory, with those that are being received; the others wait on the wire."""
_LONGEST_HEADER = 65_536
"""Bytes of a line before the body: as many as Python's own client reads. aiohttp would end at an eighth of that."""
_KEEP_ALIVE = 75.0
"""Seconds an idle connection is kept: longer than any job is left unasked, so a handshake serves many questions."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call that may be repeated is repeated."""

    attempts: int = 6  # in all; 1 means no repeating
    first: float = 0.5  # seconds of the first pause; doubled each time, with jitter
    longest: float = 30.0  # seconds; no pause is longer, and a Retry-After above it is left to the caller
    patience: float = 0.0  # seconds in all, in the place of attempts, while the service only says "later"

    def loop(
        self, kind: Callable[..., L], sleep: Callable[[float], object], is_retryable: Callable[[BaseException], bool]
    ) -> L:
        """Return tenacity's loop of a kind, ``Retrying`` or ``AsyncRetrying``.

        :param is_retryable: whether an error is worth another attempt.
        """
        import tenacity

        backoff = tenacity.wait_exponential(multiplier=self.first) + tenacity.wait_random(0, self.first)

        def wait(state: tenacity.RetryCallState) -> float:
            asked, pause = _retry_after(_error(state)), min(backoff(state), self.longest)
            # A little jitter on top, or all that were given the same second come back in the same moment.
            return pause if asked is None else asked + 0.1 * min(pause, 5.0)

        def worthwhile(error: BaseException) -> bool:
            asked = _retry_after(error)
            return is_retryable(error) and (asked is None or asked <= max(self.longest, self.patience))

        def is_over(state: tenacity.RetryCallState) -> bool:
            if self.patience and isinstance(_error(state), errors.ApiError):
                passed = max(state.idle_for, state.seconds_since_start or 0.0)  # slots are waited for, too
                return passed + state.upcoming_sleep > self.patience
            return state.attempt_number >= self.attempts

        def log_pause(state: tenacity.RetryCallState) -> None:
            log.warning(
                "%s; asking again in %.1f s (attempt %d%s)",
                str(_error(state)).rstrip("."),
                state.next_action.sleep if state.next_action else 0.0,
                state.attempt_number + 1,
                "" if self.patience else f" of {self.attempts}",
            )

        return kind(
            sleep=sleep,
            retry=tenacity.retry_if_exception(worthwhile),
            wait=wait,
            stop=is_over,
            before_sleep=log_pause,
            reraise=True,
        )


ONCE = Retry(attempts=1)
"""For callers that have a schedule of their own."""


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _retry_after(error: BaseException | None) -> float | None:
    return error.retry_after if isinstance(error, errors.ApiError) else None


class Client:
    """The client for workers and scripts, over requests; ``sleep`` is for pausing between attempts."""

    def __init__(self, config: Config, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._sleep = sleep
        self._pooled: requests.Session | None = None

    def __getstate__(self) -> dict[str, object]:
        """Leave the connections behind when the client is copied or pickled; the copy opens its own."""
        return {**self.__dict__, "_pooled": None}

    def open(self) -> requests.Session:
        """Read the environment, so that what cannot be used is known before anything is to be sent.

        :raises InvalidInput: for certificates or a proxy that cannot be used.
        """
        self._pooled = self._pooled or network.session_for(self.config.base_url)
        return self._pooled

    def send(
        self,
        call: Call[T],
        *,
        retry: Retry | None = None,
        turn: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> T:
        """Make the call and return its value, or raise one of the typed errors.

        :param turn: opens a block for each attempt, the first one, too: it waits until a request may be sent, and sees
            what comes of it.
        """
        retry = retry or Retry()

        def attempt() -> T:
            with turn():
                return self._attempt(call)

        if retry.attempts == 1:
            return attempt()
        import tenacity

        answer: T = retry.loop(tenacity.Retrying, self._sleep, functools.partial(http.is_retryable, call))(attempt)
        return answer

    def _attempt(self, call: Call[T]) -> T:
        if call.paid:
            # A pooled connection may have been closed at the other end, which looks like a lost answer.
            # On a paid request that would be ambiguous, so it gets a connection of its own.
            with network.session_for(self.config.base_url) as session:
                return http.read(call, self._exchange(session, call))
        return http.read(call, self._exchange(self.open(), call))

    def _exchange(self, session: requests.Session, call: Call[object]) -> Response:
        request, timeout = call.request, self.config.timeout_for(call)
        with (
            http.classified(call),
            network.requests_errors(self.config.host),
            sockets.deadline(timeout),
            session.request(
                request.method,
                self.config.url(request),
                data=request.body,
                headers=self.config.headers(request),
                timeout=(self.config.connect_timeout, timeout),
                allow_redirects=False,
                stream=True,
            ) as raw,
        ):
            answer = Incoming(call, raw.status_code, raw.headers.get("Content-Encoding"))
            # ``iter_content`` would wait for a whole chunk, however slowly it trickles in.
            while (piece := raw.raw.read1(_CHUNK, decode_content=False)) and answer.take(piece):
                pass
            return self.config.response(call, raw.status_code, raw.headers, answer.body())

    def close(self) -> None:
        """Close the connections."""
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """The client for event loops, over aiohttp: the same calls, values and errors as :class:`Client`.

    One instance belongs to one event loop and may serve any number of coroutines in it.
    """

    def __init__(
        self, config: Config, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, connections: int = 20
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._connections = connections  # at the most
        self._proxy: str | None = None
        self._tls: ssl.SSLContext | bool = True
        self._is_encrypted = False
        self._session: aiohttp.ClientSession | None = None
        self._prepared: asyncio.Future[None] | None = None
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._reading = asyncio.Lock()  # one large answer at a time: each further thread keeps the event loop waiting

    async def open(self) -> None:
        """Do in a thread what takes long the first time (imports, certificates), so that the event loop goes on."""
        if self._prepared is None:
            self._prepared = asyncio.ensure_future(asyncio.to_thread(self._prepare))
        try:
            await asyncio.shield(self._prepared)  # the first caller may be cancelled; the others still need it
        except errors.InvalidInput:
            self._prepared = None  # the next one reads the environment again
            raise

    def _prepare(self) -> None:
        importlib.import_module("aiohttp")
        self._proxy = network.proxy_for(self.config.base_url)
        self._is_encrypted = network.is_encrypted(self.config.base_url, self._proxy)
        if self._is_encrypted:
            self._tls = network.tls_context()

    async def send(self, call: Call[T], *, retry: Retry | None = None) -> T:
        """Make the call and return its value, or raise one of the typed errors."""
        retry = retry or Retry()
        if retry.attempts == 1:
            return await self._attempt(call)
        import tenacity

        loop = retry.loop(tenacity.AsyncRetrying, self._sleep, functools.partial(http.is_retryable, call))
        return await loop(self._attempt, call)

    async def _attempt(self, call: Call[T]) -> T:
        if call.paid:  # a connection of its own, as in Client
            await self.open()
            async with self._new_session() as session:
                return await self._exchange(session, call)
        if self._session is None:
            await self.open()
            self._session = self._session or self._new_session()
        return await self._exchange(self._session, call)

    async def _exchange(self, session: aiohttp.ClientSession, call: Call[T]) -> T:
        progress = network.Progress()
        is_large = False
        try:
            with http.classified(call), network.aiohttp_errors(self.config.host, progress):
                async with self._request(session, call, progress) as raw:
                    answer = Incoming(call, raw.status, raw.headers.get("Content-Encoding"))
                    async for piece in raw.content.iter_any():
                        was_small = answer.size <= _READ_AT_ONCE
                        if not answer.take(piece):
                            break
                        if was_small and answer.size > _READ_AT_ONCE:
                            is_large = await self._large.acquire()

            read = functools.partial(self._read, call, raw.status, raw.headers, answer.body())
            if answer.size <= _READ_AT_ONCE:
                return read()
            found: list[T] = []
            async with self._reading:
                # The future of a thread keeps its result until the garbage collector comes by, so it gets none.
                await asyncio.to_thread(lambda: found.append(read()))
            return found.pop()
        finally:
            if is_large:
                self._large.release()

    def _request(
        self, session: aiohttp.ClientSession, call: Call[object], progress: network.Progress
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        import aiohttp

        request = call.request
        if self._is_encrypted:
            with contextlib.suppress(errors.InvalidInput):  # while they are being replaced, those that were read hold
                self._tls = network.tls_context()
        return session.request(
            request.method,
            self.config.url(request),
            # A large body of bytes would draw a warning about blocking the loop; one in a file does not.
            data=io.BytesIO(request.body) if call.paid and request.body is not None else request.body,
            headers=self.config.headers(request),
            allow_redirects=False,
            proxy=self._proxy,
            ssl=self._tls,
            # A free call may wait for one of the connections; a paid one has its own.
            timeout=aiohttp.ClientTimeout(
                total=self.config.timeout_for(call),
                connect=self.config.connect_timeout if call.paid else None,
                sock_connect=self.config.connect_timeout,
            ),
            trace_request_ctx=progress,
        )

    def _read(self, call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> T:
        return http.read(call, self.config.response(call, status, headers, body))

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=_KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            # With trust_env aiohttp would also take credentials from ~/.netrc; see network.proxy_for.
            trust_env=False,
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            trace_configs=[network.progress_trace()],
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
