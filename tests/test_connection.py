"""However one connection is written, it gives the same client, or one error that names the field."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from airflow.models import Connection
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.connection import config_from
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from tests.local_network import Answers, serving

KEY = "sk-nano-12345678-1234-4234-8234-123456789abc"
DEFAULT = "https://nano-gpt.com/api"


def connection(**fields: Any) -> Connection:
    return Connection(conn_id="mine", conn_type="nanogpt", **{"password": KEY, **fields})


class Stored:
    """A connection as a secrets backend may return it: its fields are not checked by anybody."""

    conn_id, password, host, schema, port = "mine", KEY, None, None, None

    def __init__(self, extra: Any, **fields: Any) -> None:
        self.__dict__.update(fields, extra=extra)


def from_uri(uri: str) -> Connection:
    return Connection(conn_id="mine", uri=uri)


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, DEFAULT),
        ({"host": " "}, DEFAULT),
        ({"host": "Nano-GPT.com."}, DEFAULT),
        ({"host": "nano-gpt.com/"}, DEFAULT),
        ({"host": "nano-gpt.com//api/"}, DEFAULT),
        ({"host": "//nano-gpt.com/api", "schema": "/api/"}, DEFAULT),
        ({"host": "HTTPS://NANO-GPT.com:443"}, DEFAULT),
        ({"host": "nano-gpt.com", "schema": "HTTPS"}, DEFAULT),
        ({"host": "https://nano-gpt.com/api", "schema": " https:// "}, DEFAULT),
        ({"port": 8443, "schema": "v2"}, "https://nano-gpt.com:8443/v2"),
        ({"host": "https://gw.example", "port": 8443, "schema": "stt/v2"}, "https://gw.example:8443/stt/v2"),
        ({"host": "gw.example:8443/stt", "port": 8443}, "https://gw.example:8443/stt"),
        ({"host": "gw.example/", "port": "8443"}, "https://gw.example:8443/api"),
        ({"host": "127.0.0.2", "port": 8000, "schema": "HTTP"}, "http://127.0.0.2:8000/api"),
        ({"host": "::1", "port": 8000, "schema": "http"}, "http://[::1]:8000/api"),
        ({"host": "http://[0:0:0:0:0:0:0:1]:8000"}, "http://[::1]:8000/api"),
        ({"host": "2001:DB8::1"}, "https://[2001:db8::1]/api"),
        ({"host": "bücher.example/büro"}, "https://xn--bcher-kva.example/b%C3%BCro"),
        ({"host": "bücher.example/b%C3%BCro"}, "https://xn--bcher-kva.example/b%C3%BCro"),
    ],
)
def test_the_base_url_is_one_however_it_is_written(fields, base_url):
    """One URL, a bare host and parts in any mixture lead to the same place, written in one way."""
    assert config_from(connection(**fields)).base_url == base_url


@pytest.mark.parametrize(
    ("rest", "base_url"),
    [
        (f":{KEY}@nano-gpt.com/HTTPS", DEFAULT),
        (f"https://:{KEY}@gw.example:8443/stt", "https://gw.example:8443/stt"),
        (f"http://:{KEY}@[::1]:8000/api", "http://[::1]:8000/api"),
        (f":{KEY}@https%3A%2F%2Fgw.example%3A8443%2Fstt", "https://gw.example:8443/stt"),
    ],
)
def test_the_uri_form_loses_neither_port_nor_path(rest, base_url):
    """The key goes to the port and path that Airflow's own URI names, also with a scheme in the host."""
    assert config_from(from_uri(f"nanogpt://{rest}")).base_url == base_url


