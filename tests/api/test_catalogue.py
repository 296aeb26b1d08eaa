"""What is known of a model, and who says so: the service's catalogue, the connection, the dated table."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt.api import endpoints
from airflow_provider_nanostt.api.catalogue import (
    DEFAULT_MODEL,
    DOCUMENTATION,
    KNOWN_MODELS,
    TABLE,
    Abilities,
    KnownModels,
    Price,
    check_name,
)
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.http import Response, read

DOCS = Path(__file__).parents[2] / "docs"
OFF = {"diarize": False, "tag_audio_events": False}
ABILITIES = ("diarizes", "gives_times", "takes_video", "max_bytes")


def known(*entries: object, own: dict[str, float] | None = None) -> KnownModels:
    """What is known once the service has answered with these entries."""
    body = json.dumps({"data": entries}).encode()
    listed = read(endpoints.audio_models(), Response(200, {}, body, 0.0))
    return KnownModels({one.id: one for one in listed}, "2026-11-26", own or {})


def entry(model: str, **more: object) -> dict[str, object]:
    return {"id": model, "name": model, "pricing": {"per_minute": 0.02, "currency": "USD"}, **more}


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_every_transcribing_model_is_accepted(model: str):
    """What the documentation lists for transcription is not refused."""
    KnownModels().check(model, **OFF)


def test_an_unknown_model_is_accepted_with_everything():
    """The live list is longer than the documented one, and we do not know what a new model can do."""
    for one in (KnownModels(), known(entry("Wizper"))):
        one.check("a-model-of-next-year", diarize=True, tag_audio_events=True)


@pytest.mark.parametrize("model", ["qwen-voice-clone", "minimax-voice-clone", "a-new-Voice-Clone", "x_voice_clone "])
def test_voice_clones_are_refused(model: str):
    """A model that clones voices is named, and one that transcribes is offered; its price in a catalogue is nothing."""
    with pytest.raises(InvalidInput, match=f"{model}.*{DEFAULT_MODEL}"):
        check_name(model)
    dear = known(entry(model, pricing={"per_minute": 9.0}), entry("Wizper"))
    assert [one.id for one in dear.all()] == ["Wizper"]
    assert dear.facts("unheard-of").price.at_most == 0.102


@pytest.mark.parametrize("model", ["", "  "])
def test_no_model_is_refused(model: str):
    """An empty model, as a template may produce, is said to be empty."""
    with pytest.raises(InvalidInput, match="model is empty"):
        check_name(model)


@pytest.mark.parametrize("option", ["diarize", "tag_audio_events"])
def test_options_need_a_model_that_has_them(option: str):
    """The message names the option, the model, who says so, and one that can do it."""
    words = f"{option}=True.*Wizper.*{TABLE}.*Elevenlabs-STT"
    with pytest.raises(InvalidInput, match=words):
        KnownModels().check("Wizper", **{**OFF, option: True})
    KnownModels().check("Elevenlabs-STT", **{**OFF, option: True})


def test_the_table_is_that_of_the_docs():
    """The page on models has every row, its price, what it can do, and the date; nothing else."""
    page = (DOCS / "models.md").read_text()
    words = {True: "yes", False: "no", None: "not documented"}
    rows = [
        f"| `{row.id}` | {row.per_minute:g} | {words[row.can.diarizes]} | {words[row.can.gives_times]} | "
        f"{words[row.can.takes_video]} | {f'{row.can.max_seconds:g} s' if row.can.max_seconds else ''} |"
        for row in KNOWN_MODELS.values()
    ]
    assert re.findall(r"^\| `.* \| .* \| .* \| .* \| .* \| .*\|$", page, re.MULTILINE) == rows
    assert TABLE in page


@pytest.mark.parametrize(
    ("model", "catalogue", "pages"),
    [
        ("Whisper-Large-V3", 0.000495, 0.01),
        ("Wizper", 0.017, 0.01),
        ("Elevenlabs-STT", 0.051, 0.03),
        ("gpt-4o-mini-transcribe", 0.0051, 0.003),
        ("openai-whisper-with-video", 0.102, 0.06),
    ],
)
def test_without_a_catalogue_a_limit_counts_the_dearer_of_two_sources(model: str, catalogue: float, pages: float):
    """The third party's copy of the catalogue and the service's own pages, of the same month; never the cheaper."""
    price = KnownModels().facts(model).price
    assert (price.per_minute, price.for_limit) == (catalogue, max(catalogue, pages))


@pytest.mark.parametrize(
    ("model", "own", "price"),
    [
        ("Wizper", {"Wizper": 1.0}, Price(0.02, "the service's catalogue of 2026-11-26")),
        ("New-STT", {"New-STT": 0.5}, Price(0.5, "the connection")),
        ("Elevenlabs-STT", {"Elevenlabs-STT": 0.02}, Price(0.02, "the connection")),
        ("Elevenlabs-STT", {}, Price(0.051, TABLE)),
        ("Whisper-Large-V3", {}, Price(0.000495, TABLE, 0.01, DOCUMENTATION)),
        ("New-STT", {}, Price(None, "nobody", 0.102, f"of 'openai-whisper-with-video' in {TABLE}")),
    ],
)
def test_the_price_names_its_source_and_its_date(model, own, price):
    """The service's own catalogue comes first, then the connection, then the table, which counts the highest seen."""
    assert known(entry("Wizper"), entry("New-STT", pricing=None), own=own).facts(model).price == price


