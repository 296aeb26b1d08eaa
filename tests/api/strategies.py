"""What hypothesis makes up: answers of any kind, tickets, word lists; bounded, and the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import COMPLETED_WORDS, FAILED_WORDS, RUNNING_WORDS, Job

if TYPE_CHECKING:
    from collections.abc import Callable


def steady(examples: int = 100) -> Callable[[Any], Any]:
    """Settings under which a test does the same in every run, and never fails for being slow."""
    return settings(
        derandomize=True,
        deadline=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


STATUS_WORDS = sorted(RUNNING_WORDS | COMPLETED_WORDS | FAILED_WORDS)

NAMES = st.sampled_from(
    """transcription text data metadata status runId run_id error message detail msg code model cost chargedDuration
    words diarization segments speaker speaker_id start end type language fileName fileSize requiredBalance
    usd_balance nano_balance id name pricing per_minute transcripts url success title transcript summary totalCost
    totals requests netCostUsd""".split()
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*STATUS_WORDS, "1e999", "speaker_3", "https://a.example/x?y=1", 10**400])
)


def values() -> st.SearchStrategy[Any]:
    """Return any JSON, with the names of the service more often than not."""
    return st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=6),
        max_leaves=20,
    )


def bodies_of_tickets() -> st.SearchStrategy[dict[str, Any]]:
    """Return what a 202 may say: the documented fields in any type, and others; no text, which would be an answer."""
    fields = "runId status cost paymentSource isApiRequest fileName fileSize chargedDuration diarize".split()
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    numbers = st.sampled_from(["1.5", "7", "true", "False", "many"])
    return st.dictionaries(
        st.sampled_from(fields) | st.text(max_size=5).filter(lambda name: name != "text"), plain | numbers, max_size=10
    )


def jobs(bodies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Job]:
    amounts = st.none() | st.floats(min_value=0, max_value=1e6)
    return st.builds(
        Job,
        run_id=st.text(min_size=1),
        model=st.text(min_size=1),
        submitted_at=st.floats(min_value=0, max_value=4e9),
        cost=amounts,
        charged_minutes=amounts,
        body=bodies,
    )


def word_lists(*, timed: bool = False) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return raw word lists; ``timed`` ones have times that never run backwards."""
    seconds = st.floats(min_value=0, max_value=3)
    entry = st.fixed_dictionaries(
        {
            "text": st.text("abcé漢. ", max_size=5),
            "type": st.sampled_from(["word", "word", "word", "punctuation", "spacing", "audio_event", "new", None]),
            "speaker_id": st.none() | st.integers(0, 2) | st.sampled_from(["speaker_0", "agent"]),
            "start": seconds if timed else st.none() | st.floats() | st.text(max_size=3),
            "end": seconds if timed else st.none() | st.floats() | st.text(max_size=3),
        }
    )
    lists = st.lists(entry, max_size=12)
    return lists.map(_in_order) if timed else lists


def _in_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read the numbers as gaps before and lengths of the words."""
    now, ordered = 0.0, []
    for entry in entries:
        start = now + entry["start"]
        now = start + entry["end"]
        ordered.append({**entry, "start": start, "end": now})
    return ordered
