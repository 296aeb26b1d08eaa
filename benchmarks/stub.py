"""The server the pollers of a benchmark talk to, in a process of its own: every job runs for ever, every poll counts.

It answers what NanoGPT, Databricks, dbt Cloud and the HTTP sensor ask for, on one port, plain or with TLS, as quickly
as it can. ``GET /count`` says how many polls each got and how many connections carried them. Run as a program it is the
server; :class:`Stub` starts and stops that program.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

if TYPE_CHECKING:
    from types import TracebackType

ENDPOINTS = {
    "nanogpt": ("POST", "/api/transcribe/status", 200, {"status": "processing"}),
    "databricks": ("GET", "/api/2.2/jobs/runs/get", 200, {"state": {"life_cycle_state": "RUNNING"}}),
    "dbt-cloud": ("GET", "/api/v2/accounts/{account}/runs/{run}/", 200, {"data": {"status": 3}}),
    "http": ("GET", "/not-there/{run}", 404, {"error": "not found"}),
}


async def serve(certificate: str | None) -> None:
    from aiohttp import web

    polls = dict.fromkeys(ENDPOINTS, 0)
    firsts: dict[str, set[str]] = {name: set() for name in ENDPOINTS}
    connections: set[tuple[str, int]] = set()

    def answer(name: str, status: int, body: dict[str, Any]) -> Any:
        text = json.dumps(body).encode()

        async def handle(request: web.Request) -> web.Response:
            sent = await request.read()
            polls[name] += 1
            if request.transport is not None:
                connections.add(request.transport.get_extra_info("peername"))
            firsts[name].add(sent.decode() or request.path)  # whoever names its job in the body says so
            return web.Response(body=text, status=status, content_type="application/json")

        return handle

    async def count(_: web.Request) -> web.Response:
        jobs = {name: len(seen) for name, seen in firsts.items()}
        return web.json_response({"polls": polls, "jobs": jobs, "connections": len(connections)})

    app = web.Application()
    app.router.add_get("/count", count)
    for name, (method, path, status, body) in ENDPOINTS.items():
        app.router.add_route(method, path, answer(name, status, body))
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=120)
    await runner.setup()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048, ssl_context=tls).start()
    counting = runner.addresses[0][1]
    if tls:  # the count is asked without TLS, so that it is no handshake
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        counting = runner.addresses[1][1]
    print(json.dumps({"port": runner.addresses[0][1], "counting": counting}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


class Stub:
    """The server as a context manager.

    :param certificate: PEM file with certificate and key; then it speaks TLS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._command = [sys.executable, __file__, *(["--certificate", str(certificate)] if certificate else [])]
        self._scheme = "https" if certificate else "http"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ports = json.loads(self._process.stdout.readline())
        self.url = f"{self._scheme}://localhost:{ports['port']}"
        self._counting = f"http://127.0.0.1:{ports['counting']}/count"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._process.wait(10)

    @property
    def counting(self) -> str:
        """Where to ask for the counts from another process."""
        return self._counting


def counts(counting: str) -> dict[str, Any]:
    with urlopen(counting) as answer:
        return json.load(answer)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--certificate")
    asyncio.run(serve(arguments.parse_args().certificate))
