"""The site that `make docs` built: served on loopback, opened in a browser, and asked as its search box asks."""

import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.support.browser import Scheme, Watched, watching
from tests.support.site_source import REPOSITORY, write_source
from tests.support.strace import needed

_ASK = """async ([index, questions]) => {
    const config = JSON.parse(document.getElementById("__config").textContent);
    const worker = new Worker(new URL(config.search, location.href));
    const ask = (message) => new Promise((resolve) => {
        worker.addEventListener("message", (event) => resolve(event.data), {once: true});
        worker.postMessage(message);
    });
    await ask({type: 0, data: {...index, options: {suggest: false}}});
    const found = [];
    for (const data of questions)
        found.push((await ask({type: 2, data})).data.items.map((page) => page[0].location));
    return found;
}"""
"""The messages that the theme's script exchanges with its search: 0 hands over the index, 2 asks."""


def require_site(scratch: Path) -> Path:
    """The folder of the site. Skips the test where it is not built or not of these documents; in CI that fails."""
    site, source, fresh = REPOSITORY / "site", REPOSITORY / "build" / "site-source", scratch / "site-source"
    if not (site / "index.html").exists() or not source.exists():
        needed("site/ is not built: make docs")
    write_source(REPOSITORY, fresh)
    if _content(source) != _content(fresh):
        needed("site/ is not of these documents: make docs")
    return site


def _content(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the site on loopback, and return its address, with a `/` at the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def opened_page(browser: Browser, url: str, *, scheme: Scheme = "light") -> AsyncIterator[Watched]:
    """A page of the site, with everything loaded that it asks for at its start."""
    async with watching(browser, scheme=scheme, reduced_motion="reduce") as watched:
        await watched.page.goto(url, wait_until="networkidle")
        yield watched


async def first_results(page: Page, site: Path, questions: Sequence[str]) -> Sequence[Sequence[str]]:
    """Return for each question what its search finds, best first: of each page the best heading, as `PAGE#ANCHOR`."""
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found: list[list[str]] = await page.evaluate(_ASK, [index, list(questions)])
    return found
