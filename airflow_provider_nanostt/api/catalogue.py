"""What is known of the service's models without asking it: a table of facts, and nothing that decides prices for good.

The service's own catalogue comes first wherever it can be asked; this table is the fallback, and the only place that
knows which models tell speakers apart and give times. An id that is not in it is accepted: the live list is longer than
the documented one. Source: the service's published documentation, August 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.common.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

YOUTUBE_MODEL = "youtube"
"""The model that transcripts of videos have here; the service has no name for it."""

YOUTUBE_PRICE = 0.01
"""USD for each video that has a transcript."""

DEFAULT_MODEL = "Whisper-Large-V3"
"""What the service takes when no model is named."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model as the documentation describes it."""

    id: str
    price_per_minute: float  # USD
    diarizes: bool = False
    gives_times: bool = False
    takes_video: bool = False
    max_seconds: float | None = None  # the longest audio that the model takes, None if no limit is known


_MINI = "gpt-4o-mini-transcribe"

KNOWN_MODELS: dict[str, ModelFacts] = {
    facts.id: facts
    for facts in (
        ModelFacts("Whisper-Large-V3", 0.01),
        ModelFacts("Wizper", 0.01),
        ModelFacts("Elevenlabs-STT", 0.03, diarizes=True, gives_times=True),
        *(
            ModelFacts(name, 0.003, max_seconds=1400)
            for name in (_MINI, f"{_MINI}-2025-03-20", f"{_MINI}-2025-12-15", f"{_MINI}-latest")
        ),
        ModelFacts("openai-whisper-with-video", 0.06, takes_video=True),
    )
}


def check_model(model: str, *, diarize: bool, tag_audio_events: bool) -> None:
    """Raise InvalidInput for a model that does not transcribe, or for options that it is known not to have."""
    if not model.strip():
        raise InvalidInput(f"model is empty; the default is {DEFAULT_MODEL!r}")
    if model.lower().endswith("voice-clone"):
        raise InvalidInput(f"model={model!r} clones voices, it does not transcribe; use for example {DEFAULT_MODEL!r}")
    facts = KNOWN_MODELS.get(model)
    if facts and not facts.diarizes:
        asked = "diarize" if diarize else "tag_audio_events" if tag_audio_events else ""
        if asked:
            able = ", ".join(repr(m.id) for m in KNOWN_MODELS.values() if m.diarizes)
            raise InvalidInput(f"{asked}=True does not work with model={model!r}; it needs {able}")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per minute of audio, None if nobody knows, and who said so."""

    per_minute: float | None
    source: str


def price_of(model: str, *, catalogue: Mapping[str, float | None], own: Mapping[str, float] | None = None) -> Price:
    """Find a model's price: the service's catalogue first, then the connection's, then the built-in table.

    :param catalogue: the service's own prices in USD per minute, as far as it gives any; empty if it did not answer.
    :param own: prices in USD per minute from the connection's extra ``prices``.
    """
    price = catalogue.get(model)
    if price is not None and price >= 0:
        return Price(price, "the service's catalogue")
    if own and model in own:
        return Price(own[model], "the connection")
    if model in KNOWN_MODELS:
        return Price(KNOWN_MODELS[model].price_per_minute, "the built-in table")
    return Price(None, "nobody")
