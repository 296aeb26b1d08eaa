"""What the tab shows, as values: made by the routes, rendered by ``pages``. No I/O, nothing of Airflow, no markup.

All texts are untrusted: whoever renders them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task whose jobs are not done.

    :param run_ids: of the jobs, as far as they are known; of many the first.
    :param jobs: how many there are.
    :param submitted_at: epoch seconds, as ``expected_at``, which is when half of such jobs are done.
    :param cost_usd: what has been charged so far.
    :param minutes: what was charged for.
    :param items: recordings of a batch; None for a single one.
    :param record: where the ledger's record is, as a path or URI.
    """

    run_ids: Sequence[str] = ()
    model: str | None = None
    submitted_at: float | None = None
    expected_at: float | None = None
    cost_usd: float | None = None
    minutes: float | None = None
    items: int | None = None
    record: str | None = None
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that failed, or is about to be tried again.

    :param next_step: what to do, in a sentence.
    :param has_manifest: a batch has left a manifest, which says what became of each recording.
    :param state: Airflow's word for the task's state, such as ``failed`` or ``up_for_retry``.
    """

    next_step: str | None = None
    run_id: str | None = None
    cost_usd: float | None = None
    charged_minutes: float | None = None
    has_manifest: bool = False
    state: str = "failed"


@dataclass(frozen=True, slots=True)
class Text:
    """The transcript of a task without ``output_path``, as it is in XCom.

    :param is_cut: there is more than is shown.
    """

    text: str
    model: str | None = None
    language: str | None = None
    cost_usd: float | None = None
    charged_minutes: float | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which rows of a batch a person wants to see.

    :param status: only rows of this status; empty for all.
    :param text: only rows in which it is found, without regard to case.
    :param sort: a column's name.
    :param page: from 1.
    """

    status: str = ""
    text: str = ""
    sort: str = "number"
    descending: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class BatchTable:
    """One page of a batch's table, and what the whole batch comes to.

    :param rows: of this page.
    :param found: rows that match the query; ``pages`` is how many pages they make, at least 1.
    :param counts: rows of the whole batch by status.
    :param cost_usd: of the whole batch, as ``charged_minutes``.
    """

    rows: Sequence[ManifestRow]
    found: int
    pages: int
    counts: Mapping[str, int]
    cost_usd: float
    charged_minutes: float
    query: BatchQuery
