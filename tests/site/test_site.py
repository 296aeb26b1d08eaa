"""The site that `make docs` builds: whole, by itself, for everybody, on a phone, in the light and in the dark."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.browser import serving, violations

pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".site"
SEEN = (  # one of each kind of page
    "", "tutorial/", "how-to/nightly-bucket/", "how-to/it-failed/", "explanation/paid-once/", "explanation/waiting/",
    "reference/operators/", "reference/errors/", "reference/command-line/", "batch/", "ledger/", "glossary/",
)  # fmt: skip
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The site, built anew and served on loopback; its address."""
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    with serving(functools.partial(Files, directory=SITE)) as address:
        yield address


class Files(http.server.SimpleHTTPRequestHandler):
    """Says nothing about each request."""

    def log_message(self, *_: object) -> None:
        return


class Page(HTMLParser):
    """What a page refers to, and what may be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and tag != "base":
                self.links.add(value)
            if name in ("id", "name") and value:
                self.ids.add(value)


def test_every_link_and_anchor_leads_somewhere(site):
    """Each reference of each page is to another host, or to a file of the site and a place that is in it."""
    pages = {page: Page(page.read_text(encoding="utf-8")) for page in SITE.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 60
    lost = []
    for page, read in pages.items():
        here = f"{site}/{page.relative_to(SITE).as_posix()}"
        for link in read.links:
            target = urlsplit(urljoin(here, link))
            if not target.geturl().startswith(site):
                continue
            file = SITE / unquote(target.path).lstrip("/")
            file = file / "index.html" if file.is_dir() else file
            if not file.exists() or (target.fragment and unquote(target.fragment) not in pages[file].ids | {"__skip"}):
                lost.append(f"{page.relative_to(SITE)}: {link}")
    assert not lost, "\n".join(lost)


def test_nothing_is_loaded_from_another_host(site, visit):
    """Scripts, styles, fonts and pictures of every kind of page come with the site, and nothing breaks."""
    for path in SEEN:
        view = visit(url=f"{site}/{path}")
        view.wait_for_load_state("networkidle")
        assert {request for request in view.seen["requests"] if not request.startswith((site, "data:"))} == set()
        assert view.seen["errors"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(site, visit, scheme):
    """Axe finds nothing serious, in either scheme."""
    found = {}
    for path in SEEN:
        view = visit(url=f"{site}/{path}", color_scheme=scheme, reduced_motion="reduce")
        view.wait_for_load_state("networkidle")
        for one in violations(view):
            if one["impact"] in ("serious", "critical"):
                found.setdefault(one["id"], []).append((path, [node["html"][:150] for node in one["nodes"]][:5]))
    assert not found


def test_it_fits_a_phone(site, visit):
    """Nothing but tables, code and pictures is wider than the screen, and these scroll by themselves."""
    for path in SEEN:
        view = visit(url=f"{site}/{path}", viewport={"width": 360, "height": 740})
        assert view.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_search_finds_a_word(site, visit):
    """A word of a page is found while it is typed, without another host, and the hit leads to the page."""
    view = visit(url=f"{site}/")
    view.wait_for_load_state("networkidle")
    view.click("input.md-search__input")
    view.keyboard.type("fingerprint")
    hit = view.locator(".md-search-result__item a").first
    hit.wait_for(timeout=120_000)  # some machines are busy
    assert "fingerprint" in view.locator(".md-search-result__list").inner_text().lower()
    assert {request for request in view.seen["requests"] if not request.startswith((site, "data:", "blob:"))} == set()
    hit.click()
    view.wait_for_url(re.compile(r".*/(ledger|paid-once|glossary|changelog|operators|batch|development)/.*"))


def test_the_reference_has_what_the_code_has(site):
    """Every operator, argument, error, metric, model and command is on a page of the reference."""
    from airflow_provider_nanostt import metrics
    from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
    from airflow_provider_nanostt.api.errors import NanoGPTError
    from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
    from tests.api.test_errors import EVERY_ERROR

    def text(page: str) -> str:
        return (SITE / "reference" / page / "index.html").read_text(encoding="utf-8")

    for operator in (TranscribeOperator, TranscribeBatchOperator):
        assert set(operator.template_fields) - set(re.findall(r"\w+", text("operators"))) == set()
    kinds = {kind.__name__ for error in EVERY_ERROR for kind in [type(error)] if issubclass(kind, NanoGPTError)}
    assert kinds - set(re.findall(r"\w+", text("errors"))) == set()
    assert all(f"nanostt.{name}" in text("metrics") for name in metrics.METRICS)
    assert all(model in text("models") for model in KNOWN_MODELS)
    assert all(f"nanostt {command}" in text("command-line") for command in ("estimate", "doctor"))


def test_pictures_are_drawn_into_the_page(site):
    """The pages of explanation have SVG, and no script that draws it in the browser."""
    page = (SITE / "explanation" / "paid-once" / "index.html").read_text(encoding="utf-8")
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg" viewBox=') >= 3
    assert "mermaid" not in page
