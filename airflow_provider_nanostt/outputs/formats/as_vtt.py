"""Captions as WebVTT, for browsers and players."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.captions.srt_vtt import to_vtt
from airflow_provider_nanostt.outputs.formats.render import RenderJob


def render(job: RenderJob) -> str:
    """Return the captions as WebVTT."""
    return to_vtt(job.captions)
