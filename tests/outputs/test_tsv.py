"""A transcript as tab-separated values, read by Python's csv: whole milliseconds and the text as it is."""

from __future__ import annotations

import csv
import io

from hypothesis import given, settings

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.call import CALL, SENTENCES
from tests.outputs.strategies import spoken_words


def rows(transcript: Transcript) -> list[dict[str, str]]:
    text = format_transcript(transcript, "tsv")
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_a_line_has_start_end_and_text():
    """Of each sentence; quotes stay, and a tab that somebody has put into a word is a space."""
    assert [(int(one["start"]), int(one["end"]), one["text"]) for one in rows(CALL)] == [
        (round(start * 1000), round(end * 1000), text) for _, start, end, text in SENTENCES
    ]
    assert format_transcript(Transcript(""), "tsv") == "start\tend\ttext\n"


@settings(max_examples=30)
@given(spoken_words())
def test_all_that_is_said_is_in_the_order_of_time(words):
    """And nothing else."""
    read = rows(Transcript("", words=tuple(words)))
    assert "".join("".join(one["text"].split()) for one in read) == "".join(
        word.text for word in words if word.type == "word"
    )
    times = [int(one[key]) for one in read for key in ("start", "end")]
    assert times == sorted(times)
