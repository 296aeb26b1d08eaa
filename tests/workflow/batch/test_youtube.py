"""Transcripts of YouTube videos: ten with a request, each paid once, each with a file and a row."""

from __future__ import annotations

import contextlib
import json
import re
from collections import UserList
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.operators import YouTubeTranscribeOperator
from airflow_provider_nanostt.workflow.batch.youtube import video_id
from tests.outside import killed, output, record


def url(number: int) -> str:
    return f"https://www.youtube.com/watch?v=video{number:06d}"


@pytest.fixture
def videos(emulator, no_pauses):
    """Twelve videos that have a transcript, and no pause between requests."""
    for number in range(12):
        emulator.script(url(number), text=f"This is talk {number}.", title=f"Talk {number}: a/b. c")
    return [url(number) for number in range(12)]


@pytest.fixture
def run(files):
    def run(urls, instance=None, **arguments):
        operator = YouTubeTranscribeOperator(task_id="t", urls=urls, **{"output_path": str(files.folder), **arguments})
        return operator.execute(files.context(**(instance or {})))

    return run


@pytest.fixture
def rows(files):
    return lambda: [json.loads(line) for line in (files.folder / "manifest.jsonl").read_text().splitlines()]


def requests(emulator) -> int:
    return sum(request.path.endswith("/youtube-transcribe") for request in emulator.requests)


ID = "jNQXAC9IVRw"
CANONICAL = f"https://www.youtube.com/watch?v={ID}"
SAME = [
    *(f"https://youtu.be/{ID}{end}" for end in ("", "/", "?t=30", "&feature=x", "#t=1", ".", "\n")),
    *(f"{CANONICAL}{end}" for end in ("", "/", "?t=30", "#t=5", "%26t=30", "&v=other", "%0A", "&list=PLx", "&t=10")),
    *(f"https://{site}.youtube.com/watch?v={ID}&si=abc" for site in ("m", "music", "gaming", "www")),
    *(f"https://www.youtube.com/{step}/{ID}?x=1" for step in ("embed", "shorts", "live", "v", "vi", "e", "watch")),
    f"https://www.youtube.com/watch/?app=desktop&v={ID}",
    f"https://www.youtube.com/watch?feature=player_embedded;v={ID}",
    f"https://www.youtube.com/watch?V=%20{ID}",
    f"https://www.youtube.com/#!v={ID}",
    f"https://www.youtube.com/user/x#p/u/1/{ID}",
    f"https://www.youtube-nocookie.com/embed/{ID}",
    f"https://youtube.googleapis.com/v/{ID}",
    f"https://i.ytimg.com/vi/{ID}/hqdefault.jpg",
    f"https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3D{ID}%26feature%3Dshare",
    f"https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%2F{ID}",
    f"https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3D{ID}",
    f"HTTPS://WWW.YOUTUBE.COM.:443/watch?v={ID}",
    f"//www.youtube.com/watch?v={ID}",
    f"youtu.be/{ID}",
    f" <https://youtu.be/{ID}> ",
    ID,
]


