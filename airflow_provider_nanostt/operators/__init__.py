"""The operators: what a DAG author writes. Each has its arguments; the work is in ``_single`` and ``_batch``.

Fields are only assigned in ``__init__``, since templates are rendered later; everything is checked when the task runs,
before anything is paid for. What only a running task needs is imported then: every DAG file loads this room.
"""

from __future__ import annotations

from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator
from airflow_provider_nanostt.operators.transcribe import TranscribeOperator
from airflow_provider_nanostt.operators.youtube import YouTubeTranscribeOperator

__all__ = ["TranscribeBatchOperator", "TranscribeOperator", "YouTubeTranscribeOperator"]
