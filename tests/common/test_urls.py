"""What may be shown of an address, what identifies a recording, and what has to be masked."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.common.urls import display, identity_url, redact, redact_value, secret_parts

SIGNATURES = {
    "AWS, version 4": (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA{0}%2F20260101%2Feu%2Fs3%2Faws4_request"
        "&X-Amz-Date=2026010{0}T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FwoGZX{0}"
        "&X-Amz-Signature=abcdef{0}"
    ),
    "AWS, version 2": "AWSAccessKeyId=AKIAEXAMPLE{0}&Expires=176000000{0}&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4{0}",
    "Google, version 4": (
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=me%40project{0}&X-Goog-Date=20260101T00000{0}Z"
        "&X-Goog-Expires=600&X-Goog-SignedHeaders=host&X-Goog-Signature=247a2aa45f{0}"
    ),
    "Google, version 2": "GoogleAccessId=me@project&Expires=176000000{0}&Signature=MeTaDaTaSiGnAtUrE{0}",
    "Azure": "sv=2022-11-02&st=2026-01-0{0}T00%3A00Z&se=2026-01-09T00%3A00Z&sr=b&sp=r&spr=https&sig=Zm9vYmFy{0}%3D",
    "CloudFront": "Policy=eyJTdGF0ZW1lbnQ{0}&Signature=nitfHRCrtziwO2HwPfWw{0}&Key-Pair-Id=K2JCJMDEHXQW5F",
    "Alibaba": "OSSAccessKeyId=LTAI{0}EXAMPLE&Expires=17600000{0}&Signature=longsignature{0}&security-token=CAIS{0}",
    "a token": "token=eyJhbGciOiJIUzI1NiJ9.{0}",
    "an access token": "access_token=ya29.abcdef{0}",
}
MINE = "https://bucket.example.com/calls/a.mp3"


@pytest.mark.parametrize("query", SIGNATURES.values(), ids=SIGNATURES)
def test_signing_an_address_again_does_not_change_what_it_identifies(query):
    """Two signatures of one object have one identity, beside other parameters too."""
    one, two = (f"https://bucket.example.com/calls/a%20b.mp3?versionId=7&{query.format(n)}#t=1" for n in (1, 2))
    assert one != two
    assert identity_url(one) == identity_url(two)
    assert identity_url(one) == identity_url("https://bucket.example.com/calls/a%20b.mp3?versionId=7")
    assert identity_url(f"{MINE}?{query.format(1)}") == MINE


@pytest.mark.parametrize(
    "other",
    [
        "https://bucket.example.com/calls/b.mp3?versionId=7",
        f"{MINE}?versionId=8",
        MINE,
        "https://elsewhere.example.com/calls/a.mp3?versionId=7",
        f"{MINE}?versionId=7&sv=2&st=1",
        f"{MINE}?versionId=7&id=",
        f"https://proxy.example.com/{MINE}?versionId=7",
    ],
)
def test_every_other_parameter_identifies_the_recording(other):
    """A parameter that does not sign may say which recording is meant."""
    assert identity_url(other) != identity_url(f"{MINE}?versionId=7")


def test_addresses_inside_of_addresses_are_told_apart_without_being_shown():
    """A proxy's path may carry another address with a signature."""
    one, two = (f"https://proxy.example.com/{quote(MINE + '?id=', safe='')}{word}" for word in ("topsecret", "other"))
    assert identity_url(one) != identity_url(two)
    assert "topsecret" not in identity_url(one)


def test_the_order_of_parameters_and_the_case_of_the_scheme_identify_nothing():
    """Nor does a user name or password: who fetches does not change what is fetched."""
    assert identity_url("HTTPS://me:secret@example.com/a?b=1&c=2") == identity_url("https://example.com/a?c=2&b=1")


