"""The tab Transcript inside Airflow's own pages, in a real Chromium: a login, a sub-path, and a real store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from airflow_api import TaskInstance, wait_for
from local_airflow import LocalAirflow
from local_store import REGION, LocalStore, find_binary
from matrix import Run as Preparation
from matrix import StepFailedError, build_wheel
from versions import ROOT, read_versions

from airflow_provider_nanostt.emulator import Emulator
from tests.browser import violations

pytestmark = pytest.mark.e2e
pytest.importorskip("playwright.sync_api")
pytest.importorskip("s3fs")

DAG_ID = "transcript_tab"
DAG_FILE = Path(__file__).parent / "dags" / f"{DAG_ID}.py"
AUDIO = ROOT / "example_dags" / "audio" / "weekly-note.wav"
SAID = "Good morning, Harbour Parcels. Which parcel is it? It is the third one, on the desk."
RECORDINGS = ("alpha", "beta", "gamma", "slow", "broken")
SECONDS = 14.0
SLOW = 3600.0
LONG = pytest.mark.long
ENDED = ("success", "failed")
OTHER_VERSIONS = ("3.4.0b2", "3.1.8")


@dataclass(frozen=True)
class Stage:
    """An Airflow with one run of the DAG.

    :param store: what its recordings and files lie in; None for a disk.
    """

    airflow: LocalAirflow
    store: LocalStore | None
    run_id: str

    @property
    def depth(self) -> int:
        """How many frames are around a transcript: one more where there is a button to play."""
        return 2 if self.store is None else 3

    @property
    def is_newest(self) -> bool:
        """Whether this Airflow shows tabs only where they belong."""
        return self.airflow.version >= "3.4"

    def page(self, task_id: str, rest: str = "", map_index: int | None = None) -> str:
        """Return the address of a task instance's page in Airflow, or of a tab of it."""
        mapped = "" if map_index is None else f"/mapped/{map_index}"
        run = quote(self.run_id, safe="")
        return f"{self.airflow.url}/dags/{DAG_ID}/runs/{run}/tasks/{task_id}{mapped}{rest}"

    def tab(self, task_id: str, map_index: int | None = None) -> str:
        """Return the address of the tab."""
        return self.page(task_id, "/plugin/nanostt-transcript", map_index)

    def states(self) -> dict[str, str | None]:
        """Return the states of the tasks by their names."""
        found: list[TaskInstance] = self.airflow.api.task_instances(DAG_ID, self.run_id)
        return {one.name: one.state for one in found}


