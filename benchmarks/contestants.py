"""Who is measured: this provider's trigger, those of other providers, and a bare aiohttp loop as the yardstick.

Each polls the stub server as its own code does, with its own default settings but for the interval. Two things are
changed for all of them, both to the others' advantage: nothing is logged (some of them log a line for each poll), and
dbt Cloud's hook, which knows https only, is sent to the stub's plain port, which spares it a TLS handshake per poll.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "sk-nano-00000000-0000-4000-8000-000000000000"
BARE, OURS = "bare", "nanogpt"
PEERS = ("databricks", "dbt-cloud", "http")
NAMES = {
    BARE: "bare aiohttp loop",
    OURS: "TranscriptionTrigger",
    "databricks": "DatabricksExecutionTrigger",
    "dbt-cloud": "DbtCloudRunJobTrigger",
    "http": "HttpSensorTrigger",
}


def ticket(number: int, submitted_at: float, minutes: float = 3.0) -> dict[str, Any]:
    """A job as the operator hands it to the trigger."""
    run_id = f"run-{number:06d}"
    body = {
        "runId": run_id,
        "status": "pending",
        "model": "Elevenlabs-STT",
        "cost": round(0.03 * minutes, 6),
        "paymentSource": "USD",
        "isApiRequest": True,
        "fileName": f"call-{number:06d}.wav",
        "fileSize": 1_237_884,
        "chargedDuration": minutes,
        "diarize": False,
    }
    return {
        "run_id": run_id,
        "model": "Elevenlabs-STT",
        "submitted_at": submitted_at,
        "cost": body["cost"],
        "charged_minutes": minutes,
        "body": body,
    }


def silence() -> None:
    """Log nothing."""
    import airflow.triggers.base  # noqa: F401  sets logging up
    import structlog

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def connect(url: str, requests_per_second: float = 20.0) -> None:
    """Put the connections into the environment, where the secrets backend of the same name finds them."""
    parts = urlsplit(url)
    place = {"host": parts.hostname, "schema": parts.scheme, "port": parts.port}
    connections = {
        "nanogpt_default": {
            "conn_type": "nanogpt",
            "host": f"{url}/api",
            "password": KEY,
            "extra": {"requests_per_second": requests_per_second},
        },
        "databricks_default": {"conn_type": "databricks", **place, "password": "token"},
        "dbt_cloud_default": {"conn_type": "dbt_cloud", "host": parts.netloc, "login": "1", "password": "token"},
        "http_default": {"conn_type": "http", **place},
    }
    for name, connection in connections.items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)


class BareLoop:
    """The least that polling with aiohttp can be: one session for all, no errors, no schedule."""

    session: Any = None

    def __init__(self, url: str, number: int, interval: float) -> None:
        self._url = f"{url}/api/transcribe/status"
        self._body = ticket(number, 0.0)["body"]
        self._interval = interval

    async def run(self) -> AsyncIterator[None]:
        import aiohttp

        if BareLoop.session is None:
            BareLoop.session = aiohttp.ClientSession()
        while True:
            async with BareLoop.session.post(self._url, json=self._body, headers={"x-api-key": KEY}) as answer:
                status = json.loads(await answer.read())["status"]
            if status != "processing":
                yield None
            await asyncio.sleep(self._interval)


def _plain_dbt_cloud() -> None:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook

    original = DbtCloudHook.get_request_url_params

    def plain(*args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        url, parameters = original(*args, **kwargs)
        return url.replace("https://", "http://", 1), parameters

    DbtCloudHook.get_request_url_params = staticmethod(plain)


def make(name: str, url: str, count: int, interval: float, *, age: float = 0.0) -> list[Any]:
    """Make triggers that wait for jobs which were submitted ``age`` seconds ago."""
    now = time.time()
    if name == BARE:
        return [BareLoop(url, number, interval) for number in range(count)]
    if name == OURS:
        from airflow_provider_nanostt.triggers import TranscriptionTrigger

        return [
            TranscriptionTrigger(
                job=ticket(number, now - age),
                nanogpt_conn_id="nanogpt_default",
                poll_interval=interval,
                deadline=now + 86_400,
            )
            for number in range(count)
        ]
    if name == "databricks":
        from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

        return [
            DatabricksExecutionTrigger(1000 + number, "databricks_default", polling_period_seconds=interval)
            for number in range(count)
        ]
    if name == "dbt-cloud":
        from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

        _plain_dbt_cloud()
        return [
            DbtCloudRunJobTrigger("dbt_cloud_default", number, now + 86_400, interval, 1) for number in range(count)
        ]
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return [HttpSensorTrigger(endpoint=f"not-there/{number}", poke_interval=interval) for number in range(count)]


async def drain(trigger: Any, delay: float = 0.0) -> None:
    """Run a trigger as the triggerer does, to its end."""
    if delay:
        await asyncio.sleep(delay)
    async for _ in trigger.run():
        pass


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    """End triggers as the triggerer does at its own end; what broke before is raised."""
    broken = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if BareLoop.session is not None:
        await BareLoop.session.close()
        BareLoop.session = None
    if broken:
        raise RuntimeError(f"{len(broken)} of {len(tasks)} triggers ended while they should wait: {broken[0]!r}")