# A name with an encoded "#" and "=" is taken for an address in an address, and cut as well.
@given(st.text(min_size=1, max_size=20).filter(lambda name: "=" not in name), st.text(min_size=8, max_size=40))
def test_no_query_value_is_stored_or_shown(name, secret):
    """However a value is written, whether it signs or not."""
    url = f"https://example.com/{quote(name)}?id={quote(secret)}&X-Amz-Signature={quote(secret)}"
    assert display(url) == f"https://example.com/{quote(name)}"
    assert identity_url(url).startswith(f"{display(url)}?")
    assert quote(secret) not in identity_url(url).removeprefix(display(url))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("HTTPS://host.example/a.mp3?X-Amz-Signature=5ec2e7", "https://host.example/a.mp3"),
        (" https://host.example/a.mp3#token=5ec2e7", "https://host.example/a.mp3"),
        ("https://me:pass@host.example:8443/a%20b.mp3?x=1", "https://host.example:8443/a%20b.mp3"),
        ("https://me@[2001:db8::1]:8443/a.mp3?x=1", "https://[2001:db8::1]:8443/a.mp3"),
        ("https://me:pa/ss@host.example/a.mp3", "https://host.example/a.mp3"),
        ("https://me:pa?ss@host.example/a.mp3", "https://host.example/a.mp3"),
        ("https://me%3Apass%40host.example/a.mp3", "https://host.example/a.mp3"),
        ("https://host.example:443/@handle/a.mp3", "https://host.example:443/@handle/a.mp3"),
        ("https://[broken?sig=abcdefgh", "https://[broken"),
        ("https://proxy.example/https://me:pass@host.example/a?x=1", "https://proxy.example/https…"),
        ("https://proxy.example/a%3Fsig%3Dabcdefgh", "https://proxy.example/a…"),
        ("ftp://me:pass@host.example/a.mp3", "ftp://host.example/a.mp3"),
        ("s3://conn_id@bucket/what?x=1#2.mp3", "s3://conn_id@bucket/what?x=1#2.mp3"),
        ("/srv/calls/what?x=1.mp3", "/srv/calls/what?x=1.mp3"),
        ("note.wav", "note.wav"),
        ("", ""),
    ],
)
def test_what_is_shown_of_an_address(url, shown):
    """Scheme, host and path; paths and names are not addresses."""
    assert display(url) == shown
    assert display(shown) == shown


@pytest.mark.parametrize(
    "host", ["H.Example", "h.example.", "h.example:443", "H.EXAMPLE.:443", "me:secret@H.example:443"]
)
def test_a_host_identifies_the_same_however_it_is_written(host):
    """Else a recording whose address came from another system would be paid for again."""
    assert identity_url(f"https://{host}/calls/a.mp3?b=1") == identity_url("https://h.example/calls/a.mp3?b=1")


@pytest.mark.parametrize(
    "other", ["http://h.example", "https://h.example:80", "https://h.example:8443", "https://www.h.example"]
)
def test_another_port_or_name_is_another_recording(other):
    """The path has small and capital letters, too."""
    known = {identity_url("https://h.example/calls/a.mp3"), identity_url("https://h.example/calls/A.mp3")}
    assert identity_url(f"{other}/calls/a.mp3") not in known
    assert len(known) == 2


def test_a_path_identifies_itself():
    """Only web addresses are signed."""
    assert identity_url("s3://bucket/what?x=1.mp3") == "s3://bucket/what?x=1.mp3"


# --- texts ----------------------------------------------------------------------------------------------------------

SIGNED = "https://me:pa55word@bucket.example.com/calls/a.mp3?versionId=topsecret&sig=deadbeef99#hidden=fragment"
SECRETS = ("pa55word", "topsecret", "deadbeef99", "fragment")

