"""What becomes of a transcript: for now the small dict that goes to XCom. Word lists never go there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.models import Transcript


def xcom_value(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript as a plain dict of JSON values.

    :return: ``transcription`` (str), ``segments`` (list of ``{speaker, start, end, text}``, times in seconds, empty for
        models without times), ``metadata`` (as the service names it), ``run_id`` (str, or None for a synchronous
        answer), ``model``, ``language`` (one tag or None), ``charged_minutes`` and ``cost_usd`` (None if unknown).
    """
    return {
        "transcription": transcript.text,
        "segments": [asdict(segment) for segment in transcript.segments],
        "metadata": dict(transcript.metadata),
        "run_id": transcript.run_id,
        "model": transcript.model,
        "language": transcript.language,
        "charged_minutes": transcript.charged_minutes,
        "cost_usd": transcript.cost,
    }
