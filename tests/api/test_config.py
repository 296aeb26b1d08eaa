"""Settings that are wrong are refused before anything is sent, and the key is never shown."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.transport import AsyncClient, Client

from .recorded import KEY, every_call


@pytest.mark.parametrize("url", ["https://nano-gpt.com/api", "https://[2001:db8::1]:8443/", "https://büro.example/api"])
def test_a_base_url_with_https_is_taken(url: str):
    """Any https address is fine, with a port, as a number, in any script."""
    assert Config(KEY, url).base_url == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_this_machine_may_be_asked_without_encryption(host: str):
    """Between two programs of one machine the key needs no encryption."""
    assert Config(KEY, f"http://{host}/api").base_url == f"http://{host}/api"


@pytest.mark.parametrize("host", ["nano-gpt.com", "192.168.1.5", "localhost.example", "127.0.0.1.example"])
def test_the_key_does_not_travel_unencrypted(host: str):
    """http:// to any other host is refused unless the connection says otherwise, and the message says how."""
    with pytest.raises(InvalidInput, match="allow_insecure_http"):
        Config(KEY, f"http://{host}/api")
    assert Config(KEY, f"http://{host}/api", allow_http=True).allow_http


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nano-gpt.com/api",
        "ftp://nano-gpt.com",
        "https://",
        "https:///api",
        "https://nano-gpt.com/api?x=1",
        "https://nano-gpt.com/api#x",
        "https://someone:password@nano-gpt.com/api",
        "https://:password@nano-gpt.com/api",
        "https://[nano-gpt.com/api",
        "https://nano-gpt.com:port/api",
        "https://nano-gpt.com:0/api",
        "https://nano gpt.com/api",
        "https://*.example/api",
        f"https://{'a' * 70}.example/api",
        "https://a..b/api",
        "http://evil.example\\@localhost/api",
    ],
)
def test_what_is_no_base_url_is_refused(url: str):
    """An address with anything but a host, a port and a path is refused, without showing a password in it."""
    with pytest.raises(InvalidInput) as caught:
        Config(KEY, url)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "sk nano", "sk-nano\n", "sk-näno", "sk\x00"])
def test_what_is_no_key_is_refused(key: str):
    """An empty key, or one that no header can carry, is refused, and not shown."""
    with pytest.raises(InvalidInput) as caught:
        Config(key)
    assert repr(key) not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "requests_per_second"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_what_is_no_positive_number_is_refused(name: str, value: float):
    """Times and rates are positive and finite; the message names the setting."""
    with pytest.raises(InvalidInput, match=name):
        Config(KEY, **{name: value})


@pytest.mark.parametrize("kind", [str, repr])
def test_the_key_is_not_shown(kind):
    """Neither settings nor clients show the key."""
    config = Config(KEY)
    for thing in (config, Client(config), AsyncClient(config)):
        assert KEY not in kind(thing)


def test_a_trailing_slash_does_not_matter():
    """Base URLs are written with and without a slash at the end."""
    request = every_call()["balance"].request
    assert Config(KEY, "https://a.example/api/").url(request) == Config(KEY, "https://a.example/api").url(request)


def test_paid_calls_get_more_time():
    """A synchronous transcription answers when it is done; a question answers within a minute or not at all."""
    calls = every_call()
    assert Config(KEY).timeout_for(calls["submit"]) == 300
    assert Config(KEY).timeout_for(calls["status"]) == 60
    assert Config(KEY, timeout=5).timeout_for(calls["status"]) == 5
