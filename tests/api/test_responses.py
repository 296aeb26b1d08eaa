"""Reading recorded answers: every quirk of the service's that was ever seen is a file in ``tests/samples``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_nanostt.api import endpoints, errors, http, models
from airflow_provider_nanostt.api.body import UnreadableBodyError, decode, shorten
from airflow_provider_nanostt.api.catalogue import AudioModel
from airflow_provider_nanostt.api.models import Balance, Job, JobStatus, Segment, Transcript
from airflow_provider_nanostt.api.responses import stored_answer, stored_status

from .recorded import JOB, NOW, SUBMISSION, every_call, names, read, response, sample

CALLS = every_call()
SUBMIT, STATUS = endpoints.submit(SUBMISSION), endpoints.status(JOB)
TEXT = "The ferry leaves at a quarter past seven."
DIALOGUE = (
    Segment("Speaker 1", 0.1, 1.6, "Harbour office, good morning."),
    Segment("Speaker 2", 2.0, 3.5, "Morning, is berth nine free?"),
)


# --- submit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ("200.json", TEXT),
        ("200-silence.json", ""),
        ("200-text.json", TEXT),
        ("200-data-transcription.json", TEXT),
        ("200-data-text.json", TEXT),
        ("200-numbers-as-text.json", TEXT),
    ],
)
def test_the_text_is_found_in_each_of_its_places(sample: str, text: str):
    """The first of transcription, text, data.transcription and data.text is the transcript; "" is one, null is none."""
    transcript = read(SUBMIT, f"transcribe/{sample}")
    assert isinstance(transcript, Transcript)
    assert transcript.text == text
    assert transcript.run_id is None


@pytest.mark.parametrize("sample", ["200.json", "200-numbers-as-text.json"])
def test_what_a_synchronous_answer_says_is_read(sample: str):
    """Cost, minutes and language are the same whether the numbers arrive as numbers or as text."""
    transcript = read(SUBMIT, f"transcribe/{sample}")
    assert (transcript.cost, transcript.charged_minutes, transcript.language) == (0.0005, 0.05, "en")


def test_what_the_service_wrote_is_kept():
    """Next to what we read, metadata and the raw answer stay as they came."""
    transcript = read(SUBMIT, "transcribe/200-numbers-as-text.json")
    assert transcript.metadata["language"] == "eng"
    assert transcript.raw["metadata"] == {"chargedDuration": "0.05", "cost": "0.0005", "language": "eng"}
    assert transcript.model == SUBMISSION.model
    assert read(SUBMIT, "transcribe/200.json").model == "Whisper-Large-V3"


@pytest.mark.parametrize(
    ("sample", "status", "run_id", "model"),
    [
        ("transcribe-async/202.json", 202, "run-7c1e", "Elevenlabs-STT"),
        ("transcribe-async/202-numbers-as-text.json", 202, "run-7c1e", "Elevenlabs-STT"),
        ("transcribe-async/202-run-id-is-a-number.json", 202, "4711", SUBMISSION.model),
        ("transcribe-async/202-wrapped.json", 202, "run-7c1e", SUBMISSION.model),
        ("transcribe/200-processing.json", 200, "run-41", SUBMISSION.model),
    ],
)
def test_an_answer_with_a_run_id_is_a_ticket(sample: str, status: int, run_id: str, model: str):
    """Whether a job was accepted is decided by the answer's content, not by 200 or 202 or the model's name."""
    job = read(SUBMIT, sample, status)
    assert isinstance(job, Job)
    assert (job.run_id, job.model, job.submitted_at) == (run_id, model, NOW)


@pytest.mark.parametrize("sample", ["202.json", "202-numbers-as-text.json"])
def test_a_ticket_knows_what_was_charged(sample: str):
    """Cost and minutes of a ticket are numbers, however they arrived."""
    job = read(SUBMIT, f"transcribe-async/{sample}", 202)
    assert (job.cost, job.charged_minutes) == (0.075, 2.5)


def test_a_ticket_keeps_no_signature():
    """The name the service gives to a presigned URL is kept without its query, which is a secret."""
    body = b'{"runId": "r", "fileName": "https://bucket.example/a.wav?X-Signature=secret"}'
    assert read(SUBMIT, body, 202).body["fileName"] == "https://bucket.example/a.wav"


def test_a_submit_may_fail_at_once():
    """An answer that says the transcription failed is not mistaken for rubbish."""
    with pytest.raises(errors.TranscriptionFailed, match="no sound track") as caught:
        read(SUBMIT, "transcribe/200-failed.json")
    assert caught.value.job is None


@pytest.mark.parametrize("name", ["transcribe-async/202-without-run-id.json", *names("unreadable")])
def test_a_submit_that_cannot_be_read_keeps_the_answer(name: str):
    """Neither text nor ticket: the error keeps status, request id and the beginning of the body."""
    with pytest.raises(errors.AmbiguousSubmit) as caught:
        read(SUBMIT, name, 202, x_request_id="req-1")
    cause = caught.value.__cause__
    assert (cause.status, cause.request_id) == (202, "req-1")
    assert cause.body == shorten(response(name).body.decode("utf-8", "replace"))
    assert "req-1" in str(caught.value)


@pytest.mark.parametrize("spaces", [3_960, 19_960])
@pytest.mark.parametrize("is_json", [True, False])
def test_half_an_address_is_not_shown(spaces: int, is_json: bool):
    """Of a text that is cut off, the last word goes: it may be the beginning of an address with a password."""
    text = "cannot fetch" + " " * spaces + "https://somebody:password-that-goes-on@host.example/"
    with pytest.raises(errors.BadRequest, match=r"answered 400: cannot fetch$"):
        read(STATUS, json.dumps({"error": text}).encode() if is_json else text.encode(), 400)


def test_a_long_unreadable_answer_is_shortened():
    """Of a long answer the error keeps the beginning only."""
    with pytest.raises(errors.AmbiguousSubmit) as caught:
        read(SUBMIT, b"<html>" + b"x" * 100_000)
    assert caught.value.__cause__.body.startswith("<html>xxx")
    assert len(caught.value.__cause__.body) == 500


# --- stored answers -------------------------------------------------------------------------------------------------


def test_an_answer_on_record_is_read_as_it_was_when_it_came():
    """What a record keeps of a synchronous answer makes the same transcript again."""
    first = read(SUBMIT, "transcribe/200.json")
    assert stored_answer(json.loads(json.dumps(first.raw)), model="another") == first
    assert stored_answer({"text": "Hello."}, model="another") == Transcript(
        "Hello.", model="another", raw={"text": "Hello."}
    )


def test_a_record_without_a_transcript_is_damaged():
    """It is one item's matter, and says so."""
    with pytest.raises(errors.LedgerError, match="no transcription") as caught:
        stored_answer({"runId": "r"}, model="m")
    assert (caught.value.scope, caught.value.damaged) == ("item", True)


