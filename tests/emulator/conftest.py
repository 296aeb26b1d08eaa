"""A plain HTTP client for the emulator: requests, and nothing of this package."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from airflow_provider_nanostt.emulator import Emulator

AUDIO = Path(__file__).parents[2] / "example_dags" / "audio"
ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"
MP3 = b"ID3\x04" + bytes(60)  # enough to look like an MP3; scripted transcripts never decode it


@dataclass
class Caller:
    """Talks to one emulator with one key."""

    nanogpt: Emulator
    key: str | None = None

    def __post_init__(self):
        self.key = self.key or self.nanogpt.api_key

    def call(self, method, path, **kwargs):
        headers = {"x-api-key": self.key, **kwargs.pop("headers", {})}
        return requests.request(
            method, self.nanogpt.url + path, headers=headers, timeout=30, allow_redirects=False, **kwargs
        )

    def post(self, path, body=None, **kwargs):
        return self.call("POST", path, json=body, **kwargs)

    def upload(self, name="a.mp3", data=MP3, content_type="audio/mpeg", **fields):
        return self.call(
            "POST", "/transcribe", files={"audio": (name, data, content_type)}, data={"model": ASYNC, **fields}
        )

    def url(self, url="https://files.test/a.mp3", **fields):
        return self.post("/transcribe", {"audioUrl": url, "model": ASYNC, **fields})

    def status(self, ticket, **changes):
        echo = {name: value for name, value in {**ticket, **changes}.items() if name not in ("status", "model")}
        return self.post("/transcribe/status", echo)

    def result(self, ticket):
        """Ask until the job is no longer under way."""
        for _ in range(400):
            answer = self.status(ticket).json()
            if answer.get("status") not in ("pending", "processing"):
                return answer
            time.sleep(0.05)
        raise AssertionError(f"the job does not end: {answer}")


@pytest.fixture(scope="module")
def shared():
    """One running emulator for a module; `nanogpt` is it, forgotten between tests."""
    with Emulator(processing_seconds=0.0, recogniser="none", decoder="none", requests_per_second=0) as running:
        yield running


@pytest.fixture
def nanogpt(shared):
    shared.reset()
    shared.script("a.mp3", text="hello there world", duration=90.0)
    return shared


@pytest.fixture
def api(nanogpt):
    return Caller(nanogpt)
