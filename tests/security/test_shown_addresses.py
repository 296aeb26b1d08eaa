"""Values of queries are never shown, whatever their names; what identifies a recording is apart from what is shown."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment

from airflow_provider_nanostt.common.urls import display, identity_url, redact
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from airflow_provider_nanostt.workflow.batch import Item, expand
from tests.outside import masked

SECRET = "Zq9vT4xWb7LmPd2k"
NAMES = (
    "X-Amz-Signature sig token Signature Authorization api_key apikey key password pwd secret jwt sas hash hm rlkey "
    "resourcekey private_token client_secret session s st code verify hdnea Policy accessToken id_token e t id lang x.y"
).split()
ADDRESSES = {
    **{f"?{name}=": f"https://h.example/a.mp3?{name}={SECRET}" for name in NAMES},
    "second": f"https://h.example/a.mp3?a=1&b={SECRET}",
    "after a semicolon": f"https://h.example/a.mp3?a=1;sig={SECRET}",
    "a parameter of the path": f"https://h.example/a.mp3;sig={SECRET}",
    "a parameter of a folder": f"https://h.example/calls;sig={SECRET}/a.mp3",
    "an encoded parameter of the path": f"https://h.example/a.mp3%3Bsig%3D{SECRET}",
    "a fragment": f"https://h.example/a.mp3#access_token={SECRET}",
    "a fragment without a name": f"https://h.example/a.mp3#{SECRET}",
    "a query without a name": f"https://h.example/a.mp3?{SECRET}",
    "a token as user name": f"https://{SECRET}@h.example/a.mp3",
    "a token as user name, with a word": f"https://{SECRET}:x-oauth-basic@h.example/a.mp3",
    "a password": f"https://me:{SECRET}@h.example/a.mp3",
    "an address in an address": f"https://p.example/?url=https%3A%2F%2Fh.example%2Fa.mp3%3Fsig%3D{SECRET}",
    "an address in a path": f"https://p.example/https://h.example/a.mp3?sig={SECRET}",
    "capitals": f"HTTPS://H.example/a.mp3?SIG={SECRET}",
    "one slash": f"https:/h.example/a.mp3?sig={SECRET}",
    "backslashes": rf"https:\\h.example\a.mp3?sig={SECRET}",
    "no scheme": f"h.example/a.mp3?sig={SECRET}",
    "encoded whole": f"https%3A%2F%2Fh.example%2Fa.mp3%3Fsig%3D{SECRET}",
    "a missing colon": f"https//h.example/a.mp3?sig={SECRET}",
    "another scheme": f"htps://h.example/a.mp3?sig={SECRET}",
    "two schemes": f"blob:https://h.example/a.mp3?sig={SECRET}",
    "object storage": f"abfs://c@example.dfs/a.mp3?sv=1&sig={SECRET}",
    "no scheme, a number": f"127.0.0.1:80/example/a.mp3?sig={SECRET}",
    "no scheme, a password": f"me:{SECRET}@h.example.com/a.mp3",
    "a query without its mark": f"https://h.example/a.mp3&sig={SECRET}",
    "FTP": f"ftp://h.example/a.mp3?sig={SECRET}",
}
SHORT = {
    "a number": "https://h.example/a.mp3?pin=12345678901",
    "a short word": "https://h.example/a.mp3?token=s3cr3t7",
    "a digit": "https://h.example/a.mp3?a=7",
    "a short user": "https://me@h.example/a.mp3",
}


@pytest.mark.parametrize("url", ADDRESSES.values(), ids=ADDRESSES)
def test_the_values_in_an_address_are_never_shown(url: str):
    """Not in the manifest, in what a batch logs, or in what identifies the recording."""
    item = Item(url)
    assert "example" in item.shown.lower()
    for text in (item.shown, display(url), identity_url(url), redact(f"cannot read {url} now"), item.key):
        assert SECRET not in text


@pytest.mark.parametrize("url", ADDRESSES.values(), ids=ADDRESSES)
def test_no_message_about_a_recording_shows_them(url: str):
    """An address that is mistyped is taken for a file, and the message is about that."""
    made = TranscribeOperator(task_id="t", audio=url, max_cost_usd=0.0, nanogpt_conn_id="unknown")
    with pytest.raises(Exception) as caught:  # noqa: PT011  whichever it is
        made.execute({})
    assert SECRET not in str(caught.value)
    for item in expand([url]):
        assert SECRET not in f"{item.problem}"


def rendered(value: Any) -> Any:
    """Return a template field as Airflow is given it to store."""
    made = TranscribeBatchOperator(task_id="t", audio=value, output_path="/nowhere")
    made.render_template_fields({})
    return made.audio


@pytest.mark.parametrize("url", {**ADDRESSES, **SHORT}.values(), ids={**ADDRESSES, **SHORT})
def test_rendered_fields_do_not_show_them(url: str):
    """Also those that are too short or too ordinary to be masked wherever they stand."""
    shown = masked(rendered(url))
    for secret in (SECRET, "12345678901", "s3cr3t7", "=7", "me@"):
        assert secret not in shown


@dataclass
class Recording:
    """What a DAG author may have made for himself."""

    url: str


URLS = [f"https://h.example/{n}.mp3?sv=2024-01-01&sr=b&pin=123456&sig={SECRET}{n}" for n in range(3)]
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "dict": lambda urls: {str(n): url for n, url in enumerate(urls)},
    "keys": lambda urls: dict.fromkeys(urls, 1),
    "mapping": lambda urls: MappingProxyType(dict(enumerate(urls))),
    "dataclass": lambda urls: [Recording(url) for url in urls],
    "deep": lambda urls: {"a": [{"b": ({"c": frozenset(urls)},)}]},
    "JSON": json.dumps,
    "JSON, indented": lambda urls: json.dumps(urls, indent=2),
    "JSON in JSON": lambda urls: json.dumps([json.dumps(urls)]),
    "JSON in a mapping": lambda urls: {"audio": json.dumps(urls)},
    "JSON with escaped slashes": lambda urls: json.dumps(urls).replace("/", r"\/"),
    "tojson": lambda urls: Environment().from_string("{{ x | tojson }}").render(x=urls),
    "tojson of one": lambda urls: Environment().from_string("{{ x | tojson }}").render(x=urls[0]),
    "as Python writes it": repr,
    "in prose": lambda urls: "all of " + ", ".join(urls),
    "lines": "\n".join,
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_masking_walks_every_container(make: Any):
    """Airflow stores the field as it is, and shows it without what is secret."""
    given = make(URLS)
    shown = masked(repr(rendered(given)))
    assert SECRET not in shown
    assert "123456" not in shown
    assert "h.example" in shown


# --- identity -------------------------------------------------------------------------------------------------------

APART = {
    "tokens": "https://h.example/download?token={}",
    "an id": "https://h.example/a.mp3?id={}",
    "a language": "https://h.example/a.mp3?lang={}",
    "a version beside a signature": "https://h.example/a.mp3?versionId={}&X-Amz-Signature=x",
    "a policy that signs nothing": "https://h.example/a.mp3?policy={}",
    "an expiry that signs nothing": "https://h.example/a.mp3?expires={}",
    "one letter": "https://h.example/a.mp3?sp={}",
    "a part of a video": "https://h.example/a.mp4?x-oss-process=video/snapshot,t_{}&Signature=x&Expires=1",
    "a parameter of the path": "https://h.example/a.mp3;v={}",
    "after a semicolon": "https://h.example/a.mp3?a=1;id={}",
    "no name": "https://h.example/get?{}",
    "in an address in an address": "https://p.example/?url=https%3A%2F%2Fh.example%2F{}.mp3",
}
TOGETHER = {
    "AWS": "https://h.example/a.mp3?versionId=7&X-Amz-Date={0}&X-Amz-Credential=k{0}&X-Amz-Signature={0}&x-id=GetObject",
    "CloudFront": "https://h.example/a.mp3?Policy={0}&Signature={0}&Key-Pair-Id={0}",
    "Azure": "https://h.example/a.mp3?sv=2024&se={0}&sr=b&sig={0}",
    "Tencent": "https://h.example/a.mp3?q-sign-algorithm=sha1&q-ak={0}&q-sign-time={0}&q-signature={0}",
    "a parameter of the path": "https://h.example/a.mp3;sig={0}",
    "after a semicolon": "https://h.example/a.mp3?a=1;sig={0}",
    "a token of a file": "https://h.example/a.mp3?token={0}&expires={0}",
    "inside another": "https://p.example/?url=https%3A%2F%2Fh.example%2Fa.mp3%3FX-Amz-Signature%3D{0}",
    "a user": "https://{0}@h.example/a.mp3",
    "a fragment": "https://h.example/a.mp3#t={0}",
}


@pytest.mark.parametrize("form", APART.values(), ids=APART)
def test_two_links_that_differ_in_what_does_not_sign_are_two_recordings(form: str):
    """One must not get the transcript of the other."""
    one, other = Item(form.format("AAAAAAAA")), Item(form.format("BBBBBBBB"))
    assert one.key != other.key
    assert identity_url(one.audio) != identity_url(other.audio)


@pytest.mark.parametrize("form", TOGETHER.values(), ids=TOGETHER)
def test_two_signatures_of_one_object_are_one_recording(form: str):
    """A link that was renewed finds the job that is paid for."""
    one, other = Item(form.format("AAAAAAAA")), Item(form.format("BBBBBBBB"))
    assert one.key == other.key
    assert identity_url(one.audio) == identity_url(other.audio)


def test_the_ledger_pays_for_each_of_two_links(emulator: Any, tmp_path: Any):
    """The links of a download page differ in their token alone."""
    urls = [f"https://files.example/download?token={word * 8}" for word in "AB"]
    made = TranscribeBatchOperator(
        task_id="t",
        audio=urls,
        output_path=str(tmp_path),
        actual_duration=1,
        deferrable=False,
        poll_interval=0.05,
    )
    emulator.script("download", text="hello", duration=60.0)
    made.execute({"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, max_tries=0)})
    assert len(emulator.charges) == 2
