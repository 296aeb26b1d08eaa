"""Plain text in paragraphs."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.passages import paragraphs


def render(job: RenderJob) -> str:
    """Return what was said in paragraphs: one per turn of a speaker, a long turn in several. Lines are not wrapped.

    An empty line stands between paragraphs; with speakers, each begins with the name and a colon.
    """
    found = paragraphs(job.speech.tokens)
    texts = [f"{one.speaker}: {one.text}" if one.speaker else one.text for one in found]
    return "\n\n".join(texts) + "\n" if texts else ""
