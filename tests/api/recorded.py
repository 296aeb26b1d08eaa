"""Recorded answers under ``tests/samples``, and the answers made from them; no server, no client."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_nanostt.api import endpoints, http
from airflow_provider_nanostt.api.http import Call, Response
from airflow_provider_nanostt.api.models import Job, Submission

T = TypeVar("T")

SAMPLES = Path(__file__).parents[1] / "samples"
NOW = 1_785_585_600.0
"""When every recorded answer arrived: 2026-08-01 12:00:00 UTC."""

KEY = "sk-nano-00000000-1111-4222-8333-444444444444"
URL = "https://recordings.example/harbour-call.wav"

SUBMISSION = Submission(audio=URL, model="Elevenlabs-STT", diarize=True)
JOB = Job(run_id="run-7c1e", model="Elevenlabs-STT", submitted_at=NOW - 60, cost=0.075, charged_minutes=2.5)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def names(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (SAMPLES / folder).iterdir())


def response(body: bytes | str, status: int = 200, **headers: str) -> Response:
    """Build an answer; ``retry_after="3"`` is the header ``retry-after: 3``; text is the name of a sample."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, told, sample(body) if isinstance(body, str) else body, NOW)


def read(call: Call[T], body: bytes | str, status: int = 200, **headers: str) -> T:
    return http.read(call, response(body, status, **headers))


def every_call() -> dict[str, Call[Any]]:
    """One call for each endpoint."""
    return {
        "submit": endpoints.submit(SUBMISSION),
        "status": endpoints.status(JOB),
        "balance": endpoints.balance(),
        "audio_models": endpoints.audio_models(),
        "youtube": endpoints.youtube(["https://youtu.be/sample00001"]),
        "usage": endpoints.usage(),
    }
