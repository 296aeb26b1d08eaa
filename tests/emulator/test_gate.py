"""What every request passes: the key, the limits of second and day, the money."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_nanostt.emulator import Emulator, Script, Settings
from airflow_provider_nanostt.emulator.limits import DayLimit, SlidingWindow, seconds_to_midnight

from .conftest import SYNC, Caller

NOON = dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC)
HELLO = Script("*", text="hello", duration=60)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "sk-nano-wrong"},
        {"Authorization": "Bearer {key}"},
        {"x-api-key": "{key}", "Authorization": "Bearer {key}"},
    ],
)
def test_only_a_known_key_in_x_api_key_is_let_in(nanogpt, headers):
    """A missing or unknown key is a 401, and so is a known one next to an Authorization header."""
    headers = {name: value.format(key=nanogpt.api_key) for name, value in headers.items()}
    answer = requests.post(nanogpt.url + "/check-balance", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["status"] == 401
    assert answer.headers["X-Request-ID"]


def test_each_answer_has_its_own_request_id(nanogpt, api):
    """Good answers and refusals carry an X-Request-ID, which the request log keeps."""
    answers = [api.post("/check-balance"), api.post("/transcribe/status", {}), api.call("GET", "/v1/nowhere")]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 400, 404]
    assert len(set(ids)) == 3
    assert [request.request_id for request in nanogpt.requests] == ids


def test_so_many_requests_in_a_second_and_not_one_more():
    """No second sees more answers than the limit; the rest is refused with Retry-After, other keys are not."""
    assert Settings().requests_per_second == 25
    with Emulator(requests_per_second=5) as nanogpt:
        api, other = Caller(nanogpt), Caller(nanogpt, nanogpt.add_key())
        with requests.Session() as session, ThreadPoolExecutor(8) as pool:
            headers = {"x-api-key": nanogpt.api_key}
            ask = lambda _: session.post(nanogpt.url + "/check-balance", headers=headers, timeout=10)  # noqa: E731
            answers = list(pool.map(ask, range(40)))
        times = [request.time for request in nanogpt.requests if request.status == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        for first, last in zip(times, times[5:], strict=False):
            assert last - first >= 0.99
        assert len(refused) >= 1
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert "5 requests per second" in refused[0].json()["error"]
        assert other.post("/check-balance").status_code == 200
        assert nanogpt.counts["/check-balance 429"] == len(refused)
        assert api.key != other.key


def test_a_sliding_window_counts_any_second():
    """No second holds more than the limit wherever it begins, and refused requests do not count."""
    window = SlidingWindow(2, 1.0)
    assert [window.refuse(now) for now in (0.0, 0.9, 0.95, 1.0, 1.5, 1.95)] == [None, None, 1, None, 1, None]


def test_a_limit_of_zero_is_no_limit():
    """Zero turns the limit off."""
    window = SlidingWindow(0, 1.0)
    assert [window.refuse(0.0) for _ in range(1000)] == [None] * 1000


def test_a_long_window_says_how_long_to_wait():
    """The whole seconds until the oldest event leaves the window."""
    window = SlidingWindow(1, 60.0)
    assert (window.refuse(0.0), window.refuse(0.5), window.refuse(59.5)) == (None, 60, 1)


def test_the_days_requests_end_with_the_documented_code():
    """After the last request of the day, 429 with daily_rpd_limit_exceeded and the seconds to midnight UTC."""
    with Emulator(daily_requests=2) as nanogpt:
        api = Caller(nanogpt)
        answers = [api.post("/check-balance") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        error = answers[2].json()["error"]
        assert set(error) == {"message", "type", "code", "param"}
        assert error["code"] == "daily_rpd_limit_exceeded"
        assert 0 < int(answers[2].headers["Retry-After"]) <= 86_400


def test_the_days_money_ends_with_the_documented_code():
    """A submit that would pass the day's USD is refused with daily_usd_limit_exceeded and not charged."""
    with Emulator(daily_usd=0.05, default_script=HELLO) as nanogpt:
        api = Caller(nanogpt)
        answers = [api.url() for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 429]
        assert answers[1].json()["error"]["code"] == "daily_usd_limit_exceeded"
        assert len(nanogpt.charges) == 1


def test_a_new_day_begins_with_nothing_counted():
    """Requests and money are counted per UTC day."""
    day = DayLimit(max_requests=1, max_usd=1.0)
    assert (day.count_request(NOON), day.count_request(NOON)) == (True, False)
    day.spend(0.6, NOON)
    assert (day.affords(0.4, NOON), day.affords(0.5, NOON)) == (True, False)
    tomorrow = NOON + dt.timedelta(days=1)
    assert (day.count_request(tomorrow), day.affords(1.0, tomorrow)) == (True, True)


def test_midnight_is_never_now():
    """The wait until midnight is whole seconds, rounded up, and at least one."""
    assert seconds_to_midnight(NOON) == 43_200
    assert seconds_to_midnight(NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)) == 1


