"""One environment means the same to the worker's client, the triggerer's, and the reader of remote recordings."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_nanostt.api import endpoints, errors, network
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.transport import ONCE, AsyncClient, Client
from airflow_provider_nanostt.audio.inspect.remote import RemoteFile, RemoteUnreadable
from tests.local_network import Answers, Authority, Proxy, server_tls, serving

from .recorded import JOB, KEY, SUBMISSION

PAGE = (Path(__file__).parents[2] / "docs" / "environment.md").read_text(encoding="utf-8")
OWN = {"REQUESTS_CA_BUNDLE": "/certs/own.pem"}
SUBMIT = endpoints.submit(SUBMISSION)


def rows(title: str, **given: str) -> list[tuple[dict[str, str], str, str]]:
    """Return a table of the page: what is set, the address, and what happens."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("|")][2:]
    assert table
    variables = [
        dict(one.split("=", 1) for one in re.findall("`([^`]*)`", cells[-3] if cells[2:] else "")) for cells in table
    ]
    return [({**given, **own}, cells[-2].strip("`"), cells[-1]) for own, cells in zip(variables, table, strict=True)]


ROWS = [
    *rows("Certificates"),
    *rows("Addresses", **OWN),
    *rows("Proxies", **OWN),
    *rows("What is exempt from proxies", **OWN, https_proxy="http://localhost:3128"),
    ({**OWN, "https_proxy": " http://localhost:3128 "}, "https://localhost:8443", "asked through the proxy"),
    ({**OWN, "https_proxy": "localhost:3128", "no_proxy": " , "}, "https://localhost:8443", "asked through the proxy"),
    ({**OWN, "https_proxy": "user:s3cret@http://localhost:3128"}, "https://localhost:8443", "refused"),
    ({**OWN, "https_proxy": "http://[::1"}, "https://localhost:8443", "refused"),
    ({**OWN, "https_proxy": "localhost:3130", "no_proxy": "*"}, "https://localhost:8443", "asked directly"),
]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """All that the page tells of: ``ports`` by the page's number, ``services``, ``proxies``, and the certificates."""
    certs = tmp_path_factory.mktemp("certs")
    own = Authority(certs)
    Authority(certs, "other")
    (certs / "empty").mkdir()
    (certs / "no-certificate.pem").write_text("none")
    mine = own.certificate("localhost", "127.0.0.1", "::1", "nanogpt.test")
    tls = server_tls(mine)
    with ExitStack() as stack:

        def start(*arguments, **rules):
            return stack.enter_context(serving(*arguments, **rules))

        services = {
            "8443": start(Answers, tls=tls),
            "]8443": start(Answers, "::1", tls=tls),
            "8080": start(Answers),
            "]8080": start(Answers, "::1"),
            "8444": start(Answers, tls=server_tls(mine, old=True)),
            "8445": start(Answers, tls=server_tls(own.certificate("localhost", days=-1))),
            "8446": start(Answers, tls=server_tls(own.certificate("elsewhere"))),
        }
        known = {
            f"nanogpt.test:{port}": ("127.0.0.1", services[own].port) for port, own in ((443, "8443"), (80, "8080"))
        }
        proxies = {
            "3128": start(Proxy, leads_to=known),
            "]3128": start(Proxy, "::1"),
            "3129": start(Proxy, tls=tls, leads_to=known),
            "3131": start(Proxy, status=407),
        }
        ports = {name: server.port for name, server in {**services, **proxies}.items()}
        yield SimpleNamespace(certs=certs, own=own, services=services, proxies=proxies, ports={**ports, "3130": 1})


def worker(url: str) -> None:
    with Client(Config(KEY, url, allow_http=True, timeout=10, connect_timeout=5)) as client:
        client.send(SUBMIT, retry=ONCE)


def triggerer(url: str) -> None:
    async def submit() -> None:
        async with AsyncClient(Config(KEY, url, allow_http=True, timeout=10, connect_timeout=5)) as client:
            await client.send(SUBMIT, retry=ONCE)

    asyncio.run(submit())


def reader(url: str) -> None:
    with RemoteFile(f"{url.rstrip('/')}/call.mp3", allow_private=True) as file:
        assert file.read() == b"RIFF"


def outcome(way, url: str, net) -> str:
    """What happened, in the words of the page."""
    for server in (*net.services.values(), *net.proxies.values()):
        server.seen.clear()
    error = None
    try:
        way(url)
    except errors.NanoGPTError as caught:
        error = caught
    asked = [whom for server in net.proxies.values() for whom in server.seen]
    if error is None:
        return ("asked through the proxy" if asked else "asked directly") + (f", as `{asked[0]}`" if any(asked) else "")
    assert not any(server.seen for server in net.services.values())
    assert error.charged == "no" or isinstance(error, RemoteUnreadable)
    assert "s3cret" not in str(error)
    if not isinstance(error, errors.InvalidInput):
        return "no connection"
    assert "of the environment" in str(error)
    return "refused"


def on_this_machine(text: str, net) -> str:
    """Put the network's ports and folder in the place of the page's."""
    text = re.sub(r"(\]?):(\d{4})\b", lambda at: f"{at[1]}:{net.ports.get(at[1] + at[2], at[2])}", text)
    if re.search("/certs/own($|[/:])", text):
        net.own.hashed()
    return text.replace("/certs", str(net.certs))


