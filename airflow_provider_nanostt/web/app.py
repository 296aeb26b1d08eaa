"""The routes of the tab: who may ask, which page answers, and what that page may do in a browser.

What is untrusted runs without Airflow's origin (``Content-Security-Policy: sandbox``): an escape that was forgotten
would own nothing. Only a batch's table, whose links need the cookie, and the pages of a few facts have the origin; they
run no script but their own.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_nanostt.ledger import TaskIdentity
from airflow_provider_nanostt.web import files, pages, tasks
from airflow_provider_nanostt.web.pages import Button
from airflow_provider_nanostt.web.show import Page, Quiet, Table, view_of
from airflow_provider_nanostt.web.tasks import Task
from airflow_provider_nanostt.web.views import BatchQuery, Failed, Text, Waiting
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

_LOG = logging.getLogger(__name__)
_REFRESH_SECONDS = 10
_MAX_QUERY = 200
_NOTHING = "There is nothing here, or nothing that you may see."
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ALWAYS = "base-uri 'none'; frame-ancestors 'self'"
_SANDBOX = "sandbox allow-scripts allow-downloads; "


def _task_of(dag_id: str, run_id: str, task_id: str, map_index: str) -> Task:
    """Return the task instance that a path names.

    Of a task that is not mapped, Airflow leaves the placeholder as it is.
    """
    number = _whole(map_index)
    task = tasks.load(TaskIdentity(dag_id, task_id, run_id, -1 if number is None else number))
    if task is None:
        raise HTTPException(404)
    return task


def _whole(text: str) -> int | None:
    """Read a number in an address; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _query_of(
    status: str = "", text: str = "", sort: str = "number", descending: str = "", page: str = ""
) -> BatchQuery:
    number = _whole(page) or 1
    return BatchQuery(status[:_MAX_QUERY], text[:_MAX_QUERY], sort[:_MAX_QUERY], descending == "1", number)


def _row_of(task: Annotated[Task, Depends(_task_of)], number: str) -> ManifestRow:
    """Return a row of the task's batch, read from the manifest anew: an address cannot name a file."""
    rows, index = files.manifest_of(task), _whole(number)
    if index is None or index >= len(rows):
        raise HTTPException(404)
    return rows[index]


def _theme_of(theme: str = "") -> str:
    return theme if theme in {"dark", "light"} else ""


TaskDep = Annotated[Task, Depends(_task_of)]
RowDep = Annotated[ManifestRow, Depends(_row_of)]
QueryDep = Annotated[BatchQuery, Depends(_query_of)]
ThemeDep = Annotated[str, Depends(_theme_of)]

# The right is asked for before the database is: dependencies of the router come before those of a route.
router = APIRouter(
    prefix="/tab/{dag_id}/{run_id}/{task_id}/{map_index}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
    default_response_class=HTMLResponse,
)


@router.get("")
def tab(task: TaskDep) -> HTMLResponse:
    """Return the frame that Airflow shows as the tab."""
    return _framed(f"{task.identity.map_index}/view")


@router.get("/view")
def view(task: TaskDep, query: QueryDep, theme: ThemeDep) -> HTMLResponse:
    """Return what there is to be shown of a task now."""
    found, nonce = view_of(task), _nonce()
    match found:
        case Table():
            return table(task, query, theme)
        case Page():
            play = [Button("Play the recording", "page?sound=1")]
            return _framed("page", play) if files.recording_of(task) else page(task, theme)
        case Failed():
            both = [Button("What happened", "failed"), Button("Recordings", "table")]
            return _framed("failed", both) if found.has_manifest else failed(task, theme)
        case Text():
            return _plain(pages.text_page(found, nonce, theme=theme), nonce, sandbox=True)
        case Waiting():  # it reads itself again, unless told not to
            return _plain(pages.waiting_page(found, nonce, theme=theme), nonce)
        case Quiet():
            return _quiet(found.message, theme, refresh=found.may_change)


@router.get("/failed")
def failed(task: TaskDep, theme: ThemeDep) -> HTMLResponse:
    """Return what happened to a failed task, and what to do."""
    found, nonce = view_of(task), _nonce()
    if not isinstance(found, Failed):
        raise HTTPException(404)
    return _plain(pages.failed_page(found, nonce, theme=theme), nonce, refresh=found.state == "up_for_retry")