def test_an_empty_account_is_a_402_with_the_balance_needed(nanogpt, api):
    """A submit that costs more than the balance names what it needs and charges nothing."""
    nanogpt.set_balance(0.01)
    answer = api.url()
    assert answer.status_code == 402
    assert answer.json() == {"error": "Insufficient balance", "status": 402, "requiredBalance": 0.045}
    assert nanogpt.charges == []
    nanogpt.set_balance(0.045, api.key)
    assert api.url().status_code == 202
    assert nanogpt.balances == {key: pytest.approx(0.0 if key == api.key else 0.01) for key in nanogpt.balances}


def test_the_balance_is_told_in_strings(nanogpt, api):
    """The numbers of the balance are text, and go down by what was charged."""
    api.url(model=SYNC)
    balance = api.post("/check-balance").json()
    assert balance["usd_balance"] == "99.99925000"
    assert set(balance) == {"usd_balance", "nano_balance", "nanoDepositAddress"}
    assert all(isinstance(value, str) for value in balance.values())


def test_keys_can_have_limits_of_their_own(nanogpt):
    """A key's own balance, rate and day limits replace the settings'."""
    poor = Caller(nanogpt, nanogpt.add_key("sk-nano-poor", balance=0.5, requests_per_second=1))
    assert poor.post("/check-balance").json()["usd_balance"] == "0.50000000"
    assert poor.post("/check-balance").status_code == 429
    with pytest.raises(TypeError, match="color"):
        nanogpt.add_key(color="red")
    with pytest.raises(KeyError):
        nanogpt.set_balance(1.0, "sk-nano-nobody")


def test_the_catalogue_needs_no_key(nanogpt):
    """The models with their prices are public; type=stt leaves out voice cloning."""
    url = nanogpt.url + "/v1/audio-models"
    models = {model["id"]: model for model in requests.get(url + "?type=stt&detailed=true", timeout=10).json()["data"]}
    assert models["Elevenlabs-STT"]["pricing"] == {"per_minute": 0.03, "currency": "USD"}
    assert models["Elevenlabs-STT"]["capabilities"]["diarization"] is True
    assert "diarize" in models["Elevenlabs-STT"]["supported_parameters"]
    assert "qwen-voice-clone" not in models
    short = requests.get(url, timeout=10).json()["data"]
    assert "qwen-voice-clone" in {model["id"] for model in short}
    assert "pricing" not in short[0]


def test_the_catalogue_refuses_a_wrong_key(nanogpt):
    """A key that is sent must be right, needed or not."""
    answer = requests.get(nanogpt.url + "/v1/audio-models", headers={"x-api-key": "wrong"}, timeout=10)
    assert answer.status_code == 401


def test_usage_adds_up_the_ledger(nanogpt, api):
    """Totals, days and models are those of this key's charges, with refunds."""
    nanogpt.script("bad.mp3", status="failed", duration=60)
    api.url(model=SYNC)
    api.result(api.url("https://files.test/bad.mp3").json())
    Caller(nanogpt, nanogpt.add_key()).url(model=SYNC)
    report = api.call("GET", "/v1/usage").json()
    totals = {name: report["totals"][name] for name in ("requests", "costUsd", "refundedUsd", "netCostUsd")}
    assert totals == {"requests": 2, "costUsd": 0.03075, "refundedUsd": 0.03, "netCostUsd": 0.00075}
    assert [(item["model"], item["costUsd"]) for item in report["byModel"]] == [
        ("Elevenlabs-STT", 0.03),
        (SYNC, 0.00075),
    ]
    assert [item["requests"] for item in report["byDay"]] == [2]
    assert len(report["byDayModel"]) == 2
    assert (report["object"], report["timezone"], report["groupBy"]) == ("usage", "UTC", "day,model")


def shown(api) -> tuple[int, float]:
    """What usage and balance show: requests, and USD left."""
    usage = api.call("GET", "/v1/usage").json()["totals"]["requests"]
    return usage, float(api.post("/check-balance").json()["usd_balance"])


def test_each_key_has_a_number_of_its_own(nanogpt):
    """It stays when the key is made known again, and no other key gets it."""

    def number(key: str) -> int:
        return Caller(nanogpt, key).call("GET", "/v1/usage").json()["apiKey"]["id"]

    key = nanogpt.add_key()
    first = number(key)
    nanogpt.add_key(key, balance=5.0)
    assert number(key) == first
    assert number(nanogpt.add_key()) != first


@pytest.mark.parametrize(
    ("books", "seen"),
    [
        ({}, (2, 99.94)),
        ({"usage_delay": 60}, (0, 99.94)),
        ({"balance_delay": 60}, (2, 100.0)),
        ({"usage_hides": "*/b.mp3"}, (1, 99.94)),
        ({"balance_hides": "*/b.mp3"}, (2, 99.97)),
        ({"balance_off": -1.0}, (2, 98.94)),
    ],
)
def test_books_can_be_late_or_wrong(nanogpt, api, books, seen):
    """Usage and balance show what the books say, each by itself; what was really charged stays what it is."""
    for name in ("a", "b"):
        nanogpt.script(f"{name}.mp3", duration=60)
        api.url(f"https://files.test/{name}.mp3")
    nanogpt.keep_books(**books)
    assert shown(api) == seen
    assert nanogpt.balances[api.key] == pytest.approx(99.94)
    nanogpt.keep_books()
    assert shown(api) == (2, 99.94)


