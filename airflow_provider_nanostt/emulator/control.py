"""Steering an emulator over HTTP: the endpoints under ``/_emulator/`` and :class:`EmulatorControl`, which calls them.

The client side uses the standard library only, so that a test in any process can ask what was charged. The endpoints
answer loopback clients only, no web page, and show the same things as the methods of `state`.
"""

from __future__ import annotations

import ipaddress
import json
import re
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from airflow_provider_nanostt.emulator.faults import Fault
from airflow_provider_nanostt.emulator.records import Charge, JobRecord, RequestRecord, from_json, to_json
from airflow_provider_nanostt.emulator.settings import Books, Model
from airflow_provider_nanostt.emulator.transcript import Script

if TYPE_CHECKING:
    from airflow_provider_nanostt.emulator.state import State


class ControlError(Exception):
    """The emulator refused a control request; the message says why."""


class EmulatorControl:
    """An emulator in another process, with the same methods as the one in this process.

    :param url: its address, with or without ``/api``.
    :param timeout: seconds for one request.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/").removesuffix("/api") + "/api"
        self._root = self.url.removesuffix("/api") + "/_emulator"
        self._timeout = timeout

    @property
    def charges(self) -> list[Charge]:
        """All charges, in order."""
        return [from_json(Charge, item) for item in self._call("GET", "charges")]

    @property
    def jobs(self) -> list[JobRecord]:
        """All async jobs as they stand."""
        return [from_json(JobRecord, item) for item in self._call("GET", "jobs")]

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest requests, oldest first."""
        return [from_json(RequestRecord, item) for item in self._call("GET", "requests")]

    @property
    def counts(self) -> dict[str, int]:
        """How many requests were answered how, as ``"/transcribe/status 200"``."""
        return dict(self._call("GET", "counts"))

    @property
    def balances(self) -> dict[str, float]:
        """USD left, by key."""
        return dict(self._call("GET", "balance"))

    @property
    def faults(self) -> list[Fault]:
        """Faults not yet used up."""
        return [from_json(Fault, item) for item in self._call("GET", "faults")]

    def health(self) -> dict[str, Any]:
        """Return ``{status, jobs, charges, requests, recogniser}``, the last three counts and whether it can listen."""
        return dict(self._call("GET", "health"))

    def fail(self, endpoint: str, fault: Fault | None = None, **fields: Any) -> Fault:
        """Script a fault; as in :class:`Fault`."""
        values = to_json(fault) if fault else {}
        return from_json(Fault, self._call("POST", "faults", {**values, **fields, "endpoint": endpoint}))

    def clear_faults(self, endpoint: str | None = None) -> None:
        """Forget the faults of one endpoint, or all."""
        self._call("DELETE", "faults", {"endpoint": endpoint})

    def script(self, name: str, **fields: Any) -> Script:
        """Tell a transcript in advance; as in :class:`Script`."""
        return from_json(Script, self._call("POST", "scripts", {**fields, "name": name}))

    def clear_scripts(self) -> None:
        """Forget all scripts but the default one."""
        self._call("DELETE", "scripts")

    def add_key(self, key: str | None = None, **limits: Any) -> str:
        """Make a key known and return it; limits as in `State.add_key`."""
        return str(self._call("POST", "keys", {**limits, "key": key})["key"])

    def set_balance(self, balance: float, key: str | None = None) -> None:
        """Set the USD of one key, or of all."""
        self._call("POST", "balance", {"balance": balance, "key": key})

    def keep_books(self, **fields: Any) -> Books:
        """Let usage and balance show something else; as in :class:`Books`."""
        return from_json(Books, self._call("POST", "books", fields))

    def set_model(self, model_id: str, **fields: Any) -> Model:
        """Change a model of the catalogue, or add one; as in `State.set_model`."""
        return from_json(Model, self._call("POST", "models", {**fields, "model_id": model_id}))

    def drop_model(self, model_id: str) -> None:
        """Make a model unknown."""
        self._call("DELETE", "models", {"model_id": model_id})

    def reset(self) -> None:
        """Forget everything but the keys."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._root}/{path}", data, method=method)  # noqa: S310  # the caller's address
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise ControlError(f"{method} {path}: {error.code} {text}") from error


Action = Callable[[dict[str, Any]], Any]


def control_routes(state: State, *, listens: bool) -> list[web.RouteDef]:
    """Return the control endpoints of `state`.

    :param listens: whether a recogniser is there, for the health answer.
    """
    return [
        _route("GET", "health", lambda _: {"status": "ok", "recogniser": listens, **state.totals()}),
        _route("GET", "charges", lambda _: list(map(to_json, state.charges))),
        _route("GET", "jobs", lambda _: list(map(to_json, state.jobs))),
        _route("GET", "requests", lambda _: list(map(to_json, state.requests))),
        _route("GET", "counts", lambda _: state.counts),
        _route("GET", "balance", lambda _: state.balances),
        _route("GET", "faults", lambda _: list(map(to_json, state.faults))),
        _route("POST", "faults", lambda body: to_json(state.fail(**body))),
        _route("DELETE", "faults", lambda body: state.clear_faults(body.get("endpoint"))),
        _route("POST", "scripts", lambda body: to_json(state.script(**body))),
        _route("DELETE", "scripts", lambda _: state.clear_scripts()),
        _route("POST", "keys", lambda body: {"key": state.add_key(**body)}),
        _route("POST", "balance", lambda body: state.set_balance(**body)),
        _route("POST", "books", lambda body: to_json(state.keep_books(**body))),
        _route("POST", "models", lambda body: to_json(state.set_model(**body))),
        _route("DELETE", "models", lambda body: state.drop_model(**body)),
        _route("POST", "reset", lambda _: state.reset()),
    ]


def _route(method: str, path: str, action: Action) -> web.RouteDef:
    return web.route(method, f"/_emulator/{path}", _handler(action))


def _is_own(request: web.Request) -> bool:
    """Whether a request is no browser's on behalf of a page from elsewhere, also of one whose name leads here."""
    host = request.headers.get("Host", "")
    name = urlsplit(f"//{host}").hostname or ""
    try:
        is_here = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_here = re.fullmatch(r"(?:.*\.)?localhost\.?", name) is not None
    is_page = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    return is_here and not is_page and request.headers.get("Origin", f"http://{host}") == f"http://{host}"


def _handler(action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104  # no address: not loopback
            return web.json_response({"error": "the control endpoints answer loopback clients only"}, status=403)
        if not _is_own(request):
            problem = "the control endpoints answer no web page, and only to a name of this machine"
            return web.json_response({"error": problem}, status=403)
        try:
            body = await request.json() if request.can_read_body else {}
            answer = action(body)
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response({} if answer is None else answer)

    return handle
