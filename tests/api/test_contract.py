"""Every request the client can produce fits the service's published contract, where that file is at hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.http import Request
from airflow_provider_nanostt.api.models import Submission
from airflow_provider_nanostt.api.upload import Upload

from .strategies import bodies_of_tickets, jobs, steady
from .test_endpoints import form

FILE = Path(__file__).parents[2].parent / "shared" / "reference" / "nanogpt-openapi.json"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"{FILE} is not here")


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def check(contract: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Validate against a schema whose references point into the whole document."""
    whole = {**contract, **schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def check_request(contract: dict[str, Any], request: Request) -> None:
    """Validate path, method, query, content type and body of a request."""
    address = urlsplit(request.path)
    operation = contract["paths"][address.path][request.method.lower()]
    declared = {parameter["name"]: parameter["schema"] for parameter in operation.get("parameters", ())}
    for name, (value,) in parse_qs(address.query).items():
        check(contract, declared[name], value)
    if request.body is None:
        assert "requestBody" not in operation
        return
    kind = request.headers["Content-Type"].partition(";")[0]
    schema = operation["requestBody"]["content"][kind]["schema"]
    if kind == "application/json":
        value = json.loads(request.body)
    else:
        value = {name: "" if isinstance(field, tuple) else field for name, field in form(request).items()}
    check(contract, schema, value)
    assert set(value) <= set(contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"])


DOCUMENTED = ("Whisper-Large-V3", "Wizper", "Elevenlabs-STT", "gpt-4o-mini-transcribe", "openai-whisper-with-video")
"""Models that the contract names; the catalogue has more."""


def submissions() -> st.SearchStrategy[Submission]:
    """Every submission for a documented model that passes our own checks."""
    uploads = st.builds(Upload, st.text(max_size=20), st.just("audio/wav"), st.binary(min_size=1, max_size=40))
    urls = st.builds("https://recordings.example/{}".format, st.text("abc/?=&%é漢", max_size=20))
    models = st.sampled_from([KNOWN_MODELS[name] for name in DOCUMENTED])

    def with_options(facts: Any) -> st.SearchStrategy[Submission]:
        option = st.booleans() if facts.can.diarizes else st.just(False)
        return st.builds(
            Submission,
            audio=uploads | urls,
            model=st.just(facts.id),
            language=st.sampled_from(["auto", "en", "deu", "pt-BR"]),
            diarize=option,
            tag_audio_events=option,
            actual_minutes=st.none() | st.floats(min_value=0, exclude_min=True, max_value=1e6),
        )

    return models.flatmap(with_options)


@steady()
@given(submission=submissions())
def test_every_submission_fits(contract: dict[str, Any], submission: Submission):
    """Upload or URL, whatever the options: fields, names and types are the documented ones."""
    check_request(contract, endpoints.submit(submission).request)


@steady()
@given(job=jobs(bodies_of_tickets()))
def test_every_status_call_fits(contract: dict[str, Any], job: Any):
    """Whatever types the accepting answer used, the echo uses those of the contract."""
    request = endpoints.status(job).request
    check(contract, {"$ref": "#/components/schemas/TranscribeStatusRequest"}, json.loads(request.body))


@pytest.mark.parametrize(
    "call",
    [
        endpoints.balance(),
        endpoints.youtube(["https://youtu.be/sample00001"] * 10),
        endpoints.usage(),
        endpoints.usage(date(2026, 5, 1), date(2026, 5, 31), "model,day"),
    ],
    ids=lambda call: call.request.path,
)
def test_the_other_requests_fit(contract: dict[str, Any], call: endpoints.Call[Any]):
    """Balance, videos and usage are asked as documented."""
    check_request(contract, call.request)


def test_the_check_can_fail(contract: dict[str, Any]):
    """A request with a wrong type is noticed, or the tests above would prove nothing."""
    wrong = Request("POST", "/transcribe", {"Content-Type": "application/json"}, b'{"audioUrl": 5}')
    with pytest.raises(Exception, match="is not of type"):
        check_request(contract, wrong)
