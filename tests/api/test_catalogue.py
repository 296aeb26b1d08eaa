"""The built-in table of models, and what is refused because of it."""

from __future__ import annotations

import pytest

from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, KNOWN_MODELS, check_model
from airflow_provider_nanostt.api.errors import InvalidInput


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_every_transcribing_model_is_accepted(model: str):
    """What the documentation lists for transcription is not refused."""
    check_model(model, diarize=False, tag_audio_events=False)


def test_an_unknown_model_is_accepted_with_everything():
    """The live list is longer than the documented one, and we do not know what a new model can do."""
    check_model("a-model-of-next-year", diarize=True, tag_audio_events=True)


@pytest.mark.parametrize("model", ["qwen-voice-clone", "minimax-voice-clone", "a-new-Voice-Clone"])
def test_voice_clones_are_refused(model: str):
    """A model that clones voices is named, and one that transcribes is offered."""
    with pytest.raises(InvalidInput, match=f"{model}.*{DEFAULT_MODEL}"):
        check_model(model, diarize=False, tag_audio_events=False)


@pytest.mark.parametrize("model", ["", "  "])
def test_no_model_is_refused(model: str):
    """An empty model, as a template may produce, is said to be empty."""
    with pytest.raises(InvalidInput, match="model is empty"):
        check_model(model, diarize=False, tag_audio_events=False)


@pytest.mark.parametrize("option", ["diarize", "tag_audio_events"])
def test_options_need_a_model_that_has_them(option: str):
    """The message names the option, the model, and one that can do it."""
    with pytest.raises(InvalidInput, match=f"{option}=True.*Wizper.*Elevenlabs-STT"):
        check_model("Wizper", **{"diarize": False, "tag_audio_events": False, option: True})
    check_model("Elevenlabs-STT", **{"diarize": False, "tag_audio_events": False, option: True})
