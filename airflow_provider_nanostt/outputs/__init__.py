"""Outputs of a transcript: the formats, the files, and the small dict that goes to XCom."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.chunks import Chunk, to_chunks
from airflow_provider_nanostt.outputs.document import from_document, schema, to_document
from airflow_provider_nanostt.outputs.formats.registry import FORMATS
from airflow_provider_nanostt.outputs.formats.render import format_transcript
from airflow_provider_nanostt.outputs.naming import file_stem
from airflow_provider_nanostt.outputs.results import TranscriptResult, WrittenFiles
from airflow_provider_nanostt.outputs.reuse import check_existing
from airflow_provider_nanostt.outputs.settings import CaptionStyle, ChunkRules, OutputSettings
from airflow_provider_nanostt.outputs.speakers import rename
from airflow_provider_nanostt.outputs.write import save_locally, write_outputs

__all__ = [
    "FORMATS",
    "CaptionStyle",
    "Chunk",
    "ChunkRules",
    "OutputSettings",
    "TranscriptResult",
    "WrittenFiles",
    "check_existing",
    "file_stem",
    "format_transcript",
    "from_document",
    "rename",
    "save_locally",
    "schema",
    "to_chunks",
    "to_document",
    "write_outputs",
]
