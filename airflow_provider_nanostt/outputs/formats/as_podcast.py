"""The JSON transcript of a podcast feed (``podcast:transcript`` of Podcasting 2.0, ``application/json``)."""

from __future__ import annotations

import json

from airflow_provider_nanostt.outputs.formats.render import RenderJob


def render(job: RenderJob) -> str:
    """Return segments of a sentence each; without a name where the speaker is not known."""
    segments = [
        {
            **({"speaker": one.speaker} if one.speaker else {}),
            "startTime": one.start,
            "endTime": one.end,
            "body": one.text,
        }
        for one in job.sentences
    ]
    return json.dumps({"version": "1.0.0", "segments": segments}, ensure_ascii=False)
