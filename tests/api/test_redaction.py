"""Nothing that is secret in an address comes through any error or ticket, however the service writes the address."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.errors import describe_exception
from tests.common.test_urls import FORMS, SECRETS, SIGNED

from .recorded import JOB, every_call, read

CALLS = every_call()


def said(error: BaseException) -> str:
    """Return everything that an error, and our own errors behind it, would show or store."""
    known = error.__cause__ if isinstance(error.__cause__, errors.NanoGPTError) else None
    return f"{error} {error!r} {vars(error)} {error.args} {said(known) if known else ''}"


def check(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


ENVELOPES = {
    "text": lambda text: text.encode(),
    "error": lambda text: json.dumps({"error": text}).encode(),
    "nested": lambda text: json.dumps({"error": {"message": text, "code": text}}).encode(),
    "a list": lambda text: json.dumps({"detail": [{"msg": text}, {"msg": "other"}]}).encode(),
    "slashes": lambda text: json.dumps({"message": text}).replace("/", r"\/").encode(),
    "a page": lambda text: f"<html><title>{text}</title></html>".encode(),
    "no title": lambda text: f"<html><body>Bad: {text}</body></html>".encode(),
    "the status": lambda text: json.dumps({"status": text}).encode(),
    "failed": lambda text: json.dumps({"status": "failed", "error": text}).encode(),
    "a ticket": lambda text: json.dumps({"runId": "r", "fileName": text, "more": [{text: text}]}).encode(),
    "a long text": lambda text: json.dumps({"error": "x " * 400 + text}).encode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("status", [200, 302, 402, 429, 500])
def test_no_answer_brings_a_secret(form: str, status: int):
    """Whatever the status means, in every envelope, for a paid call and a free one."""
    for make in ENVELOPES.values():
        for name in ("submit", "status"):
            try:
                value = read(CALLS[name], make(form), status, location=form, x_request_id=form)
            except errors.NanoGPTError as error:
                check(said(error))
            else:
                check(f"{getattr(value, 'body', '')} {getattr(value, 'error', '')} {getattr(value, 'raw_status', '')}")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_foreign_exception_brings_a_secret(form: str):
    """What a storage or a library says is shown without it."""
    place = SimpleNamespace(conn_id=None, storage_options={})
    check(describe_exception(ValueError(form)))
    check(said(errors.LedgerError.of("it cannot be read", OSError(form))))
    check(said(object_storage.wrap_error(OSError(form), "it cannot be read", place)))


@pytest.mark.parametrize("url", [SIGNED.replace("https://", "ftp://"), "not a URL?sig=deadbeef99"])
def test_a_submission_does_not_show_its_address(url: str):
    """The message about an address that cannot be used."""
    with pytest.raises(errors.InvalidInput) as caught:
        Submission(audio=url)
    check(said(caught.value))


def test_a_ticket_is_stored_without_secrets():
    """All of the answer that accepted a job is kept, but no query of an address in it."""
    body = json.dumps({"runId": "r", "fileName": SIGNED, "links": {"audio": [SIGNED]}, "cost": 0.5}).encode()
    ticket = read(CALLS["submit"], body, 202).to_json()
    address = "https://bucket.example.com/calls/a.mp3"
    assert ticket["body"] == {"runId": "r", "fileName": address, "links": {"audio": [address]}, "cost": 0.5}
    assert JOB.to_json()["version"] == 1
