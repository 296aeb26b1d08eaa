"""Sending calls: one client over requests for workers, one over aiohttp for the triggerer, and no logic in either.

Each has a single I/O method, :meth:`send`. What to send, how to read it and whether to repeat it is decided in
``protocol``; the two retry loops are fed from one bundle of arguments, so they cannot drift apart. Foreign exceptions
are translated here and nowhere else.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import re
import ssl
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.upload import sending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    import aiohttp
    import requests
    import tenacity

    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.endpoints import Call, Response

T = TypeVar("T")
log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_KEEP_ALIVE = 75.0
"""Seconds an idle connection is kept: longer than any job is left unasked, so a handshake serves many questions."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call that may be repeated is repeated.

    :param attempts: attempts in all; 1 means no repeating.
    :param first: seconds of the first pause; doubled each time, with jitter.
    :param longest: no pause is longer; a ``Retry-After`` above it is left to the caller.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 30.0

    def options(self, call: Call[Any]) -> dict[str, Any]:
        """Return the one bundle of arguments that both ``tenacity.Retrying`` and ``AsyncRetrying`` get."""
        import tenacity

        backoff = tenacity.wait_exponential(multiplier=self.first) + tenacity.wait_random(0, self.first)

        def wait(state: tenacity.RetryCallState) -> float:
            asked, pause = _retry_after(_error(state)), min(backoff(state), self.longest)
            # A little jitter on top, or all who were told the same second come back in the same moment.
            return pause if asked is None else asked + 0.1 * min(pause, 5.0)

        def worthwhile(error: BaseException) -> bool:
            asked = _retry_after(error)
            return endpoints.is_retryable(call, error) and (asked is None or asked <= self.longest)

        def tell(state: tenacity.RetryCallState) -> None:
            log.warning(
                "%s; asking again in %.1f s (attempt %d of %d)",
                str(_error(state)).rstrip("."),
                state.next_action.sleep if state.next_action else 0.0,
                state.attempt_number + 1,
                self.attempts,
            )

        return {
            "retry": tenacity.retry_if_exception(worthwhile),
            "wait": wait,
            "stop": tenacity.stop_after_attempt(self.attempts),
            "before_sleep": tell,
            "reraise": True,
        }


ONCE = Retry(attempts=1)
"""For callers who have a schedule of their own."""


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _retry_after(error: BaseException | None) -> float | None:
    return error.retry_after if isinstance(error, errors.ApiError) else None


_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>: |[\w.]+\([^()]*\): (?=Failed)")
"""How urllib3 names a connection in its messages; tells people nothing."""


