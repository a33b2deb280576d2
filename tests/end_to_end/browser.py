"""A real Chromium, driven by Playwright. It is that of the system (Debian: package chromium); none is downloaded.

It is started for a module of tests and not for all: while Playwright runs, no other test could use asyncio.
"""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root with its sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-proxy-server",
)
PATIENCE_MS = 30_000


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "expected Chromium to be installed (Debian: apt-get install chromium), found none"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=4 * PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


class Complaints:
    """What a page wrote to the console as an error, and the errors that it did not catch."""

    def __init__(self, page: Page) -> None:
        self.texts: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.texts.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.texts.append(f"{message.text} ({message.location.get('url')})")


@contextlib.contextmanager
def tab(browser: Browser, **options: Any) -> Iterator[tuple[BrowserContext, Page, Complaints]]:
    """Open a tab with storage of its own."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    try:
        page = context.new_page()
        yield context, page, Complaints(page)
    finally:
        context.close()