def test_the_highest_price_may_be_in_the_catalogue():
    """A model without a price counts as the dearest that anybody has."""
    dear = known(entry("Dear-STT", pricing={"per_minute": "0.3"})).facts("New-STT").price
    assert (dear.for_limit, dear.at_most_source) == (0.3, "of 'Dear-STT' in the service's catalogue of 2026-11-26")


@pytest.mark.parametrize(
    "price",
    [-0.02, 0, "0", 1e9, 11, "a lot", True, [0.02], {"usd": 0.02}, None, "NaN", "-Infinity", 10**400],
)
def test_an_absurd_price_is_none(price):
    """A limit is not lifted by what the catalogue says: the table's price counts then."""
    assert known(entry("Wizper", pricing={"per_minute": price})).facts("Wizper").price.source == TABLE
    assert known(entry("Wizper", pricing={"per_minute": 0.01, "currency": "XNO"})).facts("Wizper").price.source == TABLE


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"capabilities": {"diarization": True, "word_timestamps": True}}, (True, True, False, None)),
        ({"capabilities": ["Diarization", {"name": "wordTimestamps"}, 3]}, (True, True, False, None)),
        ({"supported_parameters": ["model", "diarize"]}, (True, False, False, None)),
        ({"supported_parameters": {"diarize": {"type": "boolean", "default": False}}}, (True, False, False, None)),
        ({"supported_parameters": {"diarize": {"supported": False}}}, (False, False, False, None)),
        ({"supported_parameters": {"timestamps": ["word", "segment"]}}, (False, True, False, None)),
        ({"capabilities": {"diarization": "false", "video_input": "true"}}, (False, False, True, None)),
        ({"capabilities": {"diarization": "perhaps"}, "supported_parameters": 7}, (False, False, False, None)),
        ({"capabilities": {"diarization": False}, "supported_parameters": ["diarize"]}, (True, False, False, None)),
        ({"capabilities": {"max_file_size_mb": 25}}, (False, False, False, 25_000_000)),
        ({"supported_parameters": {"max_file_size_mb": "25"}}, (False, False, False, 25_000_000)),
        ({"supported_parameters": {"maxFileSizeMb": {"max": 25}}}, (False, False, False, 25_000_000)),
        (
            {"capabilities": {"max_file_size_mb": 25}, "supported_parameters": {"max_file_size_mb": 4}},
            (False, False, False, 4_000_000),
        ),
        ({"max_file_size_mb": 12.5}, (False, False, False, 12_500_000)),
        *(
            ({"capabilities": {"max_file_size_mb": size}}, (False, False, False, None))
            for size in (-1, 0, 1e12, "much", None, True, [25], {"max": -3})
        ),
    ],
)
def test_what_the_catalogue_says_wins_over_the_table(said, expected):
    """However it says it; what it does not say is the table's, and what no model could have is not said."""
    can = known(entry("Wizper", **said)).facts("Wizper").can
    assert tuple(getattr(can, name) for name in ABILITIES) == expected


