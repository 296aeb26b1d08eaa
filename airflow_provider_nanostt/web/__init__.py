"""The tab *Transcript* on a task's page in Airflow (3.1 and later): the plugin, its routes, and what they show.

Only an API server ever imports more than ``plugin``. Nothing else of this package knows this room, and nothing here
submits, writes a file or changes anything: it reads what Airflow and the storage have, and renders it.
"""

from __future__ import annotations

OPERATORS = (
    "TranscribeOperator",
    "TranscribeBatchOperator",
    "YouTubeTranscribeOperator",
    "TranscriptionSensor",
    "@task.transcribe",
)
"""The tasks of this provider, by the names that Airflow shows."""