def test_a_stored_status_is_read_as_it_was_when_it_came():
    """What the triggerer has left for the worker makes the same transcript."""
    name = "status/completed-diarized.json"
    assert stored_status(JOB, sample(name)) == read(STATUS, name)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"status": "completed"}'])
def test_a_stored_status_that_cannot_be_read_is_an_error(data):
    """Then the service is asked again."""
    with pytest.raises(errors.LedgerError, match="run-7c1e"):
        stored_status(JOB, data)


# --- status ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "raw", "known"),
    [
        ("pending.json", "pending", True),
        ("in-queue.json", "IN_QUEUE", True),
        ("in-progress-spelled-differently.json", "In Progress", True),
        ("wrapped.json", "processing", True),
        ("a-word-never-seen.json", "polishing", False),
    ],
)
def test_a_running_job_is_asked_about_again(sample: str, raw: str, known: bool):
    """Running, in any spelling, and any word we do not know: there is more to come."""
    status = read(STATUS, f"status/{sample}")
    assert status == JobStatus(raw)
    assert (status.is_terminal, status.is_completed, status.is_failed, status.is_known) == (False, False, False, known)


def test_a_completed_job_is_read_in_full():
    """Text, speakers, words, language, cost and minutes come out of one answer."""
    status = read(STATUS, "status/completed-diarized.json")
    assert status.is_completed
    assert status.is_terminal
    assert not status.is_failed
    transcript = status.transcript
    assert transcript.text == "Harbour office, good morning. Morning, is berth nine free?"
    assert transcript.segments == DIALOGUE
    assert (transcript.language, transcript.metadata["language"]) == ("en", "eng")
    assert (transcript.cost, transcript.charged_minutes, transcript.run_id) == (0.075, 2.5, "run-7c1e")
    assert len(transcript.words) == 17
    assert transcript.words[1].type == "spacing"
    assert transcript.words[-1].speaker == "Speaker 2"


