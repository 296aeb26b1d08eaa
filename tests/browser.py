"""Pages in a real Chromium: opened from disk or from a server of the test, with all that they ask for and say noted."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from local_chromium import ChromiumUnavailableError, chromium

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script><!-- ]]> -->",
    '<!--<script> <img src=x onerror="window.hacked = 1"> \'" &lt; &amp;amp; ${1} $title \\u003c',
    "\u2028\u2029\u202e</p></div></main><svg onload=window.hacked=1>",
    "javascript:window.hacked=1 </title></style><style>*{display:none}</style>",
)
"""Texts that would do something in a page that did not escape them."""


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server on loopback while the block lasts; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright.sync_api")
    try:
        with chromium() as running:
            yield running
    except ChromiumUnavailableError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page from disk, as from mail, or an address; what it asks for, says and breaks on is in ``seen``."""
    contexts = []

    def open_(text="", *, url="", script="", **options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options}))
        view = contexts[-1].new_page()
        view.add_init_script(script)
        view.seen = {"requests": [], "dialogs": [], "errors": [], "console": []}
        view.on("request", lambda request: view.seen["requests"].append(request.url))
        view.on("dialog", lambda dialog: (view.seen["dialogs"].append(dialog.message), dialog.dismiss()))
        view.on("pageerror", lambda error: view.seen["errors"].append(str(error)))
        view.on("console", lambda message: view.seen["console"].append(message.text))
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        view.goto(url or file.as_uri(), timeout=120_000)  # some machines are busy
        return view

    yield open_
    for context in contexts:
        context.close()


def violations(view):
    """Return what axe finds wrong with a page. The page's policy refuses scripts put into it: axe is run beside it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return axe.run(view).response["violations"]