@pytest.mark.parametrize("address", SAME)
def test_the_video_is_told_from_its_address(address):
    """Every form in which people and pages write an address leads to the same id."""
    assert video_id(address) == ID


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (f"https://nowhere.example/watch?v={ID}", "of another site"),
        (f"https://notyoutube.com/watch?v={ID}", "of another site"),
        (f"https://www.youtube.com.evil.example/watch?v={ID}", "of another site"),
        (f"https://www.youtube.com@evil.example/watch?v={ID}", "of another site"),
        (f"ftp://www.youtube.com/watch?v={ID}", "of another site"),
        (f"javascript:alert(1)//www.youtube.com/watch?v={ID}", "of another site"),
        (f"https://evil.example\\@www.youtube.com/watch?v={ID}", "a backslash"),
        (f"https://www.youtube.com\t.evil.example/watch?v={ID}", "a control character"),
        (f"https://evil.example%2f@www.youtube.com/watch?v={ID}", "a user name"),
        ("https://www.youtube.com/playlist?list=abc", "a playlist"),
        ("https://www.youtube.com/watch?list=PLx", "a playlist"),
        ("https://www.youtube.com/embed/videoseries?list=PLaaa", "a playlist"),
        ("https://youtu.be/playlist?list=PLx", "a playlist"),
        ("https://www.youtube.com/@somebody/videos", "a channel"),
        ("https://www.youtube.com/channel/UCx", "a channel"),
        ("https://www.youtube.com/clip/UgkxABCDEF", "a clip"),
        ("https://www.youtube.com/embed/live_stream?channel=UCx", "no video id"),
        ("https://www.youtube.com/watch?v=short", "no video id"),
        (f"{CANONICAL}12", "no video id"),
        ("https://www.youtube.com/watch?v=jNQXAC9IV!w", "no video id"),
        ("https://www.youtube.com/watch?v=../../../etc", "no video id"),
        ("https://www.youtube.com/redirect?q=https%3A%2F%2Fevil.example%2F" + ID, "no video id"),
        ("https://youtube.com/", "no video id"),
        ("https://[youtube.com/", ""),
        ("", ""),
    ],
)
def test_what_is_no_video_is_refused(address, why):
    """The message says what the address is instead."""
    with pytest.raises(InvalidInput, match=f"not the address of a YouTube video: .*{why}"):
        video_id(address)


@given(st.text() | st.from_regex(r"(https://)?(www\.youtube\.com|youtu\.be)/[!-~]*", fullmatch=True))
def test_an_id_is_an_id(address):
    """Whatever the text, it has an id of eleven characters, or is refused."""
    with contextlib.suppress(InvalidInput):
        assert re.fullmatch("[A-Za-z0-9_-]{11}", video_id(address))


def test_one_video_under_many_addresses_is_paid_once(emulator, run, rows):
    """Nothing but the canonical address of each video reaches the service, whatever was pasted."""
    emulator.script(CANONICAL, text="Me at the zoo.", title="Zoo")
    lists = [f"https://www.youtube.com/embed/videoseries?list=PL{name}" for name in "ab"]
    evil = f"https://evil.example\\@www.youtube.com/watch?v={ID}"
    result = run([*SAME, *lists, evil], on_item_error="continue")
    assert [row["status"] for row in rows()] == ["written", *["duplicate"] * (len(SAME) - 1), *["failed"] * 3]
    assert (result["total"], [charge.source for charge in emulator.charges]) == (len(SAME) + 3, [CANONICAL])


def test_twelve_videos_take_two_requests(emulator, videos, run, rows, files):
    """Ten with a request; a row and a file for each, named after title and id."""
    result = run(videos, formats=("json", "txt"))
    assert (result["total"], result["written"], result["cost_usd"]) == (12, 12, pytest.approx(0.12))
    assert requests(emulator) == 2
    assert [row["audio"] for row in rows()] == videos
    assert (files.folder / "Talk_3_a_b_c-video000003.txt").read_text().strip() == "This is talk 3."
    assert all(row["status"] == "written" and row["cost_usd"] == pytest.approx(0.01) for row in rows())


def test_a_video_without_transcript_fails_alone_and_costs_nothing(emulator, videos, run, rows):
    """The others land; the task names what is missing, and no retry would help."""
    with pytest.raises(AirflowFailException, match=r"1 of 3 recordings.*\n.*video009999.*no transcript"):
        run([videos[0], url(9999), videos[1]])
    assert [row["status"] for row in rows()] == ["written", "failed", "written"]
    assert len(emulator.charges) == 2
    assert run([videos[0], url(9999)], on_item_error="continue")["failed"] == 1
    assert len(emulator.charges) == 2


def test_a_retry_asks_only_for_what_is_missing(emulator, videos, run, rows):
    """What has landed is not paid for again, and keeps its file."""
    run(videos[:3])
    before = [row["files"] for row in rows()]
    run(videos[:4])
    assert [row["files"] for row in rows()][:3] == before
    assert sorted(charge.source for charge in emulator.charges) == videos[:4]