@pytest.mark.parametrize("diarization", ["null", "empty", "missing"])
def test_segments_are_rebuilt_where_there_are_none(diarization: str):
    """Without a diarization the words alone give the same segments, and cost and minutes come from the ticket."""
    transcript = read(STATUS, f"status/completed-diarization-{diarization}.json").transcript
    assert transcript.segments == DIALOGUE
    assert (transcript.cost, transcript.charged_minutes) == (JOB.cost, JOB.charged_minutes)


def test_a_language_without_spaces_is_not_torn_apart():
    """With its own spacing entries a Japanese sentence stays one piece."""
    transcript = read(STATUS, "status/completed-no-spaces.json").transcript
    assert transcript.segments == (Segment(None, 0.1, 1.5, "船は七時に出ます。"),)
    assert transcript.language == "ja"


def test_words_may_lack_times():
    """A word without times, or with times as text, is a word; speakers may be plain numbers."""
    transcript = read(STATUS, "status/completed-null-times.json").transcript
    assert transcript.segments == (
        Segment("Speaker 1", 0.2, 1.0, "Hold the line."),
        Segment("Speaker 2", 3.5, 3.8, "Thank you."),
    )
    assert transcript.words[1].start is None


def test_sounds_that_are_not_words_are_kept():
    """Audio events, and types never seen before, are part of the transcript."""
    transcript = read(STATUS, "status/completed-audio-event.json").transcript
    assert [word.type for word in transcript.words][::2] == ["audio_event", "word", "word", "jingle"]
    assert transcript.segments == (Segment("Speaker 1", 0.0, 2.4, "(horn) All aboard. (bell)"),)


@pytest.mark.parametrize(
    ("sample", "text", "raw", "cost"),
    [
        ("completed-no-metadata.json", "Berth nine is free.", "Completed", 0.075),
        ("completed-silence.json", "", "succeeded", 0.075),
        ("completed-without-a-status.json", "Berth nine is free.", "completed", 0.02),
        ("completed-odd-entries.json", "Berth nine is free.", "complete", 0.075),
    ],
)
def test_a_sparse_answer_is_still_a_transcript(sample: str, text: str, raw: str, cost: float):
    """Metadata, words and even the status may be missing; a text is a transcript."""
    status = read(STATUS, f"status/{sample}")
    assert (status.raw_status, status.transcript.text, status.transcript.cost) == (raw, text, cost)


def test_an_unreadable_entry_costs_that_entry_only():
    """Rubbish in the word list or the segments does not take the rest with it."""
    transcript = read(STATUS, "status/completed-odd-entries.json").transcript
    assert [(word.text, word.start, word.speaker) for word in transcript.words] == [("Berth", None, "the pilot")]
    assert transcript.segments == (Segment("the pilot", None, None, "Berth"),)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("failed.json", "the audio could not be decoded"),
        ("failed-with-an-object.json", "the audio could not be decoded"),
        ("failed-policy.json", "the service gave no reason"),
    ],
)
def test_a_failed_job_says_why(sample: str, reason: str):
    """Every word for failure ends the waiting, with the service's reason where it gave one."""
    status = read(STATUS, f"status/{sample}")
    assert (status.is_failed, status.is_terminal, status.is_completed) == (True, True, False)
    assert status.error == reason


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"status": "failed", "error": "cannot fetch https://b.example/a.wav?X-Sig=secret: 403"}', "b.example/a.wav"),
        (b'{"status": "failed", "error": {"message": "(http://b.example/?sig=secret)"}}', "http://b.example/"),
        (b'{"oops": "https:\\/\\/b.example\\/a.wav?a=1&sig=secret"}', "a.wav"),
        (b"<title>No such file: https://b.example/a.wav?sig=secret</title>", "No such file"),
    ],
)
def test_what_signs_an_address_is_not_repeated(body: bytes, kept: str):
    """The service's words are logged and stored, so an address in them loses its query."""
    try:
        told = str(read(STATUS, body).error)
    except errors.ProtocolError as error:
        told = str(error)
    assert kept in told
    assert "secret" not in told