@pytest.mark.parametrize("way", [worker, triggerer, reader])
@pytest.mark.parametrize(("variables", "address", "happens"), ROWS, ids=str)
def test_an_environment_means_the_same_to_all(net, monkeypatch, variables, address, happens, way):
    """Each row of the page; what needs a proxy, the reader does not read."""
    for name, value in variables.items():
        monkeypatch.setenv(name, on_this_machine(value, net))
    found = outcome(way, on_this_machine(address, net), net)
    if way is reader and happens.startswith("asked through"):
        happens = "no connection"
    assert found == happens


def test_every_variable_of_the_page_is_tried():
    """And no other is."""
    named = {name for line in PAGE.splitlines() if line.startswith("| ") for name in re.findall(r"[A-Z_]{8,}", line)}
    tried = {name.upper() for variables, _, _ in ROWS for name in variables}
    assert tried == named - {"LOCALHOST"}


def test_reading_a_recording_lets_no_client_trust_more(net, monkeypatch):
    """What they share is not changed by any of them: a certificate for another name is none."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(net.own.file))
    reader(f"https://localhost:{net.ports['8443']}")
    for way in (worker, triggerer):
        with pytest.raises(errors.ConnectError, match=r"(?i)certificate"):
            way(f"https://localhost:{net.ports['8446']}")


@pytest.mark.parametrize(
    ("host", "exempt", "is_direct"),
    [
        ("[::1]:8443", "[::1]", True),
        ("[::1]:8443", "[::1]:8443", True),
        ("[::1]:8443", "[::1]:8444", False),
        ("[0:0:0:0:0:0:0:1]:8443", "::1", True),
        ("[::1]:8443", "::1/128", True),
        ("localhost:8443", "localhost.", True),
        ("LOCALHOST:8443", "localhost", True),
        ("api.example", ".example", True),
        ("api.example", "*.example", True),
        ("api.example", "example", True),
        ("api.example:8443", "example:443", False),
        ("api.example", "example:443", True),
        ("notexample", "example", False),
        ("10.1.2.3", "1.2.3", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "", False),
        ("api.example", "[", False),
    ],
)
def test_no_proxy_is_read_in_one_place(monkeypatch, host, exempt, is_direct):
    """Names and those below them, numbers in any form, networks, ports."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", exempt)
    assert (network.proxy_for(f"https://{host}/api") is None) == is_direct


@pytest.fixture(params=["worker", "triggerer"])
def ask(request):
    """Asks a service about a job, again and again through one and the same client."""
    clients: list[Client | AsyncClient] = []
    with asyncio.Runner() as runner:

        def once(url: str) -> None:
            if not clients:
                config = Config(KEY, url, timeout=10)
                clients.append(Client(config) if request.param == "worker" else AsyncClient(config))
            done = clients[0].send(endpoints.status(JOB), retry=ONCE)
            if asyncio.iscoroutine(done):
                runner.run(done)

        yield once
        closed = clients[0].close()
        if asyncio.iscoroutine(closed):
            runner.run(closed)


def test_what_cannot_be_used_is_refused_again(ask, net, monkeypatch):
    """No later request goes past a proxy that cannot be used; one that is put right is used."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(net.certs / "own.pem"))
    monkeypatch.setenv("https_proxy", "http://[::1")
    url, service, proxy = f"https://localhost:{net.ports['8443']}", net.services["8443"], net.proxies["3128"]
    service.seen.clear()
    proxy.seen.clear()
    for _ in range(2):
        with pytest.raises(errors.InvalidInput, match="proxy"):
            ask(url)
    assert not service.seen
    monkeypatch.setenv("https_proxy", f"http://localhost:{proxy.port}")
    ask(url)
    assert len(service.seen) == len(proxy.seen) == 1


def test_renewed_certificates_are_read(ask, net, tmp_path, monkeypatch):
    """Also by a client that is open for weeks; while the file is being replaced, those that were read hold."""
    other, trusted = Authority(tmp_path), tmp_path / "trusted.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    trusted.write_bytes(net.own.file.read_bytes())
    tls = server_tls(net.own.certificate("localhost"))
    with serving(Answers, tls=tls) as server:
        url = f"https://localhost:{server.port}"
        ask(url)
        tls.load_cert_chain(other.certificate("localhost"))
        with pytest.raises(errors.ConnectError, match=r"(?i)certificate"):
            ask(url)
        trusted.write_bytes(other.file.read_bytes())
        ask(url)


def test_certificates_are_read_once_for_many_questions(net, monkeypatch):
    """Reading those of certifi takes 25 ms, in which the triggerer's event loop would do nothing else."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(net.certs / "own.pem"))
    reads, original = [], ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **how: reads.append(how) or original(**how))
    os.utime(net.certs / "own.pem")
    url = f"https://localhost:{net.ports['8443']}"

    async def ask_often() -> None:
        async with AsyncClient(Config(KEY, url, timeout=10)) as client:
            for _ in range(5):
                await client.send(endpoints.status(JOB), retry=ONCE)

    asyncio.run(ask_often())
    assert len(reads) == 1


def test_a_broken_file_of_certificates_ends_no_wait(net, tmp_path, monkeypatch):
    """A client of the triggerer that is open goes on with those it has read; a new one is refused."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(net.own.file.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    url = f"https://localhost:{net.ports['8443']}"

    async def ask_while_it_is_broken() -> None:
        async with AsyncClient(Config(KEY, url, timeout=10)) as client:
            await client.send(endpoints.status(JOB), retry=ONCE)
            trusted.write_text("")
            await client.send(endpoints.status(JOB), retry=ONCE)

    asyncio.run(ask_while_it_is_broken())
    with pytest.raises(errors.InvalidInput, match="cannot be read"):
        triggerer(url)
