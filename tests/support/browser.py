"""A page in Debian's Chromium, watched: what it asks for, what it complains of, and what axe-core finds."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.support.preloaded import Preloaded
from tests.support.strace import needed

ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 30_000
"""A page of 20,000 items on a busy machine."""
A4_WIDTH = 688
"""CSS pixels between the margins of a page: 210 mm less twice 14 mm."""
SCROLLED_SIDEWAYS = """[...document.querySelectorAll("main *")].filter((each) => each.checkVisibility()
    && each.scrollWidth > each.clientWidth && ["auto", "scroll"].includes(getComputedStyle(each).overflowX))
    .map((each) => `${each.className} ${each.scrollWidth} > ${each.clientWidth}`)"""
"""The boxes in sight that are narrower than what they hold, so that it must be scrolled sideways."""
Scheme: TypeAlias = Literal["light", "dark"]
GRAVE = frozenset({"serious", "critical"})


def page_of(command: Preloaded, manifest: Path) -> Path:
    """The page of a manifest as `report` writes it beside it."""
    page = manifest.with_suffix(".html")
    ended = command.run("report", manifest, "--format", "html", "-o", page, cwd=manifest.parent)
    assert ended.code == 0, ended.stderr
    return page


def require_chromium() -> str:
    """The browser's path. Skips the test where there is none, or fails it where nothing may be skipped."""
    path = chromium()
    if path is None:
        needed("chromium is not installed")
        raise AssertionError
    return path


@cache
def chromium() -> str | None:
    return shutil.which("chromium")


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser that ends with this context."""
    path = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass  # without slots: playwright keeps a note on whose method it calls
class Watched:
    """A page, and everything it has asked for and complained of since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def on_request(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.requests.append(request.url)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def texts(self, selector: str) -> list[str]:
        """What stands in each element of this kind."""
        return [text.strip() for text in await self.page.locator(selector).all_inner_texts()]

    async def violations(self) -> list[str]:
        """What axe-core finds that is serious or critical: the rule and where."""
        found: dict[str, Any] = (await Axe().run(self.page)).response
        return [
            f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
            for each in found["violations"]
            if each["impact"] in GRAVE
            for node in each["nodes"]
        ]


@asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    *,
    scheme: Scheme = "light",
    width: int = 1280,
    is_inspected: bool = False,
) -> AsyncIterator[Watched]:
    """A page of ours that has drawn itself. `is_inspected`: its policy does not bind what a tool brings in."""
    async with watching(browser, scheme=scheme, width=width, bypass_csp=is_inspected) as watched:
        await watched.page.goto(url)
        await watched.page.wait_for_selector("html[data-ready]", state="attached")
        yield watched


@asynccontextmanager
async def watching(
    browser: Browser,
    *,
    scheme: Scheme = "light",
    width: int = 1280,
    bypass_csp: bool = False,
    reduced_motion: Literal["reduce"] | None = None,
) -> AsyncIterator[Watched]:
    """An empty page whose requests and complaints are noted. The last two options are Playwright's for its context."""
    context = await browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        bypass_csp=bypass_csp,
        reduced_motion=reduced_motion,
        locale="en",
    )
    context.set_default_timeout(TIMEOUT_MS)
    watched = Watched(await context.new_page())
    watched.page.on("request", watched.on_request)
    watched.page.on("console", watched.on_console)
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    try:
        yield watched
    finally:
        await context.close()
