"""Transcripts as hypothesis makes them up: plausible ones, and ones that nobody should ever send."""

from __future__ import annotations

from hypothesis import strategies as st

from airflow_provider_nanostt.api.models import Segment, Transcript, Word

TRAPS = [
    *("-->", "--->", "<b>", "</b>", "<v Someone>", "{\\an8}", "{x}", "\\N", "\\h", "&amp;", "&lt;b&gt;", "&", "NOTE"),
    *("STYLE", "WEBVTT", "42", "1\n\n2", "00:00:01,000", "00:00:01,000 --> 00:00:02,000", "0:0:1.5 0:0:2.5"),
    *("\n", "\r\n", "\u2028", "\0", "\x85", "", "half \ud83d", "\u202e", "\ufeff", "\u200b"),
    *("!", "?!", ",", "…", "«", "a" * 60, "\u0301" * 5, "👩‍👩‍👧‍👦", "Grüße", "naïve"),
    *("你好", "世界。", "「東京」", "ラーメン", "สวัสดีครับ", "漢" * 50, "שלום", "مرحبا", "한국어"),
]
SPEAKERS = [
    None,
    "Speaker 1",
    "Speaker 2",
    "דובר",
    "A > B & <C>",
    "名" * 30,
    "x" * 80,
    "line\nbreak",
    "a\tb|<i>c</i>",
    "half \ud83d",
    " ",
]

texts = st.one_of(st.sampled_from(TRAPS), st.text(max_size=12), st.from_regex(r"[a-z]{1,9}[.,!?]?", fullmatch=True))
times = st.none() | st.floats(-2, 100) | st.floats() | st.sampled_from([0.0, 359_999.0, 356_400.0, 1e300])
kinds = st.sampled_from(["word", "word", "word", "punctuation", "spacing", "audio_event", "something"])
speakers = st.sampled_from(SPEAKERS)

confidences = st.none() | st.floats(0, 1).map(lambda one: round(one, 4))

wild_words = st.lists(st.builds(Word, texts, times, times, kinds, speakers, confidences), max_size=25)
wild_segments = st.lists(st.builds(Segment, speakers, times, times, texts), max_size=8)


@st.composite
def spoken_words(draw: st.DrawFn) -> list[Word]:
    """Words as they are spoken: one after the other, with pauses, sometimes faster than anybody reads."""
    at, words = 0.0, []
    spaced = draw(st.booleans())
    for _ in range(draw(st.integers(0, 60))):
        text = draw(st.from_regex(r"[a-z]{1,12}[.,!?]?", fullmatch=True) | st.sampled_from(["漢字", "です。", "สวัส"]))
        at += draw(st.sampled_from([0.0, 0.0, 0.05, 0.3, 0.9, 4.0]))
        end = at + draw(st.sampled_from([0.02, 0.2, 0.4, 1.5]))
        speaker = draw(st.sampled_from(["Speaker 1", "Speaker 1", "Speaker 1", "Speaker 2"]))
        if spaced and words:
            words.append(Word(" ", words[-1].end, at, "spacing", speaker))
        words.append(Word(text, round(at, 3), round(end, 3), "word", speaker))
        at = end
    return words


plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
json_values = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
amounts = st.none() | st.floats(0, 1e6) | st.floats()

transcripts = st.builds(
    Transcript,
    text=texts,
    segments=wild_segments.map(tuple),
    words=wild_words.map(tuple),
    language=st.none() | st.sampled_from(["en", "zh"]),
    model=st.sampled_from(["Elevenlabs-STT", ""]),
    cost=amounts,
    charged_minutes=amounts,
    run_id=st.none() | st.just("run-1"),
    raw=st.dictionaries(st.text(max_size=5), json_values, max_size=4),
)
