"""How sure a model was of what it heard: a probability for each word, and one for many words together. Pure.

Only the words that a model itself gives a figure for have one; nothing is guessed. Which words are in which segment is
``placing``'s matter, and what is worth a second look is decided in ``outputs``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from airflow_provider_nanostt.api.models import Word
from airflow_provider_nanostt.api.spacing import is_sound_event
from airflow_provider_nanostt.common.numbers import number

DIGITS = 4
"""Decimal places of a probability; more would say nothing, and make the files larger."""
_LEAST = 10.0**-DIGITS


def of_logprob(value: object) -> float | None:
    """Return the probability that a natural logarithm stands for; None for what is no number, or above 0."""
    read = number(value)
    return None if read is None or read > 0 else round(math.exp(read), DIGITS)


def probability(value: object) -> float | None:
    """Read a probability, 0 to 1; None for anything else."""
    read = number(value)
    return None if read is None or not 0 <= read <= 1 else round(read, DIGITS)


def is_spoken(word: Word) -> bool:
    """Return whether an entry is something said: no space, no punctuation mark of its own, and no sound."""
    return word.type not in ("spacing", "punctuation") and not is_sound_event(word.type, word.text)


def overall(words: Iterable[Word]) -> float | None:
    """Return the geometric mean of the probabilities of what was said; None if none of it has one.

    It is the probability of the whole, per word: the same for a long and for a short text that were heard equally well.
    Every word counts the same, however long it takes; one at 0 does not make an hour 0.
    """
    return mean(word.confidence for word in words if is_spoken(word))


def mean(probabilities: Iterable[float | None]) -> float | None:
    """Return the geometric mean of those that are known; None if none is. One at 0 counts as 0.0001."""
    known = [one for one in probabilities if one is not None]
    if not known:
        return None
    return round(math.exp(sum(math.log(max(one, _LEAST)) for one in known) / len(known)), DIGITS)
