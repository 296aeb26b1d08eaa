"""When a watcher rings, by a clock that is passed in."""

from __future__ import annotations

from airflow_provider_nanostt.assets.arrivals import MAX_NAMED, Look
from airflow_provider_nanostt.assets.bell import REPEAT_AFTER_SECONDS, Bell

PATTERN = "s3://conn@bucket/inbox/*.mp3"
NEW = Look(total=3, new=2, names=["s3://conn@bucket/inbox/a.mp3", "s3://conn@bucket/inbox/b.mp3"], mark="1")
NOTHING = Look(total=3, mark="1")


def rings(bell: Bell, look: Look, times: list[float]) -> list[float]:
    """At which of some times a look rings."""
    return [now for now in times if bell.ring(look, now) is not None]


def test_a_bell_says_how_many_and_names_a_few():
    """Pattern, counts and names, and a mark that is the same in each triggerer that sees the same."""
    event = Bell(PATTERN).ring(NEW, 0.0)
    names = ["s3://conn@bucket/inbox/a.mp3", "s3://conn@bucket/inbox/b.mp3"]
    assert event == {"pattern": PATTERN, "new": 2, "total": 3, "names": names, "repeated": 0, "mark": "1"}


def test_nothing_new_is_no_bell():
    """Nor are there two that say the same."""
    bell = Bell(PATTERN)
    assert bell.ring(NOTHING, 0.0) is None
    first, second = bell.ring(NEW, 10.0), bell.ring(Look(total=4, new=2, names=NEW.names, mark="2"), 20.0)
    assert first != second
    assert rings(bell, NOTHING, [30.0, 40.0]) == []


def test_a_bell_is_repeated_as_long_as_it_was_the_last():
    """A few times, each said to be one, since a run may have failed or never been made; a new bell begins again."""
    bell = Bell(PATTERN)
    bell.ring(NEW, 1000.0)
    every_minute = [1000.0 + 60 * minute for minute in range(1, 3 * 24 * 60)]
    again = rings(bell, NOTHING, every_minute)
    assert again == [1000.0 + seconds for seconds in REPEAT_AFTER_SECONDS]
    now = every_minute[-1]
    bell.ring(NEW, now)
    repeated = bell.ring(NOTHING, now + REPEAT_AFTER_SECONDS[0])
    assert repeated is not None
    assert (repeated["new"], repeated["repeated"]) == (0, 1)


def test_an_empty_folder_is_rung_for_by_nobody():
    """What has been taken away needs no run."""
    bell = Bell(PATTERN)
    bell.ring(NEW, 0.0)
    assert rings(bell, Look(), [seconds + 1 for seconds in REPEAT_AFTER_SECONDS]) == []


def test_what_an_earlier_process_rang_for_is_repeated_once():
    """It may have died before anybody heard."""
    assert rings(Bell(PATTERN), NOTHING, [float(minute * 60) for minute in range(3000)]) == [REPEAT_AFTER_SECONDS[0]]


def test_an_event_is_small_and_has_no_secret():
    """However long the names are, and whatever is in them."""
    names = [f"s3://user:secret@bucket/{'x' * 900}{number}.mp3" for number in range(MAX_NAMED)]
    event = Bell("s3://user:secret@bucket/*.mp3").ring(Look(total=20, new=20, names=names, mark="1"), 0.0)
    assert "secret" not in str(event)
    assert len(str(event)) < 5_000
    odd = Bell(PATTERN).ring(Look(total=1, new=1, names=["/calls/\udcff.mp3"], mark="1"), 0.0)
    assert str(odd).isascii()
