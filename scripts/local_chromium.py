"""The Chromium that tests and benchmarks open pages in: the distribution's, installed if it is missing and we may.

It is started so that it talks to nobody by itself. Playwright drives it; Playwright's own browsers are never fetched.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from debian import ensure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

ARGUMENTS = (
    "--no-sandbox",  # it cannot build its sandbox as root or inside most containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


class ChromiumUnavailableError(RuntimeError):
    """Chromium is neither here nor can it be installed."""


def find_chromium() -> str | None:
    """Return the path of Debian's ``chromium``, or of a browser that is called so elsewhere."""
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


def ensure_chromium() -> str:
    """Return Chromium's path, after installing the distribution's package if need be.

    :raises ChromiumUnavailableError: if it is missing and cannot be installed.
    """
    return ensure("chromium", find_chromium, ChromiumUnavailableError)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium.

    :raises ChromiumUnavailableError: if there is none and none can be installed.
    """
    from playwright.sync_api import sync_playwright

    path = ensure_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    print(ensure_chromium())
