"""The operators: what a DAG author writes. Thin; each step lives in the module named after it.

Fields are only assigned in ``__init__``, since templates are rendered later; everything is checked when the task runs,
before anything is paid for. ``execute`` and ``execute_complete`` end in the same method.
"""

from __future__ import annotations

from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator
from airflow_provider_nanostt.operators.transcribe import TranscribeOperator
from airflow_provider_nanostt.operators.youtube import YouTubeTranscribeOperator

__all__ = ["TranscribeBatchOperator", "TranscribeOperator", "YouTubeTranscribeOperator"]