@pytest.mark.parametrize("name", ["status/completed-without-text.json", "status/nothing.json", *names("unreadable")])
def test_a_status_that_cannot_be_read_is_an_error_worth_repeating(name: str):
    """Completed without a text, or nothing at all, is no news; asking again is free."""
    with pytest.raises(errors.ProtocolError) as caught:
        read(STATUS, name)
    assert http.is_retryable(STATUS, caught.value)


def test_what_json_cannot_say_does_not_get_into_a_ticket():
    """NaN, infinities and half characters in an answer neither break the status call nor the ticket."""
    job = read(SUBMIT, b'{"runId": "r\\ud800", "cost": NaN, "chargedDuration": 1e999, "x": -Infinity, "y": [1e999]}')
    assert (job.cost, job.charged_minutes) == (None, None)
    assert dict(job.body) == {"runId": "r\ud800", "cost": None, "chargedDuration": None, "x": None, "y": [None]}
    assert endpoints.status(job).request.body == b'{"isApiRequest": true, "runId": "r\\ud800", "y": [null]}'


# --- the other endpoints --------------------------------------------------------------------------------------------


def test_balances_are_read_from_text_and_numbers():
    """The service writes numbers as text; numbers are fine, too."""
    assert read(CALLS["balance"], "check-balance/200.json") == Balance(
        12.5, 0.75, "nano_1sampleaddressthatbelongstonobody"
    )
    assert read(CALLS["balance"], "check-balance/200-numbers.json") == Balance(12.5)


@pytest.mark.parametrize("sample", ["200.json", "200-bare-list.json"])
def test_the_catalogue_is_a_list_of_models(sample: str):
    """Entries without an id are left out, prices may be missing or text, and the raw entry stays."""
    models = read(CALLS["audio_models"], f"audio-models/{sample}")
    expected = {
        "200.json": [("Whisper-Large-V3", "Whisper Large", 0.0005), ("a-model-of-next-year",) * 2 + (None,)],
        "200-bare-list.json": [("Wizper", "Wizper", 0.01)],
    }
    assert [(model.id, model.name, model.price_per_minute) for model in models] == expected[sample]
    assert all(isinstance(model, AudioModel) and model.raw["id"] == model.id for model in models)


def test_videos_are_read_one_by_one():
    """Each video has a text or a reason; a success without text is none."""
    found = read(CALLS["youtube"], "youtube-transcribe/200.json")
    assert [(one.url[-1], one.success, one.title, one.text, one.error) for one in found.results] == [
        ("1", True, "Knots", "Over, under, through.", None),
        ("2", False, None, None, "this video has no captions"),
        ("3", False, None, None, "the service gave no reason"),
    ]
    assert found.cost == 0.01


def test_videos_are_read_without_a_summary():
    """A missing summary leaves the cost unknown and the transcripts readable."""
    found = read(CALLS["youtube"], "youtube-transcribe/200-no-summary.json")
    assert found.cost is None
    assert [one.text for one in found.results] == ["Over, under, through."]


def test_usage_is_what_was_spent():
    """Net cost and number of requests are read; the rest stays as it came."""
    spent = read(CALLS["usage"], "usage/200.json")
    assert (spent.net_cost, spent.requests) == (1.25, 18)
    assert spent.raw["byDay"][0]["date"] == "2026-05-04"
    little = read(CALLS["usage"], "usage/200-little.json")
    assert (little.net_cost, little.requests) == (1.25, None)


USAGE_ROW = {"date": "2026-05-04", "model": "GPT-4.1 mini", "requests": 2, "costUsd": "0.5", "refundedUsd": 0}
DAY_AND_MODEL: dict[str, Any] = {
    "apiKey": {"id": 5},
    "asOf": "2026-05-31T12:00:00.000Z",
    "totals": {"requests": 2, "netCostUsd": 0.5},
    "byDayModel": [USAGE_ROW],
}


