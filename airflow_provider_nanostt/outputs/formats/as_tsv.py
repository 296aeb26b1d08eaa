"""Tab-separated values as Whisper writes them: start and end in milliseconds, and the text."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.formats.render import RenderJob


def render(job: RenderJob) -> str:
    """Return a line for each sentence below a head; nothing is quoted, since no text has a tab or a line break."""
    lines = [f"{one.tokens[0].start}\t{one.tokens[-1].end}\t{one.text}" for one in job.sentences]
    return "\n".join(["start\tend\ttext", *lines]) + "\n"
