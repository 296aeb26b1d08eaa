"""The button on a task's page that leads to its transcript."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_nanostt import TAB_ROUTE, _compat
from airflow_provider_nanostt._compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import BaseOperator


_SAFE = re.compile(
    r"/(?!/)|(https?|file|s3[an]?|gcs|gs|abfss?|az|adl|wasbs?|hdfs|webhdfs|sftp|memory)://", re.IGNORECASE
)
"""Where results may be. A browser would run what follows ``javascript:``."""


class TranscriptLink(BaseOperatorLink):
    """Opens the tab *Transcript*, from Airflow 3.1; before, the page, else the first file, or a batch's manifest.

    The address of a file is the storage's own (``s3://…``): the reader needs a way to that storage. Links are kept in
    Airflow's database, so none is signed.
    """

    name = "Transcript"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002  the task's result has it
        """Return the address; before Airflow 3.1 empty if the task has written no file."""
        if _compat.HAS_TABS:
            return tab_of(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
        return address_in(_compat.XCom.get_value(ti_key=ti_key, key="return_value"))


def tab_of(dag_id: str, run_id: str, task_id: str, map_index: int | None = None) -> str:
    """Return where Airflow shows the tab of a task instance, relative to Airflow's root, wherever that is.

    :param map_index: None or -1 for a task that is not mapped.
    """
    mapped = [] if map_index is None or map_index < 0 else ["mapped", str(map_index)]
    parts = ["dags", dag_id, "runs", run_id, "tasks", task_id, *mapped, "plugin", TAB_ROUTE]
    return "/".join(quote(part, safe="") for part in parts)


def address_in(result: object) -> str:
    """Return the address of what a person would look at first, from what a task returned; empty if there is none."""
    if not isinstance(result, Mapping):
        return ""
    for places in (result.get("files"), result.get("manifest")):
        if isinstance(places, Mapping) and places:
            address = str(places.get("html") or next(iter(places.values())))
            return address if _SAFE.match(address) else ""
    return ""
