"""What the tab shows, as HTML: one function for each kind of page, its template beside it, and one style for all.

Every value is untrusted and escaped by the templates. Each page also forbids itself, by its policy, to run, load or
send anything but its own style and script, so that a mistake in the escaping would still run nothing. Links and a form
do all the work: only the frame and the waiting page have a script, and the latter does without it. No I/O, nothing of
Airflow.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_nanostt.common.errors import format_duration, usd
from airflow_provider_nanostt.outputs.html.page import html_language
from airflow_provider_nanostt.outputs.html.page_text import clean, text_paragraphs
from airflow_provider_nanostt.web.pages.selection import COLUMNS, PER_PAGE, STATUSES, name_of, select
from airflow_provider_nanostt.web.views import BatchQuery, BatchTable, Failed, Text, Waiting

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["batch_page", "failed_page", "quiet_page", "select", "text_page", "waiting_page"]

REFRESH_SECONDS = 20
_MOST_RUN_IDS = 12
_LONG_ERROR = 120  # characters; of a longer one what comes after the first line or two is folded away
_ERROR_HEAD = 95
_BAR_WIDTH = 1000.0
_THINNEST = 6.0  # of the bar, so that one failure among 10,000 can be seen
_NEAR = 2  # pages beside the one that is shown, each with a link of its own
_DESCENDING_FIRST = frozenset({"minutes", "cost", "speakers"})


@dataclass(frozen=True, slots=True)
class Button:
    """A link in the bar of the frame around a page.

    :param address: relative to the frame's own.
    :param is_inside: whether it changes what the frame shows, rather than leaving the frame.
    """

    label: str
    address: str
    is_inside: bool = True


class Moment(NamedTuple):
    """A point in time for people: in UTC, and how far from now."""

    utc: str
    distance: str


def frame_page(address: str, nonce: str, buttons: Sequence[Button] = ()) -> str:
    """Return the frame around a page: it follows Airflow's theme, and has the buttons that a sandboxed page cannot.

    It has Airflow's origin, so nothing untrusted is in it: neither names nor texts, only addresses that are made here.

    :param address: of what it shows at first, relative to its own.
    """
    return _render("outer.html", nonce, "", address=address, buttons=buttons)


def waiting_page(view: Waiting, nonce: str, *, theme: str = "", now: float | None = None) -> str:
    """Return what a task shows whose jobs are not done; the page reads itself again every 20 seconds.

    :param nonce: of the policy that the page is served with.
    :param theme: ``dark`` or ``light``; the system's for any other.
    :param now: epoch seconds.
    """
    current = time.time() if now is None else now
    return _render(
        "waiting.html", nonce, theme, view=view,
        run_ids=view.run_ids[:_MOST_RUN_IDS], further=max(view.jobs, len(view.run_ids)) - _MOST_RUN_IDS,
        submitted=_moment(view.submitted_at, current), expected=_moment(view.expected_at, current),
        is_late=view.expected_at is not None and view.expected_at < current,
        read_at=_moment(current, current), refresh=REFRESH_SECONDS,
    )  # fmt: skip


def failed_page(view: Failed, nonce: str, *, theme: str = "") -> str:
    """Return what a task shows that failed: what happened to the money, and what to do next."""
    return _render("failed.html", nonce, theme, view=view)


def text_page(view: Text, nonce: str, *, theme: str = "") -> str:
    """Return the transcript of a task that has written no files."""
    return _render(
        "text.html", nonce, theme, view=view, texts=text_paragraphs(view.text), language=html_language(view.language)
    )


def quiet_page(message: str, nonce: str, *, theme: str = "") -> str:
    """Return a page of one line."""
    return _render("quiet.html", nonce, theme, message=message)


def batch_page(
    table: BatchTable,
    nonce: str,
    address: Callable[[BatchQuery], str],
    row_address: Callable[[int], str],
    *,
    theme: str = "",
) -> str:
    """Return the table of a batch.

    :param address: gives the address of this page for another query. The search form sends what that address has in
        its query, and what is searched for as ``text``.
    :param row_address: gives the address of a row's own page, by its number; empty if it has none.
    """
    query = table.query
    counts = {status: table.counts[status] for status in (*STATUSES, *table.counts) if table.counts.get(status)}
    base = urlsplit(address(replace(query, page=1)))

    def to(**changes: object) -> str:
        return address(replace(query, **{"page": 1, **changes}))  # type: ignore[arg-type]

    return _render(
        "batch.html", nonce, theme, table=table, query=query, counts=counts, total=sum(counts.values()),
        bar=_bar(counts),
        action=base._replace(query="", fragment="").geturl(),
        kept=[(name, value) for name, value in parse_qsl(base.query, keep_blank_values=True)
              if name not in {"text", "page"}],
        columns=[(name, to(sort=name, descending=_descending(query, name))) for name in COLUMNS],
        rows=[(row, name_of(row), row_address(row.number), *_split(row.error or row.error_type or ""))
              for row in table.rows],
        first=(query.page - 1) * PER_PAGE + 1, last=(query.page - 1) * PER_PAGE + len(table.rows),
        pages=list(_pages(query.page, table.pages)), to=to,
    )  # fmt: skip


def _descending(query: BatchQuery, column: str) -> bool:
    """Return which way a column is sorted when its heading is clicked."""
    return not query.descending if query.sort == column else column in _DESCENDING_FIRST


def _split(error: str) -> tuple[str, str]:
    """Return a text in two, between words if it has any: what is shown, and what is folded away."""
    if len(error) <= _LONG_ERROR:
        return error, ""
    at = error.rfind(" ", _ERROR_HEAD // 2, _ERROR_HEAD) + 1 or _ERROR_HEAD
    return error[:at].rstrip(), error[at:]


def _pages(page: int, pages: int) -> Iterator[int | None]:
    """Yield the pages to link to; None where some are left out."""
    before = 0
    for one in sorted({1, pages, *range(max(1, page - _NEAR), min(pages, page + _NEAR) + 1)}):
        if one > before + 1:
            yield None
        yield one
        before = one


def _bar(counts: Mapping[str, int]) -> Sequence[tuple[str, float, float]]:
    """Return the pieces of the bar of outcomes: status, where it begins, how long it is."""
    total = sum(counts.values())
    lengths = [max(_THINNEST, _BAR_WIDTH * count / total) for count in counts.values()]
    scale = _BAR_WIDTH / (sum(lengths) or 1.0)
    pieces, begin = [], 0.0
    for status, length in zip(counts, lengths, strict=True):
        pieces.append((status, round(begin, 2), round(length * scale, 2)))
        begin += length * scale
    return pieces


def _moment(at: float | None, now: float) -> Moment | None:
    """Return a time for people; None for none, and for what no calendar has."""
    if at is None:
        return None
    try:
        utc = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    length = format_duration(abs(at - now))
    return Moment(f"{utc:%Y-%m-%d %H:%M:%S} UTC", f"in {length}" if at > now else f"{length} ago")


def _render(template: str, nonce: str, theme: str, **values: object) -> str:
    known = theme if theme in {"dark", "light"} else ""
    return clean(_environment().get_template(template).render(nonce=nonce, theme=known, **values))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = resources.files(__package__)
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined,
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
    )  # fmt: skip
    environment.filters.update(usd=_usd, cents=_cents, minutes=_minutes, words=lambda status: status.replace("_", " "))
    environment.globals.update(
        style=Markup((folder / "pages.css").read_text("utf-8")),  # noqa: S704  our own files
        script=Markup((folder / "waiting.js").read_text("utf-8")),  # noqa: S704
        known_statuses=frozenset(STATUSES),
        plural=lambda count, noun: f"{count:,} {noun}{'' if count == 1 else 's'}",
    )
    return environment


def _usd(amount: float) -> str:
    return usd(amount) if amount < 1000 else f"${amount:,.2f}"


def _cents(amount: float) -> str:
    """Return an amount as it stands in a column; one that would look like nothing in full."""
    return usd(amount) if 0 < amount < 0.0001 else f"${amount:,.4f}"


def _minutes(minutes: float) -> str:
    return f"{minutes:,.2f}"