@st.composite
def spellings(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Return the fields of a connection, and the base URL that they mean."""
    written, host = draw(
        st.sampled_from(
            [
                ("gw.example", "gw.example"),
                ("GW.Example.", "gw.example"),
                ("bücher.example", "xn--bcher-kva.example"),
                ("127.0.0.1", "127.0.0.1"),
                ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ]
        )
    )
    scheme, port, path = (
        draw(st.sampled_from(one)) for one in (("https", "http"), (None, 443, 80, 8443), ("api", "v2/stt"))
    )
    in_host = {name: draw(st.booleans()) for name in ("scheme", "port", "path")}
    in_schema = draw(st.sampled_from(("scheme", "path")))
    other_case = str.upper if draw(st.booleans()) else str.lower
    is_said = {name: in_host[name] or in_schema == name for name in ("scheme", "path")}
    fields = {
        "host": (f"{other_case(scheme)}://" if in_host["scheme"] else "")
        + written
        + (f":{port}" if port and in_host["port"] else "")
        + (f"/{path}" if in_host["path"] else draw(st.sampled_from(("", "/")))),
        "schema": other_case(scheme) if in_schema == "scheme" else path,
        "port": port if not in_host["port"] or draw(st.booleans()) else None,
        "extra": '{"allow_insecure_http": true}',
    }
    scheme = scheme if is_said["scheme"] else "https"
    shown = "" if (scheme, port) in (("https", 443), ("http", 80)) or not port else f":{port}"
    return fields, f"{scheme}://{host}{shown}/{path if is_said['path'] else 'api'}"


@given(spellings())
def test_every_spelling_gives_the_same_client(spelling):
    """Parts, URI and JSON of one connection are equal settings, so that they share a pace and a session."""
    fields, base_url = spelling
    made = connection(**fields)
    expected = config_from(connection(host=base_url, extra=fields["extra"]))
    assert expected.base_url == base_url
    for one in (made, from_uri(made.get_uri()), Connection.from_json(made.as_json(), conn_id="mine")):
        assert config_from(one) == expected


BITS = "https HTTP :// : / // api gw.example ::1 [ ] 8443 @ ? # x=1 %2e %2F .. \\ \n ü ℀ \u200b | 127.0.0.1".split(" ")
anything = st.lists(st.sampled_from(BITS), max_size=6).map("".join) | st.text(max_size=12)


@given(anything, anything, st.sampled_from([None, "", 0, 443, "8443", True, "x", 70_000]))
def test_any_text_is_one_address_or_one_error(host, schema, port):
    """What is taken is sent to as it stands, and is what it says when it is written as one URL; the rest is refused."""
    written = {"host": host, "schema": schema, "port": port}
    extra = '{"allow_insecure_http": true}'
    try:
        config = config_from(Stored(extra, **written))
    except errors.InvalidInput as error:
        assert "connection 'mine'" in str(error)  # noqa: PT017  only some are refused
        return
    assert requests.Request("GET", config.base_url).prepare().url == config.base_url == str(URL(config.base_url))
    assert config_from(Stored(extra, host=config.base_url)) == config


def test_each_form_reaches_the_service(emulator: Emulator, monkeypatch):
    """The service that the connection names answers, and nothing else is asked."""
    host, port = emulator.url.removeprefix("http://").removesuffix("/api").split(":")
    key = emulator.api_key
    for text in (
        f"nanogpt://http://:{key}@{host}:{port}/api",
        f"nanogpt://:{key}@{host}:{port}/http",
        json.dumps({"conn_type": "nanogpt", "password": key, "host": f"HTTP://{host}/api/", "port": port}),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_MINE", text)
        assert NanoGPTHook("mine").test_connection()[0], text


def test_whoever_listens_on_the_default_port_sees_no_key(emulator: Emulator, monkeypatch):
    """Airflow's own URI form, with a scheme in the host, names the port beside it; none other is connected to."""
    place, key = urlsplit(emulator.url).netloc, emulator.api_key
    connect = socket.socket.connect
    with serving(Answers) as other:

        def at_default_ports(self: socket.socket, address: tuple[Any, ...]) -> None:
            connect(self, (address[0], other.port) if address[1] in (80, 443) else address)

        monkeypatch.setattr(socket.socket, "connect", at_default_ports)
        requests.get("http://127.0.0.1/", timeout=10)
        assert len(other.seen) == 1  # which is how a key would get there
        for uri in (f"nanogpt://http://:{key}@{place}/api", f"nanogpt://http://:{key}@{place}"):
            monkeypatch.setenv("AIRFLOW_CONN_MINE", uri)
            assert NanoGPTHook("mine").test_connection()[0], uri
        assert len(other.seen) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": "gw.example:1", "port": 2}, "the port says 2 and the host 1"),
        ({"host": "https://127.0.0.1/api", "schema": "http"}, "the schema says 'http' and the host 'https'"),
        ({"host": "https://gw.example/a", "schema": "b"}, "the schema says 'b' and the host 'a'"),
        ({"host": "gw.example", "port": 0}, "the port must be a whole number from 1 to 65535"),
        ({"host": "gw.example", "port": 99999}, "the port must be"),
        ({"host": "gw.example:0"}, "the port in the host must be"),
        ({"host": "gw.example:eight"}, "the host "),
        ({"host": "https://me:word@gw.example/api"}, "the host "),
        ({"host": "me:word@gw.example"}, "the host "),
        ({"host": "https://gw.example/api?key=word"}, "the host "),
        ({"host": "https://gw.example/api#word"}, "the host "),
        ({"host": "gw.exa\nmple"}, "the host "),
        ({"host": "https://gw.exa\tmple/api"}, "the host "),
        ({"host": "gw example"}, "the host "),
        ({"host": "https://"}, "the host "),
        ({"host": "https:nano-gpt.com"}, "the host "),
        ({"host": "[::1"}, "the host "),
        ({"host": "fe80::1%eth0"}, "the host "),
        ({"host": "nano-gpt.com\\\\api"}, "the host "),
        ({"host": "gw.example/a/%2E%2e/api"}, "the host "),
        ({"host": "gw.example/a b"}, "the host "),
        ({"host": "℀.example"}, "the host "),
        ({"host": "gw.example.."}, "the host "),
        ({"host": "gw.example", "schema": "javascript:alert"}, "the schema "),
        ({"host": "gw.example", "schema": "api?key=word"}, "the schema "),
        ({"schema": "http"}, "http://nano-gpt.com .* unencrypted"),
    ],
)
def test_what_cannot_be_an_address_is_refused_by_field(fields, words):
    """One error names connection and field; what is said twice differently is refused, and nothing secret is shown."""
    with pytest.raises(errors.InvalidInput, match=words) as caught:
        config_from(connection(**fields))
    assert "connection 'mine'" in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("extra", ['{"timeout": 30}', '{"timeout": " 30 "}', '"{\\"timeout\\": 30}"'])
