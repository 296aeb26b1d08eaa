"""The JSON file: everything, in the documented form."""

from __future__ import annotations

from airflow_provider_nanostt.outputs.document import encode, to_document
from airflow_provider_nanostt.outputs.formats.render import RenderJob


def render(job: RenderJob) -> str:
    """Return the whole transcript as JSON, without what a task adds to its file."""
    return encode(to_document(job.transcript, source=job.source)).decode()
