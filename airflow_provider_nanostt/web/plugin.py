"""The plugin that adds the tab to a task's page, found by Airflow's entry point group ``airflow.plugins``.

Scheduler, workers, triggerer and DAG processor load plugins, too, so nothing but Airflow's base class may be imported
here: what serves the pages is imported at the first request. Airflow before 3.1 knows no such views, and passes over
what is said here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_nanostt import TAB_ROUTE
from airflow_provider_nanostt.web import OPERATORS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PREFIX = "/nanostt"
"""Where Airflow's API server mounts the routes."""


class LazyApp:
    """An ASGI application that is imported at its first request; Airflow lists it by the name of its class."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        from airflow_provider_nanostt.web.app import app

        await app(scope, receive, send)


def _view() -> dict[str, object]:
    """Return the tab, as Airflow wants it described."""
    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return {
        "name": "Transcript",
        "destination": "task_instance",
        "url_route": TAB_ROUTE,
        # In the path, not in a query: Airflow 3.1 does not encode them, and "+" in a query would be a space.
        "href": f"{base}{PREFIX}/tab/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}",
        "applies_to": {"operator_name": list(OPERATORS)},  # Airflow 3.4; before, the tab is on every task
    }


class NanoSTTPlugin(AirflowPlugin):
    """The tab *Transcript*."""

    name = "nanostt"

    def __init__(self) -> None:
        if hasattr(AirflowPlugin, "external_views"):  # Airflow 3.1
            self.fastapi_apps = [{"name": self.name, "app": LazyApp(), "url_prefix": PREFIX}]
            self.external_views = [_view()]
