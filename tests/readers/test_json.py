"""The JSON of other programs, read by what they read it with."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings

from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.outputs import format_transcript
from tests.outputs.call import CALL, SENTENCES
from tests.outputs.strategies import spoken_words
from tests.readers.conftest import reader


@settings(max_examples=20)
@given(spoken_words())
def test_openais_own_types_take_diarized_json(words):
    """As the answer of a transcription, with nothing that they do not know."""
    types = reader("openai.types.audio.transcription_diarized")
    for transcript in (CALL, replace(CALL, charged_minutes=None), Transcript("", words=tuple(words))):
        made = json.loads(format_transcript(transcript, "diarized_json"))
        read = types.TranscriptionDiarized.model_validate(made, strict=True)
        assert not read.model_extra
        assert all(not one.model_extra for one in read.segments)
        assert read.to_dict() == made


def test_a_tool_for_podcasts_reads_the_podcasts_json(tmp_path):
    """Each segment with its time, its speaker and its text."""
    tool = reader("podcast_transcript_convert.converters.json_to_simple")
    (tmp_path / "call.podcast.json").write_text(format_transcript(CALL, "podcast"), encoding="utf-8")
    tool.json_file_to_simple_file(tmp_path / "call.podcast.json", tmp_path / "call.txt")
    lines = (tmp_path / "call.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [f"(00:00:{int(start):02}) {speaker}: {text}" for speaker, start, _, text in SENTENCES]