def usage_of(**changes: Any) -> models.Usage:
    body = json.dumps({**DAY_AND_MODEL, **changes}).encode()
    found = http.read(CALLS["usage"], http.Response(200, {}, body, 0.0))
    assert isinstance(found, models.Usage)
    return found


def test_usage_by_day_and_model():
    """Who asked, when it was counted, and each row."""
    found = usage_of()
    assert (found.key_id, found.as_of) == ("5", 1780228800.0)
    assert found.rows == (models.UsageRow("2026-05-04", "GPT-4.1 mini", 2, 0.5, 0.0),)
    nothing = usage_of(byDayModel=[], totals={"requests": 0})
    assert nothing.rows == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"byDayModel": None},
        {"byDayModel": [None]},
        {"byDayModel": [USAGE_ROW, USAGE_ROW], "totals": {"requests": 4}},
        {"totals": {"requests": 3}},
        {"totals": {}},
        *({"byDayModel": [{**USAGE_ROW, name: value}]} for name in USAGE_ROW for value in (None, -1, float("nan"))),
        {"byDayModel": [{**USAGE_ROW, "requests": 1.5}]},
        *({"byDayModel": [{**USAGE_ROW, name: 1e10}]} for name in ("costUsd", "refundedUsd")),
    ],
)
def test_usage_that_does_not_add_up_has_no_rows(changes):
    """Half of the rows would look like less than was spent."""
    assert usage_of(**changes).rows is None


@pytest.mark.parametrize("value", [1e10, -1e300, "NaN", None])
def test_a_sum_that_cannot_be_is_unknown(value):
    """It would be shown, and compared."""
    assert usage_of(totals={"requests": 2, "netCostUsd": value}).net_cost is None


@pytest.mark.parametrize(
    "value", ["9999-12-31T23:59:59-12:00", None, 5, "yesterday", "2026-05-31T12:00:00", "2026-05-31T99:00:00Z"]
)
def test_usage_of_no_certain_time(value):
    """A time that cannot be read, or that has no zone, is none."""
    assert usage_of(asOf=value).as_of is None


@pytest.mark.parametrize("endpoint", ["balance", "audio_models", "youtube", "usage"])
@pytest.mark.parametrize("name", ["check-balance/200-nothing.json", "status/nothing.json", "unreadable/page.html"])
def test_an_answer_of_another_kind_is_refused(endpoint: str, name: str):
    """What is readable JSON but not this endpoint's answer is a typed error."""
    with pytest.raises(errors.AmbiguousSubmit if CALLS[endpoint].paid else errors.ProtocolError):
        read(CALLS[endpoint], name)


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSALS: list[tuple[str, type[errors.ApiError], str, dict[str, Any]]] = [
    ("400-text.json", errors.BadRequest, "This file format is not supported", {}),
    ("400-number-and-message.json", errors.BadRequest, "This file format is not supported", {}),
    ("401-object.json", errors.AuthError, "Invalid session", {"code": "invalid_api_key"}),
    ("402-required-balance.json", errors.PaymentRequired, "Insufficient balance.", {"required": 0.0035}),
    (
        "402-object.json",
        errors.PaymentRequired,
        "Insufficient balance.",
        {"required": 0.0035, "code": "insufficient_quota"},
    ),
    ("402.html", errors.PaymentRequired, "Payment Required", {"required": None}),
    ("403-message.json", errors.AuthError, "This key may not use audio models", {}),
    ("404-detail.json", errors.NotFound, "Transcription job not found", {}),
    ("408-text.json", errors.ServiceUnavailable, "Request timeout", {}),
    ("409-text.json", errors.Conflict, "This job is being deleted", {}),
    ("413.html", errors.PayloadTooLarge, "413 Request Entity Too Large", {}),
    ("413-text.json", errors.PayloadTooLarge, "File exceeds 3MB", {}),
    ("422-detail-list.json", errors.BadRequest, "field required; language unknown; and so on", {}),
    ("429-object.json", errors.RateLimited, "Rate limit exceeded", {"code": "rate_limit_exceeded"}),
    (
        "429-daily-requests.json",
        errors.DailyLimitReached,
        "Daily request limit reached",
        {"code": "daily_rpd_limit_exceeded"},
    ),
    (
        "429-daily-spend.json",
        errors.DailyLimitReached,
        "Daily spend limit reached",
        {"code": "daily_usd_limit_exceeded"},
    ),
    ("500-nested.json", errors.ServiceUnavailable, "something broke inside", {}),
    ("500-json-without-words.json", errors.ServiceUnavailable, '{"ok": false}', {}),
    ("500-empty.txt", errors.ServiceUnavailable, "no explanation", {}),
    ("502.html", errors.ServiceUnavailable, "502 Bad Gateway", {}),
    ("503.txt", errors.ServiceUnavailable, "upstream connect error or disconnect/reset before headers", {}),
    ("504-no-title.html", errors.ServiceUnavailable, "504 Gateway Time-out", {}),
]