FORMS = {
    "plain": SIGNED,
    "capitals": SIGNED.replace("https", "HTTPS"),
    "IPv6": SIGNED.replace("bucket.example.com", "[2001:db8::1]:8443"),
    "JSON": json.dumps({"url": SIGNED}),
    "JSON with escaped slashes": json.dumps({"url": SIGNED}).replace("/", r"\/"),
    "JSON in JSON": json.dumps({"message": json.dumps({"url": SIGNED}).replace("/", r"\/")}),
    "JSON with escaped characters": json.dumps({"url": SIGNED}).replace("?", r"\u003f").replace("&", r"\u0026"),
    "JSON with all escaped": SIGNED.replace(":", r"\u003A").replace("/", r"\u002F").replace("?", r"\u003F"),
    "percent-encoded": f"next={quote(SIGNED, safe='')}&x=1",
    "percent-encoded twice": f"next={quote(quote(SIGNED, safe=''), safe='')}&x=1",
    "percent-encoded question mark": SIGNED.replace("?", "%3F").replace("=", "%3D"),
    "HTML": f'<a href="{html.escape(SIGNED)}">{html.escape(SIGNED)}</a>',
    "HTML with codes": SIGNED.replace(":", "&#58;").replace("/", "&#x2F;").replace("?", "&#63;").replace("=", "&#61;"),
    "a Python list": repr([SIGNED, SIGNED]),
    "in brackets": f"not found ({SIGNED}).",
    "with an apostrophe": SIGNED.replace("versionId=", "q=it's&versionId="),
    "inside of another": f"https://proxy.example.com/{SIGNED}",
    "encoded inside of another": f"https://proxy.example.com/{quote(SIGNED, safe='')}",
    "many inside of another": "https://proxy.example.com/" * 200 + SIGNED,
    "another scheme": SIGNED.replace("https", "sftp"),
    "without host": "Max retries exceeded with url: /calls/a.mp3?versionId=topsecret&sig=deadbeef99 (Caused by x)",
    "without host, encoded": "url=%2Fcalls%2Fa.mp3%3FversionId%3Dtopsecret%26sig%3Ddeadbeef99",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_nothing_secret_is_left_in_a_text(text):
    """However a text writes an address."""
    for said in (redact(text), redact(f"before {text} after"), json.dumps(redact_value([{text: {"a": (text, 1)}}]))):
        assert not [secret for secret in SECRETS if secret in said]
    assert redact(f"before {text} after").startswith("before ")
    assert redact(f"before {text} after").endswith(" after")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "see https://host.example/a?x=1, and (https://host.example/b?y=2).",
            "see https://host.example/a, and (https://host.example/b).",
        ),
        ('{"url":"https:\\/\\/host.example\\/a.mp3?x=1"}', '{"url":"https://host.example/a.mp3"}'),
        ("url: /a.mp3?sig=abc (x)", "url: /a.mp3?… (x)"),
        ("what? a=b, 5 % of 3/4, c:\\d & a//b", "what? a=b, 5 % of 3/4, c:\\d & a//b"),
        ("s3://conn_id@bucket/key", "s3://conn_id@bucket/key"),
        ("postgresql://me:pass@host/db", "postgresql://host/db"),
    ],
)
def test_the_rest_of_a_text_stays(text, shown):
    """People still read what happened, and where."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    ["a" * 50_000 + "://x", "https://" * 20_000, "a:b'" * 20_000 + "https://", "\\" * 50_000 + "u003a", "%25" * 50_000],
    ids=lambda text: text[:8],
)
def test_hostile_texts_are_redacted_too(text):
    """The service's words may be anything; none of them takes forever or breaks."""
    assert isinstance(redact(text), str)


def test_values_keep_their_shape():
    """Numbers, flags and texts without an address pass; a value without any address is the same object."""
    words = [{"text": "hello?", "start": 1.5, "end": None}]
    value = {"words": words, "ok": True, "metadata": {"fileName": "https://host.example/a?x=1", "n": 3}}
    found = redact_value(value)
    assert found == {"words": words, "ok": True, "metadata": {"fileName": "https://host.example/a", "n": 3}}
    assert found["words"] is words
    assert (redact_value(3), redact_value(None), redact_value("https://h.example/?x=1")) == (
        3,
        None,
        "https://h.example/",
    )


# --- masking --------------------------------------------------------------------------------------------------------


def test_every_query_value_of_an_address_is_masked():
    """As written and as decoded, with the password; no dates, counts and short words."""
    url = (
        "https://me:pa%24s@example.com/a.mp3?id=recording-12345&X-Amz-Expires=3600000000&sp=r"
        "&X-Amz-Credential=AKIA12345678%2feu%2Fs3&sig=abc%2Bdef%2Fghi%3D"
    )
    assert set(secret_parts(url)) == {
        "pa%24s",
        "pa$s",
        "recording-12345",
        "AKIA12345678%2feu%2Fs3",
        "AKIA12345678%2Feu%2Fs3",
        "AKIA12345678/eu/s3",
        "abc%2Bdef%2Fghi%3D",
        "abc+def/ghi=",
    }


def test_an_address_without_query_and_user_has_nothing_to_mask():
    """Nothing of an ordinary address is masked."""
    assert secret_parts("https://example.com/recordings/monday-morning.mp3") == []


def test_what_is_no_address_is_masked_whole():
    """Where nobody can say which part is secret, all of it is."""
    assert secret_parts("https://[broken?sig=abcdefgh") == ["https://[broken?sig=abcdefgh"]
