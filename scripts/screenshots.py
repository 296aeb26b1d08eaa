"""Takes the documentation's pictures in a running Airflow: connection form, log, tab, asset event, the page.

``make screenshots`` runs it. Airflow and the emulator are started for it on loopback, and ended by process id. All that
a picture shows of this machine is :data:`HOME`, a folder that is made for it and removed. The pictures are written to
``docs/pictures``.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
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
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
HOME = Path(tempfile.gettempdir()) / "airflow"
MEETING, TASK, WATCHED = "example_meeting", "meeting", "example_watched_bucket"
WIDTH, HEIGHT = 1400, 800  # a page of the site shows it at half this width
SECONDS = 900  # for each thing that is waited for; machines differ


def opened(browser: Browser, address: str, *, width: int = WIDTH, height: int = HEIGHT) -> Page:
    """Return an address in a new window, in the light scheme."""
    window = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce", timezone_id="UTC"
    )
    window.set_default_timeout(SECONDS * 1000)
    page = window.new_page()
    page.goto(address)
    return page


def kept(page: Page, name: str, shown: Locator | None = None) -> None:
    """Write the picture of a window, or of what is shown in it, once it has come to rest, and close the window."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)  # what is faded in
    box = (shown.bounding_box() if shown else None) or {"x": 0, "y": 0, **(page.viewport_size or {})}
    picture = page.context.new_cdp_session(page).send(  # Playwright itself writes no WebP
        "Page.captureScreenshot", {"format": "webp", "quality": 80, "clip": {**box, "scale": 1}}
    )
    PICTURES.mkdir(exist_ok=True)
    file = PICTURES / f"{name}.webp"
    file.write_bytes(base64.b64decode(picture["data"]))
    page.context.close()
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


def connection_form(browser: Browser, airflow: LocalAirflow) -> None:
    """Show the form with the type of connection chosen."""
    page = opened(browser, f"{airflow.url}/connections", height=900)
    page.get_by_role("button", name="Add Connection").click()
    page.get_by_role("combobox").last.click()
    page.keyboard.type("NanoGPT")
    page.get_by_role("option", name="NanoGPT").first.click()
    page.get_by_label("Connection ID").or_(page.locator("input[name=connection_id]")).first.fill("nanogpt_default")
    kept(page, "connection-form", page.get_by_role("dialog"))


def task_pages(browser: Browser, airflow: LocalAirflow, run_id: str) -> None:
    """Show the log of a task that has ended, and its tab with the transcript."""
    address = f"{airflow.url}/dags/{MEETING}/runs/{quote(run_id, safe='')}/tasks/{TASK}"
    page = opened(browser, address, height=950)  # room for a wait in the triggerer
    page.get_by_text("delivery-call.html").first.wait_for()  # the last line
    page.keyboard.press("w")  # wraps the lines
    kept(page, "task-log")
    page = opened(browser, f"{airflow.url}/{tab_of(MEETING, run_id, TASK)}")
    page.frame_locator("iframe").frame_locator("iframe[name=shown]").get_by_role("heading").first.wait_for()
    kept(page, "transcript-tab")


def asset_event(browser: Browser, airflow: LocalAirflow) -> None:
    """Show the event of the folder that is watched, once the run that it started has ended well."""

    def rung() -> Any:
        for event in airflow.api.get("/assets/events")["asset_events"]:
            if any(run["state"] == "success" for run in event["created_dagruns"]):
                return event
        return None

    event = wait_for(rung, f"a run of {WATCHED}", SECONDS, 1)
    page = opened(browser, f"{airflow.url}/assets/{event['asset_id']}")
    page.get_by_text("Triggered Dag Run").first.wait_for()
    page.locator(".react-flow__node").nth(1).wait_for()
    kept(page, "asset-event")


def take(browser: Browser, airflow: LocalAirflow) -> None:
    """Run the example of a meeting, let a folder be watched meanwhile, and take every picture."""
    airflow.api.wait_for_dag(WATCHED, SECONDS)
    airflow.api.unpause(WATCHED)
    airflow.api.wait_for_dag(MEETING, SECONDS)
    run_id = airflow.api.trigger_dag(MEETING)
    connection_form(browser, airflow)
    if (state := airflow.api.wait_for_run(MEETING, run_id, SECONDS)) != "success":
        sys.exit(f"screenshots: the run of {MEETING} has {state}")
    task_pages(browser, airflow, run_id)
    written = airflow.api.xcom(MEETING, run_id, TASK)["files"]["html"]
    kept(opened(browser, Path(written.removeprefix("file://")).as_uri(), width=1000, height=720), "page")
    asset_event(browser, airflow)


@contextmanager
def home() -> Iterator[Path]:
    """Make the folder that pictures may show, with the example DAGs in it, and remove it at the end."""
    try:
        HOME.mkdir()
    except FileExistsError:
        sys.exit(f"screenshots: {HOME} exists; the pictures show this folder, so move it away")
    try:
        shutil.copytree(ROOT / "example_dags", HOME / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        yield HOME
    finally:
        shutil.rmtree(HOME)


def main() -> None:
    """Start everything, take the pictures, and end everything, also when told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with home() as folder:
        emulator, facts = start_emulator(folder, "--processing-seconds", "1")
        services = [emulator]
        airflow = LocalAirflow(
            Path(sys.executable),
            folder,
            folder / "dags",
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
