"""Takes the documentation's pictures in a running Airflow: connection form, log, tab, asset events, the page.

``make screenshots`` runs it. Airflow and the emulator are started for it on loopback, and ended by process id. The
pictures are written to ``docs/pictures``; nothing in them is private.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_api import wait_for
from local_airflow import LocalAirflow
from local_chromium import chromium
from local_emulator import start_emulator
from processes import stop_all

from airflow_provider_nanostt.links import tab_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
MEETING, TASK, WATCHED = "example_meeting", "meeting", "example_watched_bucket"
WIDTH, HEIGHT = 1100, 700
SECONDS = 300  # for each thing that is waited for; machines differ


def opened(browser: Browser, address: str, *, height: int = HEIGHT) -> Page:
    """Return an address in a new window of one size, in the light scheme."""
    window = browser.new_context(
        viewport={"width": WIDTH, "height": height}, color_scheme="light", reduced_motion="reduce"
    )
    window.set_default_timeout(SECONDS * 1000)
    page = window.new_page()
    page.goto(address)
    return page


def kept(page: Page, name: str) -> None:
    """Write the picture of a window, once it has come to rest, and close the window."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)  # what is faded in
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")
    page.context.close()
    print(f"docs/pictures/{name}.png")


def connection_form(browser: Browser, airflow: LocalAirflow) -> None:
    """Show the form with the type of connection chosen."""
    page = opened(browser, f"{airflow.url}/connections", height=900)
    page.get_by_role("button", name="Add Connection").click()
    page.get_by_role("combobox").last.click()
    page.keyboard.type("NanoGPT")
    page.get_by_role("option", name="NanoGPT").first.click()
    page.get_by_label("Connection ID").or_(page.locator("input[name=connection_id]")).first.fill("nanogpt_default")
    kept(page, "connection-form")


def task_pages(browser: Browser, airflow: LocalAirflow, run_id: str) -> None:
    """Show the log of a task that has ended, and its tab with the transcript."""
    address = f"{airflow.url}/dags/{MEETING}/runs/{quote(run_id, safe='')}/tasks/{TASK}"
    page = opened(browser, address)
    page.locator("code").first.wait_for()
    kept(page, "task-log")
    page = opened(browser, f"{airflow.url}/{tab_of(MEETING, run_id, TASK)}")
    page.frame_locator("iframe").frame_locator("iframe[name=shown]").get_by_role("heading").first.wait_for()
    kept(page, "transcript-tab")


def asset_events(browser: Browser, airflow: LocalAirflow) -> None:
    """Show the events of the folder that is watched, once it has rung."""

    def rung() -> Any:
        return airflow.api.get("assets/events")["asset_events"] or None

    (event, *_) = wait_for(rung, "an asset event", SECONDS, 1)
    page = opened(browser, f"{airflow.url}/assets/{event['asset_id']}")
    kept(page, "asset-event")


def take(browser: Browser, airflow: LocalAirflow) -> None:
    """Run the example of a meeting, let a folder be watched meanwhile, and take every picture."""
    airflow.api.wait_for_dag(WATCHED)
    airflow.api.unpause(WATCHED)
    airflow.api.wait_for_dag(MEETING)
    run_id = airflow.api.trigger_dag(MEETING)
    connection_form(browser, airflow)
    if (state := airflow.api.wait_for_run(MEETING, run_id, SECONDS)) != "success":
        sys.exit(f"screenshots: the run of {MEETING} has {state}")
    task_pages(browser, airflow, run_id)
    written = airflow.api.xcom(MEETING, run_id, TASK)["files"]["html"]
    kept(opened(browser, Path(written.removeprefix("file://")).as_uri()), "page")
    asset_events(browser, airflow)


def main() -> None:
    """Start everything, take the pictures, and end everything, also when told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="nanostt-screenshots-") as folder:
        emulator, facts = start_emulator(Path(folder), "--speed", "20")
        services = [emulator]
        airflow = LocalAirflow(
            Path(sys.executable),
            Path(folder) / "airflow",
            ROOT / "example_dags",
            env={
                "AIRFLOW_CONN_NANOGPT_DEFAULT": json.dumps(facts["connection"]),
                "NANOSTT_OUTPUT": f"{folder}/transcripts",
            },
        )
        try:
            airflow.start(SECONDS)
            with chromium() as browser:
                take(browser, airflow)
        finally:
            stop_all([*services, *airflow.services.values()])


if __name__ == "__main__":
    main()