class Client:
    """The client for workers and scripts, over requests.

    :param config: where and who.
    :param retry: how calls are repeated; :meth:`send` can be told otherwise.
    :param sleep: for pausing between attempts.
    """

    def __init__(
        self, config: Config, *, retry: Retry | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.config = config
        self._retry = retry or Retry()
        self._sleep = sleep
        self._pooled: requests.Session | None = None

    def send(self, call: Call[T], *, retry: Retry | None = None) -> T:
        """Make the call and return its value.

        :raises NanoGPTError: one of the typed errors.
        """
        retry = retry or self._retry
        if retry.attempts == 1:
            return self._attempt(call)
        import tenacity

        options = {"sleep": self._sleep, **retry.options(call)}
        answer: T = tenacity.Retrying(**options)(self._attempt, call)
        return answer

    def _attempt(self, call: Call[T]) -> T:
        if call.paid:
            # A pooled connection may have been closed at the other end, which looks like a lost answer.
            # On a paid request that would be ambiguous, so it gets a connection of its own.
            with _new_session() as session, sending(call.request.body) as body:
                return endpoints.read(call, self._exchange(session, call, body))
        self._pooled = self._pooled or _new_session()
        return endpoints.read(call, self._exchange(self._pooled, call, call.request.body))

    def _exchange(self, session: requests.Session, call: Call[Any], sent: Any) -> Response:
        import requests
        import urllib3

        request, patience = call.request, self.config.timeout_for(call)
        give_up = time.monotonic() + patience
        try:
            with session.request(
                request.method,
                self.config.url(request),
                data=sent,
                headers=self.config.headers(request),
                timeout=(self.config.connect_timeout, patience),
                allow_redirects=False,
                stream=True,
            ) as raw:
                body = _collect(raw.raw, give_up)
                if len(body) > endpoints.MAX_RESPONSE_BYTES:
                    raise _too_long(self.config.response(call, raw.status_code, raw.headers))
                return self.config.response(call, raw.status_code, raw.headers, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            trouble = _translate_requests(error, self.config.host)
            trouble.__cause__ = error
        except errors.ReadError as error:
            trouble = error
        raise endpoints.classify(call, trouble)

    def close(self) -> None:
        """Close the connections."""
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The client for event loops, over aiohttp: the same calls, values and errors as :class:`Client`.

    One instance belongs to one event loop and may serve any number of coroutines in it.

    :param config: where and who.
    :param retry: how calls are repeated; :meth:`send` can be told otherwise.
    :param sleep: for pausing between attempts.
    :param connections: how many connections to the service at the most.
    """

    def __init__(
        self,
        config: Config,
        *,
        retry: Retry | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        connections: int = 20,
    ) -> None:
        self.config = config
        self._retry = retry or Retry()
        self._sleep = sleep
        self._connections = connections
        self._proxy: str | None = None
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._prepared: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Do in a thread what takes long the first time (imports, certificates), so that the event loop goes on.

        :raises InvalidInput: if the environment names a proxy that cannot be used.
        """
        if self._prepared is None:
            self._prepared = asyncio.ensure_future(asyncio.to_thread(self._prepare))
        await asyncio.shield(self._prepared)  # whoever came first may be cancelled; the others still need it

    def _prepare(self) -> None:
        importlib.import_module("aiohttp")
        self._proxy = _proxy(self.config.base_url)
        if self.config.base_url.startswith("https:"):
            self._tls = ssl.create_default_context(cafile=_certificates())

    async def send(self, call: Call[T], *, retry: Retry | None = None) -> T:
        """Make the call and return its value.

        :raises NanoGPTError: one of the typed errors.
        """
        retry = retry or self._retry
        if retry.attempts == 1:
            return await self._attempt(call)
        import tenacity

        options = {"sleep": self._sleep, **retry.options(call)}
        return await tenacity.AsyncRetrying(**options)(self._attempt, call)

    async def _attempt(self, call: Call[T]) -> T:
        if self._prepared is None or not self._prepared.done():
            await self.open()
        if call.paid:  # a connection of its own, as in Client
            # Of a file aiohttp makes no warning about blocking the loop, but ends the connection after it.
            async with self._new_session(call) as session:
                with sending(call.request.body) as body:
                    return endpoints.read(call, await self._exchange(session, call, body))
        self._session = self._session or self._new_session(call)
        return endpoints.read(call, await self._exchange(self._session, call, call.request.body))

    async def _exchange(self, session: aiohttp.ClientSession, call: Call[Any], sent: Any) -> Response:
        import aiohttp

        request = call.request
        try:
            async with session.request(
                request.method,
                self.config.url(request),
                data=sent,
                headers=self.config.headers(request),
                allow_redirects=False,
                proxy=self._proxy,
            ) as raw:
                pieces, size = [], 0
                async for piece in raw.content.iter_any():
                    pieces.append(piece)
                    size += len(piece)
                    if size > endpoints.MAX_RESPONSE_BYTES:
                        raise _too_long(self.config.response(call, raw.status, raw.headers))
                return self.config.response(call, raw.status, raw.headers, b"".join(pieces))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            trouble = _translate_aiohttp(error, self.config.host)
            trouble.__cause__ = error
        raise endpoints.classify(call, trouble)

    def _new_session(self, call: Call[Any]) -> aiohttp.ClientSession:
        """Return a session for this call and others that may take as long."""
        import aiohttp

        patience = self.config.timeout_for(call)
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=patience, sock_connect=min(self.config.connect_timeout, patience)),
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEP_ALIVE, ssl=self._tls if self._tls is not None else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # With trust_env aiohttp would also take credentials from ~/.netrc; see _proxy.
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _new_session() -> requests.Session:
    import requests

    session = requests.Session()
    # Without an auth of its own, requests adds an Authorization header from ~/.netrc; the service wants only x-api-key.
    session.auth = lambda prepared: prepared
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _collect(raw: Any, give_up: float) -> bytes:
    """Read an answer as it arrives: ``iter_content`` would wait for a whole chunk, however slowly it trickles in.

    :return: the answer; a little more than the limit if it is over that.
    """
    pieces, size = [], 0
    while size <= endpoints.MAX_RESPONSE_BYTES and (piece := raw.read1(_CHUNK, decode_content=True)):
        pieces.append(piece)
        size += len(piece)
        if time.monotonic() > give_up:
            raise errors.ReadError("the answer trickled in and was not complete in time")
    return b"".join(pieces)


def _too_long(head: Response) -> errors.ProtocolError:
    limit = f"it is over {endpoints.MAX_RESPONSE_BYTES >> 20} MiB"
    return errors.ProtocolError(limit, status=head.status, request_id=head.request_id)


def _certificates() -> str | None:
    """Return whose certificates to trust, as requests finds it, so that worker and triggerer trust the same."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for this address, as requests finds it; aiohttp looks elsewhere.

    :raises InvalidInput: for a kind of proxy that aiohttp cannot use.
    """
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    if not proxy:
        return None
    scheme, mark, _ = proxy.partition("://")
    if mark and scheme.lower() not in ("http", "https"):
        raise errors.InvalidInput(f"the environment names a {scheme} proxy; waiting in the triggerer needs an http one")
    return proxy if mark else f"http://{proxy}"


def _translate_requests(error: Exception, host: str) -> errors.NanoGPTError:
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    reason: Any = getattr(error.args[0] if error.args else None, "reason", None)
    inner = reason.args[0] if isinstance(reason, Exception) and reason.args else None
    unsent = isinstance(reason, ConnectTimeoutError | NewConnectionError | ProxyError) or isinstance(
        inner, ssl.SSLCertVerificationError
    )
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError) or unsent:
        return errors.ConnectError(f"NanoGPT cannot be reached at {host}: {_named(reason or error)}")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return errors.InvalidInput(f"the request cannot be sent: {_named(error)}")
    return errors.ReadError(f"the connection to NanoGPT broke: {_named(error)}")


def _translate_aiohttp(error: BaseException, host: str) -> errors.NanoGPTError:
    import aiohttp

    timed_out = getattr(aiohttp, "ConnectionTimeoutError", aiohttp.ClientConnectorError)  # since aiohttp 3.10
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, timed_out)):
        return errors.ConnectError(f"NanoGPT cannot be reached at {host}: {_named(error)}")
    if isinstance(error, aiohttp.InvalidURL):
        return errors.InvalidInput(f"the request cannot be sent: {_named(error)}")
    return errors.ReadError(f"the connection to NanoGPT broke: {_named(error)}")


def _named(error: BaseException) -> str:
    text = _OBJECT.sub("", " ".join(str(error).split()))[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