def test_a_lost_answer_is_not_asked_for_again(emulator, videos, run, rows):
    """Nobody knows whether it was charged: the task fails, now and the next time, until somebody decides."""
    emulator.fail("/youtube-transcribe", status=500, after_charge=True)
    with pytest.raises(AirflowFailException, match="may have been accepted and charged"):
        run(videos[:2])
    with pytest.raises(AirflowFailException, match="on_ambiguous_submit"):
        run(videos[:2])
    assert requests(emulator) == 1
    assert run(videos[:2], recovery_policy={"on_ambiguous_submit": "resubmit"})["written"] == 2


def test_killed_while_landing_the_retry_lands_all_that_was_paid(emulator, videos, run, monkeypatch):
    """All answers of a request are recorded before the first of them is landed."""
    with killed(before=output()):
        run(videos[:3])
    assert run(videos[:3])["written"] == 3
    assert (requests(emulator), len(emulator.charges)) == (1, 3)


def test_one_video_under_two_addresses_is_paid_once(emulator, videos, run, rows):
    """Also in a later run, which has got the address from somewhere else."""
    short = "https://youtu.be/video000000?si=shared"
    run([videos[0], short], skip_existing=True)
    assert [(row["audio"], row["status"]) for row in rows()] == [(videos[0], "written"), (videos[0], "duplicate")]
    result = run([short], {"run_id": "manual__2"}, skip_existing=True)
    assert (result["skipped"], len(emulator.charges)) == (1, 1)


def answering(emulator, results: list[dict[str, Any]]) -> None:
    """Have the service charge as ever, and answer with these results."""
    done = [{"success": True, **result} for result in results]
    body = {"transcripts": done, "summary": {"successful": len(done), "totalCost": 0.01 * len(done)}}
    emulator.fail("/youtube-transcribe", status=200, body=json.dumps(body), after_charge=True)


def result(number: int, **other: Any) -> dict[str, Any]:
    title, text = f"Talk {number}: a/b. c", f"This is talk {number}."
    return {"url": url(number), "title": title, "transcript": text, **other}


def test_results_in_another_order_are_those_of_their_videos(emulator, videos, run, files, monkeypatch):
    """Though the service writes their addresses in another way."""
    answering(emulator, [result(number, url=f"https://youtu.be/video{number:06d}") for number in (2, 1, 0)])
    run(videos[:3], formats=("txt",))
    for number in range(3):
        place = files.folder / f"Talk_{number}_a_b_c-video{number:06d}.txt"
        assert place.read_text().strip() == f"This is talk {number}."


def test_results_without_addresses_come_in_order(emulator, videos, run, files, monkeypatch):
    """As many as were asked for."""
    answering(emulator, [result(number, url="") for number in (0, 1)])
    run(videos[:2], formats=("txt",))
    assert (files.folder / "Talk_1_a_b_c-video000001.txt").read_text().strip() == "This is talk 1."


def test_a_video_that_the_answer_passes_over_may_have_been_charged(emulator, videos, run, monkeypatch, rows):
    """The others land; this one is not asked for again until somebody decides."""
    answering(emulator, [result(1), result(2)])
    with pytest.raises(AirflowFailException, match="does not mention this video"):
        run(videos[:3])
    assert [row["status"] for row in rows()] == ["failed", "written", "written"]
    with pytest.raises(AirflowFailException, match="on_ambiguous_submit"):
        run(videos[:3])
    assert requests(emulator) == 1


def test_no_video_is_left_behind_while_the_service_says_later(emulator, videos, run, rows):
    """A request that is refused for now is sent again for minutes, and each video is charged once."""
    emulator.fail("/youtube-transcribe", status=429, retry_after=30, times=9)
    emulator.fail("/youtube-transcribe", status=503, times=4)
    assert run(videos)["written"] == 12
    assert [row["status"] for row in rows()] == ["written"] * 12
    assert len(emulator.charges) == 12