def python_of(version: str) -> Path:
    """Make the environment of another Airflow, with the wheel of this package in it."""
    (known,) = (one for one in read_versions() if one.version == version)
    try:
        Preparation(known, build_wheel()).prepare()
    except (StepFailedError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the environment of Airflow {version} cannot be made: {error}")
    return ROOT / ".envs" / version / "bin" / "python"


@pytest.fixture(scope="module", params=["dev", *(pytest.param(version, marks=LONG) for version in OTHER_VERSIONS)])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Airflow below a path, whose users log in, after a run in which one task still waits and the others have ended.

    The one of the development environment has an object store, the others, whose environments cannot, a disk.
    """
    is_dev = request.param == "dev"
    python = Path(sys.executable) if is_dev else python_of(request.param)
    home = tmp_path_factory.mktemp("tab")
    (home / "dags").mkdir()
    shutil.copy(DAG_FILE, home / "dags")
    recordings = {f"{name}.wav": AUDIO.read_bytes() + name.encode() for name in RECORDINGS}
    with ExitStack() as stack:
        service = stack.enter_context(Emulator(processing_seconds=0.1))
        service.script("*.wav", text=SAID, duration=SECONDS)
        service.script("slow.wav", duration=SECONDS, processing_seconds=SLOW)
        service.script("broken.wav", duration=SECONDS, status="failed", error="the audio cannot be decoded")
        env = {"AIRFLOW_CONN_NANOGPT_DEFAULT": service.connection_json}
        store = stack.enter_context(stored(recordings)) if is_dev else None
        if store is not None:
            env["AIRFLOW_CONN_STORE"] = store.connection()
        else:
            env |= {"TAB_AUDIO": str(home), "TAB_OUT": str(home / "out")}
            for name, data in recordings.items():
                (home / name).write_bytes(data)
        airflow = stack.enter_context(
            LocalAirflow(
                python, home / "airflow", home / "dags", env=env, parallelism=4,
                path="/team/airflow", users={"admin": "admin", "viewer": "viewer"},
            )
        )  # fmt: skip
        airflow.api.wait_for_dag(DAG_ID)
        made = Stage(airflow, store, airflow.api.trigger_dag(DAG_ID))
        wait_for(lambda: all(state in (*ENDED, "deferred") for state in made.states().values()), "the run", 240)
        yield made


@contextmanager
def stored(recordings: Mapping[str, bytes]) -> Iterator[LocalStore]:
    """Run an object store with some recordings."""
    from botocore.session import get_session

    if find_binary() is None:
        pytest.skip("no object store is installed")
    with LocalStore() as store:
        client = get_session().create_client(
            "s3", region_name=REGION, endpoint_url=store.endpoint,
            aws_access_key_id=store.access_key, aws_secret_access_key=store.secret_key,
        )  # fmt: skip
        with closing(client):
            for name, data in recordings.items():
                client.put_object(Bucket=store.bucket, Key=f"audio/{name}", Body=data)
        yield store


@pytest.fixture(scope="module")
def people(browser: Any, stage: Stage) -> Iterator[Callable[..., Any]]:
    """Return the browser windows of people who have logged in on Airflow's own page, by name.

    At the end no page in them may have thrown an error.
    """
    windows: dict[str, Any] = {}

    def window(name: str = "viewer") -> Any:
        if name not in windows:
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            windows[name] = view = context.new_page()
            view.set_default_timeout(60_000)  # Airflow's own pages ask a hundred questions first
            view.seen = []
            view.on("pageerror", lambda error: view.seen.append(str(error)))
            view.goto(stage.airflow.url)
            view.fill("[name=username]", name)
            view.fill("[name=password]", name)
            view.keyboard.press("Enter")
            view.wait_for_url(lambda url: "auth/login" not in url)
        view = windows[name]
        view.set_viewport_size({"width": 1440, "height": 900})
        view.emulate_media(color_scheme="light")
        return view

    yield window
    thrown = [error for view in windows.values() for error in view.seen]
    for view in windows.values():
        view.context.close()
    assert thrown == []


def shown(view: Any, *, depth: int = 2) -> Any:
    """Return the frame in which something is read: Airflow's iframe has ours, which follows the theme, around it."""
    frame = view.frame_locator("iframe").frame_locator("iframe[name=shown]")
    for _ in range(depth - 2):
        frame = frame.frame_locator("iframe[name=shown]")
    return frame


def texts(locator: Any) -> list[str]:
    """Return the texts of elements, once there are some."""
    locator.first.wait_for()
    return [" ".join(text.split()) for text in locator.all_inner_texts()]


def spoken(page: Any) -> str:
    """Return what is said on a transcript's page; a browser has no inner text of paragraphs that it need not draw."""
    page.locator(".x").first.wait_for()
    return " ".join(" ".join(page.locator(".x").all_text_contents()).split())


def screenshot(view: Any, stage: Stage, name: str) -> None:
    """Leave a picture for people to look at, if somebody asks for it."""
    if folder := os.environ.get("TAB_SCREENSHOTS"):
        view.screenshot(path=f"{folder}/{stage.airflow.version}-{name}.png")


def opened_by_the_button(view: Any) -> Any:
    """Click the button, and return the page that it opens; in Airflow 3.1 every button opens a new window."""
    button = view.locator("a[href^='dags/']")
    if button.get_attribute("target") != "_blank":
        button.click()
        return view
    with view.expect_popup() as opened:
        button.click()
    return opened.value


@pytest.mark.parametrize("user", ["viewer", pytest.param("admin", marks=LONG)])
def test_the_button_opens_the_tab_where_the_transcript_is_read(stage, people, user):
    """From the task's details, by a click, to the words; for whoever may read the DAG, below a path of its own."""
    view = people(user)
    view.goto(stage.page("recording", "/details"))
    view = opened_by_the_button(view)
    assert SAID in spoken(shown(view, depth=stage.depth))
    assert unquote(view.url) == unquote(stage.tab("recording"))
    assert shown(view, depth=stage.depth).locator("h1").inner_text() == "alpha.wav"
    screenshot(view, stage, f"recording-{user}")


@LONG
def test_the_transcript_of_a_mapped_task_is_its_own(stage, people):
    """Each map index has its tab, and its button leads there."""
    view = people()
    view.goto(stage.page("mapped", "/details", map_index=1))
    view = opened_by_the_button(view)
    assert shown(view, depth=stage.depth).locator("h1").inner_text() == "beta.wav"


def test_nothing_untrusted_has_the_origin_of_airflow(stage, people):
    """The transcript's page cannot reach Airflow's cookie or pages, though its script runs."""
    view = people()
    view.goto(stage.tab("recording"))
    shown(view, depth=stage.depth).locator(".x").first.wait_for()
    page = view.frames[-1]
    assert page.evaluate("origin") == "null"
    assert page.evaluate("(() => { try { return document.cookie } catch (e) { return e.name } })()") == "SecurityError"
    assert page.evaluate("(() => { try { return top.document.title } catch (e) { return e.name } })()") == (
        "SecurityError"
    )
    shown(view, depth=stage.depth).locator("#q").fill("parcel")
    assert texts(shown(view, depth=stage.depth).locator("#count")) == ["1 of 2"]


def test_the_recording_is_played_by_an_address_signed_at_the_click(stage, people):
    """Nothing is signed before; then it sounds, and a click on a word goes to where it is said."""
    if stage.store is None:
        pytest.skip("a disk signs no addresses")
    view = people()
    asked: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    view.goto(stage.tab("recording"))
    shown(view, depth=stage.depth).locator(".x").first.wait_for()
    assert "Signature" not in "".join(frame.content() for frame in view.frames)
    shown(view).get_by_role("link", name="Play the recording").click()
    shown(view, depth=stage.depth).locator("audio").wait_for()
    page = next(frame for frame in view.frames if "sound=1" in frame.url)
    page.evaluate("document.querySelector('audio').volume = 0.01")
    shown(view, depth=stage.depth).locator(".t").first.click()
    # As functions: the page's policy lets nobody evaluate a text.
    page.wait_for_function("() => (a => !a.paused && a.currentTime > 0)(document.querySelector('audio'))")
    place = page.evaluate(
        """() => { const text = document.querySelector('.x'), range = document.createRange();
            const node = text.firstChild, at = node.data.indexOf('third');
            range.setStart(node, at); range.setEnd(node, at + 5);
            const box = range.getBoundingClientRect(), own = text.getBoundingClientRect();
            return {x: box.x + box.width / 2 - own.x, y: box.y + box.height / 2 - own.y} }"""
    )
    shown(view, depth=stage.depth).locator(".x").first.click(position=place)
    page.wait_for_function("() => document.querySelector('audio').currentTime > 8")
    sound = [url for url in asked if url.startswith(stage.store.endpoint)]
    assert sound
    assert all("Signature" in url for url in sound)
    screenshot(view, stage, "playing")


def test_a_batch_is_searched_and_sorted_and_a_row_opened(stage, people):
    """As in any table of Airflow; coming back shows the rows that one has left."""
    view = people()
    view.goto(stage.tab("batch"))
    table = shown(view)
    names = table.locator("tbody .c-name")
    assert texts(names) == ["alpha.wav", "beta.wav", "gamma.wav", "missing.wav"]
    assert texts(table.locator(".legend li")) == ["All 4", "Written 3", "Failed 1"]
    screenshot(view, stage, "batch")
    table.get_by_role("columnheader", name="Name").get_by_role("link").click()
    table.locator("[aria-sort=ascending].c-name").wait_for()
    table.get_by_role("columnheader", name="Name").get_by_role("link").click()
    table.locator("[aria-sort=descending]").wait_for()
    assert texts(names) == ["missing.wav", "gamma.wav", "beta.wav", "alpha.wav"]
    table.locator("[name=text]").fill("ma.wav")
    table.get_by_role("button", name="Search").click()
    table.locator("tbody tr").nth(1).wait_for(state="detached")
    assert texts(names) == ["gamma.wav"]
    names.get_by_role("link").click()
    assert SAID in spoken(shown(view, depth=3))
    view.evaluate("history.back()")
    table.locator("table").wait_for()
    assert texts(names) == ["gamma.wav"]
    names.get_by_role("link").click()
    shown(view).get_by_role("link", name="All recordings").click()
    assert len(texts(names)) == 4
    table.get_by_role("link", name="missing.wav").click()
    assert "does not exist" in shown(view, depth=3).locator("main").inner_text()


def test_a_waiting_task_shows_its_job_and_follows_it(stage, people):
    """Run id, model, times, cost and record; the page is read again by itself."""
    view = people()
    view.clock.install()
    try:
        view.goto(stage.tab("waiting"))
        waiting = shown(view)
        labels, values = texts(waiting.locator("dt")), texts(waiting.locator("dd"))
        known = dict(zip(labels, values, strict=True))
        assert labels == ["Run", "Model", "Submitted", "Expected", "Cost so far", "Record"]
        assert known["Model"] == "Elevenlabs-STT"
        assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC .* ago", known["Submitted"])
        assert "/slow/.nanostt/" in known["Record"]
        screenshot(view, stage, "waiting")
        with view.expect_response(lambda answer: "/waiting/" in answer.url and "/view" in answer.url):
            view.clock.fast_forward(21_000)
    finally:
        view.clock.resume()


@LONG
def test_a_failed_task_says_what_happened_to_the_money(stage, people):
    """And what to do next."""
    view = people()
    view.goto(stage.tab("failing"))
    assert texts(shown(view).locator("h2")) == ["What to do next", "What happened to the money"]
    assert "$0.00" in texts(shown(view).locator("dd"))[0]
    screenshot(view, stage, "failing")


@LONG
def test_a_task_without_files_shows_its_text(stage, people):
    """As it is in XCom."""
    view = people()
    view.goto(stage.tab("text"))
    assert " ".join(texts(shown(view).locator(".text p"))) == SAID
    screenshot(view, stage, "text")


@LONG
def test_a_foreign_task_has_no_tab_or_one_quiet_line(stage, people):
    """Airflow 3.4 shows the tab only where it belongs; before, it is everywhere."""
    view = people()
    view.goto(stage.page("foreign", "/details"))
    view.get_by_role("tab", name="Details").or_(view.get_by_role("link", name="Details")).first.wait_for()
    if stage.is_newest:
        assert view.locator("a[href*='plugin/nanostt-transcript']").count() == 0
        return
    view.goto(stage.tab("foreign"))
    assert texts(shown(view).locator("main p")) == ["This task makes no transcript."]


@pytest.mark.parametrize("theme", ["dark", pytest.param("light", marks=LONG)])
def test_the_tab_has_the_theme_of_airflow(stage, people, theme):
    """Whatever the system's is; and it changes when Airflow's changes."""
    view = people()
    view.emulate_media(color_scheme="light" if theme == "dark" else "dark")
    view.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    try:
        for task_id, depth in (("recording", stage.depth), ("batch", 2)):
            view.goto(stage.tab(task_id))
            shown(view, depth=depth).locator(f"html[data-theme={theme}]").wait_for()
            shown(view, depth=depth).locator(".x, td").first.wait_for()
            screenshot(view, stage, f"{task_id}-{theme}")
    finally:
        view.evaluate("localStorage.removeItem('theme')")


@pytest.mark.parametrize(
    "task_id", ["recording", *(pytest.param(one, marks=LONG) for one in ("batch", "waiting", "failing"))]
)
def test_on_a_phone_nothing_sticks_out_and_axe_finds_nothing(stage, people, task_id):
    """At 360 pixels, the tab alone in the window: what Airflow does around it is not ours."""
    view = people()
    view.goto(stage.tab(task_id))
    shown(view).locator("body").wait_for()
    address = view.frames[1].url
    view.set_viewport_size({"width": 360, "height": 740})
    view.goto(address)
    inner = view.frame_locator("iframe[name=shown]")
    if task_id == "recording" and stage.depth == 3:
        inner = inner.frame_locator("iframe[name=shown]")
    inner.locator(".x, .c-name, dd").locator("visible=true").first.wait_for()
    screenshot(view, stage, f"phone-{task_id}")
    for frame in view.frames:
        assert frame.evaluate("document.documentElement.scrollWidth") == 360
        is_around = frame.locator("iframe").count() > 0  # which has neither a heading nor a main part, but its page has
        allowed = {"landmark-one-main", "page-has-heading-one"} if is_around else set()
        assert {one["id"] for one in violations(frame)} <= allowed
