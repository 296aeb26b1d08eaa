"""More fields of a request: sent as they are, refused where they would be a field of ours, and never shown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.http import Response, read
from airflow_provider_nanostt.api.models import Job, Options, Submission
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.ledger import RequestFingerprint

from .recorded import URL

NAME = 'Zofia "Zo" Kowalska-Łęcka'
FIELDS: dict[str, Any] = {"keyterms": [NAME, "metoprolol"], "filler_words": True, "temperature": 0.5, "region": "pl"}


def in_json(**extra: Any) -> dict[str, Any]:
    body = endpoints.submit(Submission(URL, extra_parameters=extra)).request.body
    return json.loads(body or b"")


def test_the_fields_are_in_the_json():
    """Lists, flags, numbers and text stay what they are, beside our own fields."""
    body = in_json(**FIELDS)
    assert {name: body[name] for name in FIELDS} == FIELDS
    assert (body["audioUrl"], body["model"]) == (URL, "Whisper-Large-V3")


def test_the_fields_are_in_the_form():
    """What is not text is JSON there, a flag as our own flags are."""
    submission = Submission(Upload("a.wav", "audio/wav", b"x"), extra_parameters=FIELDS)
    body = (endpoints.submit(submission).request.body or b"").decode()
    for name, text in (
        ("keyterms", json.dumps(FIELDS["keyterms"], ensure_ascii=False)),
        ("filler_words", "true"),
        ("temperature", "0.5"),
        ("region", "pl"),
    ):
        assert f'name="{name}"\r\n\r\n{text}\r\n' in body


@pytest.mark.parametrize(
    "name",
    [
        "model",
        "Model",
        "LANGUAGE",
        "audioUrl",
        "audio_url",
        "AUDIO-URL",
        "actual.duration",
        "tag_audio_events",
        "diarize_",
    ],
)
def test_a_field_of_ours_is_refused_however_it_is_spelled(name: str):
    """Two fields of one name would leave it to the service which one counts."""
    with pytest.raises(InvalidInput, match=f"'{name}', which is set by an argument of its own"):
        Options(extra_parameters={name: "x"})


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"": 1}, "a name must be"),
        ({"a b": 1}, "a name must be"),
        ({"x" * 65: 1}, "a name must be"),
        ({'x"\r\nname="model': 1}, "a name must be"),
        ({7: 1}, "a name must be"),
        ({"keyterms": {NAME}}, "'keyterms' has the type set"),
        ({"keyterms": [object()]}, "'keyterms' has the type list"),
        ({"keyterms": float("nan")}, "not JSON"),
        ({"keyterms": [NAME] * 10_000}, "100,000 are allowed"),
        ({f"x{number}": 1 for number in range(33)}, "33 fields; 32 are allowed"),
        ([NAME], "must be a mapping, got list"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_showing_it(extra: Any, words: str):
    """The message has the field, and no value."""
    with pytest.raises(InvalidInput, match=words) as caught:
        Options(extra_parameters=extra)
    assert "Kowalska" not in str(caught.value)


def test_deep_nesting_is_refused():
    """A value that nobody could read is not sent."""
    deep: Any = []
    for _ in range(80):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested too deeply"):
        Options(extra_parameters={"keyterms": deep})


def test_text_of_a_template_is_a_list_again():
    """Airflow makes text of a list that stands alone in a template; a tuple is a list as well."""
    for given_ in ("['Kowalski', 'metoprolol']", '["Kowalski", "metoprolol"]', ("Kowalski", "metoprolol")):
        assert in_json(keyterms=given_)["keyterms"] == ["Kowalski", "metoprolol"]


@pytest.mark.parametrize("other", ["key_terms", "KeyTerms", "key-terms", "key.terms"])
def test_two_spellings_of_one_name_are_refused(other: str):
    """Nobody knows which of them would count; each by itself is the user's."""
    with pytest.raises(InvalidInput, match=f"'keyterms' and '{other}', which are spellings of one name") as caught:
        Options(extra_parameters={"keyterms": [NAME], other: ["metoprolol"]})
    assert "Kowalska" not in str(caught.value)
    assert in_json(**{other: [NAME]})[other] == [NAME]


def test_what_is_sent_alike_is_the_same_job():
    """The order of names and a fraction of nothing change nothing; a flag is no number."""

    def digest(**extra: Any) -> str:
        return RequestFingerprint.of("a" * 64, "a.wav", Options("Wizper", extra_parameters=extra)).digest

    assert digest(boost={"a": 1, "b": 2.0}, n=[1]) == digest(n=(1.0,), boost={"b": 2, "a": 1.0})
    assert len({digest(n=value) for value in (1, True, "1", 1.5, None, 0)}) == 6
    assert str(in_json(n=3.0)["n"]) == "3"
    assert in_json(n=1e300)["n"] == 1e300


@pytest.mark.parametrize(
    "value", [{"deep": [float("nan")]}, (one for one in (NAME,)), {"deep": 10**5000}, [b"x"], "[1e400]", {1j: 2}]
)
def test_what_is_no_json_inside_is_refused(value: Any):
    """Wherever it is, and without showing it."""
    with pytest.raises(InvalidInput, match="not JSON") as caught:
        Options(extra_parameters={"keyterms": value})
    assert "Kowalska" not in str(caught.value)


