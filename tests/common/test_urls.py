"""Which part of an address names the audio, and which part is a secret."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.common.urls import secrets, shown, unsigned
from airflow_provider_nanostt.ledger import fingerprint

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


@pytest.mark.parametrize("query", SIGNATURES.values(), ids=SIGNATURES)
def test_signing_an_address_anew_does_not_change_what_it_names(query):
    """Two signatures of one object make the same address and the same fingerprint, beside other parameters too."""
    one, two = (f"https://bucket.example.com/calls/a%20b.mp3?versionId=7&{query.format(n)}#t=1" for n in (1, 2))
    assert one != two
    assert unsigned(one) == unsigned(two) == "https://bucket.example.com/calls/a%20b.mp3?versionId=7"
    assert fingerprint(Submission(one)) == fingerprint(Submission(two))


@pytest.mark.parametrize(
    "other",
    [
        "https://bucket.example.com/calls/b.mp3?versionId=7",
        "https://bucket.example.com/calls/a.mp3?versionId=8",
        "https://bucket.example.com/calls/a.mp3",
        "https://elsewhere.example.com/calls/a.mp3?versionId=7",
        "https://bucket.example.com/calls/a.mp3?versionId=7&sv=2&st=1",
        "https://bucket.example.com/calls/a.mp3?versionId=7&id=",
    ],
)
def test_every_other_parameter_names_the_audio(other):
    """Whatever does not sign may say which recording is meant, so it makes another fingerprint."""
    mine = "https://bucket.example.com/calls/a.mp3?versionId=7"
    assert fingerprint(Submission(mine)) != fingerprint(Submission(other))


def test_a_password_names_nothing():
    """Who fetches does not change what is fetched, and the scheme's case is no difference."""
    assert unsigned("HTTPS://me:secret@example.com/a.mp3") == unsigned("https://example.com/a.mp3")


@given(st.text(min_size=1, max_size=20), st.text(min_size=8, max_size=40))
def test_the_unsigned_address_holds_no_signature(name, secret):
    """However a signature is written, it is not in the address that is stored and shown."""
    url = f"https://example.com/{quote(name)}?id=1&X-Amz-Signature={quote(secret)}"
    assert unsigned(url) == f"https://example.com/{quote(name)}?id=1"
    assert shown(url) == unsigned(url)


def test_what_is_masked_of_an_address():
    """Signing values as written and as decoded, and a password; no dates, counts and short words."""
    url = (
        "https://me:pa%24s@example.com/a.mp3?id=recording-12345&X-Amz-Expires=3600000000&sp=r"
        "&X-Amz-Credential=AKIA12345678%2feu%2Fs3&sig=abc%2Bdef%2Fghi%3D"
    )
    assert set(secrets(url)) == {
        "pa%24s",
        "pa$s",
        "AKIA12345678%2feu%2Fs3",
        "AKIA12345678%2Feu%2Fs3",
        "AKIA12345678/eu/s3",
        "abc%2Bdef%2Fghi%3D",
        "abc+def/ghi=",
    }


def test_an_address_without_secrets_has_none():
    """Nothing of an ordinary address is masked."""
    assert secrets("https://example.com/a.mp3?id=recording-12345&versionId=abcdefghijk") == []


def test_what_is_no_address_is_masked_whole():
    """Where nobody can tell which part signs, all of it is a secret."""
    assert secrets("https://[broken?sig=abcdefgh") == ["https://[broken?sig=abcdefgh"]


def test_a_scheme_in_capitals_hides_its_signature_too():
    """Schemes are the same however they are written, and the service takes either."""
    assert shown("HTTPS://host.example/a.mp3?X-Amz-Signature=5ec2e7") == "https://host.example/a.mp3"


@pytest.mark.parametrize("value", ["note.wav", "", None, 3, ["a"]])
def test_what_is_no_web_address_is_shown_as_it_is(value):
    """Names and numbers pass."""
    assert shown(value) == value
