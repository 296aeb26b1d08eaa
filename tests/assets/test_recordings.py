"""The asset that a DAG author schedules on."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.assets import RecordingsTrigger, recordings

HAS_WATCHERS = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 1)
needs_watchers = pytest.mark.skipif(not HAS_WATCHERS, reason="needs Airflow 3.1")
PATTERN = "s3://conn@bucket/inbox/**/*.mp3"


def arguments(asset: Any) -> dict[str, Any]:
    """What is stored of its watcher."""
    (one,) = asset.watchers
    path, kwargs = one.trigger.serialize()
    assert path == f"{RecordingsTrigger.__module__.rpartition('.')[0]}.RecordingsTrigger"
    assert json.loads(json.dumps(kwargs)) == kwargs
    return dict(kwargs)


@pytest.mark.skipif(HAS_WATCHERS, reason="this Airflow has them")
def test_before_airflow_3_1_it_says_what_it_needs():
    """In place of an error about a name that cannot be imported."""
    with pytest.raises(InvalidInput, match=r"recordings\(\) needs Airflow 3.1 or newer; this is"):
        recordings(PATTERN)


@needs_watchers
def test_an_asset_is_named_after_its_pattern():
    """Without the connection, and percent-encoded, since an asset is known by its URI."""
    asset = recordings(PATTERN)
    assert (asset.name, asset.uri) == ("s3://bucket/inbox/**/*.mp3",) * 2
    assert arguments(asset) == {"pattern": PATTERN, "every": 60.0, "settle": 60.0, "name": asset.name}
    assert recordings("s3://conn@bucket/call ?.mp3").uri == "s3://bucket/call%20%3F.mp3"
    assert recordings(Path("/mnt/calls/*.wav")).uri == "file:///mnt/calls/*.wav"


@needs_watchers
def test_two_dags_may_share_an_asset_or_have_their_own():
    """The same call twice is one asset; one with a name has a watcher and a memory of its own."""
    assert recordings(PATTERN) == recordings(PATTERN)
    one, other = recordings(PATTERN, name="one"), recordings(PATTERN, name="other")
    assert one.name == "one"
    assert len({one.uri, other.uri, recordings(PATTERN).uri}) == 3
    assert arguments(one) != arguments(other)


@needs_watchers
def test_times_may_be_timedeltas():
    """Seconds are stored."""
    found = arguments(recordings(PATTERN, every=timedelta(minutes=2), settle="300"))
    assert (found["every"], found["settle"]) == (120.0, 300.0)


@needs_watchers
@pytest.mark.parametrize(
    ("pattern", "how", "words"),
    [
        ("inbox/*.mp3", {}, "relative pattern"),
        ("", {}, "relative pattern"),
        ("https://example.com/*.mp3?token=0123456789abcdef", {}, "is a web address"),
        ("s3://bucket/inbox/", {}, "is no pattern"),
        ("s3://user:0123456789abcdef@bucket/*.mp3", {}, "has a password"),
        (PATTERN, {"every": 0}, "every must be a positive number"),
        (PATTERN, {"every": 0.5}, "at least 1 second"),
        (PATTERN, {"every": 1e9}, "at most 86400 seconds"),
        (PATTERN, {"settle": -1}, "settle must be"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_the_dag_file(pattern: str, how: dict[str, Any], words: str):
    """Where its author sees it, and without what is secret in it."""
    with pytest.raises(InvalidInput, match=words) as caught:
        recordings(pattern, **how)
    assert "0123456789abcdef" not in str(caught.value)
