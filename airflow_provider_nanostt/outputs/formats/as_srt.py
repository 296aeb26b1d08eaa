"""Captions as SubRip, for players."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.captions.srt_vtt import to_srt
from airflow_provider_nanostt.outputs.formats.render import RenderJob


def render(job: RenderJob) -> str:
    """Return the captions as SubRip."""
    return to_srt(job.captions)
