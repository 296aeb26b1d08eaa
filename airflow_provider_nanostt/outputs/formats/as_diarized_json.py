"""The JSON that OpenAI's transcription answers with as ``diarized_json``, as far as its values are known."""

from __future__ import annotations

import json

from airflow_provider_nanostt.outputs.formats.render import RenderJob
from airflow_provider_nanostt.outputs.unicode_layout import join_spaced


def render(job: RenderJob) -> str:
    """Return segments of a sentence each.

    ``speaker`` is empty where nobody is known. ``duration`` is the length that was charged, else the end of the last
    word; ``usage`` is there if a length was charged. Figures that the service does not give are not made up.
    """
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "start": one.start,
            "end": one.end,
            "speaker": one.speaker or "",
            "text": one.text,
        }
        for number, one in enumerate(job.sentences)
    ]
    minutes = job.transcript.charged_minutes
    charged = None if minutes is None else round(minutes * 60, 3)
    document: dict[str, object] = {
        "task": "transcribe",
        "duration": max(job.sentences[-1].end if job.sentences else 0.0, charged or 0.0),
        "text": join_spaced((one.text, one.spaced) for one in job.speech.tokens),
        "segments": segments,
    }
    if charged is not None:
        document["usage"] = {"type": "duration", "seconds": charged}
    return json.dumps(document, ensure_ascii=False)