def test_other_values_are_another_job():
    """The fingerprint has a hash of them; without any, it is what it was before there were such fields."""

    def digest(**extra: Any) -> str:
        return RequestFingerprint.of("a" * 64, "a.wav", Options("Wizper", extra_parameters=extra)).digest

    assert digest(keyterms=["a"], region="pl") == digest(region="pl", keyterms=("a",))
    assert len({digest(), digest(keyterms=["a"]), digest(keyterms=["b"]), digest(keyterms="a")}) == 4
    assert digest() == "9f8f76b07d9c6c9873f6d05a658a7442"


def test_no_value_shows():
    """Not in what a submission, options or a call say of themselves."""
    submission = Submission(URL, extra_parameters=FIELDS)
    for shown in (submission, Options(extra_parameters=FIELDS), endpoints.submit(submission)):
        assert "Kowalska" not in repr(shown)
        assert "metoprolol" not in repr(shown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, json.dumps({"error": f"keyterms: {NAME} is not allowed"})),
        (400, json.dumps({"error": {"message": f"unknown term {NAME}", "code": "x"}}, ensure_ascii=False)),
        (422, json.dumps({"detail": [{"msg": "bad", "input": NAME}, {"msg": NAME}]})),
        (200, f"<html>Error near {NAME}</html>"),
        (502, f"<title>{NAME}</title>"),
        (200, json.dumps({"status": "failed", "error": f"{NAME} and metoprolol"})),
    ],
)
def test_a_refusal_that_repeats_a_value_does_not_show_it(status: int, body: str):
    """Whatever the envelope, and however the value is written there."""
    call = endpoints.submit(Submission(URL, extra_parameters=FIELDS))
    with pytest.raises(errors.NanoGPTError) as caught:
        read(call, Response(status, {}, body.encode(), 0.0))
    error: BaseException | None = caught.value
    while error is not None:
        assert "Kowalska" not in str(error)
        error = error.__cause__


def test_a_refusal_that_repeats_a_number_does_not_show_it():
    """A long one may be somebody's; a short one is in ordinary sentences."""
    call = endpoints.submit(Submission(URL, extra_parameters={"patients": [4711_0815], "count": 400, "flag": False}))
    with pytest.raises(errors.NanoGPTError, match=r"400: \*\*\* is not one of 400, false") as caught:
        read(call, Response(400, {}, b'{"error": "47110815 is not one of 400, false"}', 0.0))
    assert "4711" not in str(caught.value)


def test_a_transcript_may_have_the_values():
    """They are what is hoped for in it."""
    call = endpoints.submit(Submission(URL, extra_parameters=FIELDS))
    body = json.dumps({"transcription": f"Good morning, {NAME}.", "metadata": {}}).encode()
    assert read(call, Response(200, {}, body, 0.0)).text == f"Good morning, {NAME}."


def test_no_message_has_a_name_inside_of_a_field():
    """Whether it is a value there or the name of one, if the service repeats it."""
    call = endpoints.submit(Submission(URL, extra_parameters={"boost": {NAME: [2, {"deep": "metoprolol"}]}}))
    refusal = {"error": {"message": f"boost has {NAME} and metoprolol", "code": NAME}}
    with pytest.raises(errors.NanoGPTError) as caught:
        read(call, Response(400, {}, json.dumps(refusal).encode(), 0.0))
    assert "Kowalska" not in str(caught.value)
    assert "metoprolol" not in str(caught.value)


def test_a_job_keeps_none_of_the_fields():
    """Its ticket goes into the ledger and the trigger's arguments, also if the service repeats what was sent."""
    call = endpoints.submit(Submission(URL, extra_parameters=FIELDS))
    body = json.dumps({"runId": "r-1", "status": "pending", "cost": 0.1, **FIELDS}).encode()
    job = read(call, Response(202, {}, body, 0.0))
    assert job.to_json()["body"].keys() == {"runId", "status", "cost"}


@pytest.mark.parametrize("endpoint", [endpoints.status, endpoints.unread_status])
def test_a_reason_is_shown_to_whoever_asks_for_it(endpoint: Any):
    """A job with fields remembers that it has some, and not which; without that it has the reason."""
    accepted = read(
        endpoints.submit(Submission(URL, extra_parameters=FIELDS)), Response(202, {}, b'{"runId": "r-1"}', 0.0)
    )
    assert isinstance(accepted, Job)
    job = Job.from_json(json.loads(json.dumps(accepted.to_json())))
    failed = Response(200, {}, json.dumps({"status": "failed", "error": f"{NAME} is too long"}).encode(), 0.0)
    assert "may repeat values of extra_parameters" in str(read(endpoint(job), failed).error)
    assert "Kowalska" not in str(read(endpoint(job), failed))
    assert "Kowalska" in str(read(endpoint(replace(job, has_extra_parameters=False)), failed).error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=10,
)


@given(extra=st.dictionaries(st.text(max_size=12), VALUES, max_size=5))
def test_whatever_is_accepted_arrives(extra: dict[str, Any]):
    """Any fields are refused with a clear error, or arrive, and ours are what they were."""
    try:
        body = in_json(**extra)
    except InvalidInput:
        return
    assert (body["audioUrl"], body["model"], body["language"]) == (URL, "Whisper-Large-V3", "auto")
    assert set(body) >= set(extra)
