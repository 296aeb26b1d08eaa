"""The button on a task's page that leads to its transcript."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_nanostt._compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import BaseOperator


_SAFE = re.compile(
    r"/(?!/)|(https?|file|s3[an]?|gcs|gs|abfss?|az|adl|wasbs?|hdfs|webhdfs|sftp|memory)://", re.IGNORECASE
)
"""Where results may be. A browser would run what follows ``javascript:``."""


class TranscriptLink(BaseOperatorLink):
    """Opens the transcript as a page, else the first file that was written; of a batch, its manifest.

    The address is the storage's own (``s3://…``): the reader needs a way to that storage. Links are kept in
    Airflow's database, so none is signed.
    """

    name = "Transcript"

    def get_link(self, operator: BaseOperator, *, ti_key: object) -> str:  # noqa: ARG002  the task's result has it
        """Return the address, empty if the task has written no file."""
        from airflow_provider_nanostt._compat import XCom

        return address_in(XCom.get_value(ti_key=ti_key, key="return_value"))


def address_in(result: object) -> str:
    """Return the address of what a person would look at first, from what a task returned; empty if there is none."""
    if not isinstance(result, Mapping):
        return ""
    for places in (result.get("files"), result.get("manifest")):
        if isinstance(places, Mapping) and places:
            address = str(places.get("html") or next(iter(places.values())))
            return address if _SAFE.match(address) else ""
    return ""