@pytest.mark.parametrize(("sample", "kind", "message", "more"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_every_envelope_is_understood(sample: str, kind: type[errors.ApiError], message: str, more: dict[str, Any]):
    """Whatever wraps the service's no, its words, code and request id come out in the class for the status."""
    status = int(sample[:3])
    with pytest.raises(errors.ApiError) as caught:
        read(STATUS, f"errors/{sample}", status, x_request_id="req-77")
    error = caught.value
    assert type(error) is kind
    assert (error.message, error.status, error.request_id) == (message, status, "req-77")
    assert error.code == more.get("code")
    assert {name: getattr(error, name) for name in more} == more
    assert "req-77" in str(error)
    assert message.rstrip(".") in str(error)


def test_every_recorded_refusal_is_in_the_table():
    """No sample of an error lies around untested."""
    assert names("errors") == sorted(f"errors/{row[0]}" for row in REFUSALS)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (102, errors.ServiceUnavailable),
        (304, errors.Redirected),
        (418, errors.BadRequest),
        (451, errors.BadRequest),
        (520, errors.ServiceUnavailable),
        (999, errors.ServiceUnavailable),
    ],
)
def test_a_status_without_a_class_of_its_own_has_one_all_the_same(status: int, kind: type[errors.ApiError]):
    """Every status that is not a success ends in one of the typed errors."""
    with pytest.raises(errors.ApiError) as caught:
        read(STATUS, b"", status)
    assert type(caught.value) is kind


MIDNIGHT = datetime(2026, 8, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("told", "resets_at"),
    [
        ({}, MIDNIGHT),
        ({"retry_after": "3600"}, NOW + 3600),
        ({"retry_after": "Sun, 02 Aug 2026 03:00:00 GMT"}, MIDNIGHT + 3 * 3600),
        ({"retry_after": "whenever"}, MIDNIGHT),
        ({"retry_after": "9999999999"}, MIDNIGHT),
    ],
)
def test_a_daily_limit_says_when_it_ends(told: dict[str, str], resets_at: float):
    """The end is what Retry-After says, else midnight UTC, and it is in the message."""
    with pytest.raises(errors.DailyLimitReached) as caught:
        read(STATUS, "errors/429-daily-requests.json", 429, **told)
    assert caught.value.resets_at == resets_at
    assert datetime.fromtimestamp(resets_at, UTC).isoformat() in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-4", 0.0),
        ("inf", None),
        ("soon", None),
        ("Sat, 01 Aug 2026 12:00:30 GMT", 30.0),
        ("Sat, 01 Aug 2026 12:00:30 -0000", 30.0),
        ("Sat, 01 Aug 2026 11:00:00 GMT", 0.0),
        ("Sat, 99 Aug 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(raw: str | None, seconds: float | None):
    """Seconds or a date; never negative, and None where it cannot be read."""
    headers = {} if raw is None else {"retry_after": raw}
    assert http.retry_after(response(b"", 429, **headers)) == seconds


def test_a_deep_envelope_ends_somewhere():
    """Errors wrapped in errors without end do not take the reader down."""
    body = b'{"error":' * 400 + b'"deep"' + b"}" * 400
    with pytest.raises(errors.BadRequest):
        read(STATUS, body, 400)


@pytest.mark.parametrize(("value", "most"), [(b",", 4_000_000), (b"[", 1_000_000), (b"{", 1_000_000)])
def test_an_answer_of_too_many_values_is_not_read(value, most):
    """Each would cost a hundred times its bytes."""
    with pytest.raises(UnreadableBodyError, match="too many values"):
        decode(value * (most + 1))