def test_the_extra_may_be_an_object_or_text_of_one(extra):
    """JSON within JSON, as some tools write it, is the same."""
    assert config_from(Stored(extra)).timeout == 30


@pytest.mark.parametrize("extra", [None, "", "null", "{}", '""', '{"timeout": null, "prices": ""}'])
def test_an_extra_of_nothing_has_the_defaults(extra):
    """Nothing, in any form, changes nothing."""
    assert config_from(Stored(extra)) == config_from(connection())


@pytest.mark.parametrize("extra", ['["word", 30]', '"word=30"', "30", "true", "[]", "{word", "[" * 100_000])
def test_an_extra_that_is_no_object_is_refused(extra):
    """Settings are never lost in silence: JSON of another kind is one error, which does not show what it holds."""
    with pytest.raises(errors.InvalidInput, match="connection 'mine': the extra must be a JSON object") as caught:
        config_from(Stored(extra))
    assert "word" not in str(caught.value)


def test_unknown_extras_are_named(caplog):
    """A setting that is written wrongly is told, without its value."""
    with caplog.at_level(logging.WARNING):
        config_from(connection(extra='{"time_out": "word"}'))
    assert "time_out" in caplog.text
    assert "word" not in caplog.text


@pytest.mark.parametrize("name", ["timeout", "requests_per_second"])
@pytest.mark.parametrize("value", [1e-300, 1e-9, 1e12, 1e300, "1e300"])
def test_a_setting_that_a_submit_could_not_use_costs_nothing(emulator: Emulator, monkeypatch, wav, name, value):
    """A time or rate that cannot be kept is refused before the submit."""
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({**emulator.connection, "extra": {name: value}}))
    with pytest.raises(errors.InvalidInput, match=name):
        NanoGPTHook("mine").transcribe(audio_path=wav)
    assert emulator.charges == []