@router.get("/table")
def table(task: TaskDep, query: QueryDep, theme: ThemeDep) -> HTMLResponse:
    """Return the table of a batch."""

    def address(wanted: BatchQuery) -> str:
        values = {**asdict(wanted), "descending": "1" if wanted.descending else "", "theme": theme}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def row_address(number: int) -> str:
        return f"row/{int(number)}" + (f"?{urlencode({'theme': theme})}" if theme else "")

    nonce, found = _nonce(), pages.select(files.manifest_of(task), query)
    return _plain(pages.batch_page(found, nonce, address, row_address, theme=theme), nonce)


@router.get("/page")
def page(task: TaskDep, theme: ThemeDep, sound: str = "") -> HTMLResponse:
    """Return the page of the task's recording, with sound if that is wanted."""
    return _transcript(task, None, theme, sound)


@router.get("/row/{number}")
def row(task: TaskDep, row: RowDep) -> HTMLResponse:
    """Return the frame of one recording of a batch."""
    playing = [Button("Play the recording", f"{row.number}/page?sound=1")] if files.recording_of(task, row) else []
    return _framed(f"{row.number}/page", [Button("All recordings", "../table", is_inside=False), *playing])


@router.get("/row/{number}/page")
def row_page(task: TaskDep, row: RowDep, theme: ThemeDep, sound: str = "") -> HTMLResponse:
    """Return the page of one recording of a batch."""
    return _transcript(task, row, theme, sound)


def _transcript(task: Task, row: ManifestRow | None, theme: str, sound: str) -> HTMLResponse:
    """Return a transcript's page, which has no origin. The sound's address is signed now, and only in this answer."""
    recording = files.recording_of(task, row) if sound == "1" else None
    html = files.transcript_page(task, row, theme=theme, audio_url=recording and files.signed(recording))
    # The page itself allows only its own script and style, by their hashes, and only its own sound.
    own = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src http: https:"
    return _answer(html, f"{_SANDBOX}{own}; form-action 'none'; {_ALWAYS}")


def _nonce() -> str:
    return secrets.token_urlsafe(16)


def _framed(address: str, buttons: Sequence[Button] = ()) -> HTMLResponse:
    nonce = _nonce()
    own = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-src 'self'"
    return _answer(pages.frame_page(address, nonce, buttons), f"{own}; form-action 'none'; {_ALWAYS}")


def _plain(html: str, nonce: str, *, status: int = 200, sandbox: bool = False, refresh: bool = False) -> HTMLResponse:
    """Return one of the pages of ``pages``, which may run only what has its nonce."""
    own = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; form-action 'self'; {_ALWAYS}"
    return _answer(html, f"{_SANDBOX if sandbox else ''}{own}", status, refresh=refresh)


def _quiet(message: str, theme: str, *, status: int = 200, refresh: bool = False) -> HTMLResponse:
    nonce = _nonce()
    return _plain(pages.quiet_page(message, nonce, theme=theme), nonce, status=status, refresh=refresh)


def _answer(html: str, policy: str, status: int = 200, *, refresh: bool = False) -> HTMLResponse:
    again = {"Refresh": str(_REFRESH_SECONDS)} if refresh else {}
    # A word that is no Unicode, as names on a disk may be, is no reason to show nothing.
    data = html.encode("utf-8", "replace")
    return HTMLResponse(data, status, {**_HEADERS, **again, "Content-Security-Policy": policy})


def _refused(request: Request, error: Exception) -> HTMLResponse:
    """Answer in HTML: it is shown in a frame. Whether there is no such task or no right to see it, is not told."""
    theme = _theme_of(request.query_params.get("theme", ""))
    if isinstance(error, files.NotShownError):
        return _quiet(str(error), theme, status=404)
    if isinstance(error, StarletteHTTPException) and error.status_code == 401:
        return _quiet("Log in to Airflow, and open this tab again.", theme, status=401)
    return _quiet(_NOTHING, theme, status=404)


app = FastAPI(title="Transcript tab", docs_url=None, redoc_url=None, openapi_url=None)
for kind in (StarletteHTTPException, RequestValidationError, files.NotShownError):
    app.add_exception_handler(kind, _refused)
app.include_router(router)
