"""The page to read, search and listen along, with the other formats inside."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.html.page import page


def render(job: RenderJob) -> str:
    """Return the page."""
    inside = {file: job.text(name) for name, file in job.downloads.items()}
    return page(job.transcript, title=job.title, audio_url=job.settings.page_audio_url, downloads=inside)
