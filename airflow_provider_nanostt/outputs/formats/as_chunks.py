"""Chunks for search and retrieval, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable

from airflow_provider_nanostt.outputs.chunks import Chunk, to_chunks
from airflow_provider_nanostt.outputs.formats.render import RenderJob

# Some readers end a line at these, too.
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def render(job: RenderJob) -> str:
    """Return the chunks as JSON lines."""
    return lines(to_chunks(job.transcript, source=job.source, rules=job.settings.chunks, speech=job.speech))


def lines(chunks: Iterable[Chunk]) -> str:
    """Return chunks as JSON lines."""
    return "".join(json.dumps(chunk, ensure_ascii=False).translate(_LINE_ENDS) + "\n" for chunk in chunks)
