"""What an attempt asks before it spends money or requests; the gate of a recording on its own. Nothing is sent here.

An item of a batch has a gate of its own, in ``batch.item``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.http import is_transient

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.models import Job, JobStatus, Transcript
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.budget import Budget

log = logging.getLogger(__name__)

_NOT_FOUND_TRIES = 3
_NOT_FOUND_PAUSE_SECONDS = 2.0


class SubmitGate(Protocol):
    """What an attempt must ask before it spends money or requests; what it may spend is in its budget."""

    def check(self) -> None:
        """Raise if nothing more may be begun."""

    def add_earlier(self, usd: float) -> None:
        """Count USD that earlier attempts at this recording have spent."""

    def prefetched(self, job: Job) -> Transcript | None:
        """Return the transcript of a job that is here already, None if it is not."""

    def status(self, job: Job) -> JobStatus | None:
        """Ask how a paid job stands; None if the service does not answer and the job has to be waited for."""


@dataclass(frozen=True, slots=True)
class SingleGate:
    """The gate of a recording on its own."""

    service: NanoGPTHook
    budget: Budget

    def check(self) -> None:
        """Do nothing: no other recording could have stopped this one."""

    def add_earlier(self, usd: float) -> None:
        """Count what earlier attempts have spent."""
        self.budget.add_earlier(usd)

    def prefetched(self, job: Job) -> Transcript | None:  # noqa: ARG002  the triggerer leaves the answers of batches only
        """Return None."""
        return None

    def status(self, job: Job) -> JobStatus | None:
        """Ask for the job."""
        try:
            return ask_status(self.service, job)
        except errors.NanoGPTError as error:
            if not is_transient(error):
                raise
            log.warning("%s; run %s counts as still running; waiting on, from now", error, job.run_id)
            return None


def ask_status(service: NanoGPTHook, job: Job) -> JobStatus:
    """Ask for a job once; a few times if the service says that it does not know it, as one of its replicas may.

    :raises NanoGPTError: if the service refuses or does not answer.
    """
    for _ in range(_NOT_FOUND_TRIES - 1):
        try:
            return service.status(job)
        except errors.NotFound:
            time.sleep(_NOT_FOUND_PAUSE_SECONDS)
    return service.status(job)
