"""Which rows of a batch a page of its table shows, in which order, and what the whole batch comes to. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from airflow_provider_nanostt.web.views import BatchQuery, BatchTable
from airflow_provider_nanostt.workflow.batch.manifest_row import ENDS, WAITING, ManifestRow, summary

STATUSES = (*ENDS, WAITING)
PER_PAGE = 100


def select(rows: Sequence[ManifestRow], query: BatchQuery) -> BatchTable:
    """Return one page of a batch's table.

    Rows without a value come last, whichever way they are sorted. A page that is not there becomes the nearest one, an
    unknown column the number.

    :param rows: of the whole batch, by number.
    """
    sort = query.sort if query.sort in COLUMNS else "number"
    words = folded(query.text).split()
    found = [row for row in rows if query.status in ("", row.status) and (not words or _has(row, words))]
    value = COLUMNS[sort]
    having = [(known, row) for row in found if (known := value(row)) is not None]
    having.sort(key=lambda pair: pair[0], reverse=query.descending)
    ordered = [row for _, row in having] + [row for row in found if value(row) is None]
    pages = max(1, -(-len(ordered) // PER_PAGE))
    page = min(max(1, query.page), pages)
    whole = summary(rows, {}, {})
    return BatchTable(
        rows=ordered[(page - 1) * PER_PAGE : page * PER_PAGE],
        found=len(ordered),
        pages=pages,
        counts=Counter(row.status for row in rows),
        cost_usd=whole["cost_usd"],
        charged_minutes=whole["charged_minutes"],
        query=replace(query, sort=sort, page=page),
    )


def folded(text: str) -> str:
    """Return a text as it is searched and sorted: without regard to case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in apart if not unicodedata.combining(one))


def _has(row: ManifestRow, words: Sequence[str]) -> bool:
    """Return whether every word is somewhere in a row."""
    text = folded("\n".join([row.name, row.audio, row.run_id or "", row.error or "", *row.speakers]))
    return all(word in text for word in words)


def _text(value: str | None) -> str | None:
    return folded(value) if value else None


COLUMNS: Mapping[str, Callable[[ManifestRow], float | str | None]] = {
    "number": lambda row: row.number,
    "status": lambda row: STATUSES.index(row.status) if row.status in STATUSES else None,
    "name": lambda row: _text(name_of(row)),
    "minutes": lambda row: row.charged_minutes,
    "cost": lambda row: row.cost_usd,
    "language": lambda row: _text(row.language),
    "speakers": lambda row: len(row.speakers) or None,
    "error": lambda row: _text(row.error),
}
"""The columns of the table in their order, each with what it is sorted by; None for a row that has no value there."""


def name_of(row: ManifestRow) -> str:
    """Return what a row is called: its name, else the last part of its address."""
    return row.name or row.audio.partition("?")[0].rstrip("/").rpartition("/")[2] or row.audio
