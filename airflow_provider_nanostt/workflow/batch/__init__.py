"""Any number of recordings in one task: the items, one row of a manifest for each, and the limits that they share.

Each item has a record in the ledger, and its story is that of a single recording; nothing here knows operators, and how
a wait is held (worker or triggerer) is not decided here.
"""

from __future__ import annotations

from airflow_provider_nanostt.workflow.batch.items import Item, expand, look, settled
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

__all__ = ["Item", "ManifestRow", "expand", "look", "settled"]
