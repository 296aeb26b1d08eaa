"""A recording named by a user becomes something the service accepts; this file only names what is public.

Nothing in this package talks to the transcription service, and every refusal comes before any money is spent.
"""

from __future__ import annotations

from airflow_provider_nanostt.audio.prepare.upload_plan import OVERSIZE, AudioPreparation, Plan, decide
from airflow_provider_nanostt.audio.sources import LocalFile, StoredObject, WebAddress, named

__all__ = ["OVERSIZE", "AudioPreparation", "LocalFile", "Plan", "StoredObject", "WebAddress", "decide", "named"]