def test_what_nobody_says_is_unknown():
    """A model of next year may have anything, so nothing is refused because of it."""
    assert known(entry("New-STT")).facts("New-STT").can == Abilities()


def test_a_model_that_learns_to_tell_speakers_apart_is_used_for_it():
    """An option that the table would refuse is the catalogue's to allow, and the other way round."""
    known(entry("Wizper", capabilities={"diarization": True})).check("Wizper", diarize=True, tag_audio_events=False)
    lost = known(entry("Elevenlabs-STT", capabilities={"diarization": False}))
    with pytest.raises(InvalidInput, match=r"diarize=True.*the service's catalogue of 2026-11-26.*needs another model"):
        lost.check("Elevenlabs-STT", diarize=True, tag_audio_events=False)


def test_what_is_not_where_it_should_be_is_said_once():
    """A vanished model and one that nobody knows; of others there is nothing to say."""
    here = known(entry("Wizper"), entry("New-STT"))
    assert [here.news(model) for model in ("Wizper", "New-STT")] == ["", ""]
    assert here.has_vanished("Elevenlabs-STT")
    assert not here.has_vanished("Unheard-STT")
    assert "is in the built-in table" in here.news("Elevenlabs-STT")
    assert "nor in the service's catalogue of 2026-11-26" in here.news("Unheard-STT")
    assert here.news("Unheard-STT") == here.news("Elevenlabs-STT") == ""
    assert "is not in the built-in table" in KnownModels().news("New-STT")
    assert KnownModels().news("Wizper") == ""


def test_the_table_is_compared_with_the_catalogue():
    """Price, abilities, new and vanished models; what the catalogue does not say is no difference."""
    listed = [entry(row.id, pricing={"per_minute": row.per_minute}) for row in KNOWN_MODELS.values()]
    assert known(*listed).differences() == []
    changed = known(
        *listed[:-1],
        entry("Wizper", pricing={"per_minute": 0.5}, capabilities={"diarization": True, "word_timestamps": False}),
        entry("New-STT"),
        entry("new-voice-clone"),
    )
    found = [(one.model, one.what, one.table, one.catalogue, one.is_price) for one in changed.differences()]
    assert found == [
        ("New-STT", "it", "missing", "there", False),
        ("Wizper", "the price", "$0.017/min", "$0.5/min", True),
        ("Wizper", "diarizes", "False", "True", False),
        ("fun-asr-flash-2026-06-15", "it", "there", "missing", False),
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["max", "value", "supported", "name", "x"]) | st.text(max_size=9), inner)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["id", "name", "pricing", "capabilities", "supported_parameters", "max_file_size_mb", "x"])
INNER = st.dictionaries(
    st.sampled_from(["per_minute", "currency", "diarization", "diarize", "max_file_size_mb", "timestamps", "video"]),
    VALUES,
)


@given(entries=st.lists(st.dictionaries(NAMES, VALUES | INNER) | VALUES, max_size=4))
def test_whatever_the_catalogue_says_is_in_range(entries):
    """Any JSON is read, no number is out of range, and a limit always has a price to count."""
    found = known(*json.loads(json.dumps(entries, allow_nan=False, default=str) if _is_plain(entries) else "[]"))
    for one in [*found.all(), found.facts("unheard-of")]:
        assert one.price.for_limit is not None
        assert 0 < one.price.for_limit <= 10
        assert math.isfinite(one.price.for_limit)
        assert one.can.max_bytes is None or 1_000_000 <= one.can.max_bytes <= 10_000_000_000


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("pricing", [{"per_minute": 50}, {"per_minute": 0.2, "currency": "EUR"}, {"per_minute": "?"}])
def test_a_price_that_cannot_be_believed_does_not_make_a_model_cheap(pricing):
    """The table's older one is what is expected; a limit counts the highest that any model has."""
    price = known({**entry("whisper-1"), "pricing": pricing}).facts("whisper-1").price
    assert price.per_minute == KNOWN_MODELS["whisper-1"].per_minute
    assert price.for_limit == max(row.per_minute for row in KNOWN_MODELS.values())
