"""Which words are in which segment, and where in its text: the service lists both, and does not say. Pure.

Words are found by their text, in order; times only say where to look.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_nanostt.api.models import Segment, Word

_REACH = 64  # characters of the text that may be missing from the list of words before the place is lost
_EARLY = 0.05  # seconds: times are rounded here and there


def placed(segments: Sequence[Segment], words: Sequence[Word]) -> list[list[tuple[int, int]]]:
    """Return, for every segment, its words in order: each as (character of the segment's text, number of the word).

    Words whose text is not found are in none; nor are spaces. Several segments may last at the same time: what is said
    inside of another's turn comes first.
    """
    places: list[list[tuple[int, int]]] = [[] for _ in segments]
    at, here, last, lasting = [0] * len(segments), 0, len(segments) - 1, [0] if segments else []
    for number, word in enumerate(words):
        if word.type == "spacing" or not (text := word.text.strip()):
            continue
        reach, place, index = len(text) + _REACH, -1, here
        lasting = [one for one in lasting if one == here or _lasts(segments[one], word)]
        for index in reversed(lasting):
            place = segments[index].text.find(text, at[index], at[index] + reach)
            if place >= 0:
                break
        while place < 0 and here < last and _begun(word, segments[here + 1], text):
            here = index = here + 1
            lasting.append(here)
            place = segments[here].text.find(text, 0, reach)
        if place >= 0:
            places[index].append((place, number))
            at[index] = place + len(text)
    return places


def _lasts(segment: Segment, word: Word) -> bool:
    return segment.end is not None and word.start is not None and word.start < segment.end


def _begun(word: Word, segment: Segment, text: str) -> bool:
    """Whether a word may belong to this later segment: by time if both have one, else by the look of it."""
    if word.start is not None and segment.start is not None:
        return word.start >= segment.start - _EARLY
    return segment.text.find(text, 0, len(text) + _REACH) >= 0
