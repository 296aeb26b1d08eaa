"""What becomes of a transcript: the formats, the files, and the small dict that goes to XCom.

``document`` has the JSON form, ``cues`` and ``captions`` SubRip and WebVTT, ``plain`` the text; ``settings`` says what
is wanted, ``landing`` puts it in its place.
"""

from __future__ import annotations

from airflow_provider_nanostt.outputs.document import (
    SCHEMA_VERSION,
    from_document,
    schema,
    to_document,
)
from airflow_provider_nanostt.outputs.formats import format_transcript, render
from airflow_provider_nanostt.outputs.landing import land, rescue
from airflow_provider_nanostt.outputs.left import what_is_left
from airflow_provider_nanostt.outputs.naming import file_stem
from airflow_provider_nanostt.outputs.rename import rename
from airflow_provider_nanostt.outputs.settings import FORMATS, OutputSettings
from airflow_provider_nanostt.outputs.style import CaptionStyle

__all__ = [
    "FORMATS",
    "SCHEMA_VERSION",
    "CaptionStyle",
    "OutputSettings",
    "file_stem",
    "format_transcript",
    "from_document",
    "land",
    "rename",
    "render",
    "rescue",
    "schema",
    "to_document",
    "what_is_left",
]