def test_what_was_late_shows_in_time(nanogpt, api, monkeypatch):
    """A charge shows once its delay is over, and the usage can say how old it is."""
    api.url(model=SYNC)
    nanogpt.keep_books(usage_delay=100, balance_delay=200, tells_delay=True)
    now = time.time()
    found = []
    for later in (0, 150, 250):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        found.append(shown(api))
    assert [(usage, balance < 100) for usage, balance in found] == [(0, False), (1, False), (1, True)]
    as_of = dt.datetime.fromisoformat(api.call("GET", "/v1/usage").json()["asOf"])
    assert as_of.timestamp() == pytest.approx(now + 150, abs=0.01)


@pytest.mark.parametrize(
    ("group_by", "parts"),
    [("day", {"byDay"}), ("model", {"byModel"}), ("model,day", {"byDay", "byModel", "byDayModel"})],
)
def test_usage_is_grouped_as_asked(api, group_by, parts):
    """Only the aggregates asked for are there, for the range asked for."""
    api.url(model=SYNC)
    yesterday = (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)).isoformat()
    report = api.call("GET", "/v1/usage", params={"from": yesterday, "to": yesterday, "group_by": group_by}).json()
    assert {name for name in report if name.startswith("by")} == parts
    assert report["totals"]["requests"] == 0
    assert report["from"] == yesterday


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-01-01"},
        {"from": "yesterday", "to": "today"},
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2026-01-01", "to": "2999-01-01"},
        {"group_by": "hour"},
        {"scope": "everybody"},
        {"api_key_id": "99"},
    ],
)
def test_usage_refuses_what_the_documentation_refuses(api, query):
    """A bad range, grouping, scope or key is a 400 in the usage endpoint's own envelope."""
    answer = api.call("GET", "/v1/usage", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_youtube_transcripts_are_scripted_and_charged_per_success(nanogpt, api):
    """Each URL has its own outcome; only successes cost a cent."""
    known, failing, unknown, other = (
        "https://www.youtube.com/watch?v=known",
        "https://youtu.be/failing",
        "https://youtu.be/unknown",
        "https://example.test/video",
    )
    nanogpt.script(known, text="hello viewers", title="A film")
    nanogpt.script(failing, status="failed", error="Captions are off")
    answer = api.post("/youtube-transcribe", {"urls": [known, failing, unknown, other]}).json()
    first, second, third, fourth = answer["transcripts"]
    assert first == {"url": known, "success": True, "title": "A film", "transcript": "hello viewers"}
    assert second == {"url": failing, "success": False, "error": "Captions are off"}
    assert "No transcript is scripted" in third["error"]
    assert fourth["error"] == "Invalid YouTube URL"
    assert answer["summary"] == {"requested": 4, "processed": 4, "successful": 1, "failed": 3, "totalCost": 0.01}
    assert [(charge.endpoint, charge.source, charge.cost) for charge in nanogpt.charges] == [
        ("/youtube-transcribe", known, 0.01)
    ]


@pytest.mark.parametrize("urls", [None, [], "https://youtu.be/x", [1], ["https://youtu.be/x"] * 11])
def test_youtube_wants_one_to_ten_urls(api, urls):
    """Anything but a list of one to ten texts is a 400."""
    assert api.post("/youtube-transcribe", {"urls": urls}).status_code == 400


def test_youtube_allows_ten_requests_a_minute(api):
    """The eleventh request of a minute is refused with the seconds to wait."""
    answers = [api.post("/youtube-transcribe", {"urls": ["https://youtu.be/x"]}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert 50 <= int(answers[10].headers["Retry-After"]) <= 60


def test_youtube_needs_money(nanogpt, api):
    """What the URLs might cost must be there."""
    nanogpt.set_balance(0.015)
    answer = api.post("/youtube-transcribe", {"urls": ["https://youtu.be/x"] * 2})
    assert (answer.status_code, answer.json()["requiredBalance"]) == (402, 0.02)


@pytest.mark.parametrize("body", [b"{broken", b"[1]", b'"text"'])
def test_a_body_that_is_no_json_object_is_a_400(api, body):
    """Broken JSON, and JSON that is no object, are refused."""
    answer = api.call("POST", "/transcribe", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_broken_form_is_a_400(api, content_type):
    """A multipart body without its boundary is refused."""
    answer = api.call("POST", "/transcribe", data=b"--y\r\nnothing", headers={"Content-Type": content_type})
    assert answer.status_code == 400


def test_form_parts_that_mean_nothing_are_passed_over(api):
    """Nested and nameless parts do not disturb a submit."""
    parts = [
        b'Content-Disposition: form-data; name="audioUrl"\r\n\r\nhttps://files.test/a.mp3',
        b"Content-Disposition: form-data\r\n\r\nnameless",
        b"Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n\r\nx\r\n--in--",
    ]
    data = b"".join(b"--out\r\n" + part + b"\r\n" for part in parts) + b"--out--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=out"}
    assert api.call("POST", "/transcribe", data=data, headers=headers).status_code == 200
