"""Stand-ins, to be replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape

from airflow_provider_nanostt.web.views import BatchQuery, BatchTable, Failed, Text, Waiting
from airflow_provider_nanostt.workflow.batch.manifest_row import WRITTEN, ManifestRow


def _page(title: str, body: str, theme: str) -> str:
    return (
        f'<!doctype html><html lang="en" data-theme="{escape(theme)}"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><body>{body}</body></html>"
    )


def waiting_page(view: Waiting, nonce: str, *, theme: str = "") -> str:  # noqa: ARG001
    """Return what a waiting task shows."""
    return _page("Waiting", f"<p>{escape(str(view))}</p>", theme)


def failed_page(view: Failed, nonce: str, *, theme: str = "") -> str:  # noqa: ARG001
    """Return what a failed task shows."""
    return _page("Failed", f"<p>{escape(str(view))}</p>", theme)


def text_page(view: Text, nonce: str, *, theme: str = "") -> str:  # noqa: ARG001
    """Return the text of a task without files."""
    return _page("Text", f"<p>{escape(view.text)}</p>", theme)


def quiet_page(message: str, nonce: str, *, theme: str = "") -> str:  # noqa: ARG001
    """Return one line."""
    return _page("Transcript", f"<p>{escape(message)}</p>", theme)


def batch_page(
    table: BatchTable,
    nonce: str,  # noqa: ARG001
    address: Callable[[BatchQuery], str],
    row_address: Callable[[int], str],
    *,
    theme: str = "",
) -> str:
    """Return the table of a batch."""
    rows = "".join(
        f'<tr><td><a href="{escape(row_address(row.number))}">{escape(row.name)}</a><td>{escape(row.status)}'
        for row in table.rows
    )
    further = escape(address(replace(table.query, page=table.query.page + 1)))
    return _page("Batch", f'<table>{rows}</table><a href="{further}">next</a>', theme)


def select(rows: Sequence[ManifestRow], query: BatchQuery, per_page: int = 100) -> BatchTable:
    """Return one page of a batch's table."""
    found = [row for row in rows if query.status in ("", row.status) and query.text.lower() in row.audio.lower()]
    pages = max(1, -(-len(found) // per_page))
    page = min(max(1, query.page), pages)
    return BatchTable(
        rows=found[(page - 1) * per_page : page * per_page],
        found=len(found),
        pages=pages,
        counts=Counter(row.status for row in rows),
        cost_usd=sum(row.cost_usd or 0.0 for row in rows),
        charged_minutes=sum(row.charged_minutes or 0.0 for row in rows if row.status == WRITTEN),
        query=replace(query, page=page),
    )
