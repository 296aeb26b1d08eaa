"""What goes to this machine stays there, values show no secrets, and no web page steers an emulator."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.http import Response
from airflow_provider_nanostt.api.models import Job, Submission
from airflow_provider_nanostt.api.network import proxy_for
from airflow_provider_nanostt.api.transport import ONCE, AsyncClient, Client
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.audio.find import find
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile
from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.emulator import Emulator, EmulatorControl
from airflow_provider_nanostt.lineage import LineageRecord
from airflow_provider_nanostt.operators.options import AudioPreparation, OutputOptions
from airflow_provider_nanostt.outputs import OutputSettings
from airflow_provider_nanostt.workflow.batch import Item

from .spellings import KEY, PASSWORD, SECOND, URL, found_in

HOSTS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "api.localhost",
    "127.0.0.1",
    "127.3.2.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a proxy sees that the environment names for everything."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    seen.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield seen


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
@pytest.mark.parametrize("host", HOSTS)
def test_no_proxy_is_for_this_machine(proxy: list[bytes], host: str, scheme: str):
    """Whatever its name, and whatever the environment says; other hosts are asked through it."""
    assert proxy_for(f"{scheme}://{host}:8080/api") is None
    assert proxy_for(f"{scheme}://{host.strip('[].').replace(':', '-')}.example/api") is not None


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_the_key_for_this_machine_is_seen_by_no_proxy(
    emulator: Emulator, proxy: list[bytes], kind: str, host: str
):
    """It would travel in the clear; both clients connect directly."""
    config = Config(emulator.api_key, emulator.url.replace("127.0.0.1", host))
    if kind == "sync":
        with Client(config) as client:
            balance = client.send(endpoints.balance(), retry=ONCE)
    else:
        async with AsyncClient(config) as asking:
            balance = await asking.send(endpoints.balance(), retry=ONCE)
    assert balance.usd == 100
    assert proxy == []


def test_the_reader_of_recordings_asks_this_machine_directly(emulator: Emulator, proxy: list[bytes]):
    """Where it may read there at all."""
    with pytest.raises(OSError, match="answered 404"):
        RemoteFile(emulator.url.replace("/api", "/none.mp3"), allow_private=True)
    assert proxy == []


# --- what a value says of itself ------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "a submission": lambda: Submission(URL),
    "a call": lambda: endpoints.submit(Submission(URL)),
    "an item": lambda: Item(URL),
    "an item, mistyped": lambda: Item(URL.replace("://", ":/")),
    "what a text names": lambda: find(URL),
    "a source": lambda: locate_source(URL),
    "an upload": lambda: Upload(URL, "audio/mpeg", b"x"),
    "a job": lambda: Job("r", "m", 0.0, body={"url": URL}),
    "settings": lambda: Config(KEY),
    "an answer": lambda: Response(200, {"location": URL, "x": KEY}, b"", 0.0),
    "options": lambda: OutputOptions(page_audio_url=URL),
    "options for audio": lambda: AudioPreparation(staging_path=f"s3://key-id:{PASSWORD}@bucket/x"),
    "checked options": lambda: OutputSettings(page_audio_url=URL),
    "lineage": lambda: LineageRecord.of([URL], {"files": {"json": URL}}),
    "a list of them": lambda: [Item(URL), {"a": Submission(URL)}],
}


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("show", [repr, str, "{!r:>1}".format, lambda value: f"{[value]}"])
def test_no_value_shows_a_secret(make: Any, show: Any):
    """Values are in tracebacks, debuggers and logs."""
    Config(KEY)
    shown = show(make())
    assert found_in(shown) == []
    assert SECOND not in shown


# --- the emulator ---------------------------------------------------------------------------------------------------


def control(emulator: Emulator, method: str, path: str, **headers: str) -> int:
    """Send a request to the control endpoints as a browser might, and return the status."""
    host, _, port = emulator.url.removeprefix("http://").removesuffix("/api").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest(method, f"/_emulator/{path}", skip_host="Host" in headers)
    for name, value in {"Content-Length": "2" if method != "GET" else "0", **headers}.items():
        connection.putheader(name.replace("_", "-"), value.replace("PORT", port))
    connection.endheaders(b"{}" if method != "GET" else None)
    return connection.getresponse().status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://evil.example:PORT"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:PORT"},
        {"Host": "localhost.evil.example:PORT"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": "10.0.0.1:PORT"},
        {"Host": ""},
        {"Host": "evil.example:PORT", "Origin": "http://evil.example:PORT"},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["POST reset", "POST keys", "DELETE faults", "GET balance"])
def test_no_web_page_steers_an_emulator(emulator: Emulator, call: str, headers: dict[str, str]):
    """Not from another site, and not under a name that was made to lead here."""
    keys = set(emulator.balances)
    assert control(emulator, *call.split(), Content_Type="text/plain", **headers) in (400, 403)
    assert set(emulator.balances) == keys


@pytest.mark.parametrize(
    "headers", [{}, {"Host": "localhost:PORT"}, {"Host": "[::1]:PORT"}, {"Origin": "http://127.0.0.1:PORT"}]
)
def test_programs_on_this_machine_do(emulator: Emulator, headers: dict[str, str]):
    """They send no origin, or its own."""
    assert control(emulator, "POST", "reset", **headers) == 200
    assert EmulatorControl(emulator.url).balances == emulator.balances


def test_a_body_that_is_too_deep_is_refused(emulator: Emulator):
    """As every other that cannot be read."""
    request = urllib.request.Request(
        f"{emulator.url.removesuffix('/api')}/_emulator/faults", b"[" * 200_000, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400


@pytest.mark.parametrize("way", ["environment", "file"])
def test_a_key_need_not_be_in_the_list_of_processes(way: str, tmp_path: Path):
    """Two ways to give one; what the ready file says is for its owner alone."""
    ready, given = tmp_path / "ready.json", tmp_path / "keys"
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "airflow_provider_nanostt.emulator", "--recogniser", "none"]
    command += ["--ready-file", str(ready)]
    if way == "environment":
        environment["NANOSTT_EMULATOR_KEY"] = f"{KEY} another-key-123"
    else:
        given.write_text(f"{KEY}\nanother-key-123\n")
        command += ["--key-file", str(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens, and the ready file is there
        shown = Path(f"/proc/{process.pid}/cmdline").read_text() if Path("/proc").exists() else ""
        mode, said = stat.S_IMODE(ready.stat().st_mode), json.loads(ready.read_text())
        balances = EmulatorControl(said["url"]).balances
        process.send_signal(signal.SIGTERM)
    assert KEY not in shown
    assert said["key"] == KEY
    assert set(balances) == {KEY, "another-key-123"}
    assert mode == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.name != "keys"] == []