def test_killed_before_videos_are_asked_for_again_nothing_is_uncertain(emulator, videos, run):
    """In the pause after a refusal nothing is on its way: the next attempt asks for all of them."""
    emulator.fail("/youtube-transcribe", status=429, retry_after=30)
    with killed(before=record("intended"), nth=11):
        run(videos[:10])
    assert run(videos[:10])["written"] == 10
    assert len(emulator.charges) == 10


def test_what_was_refused_is_no_part_of_the_limit(emulator, videos, run, rows):
    """A request that costs nothing leaves its money to the next."""
    emulator.fail("/youtube-transcribe", status=400)
    with pytest.raises(AirflowFailException):
        run(videos, max_cost_usd=0.10)
    assert [row["status"] for row in rows()] == ["failed"] * 10 + ["written"] * 2


def test_addresses_come_as_any_sequence(emulator, videos, run):
    """Airflow hands over what mapped tasks have returned as one of its own; a text is none."""
    assert run(UserList(videos[:2]))["written"] == 2
    with pytest.raises(AirflowFailException, match="must be a list of addresses"):
        run(videos[0])


@pytest.mark.parametrize("argument", ["model", "language", "staging", "timeout", "wait"])
def test_what_means_nothing_for_videos_is_no_argument(argument):
    """It is refused when the DAG is parsed, not passed over."""
    with pytest.raises((TypeError, AirflowException), match=argument):  # the latter in Airflow 2.11
        YouTubeTranscribeOperator(task_id="t", urls=[], output_path="/tmp/x", **{argument: "x"})


def test_the_limit_stops_before_the_video_that_would_exceed_it(emulator, videos, run, rows):
    """Those after it are left, and named."""
    with pytest.raises(AirflowFailException, match="max_cost"):
        run(videos[:5], max_cost_usd=0.03)
    assert [row["status"] for row in rows()] == ["written"] * 3 + ["not_started"] * 2
    assert len(emulator.charges) == 3


def test_the_same_video_twice_is_paid_once(emulator, videos, run, rows):
    """The second row says of which it is a duplicate by its files."""
    run([videos[0], videos[0], videos[1]])
    assert [row["status"] for row in rows()] == ["written", "duplicate", "written"]
    assert rows()[0]["files"] == rows()[1]["files"]
    assert len(emulator.charges) == 2


def test_what_an_earlier_run_has_landed_is_skipped(emulator, videos, run):
    """A playlist that grows costs only what is new."""
    run(videos[:2], skip_existing=True)
    result = run(videos[:3], {"run_id": "manual__2"}, skip_existing=True)
    assert (result["written"], result["skipped"], result["cost_usd"]) == (1, 2, pytest.approx(0.01))
    assert len(emulator.charges) == 3


@pytest.mark.parametrize("arguments", [{"formats": ("srt",)}, {"output_path": ""}, {"on_item_error": "no"}])
def test_what_cannot_be_is_refused_before_money_is_spent(emulator, videos, run, arguments):
    """Captions without times, no folder, words nobody knows."""
    with pytest.raises(AirflowFailException):
        run(videos, **arguments)
    assert not emulator.charges


def test_captions_with_guessed_times_are_marked(emulator, videos, run, files):
    """They are there when asked for, and say that they are estimated."""
    run(videos[:1], formats=("vtt",), output_options={"estimated_captions": True})
    assert "estimated" in (files.folder / "Talk_0_a_b_c-video000000.vtt").read_text().lower()


def test_a_wrong_key_stops_at_the_first_request(emulator, videos, run, monkeypatch, rows):
    """The balance is asked for first, and it is refused for the key: nothing else is sent."""
    connection = {**json.loads(emulator.connection_json), "password": "sk-nano-00000000-0000-4000-8000-00000000dead"}
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match="12 of 12"):
        run(videos)
    assert (requests(emulator), emulator.charges) == (0, [])
