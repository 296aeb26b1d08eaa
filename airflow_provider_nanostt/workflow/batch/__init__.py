"""Any number of recordings in one task: items, what each has come to, and the manifest that tells of all.

Each item has a record in the ledger and is attempted as a single recording is; nothing here knows operators, and how a
wait is held (worker or triggerer) is the face's business.
"""

from __future__ import annotations

from airflow_provider_nanostt.workflow.batch.budget import BatchBudget
from airflow_provider_nanostt.workflow.batch.items import Item, expand
from airflow_provider_nanostt.workflow.batch.manifest_row import Row

__all__ = ["BatchBudget", "Item", "Row", "expand"]
