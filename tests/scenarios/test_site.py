"""The site that `make docs` builds: no request to another host, readable by everybody, and its search answers."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Browser

from tests.support.browser import Scheme, launched, opened
from tests.support.emulator_process import ROOT
from tests.support.strace import needed

SITE = ROOT / "site"
DRAWN = "article h1"
QUESTION = re.compile(r"^## (?P<asked>.+\?)\n\n.*\]\((?P<page>[\w./-]+)\.md[^)]*\)\.$", re.MULTILINE)
TYPED = {
    "What do I write into a manifest?": "manifest keys batch tags files example",
    "Can I make a manifest from a spreadsheet?": "excel list of files to manifest",
    "Can I try it without an AWS account?": "try without AWS locally",
    "Which permissions does it need in AWS?": "IAM policy permissions",
    "How do I check that everything is ready?": "check credentials and capacity before the first run",
    "Why is my PDF refused?": "PDF with password locked",
    "How large may a document be?": "maximum size of a file",
    "How fast will it be?": "learned rate of the account",
    "What happens when requests are throttled?": "throttled requests are sent again",
    "What is the ledger, and may I delete it?": "ledger file lost or deleted",
    "How do I run it every night with cron?": "crontab line quiet",
    "What does exit code 14 mean?": "exit codes meaning",
    "What do I do when items have failed?": "some items failed what now",
    "How do I upload to many accounts and Regions?": "several accounts and regions targets",
    "Can several machines share the work?": "workers on many machines postgresql",
    "How does a document get into its registration field?": "bind attachment to registration field",
    "How do I delete attachments that I no longer need?": "delete old attachments",
    "Can I get a report for Excel?": "export xlsx report",
    "Is a password or a key ever printed or logged?": "secrets in log files",
    "How do I know that nothing was uploaded twice?": "duplicates uploaded twice guarantee",
}
"""What others type who want to know the same."""
SCHEMES: Sequence[Scheme] = ("light", "dark")


class _Handler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the site is served, on loopback."""
    if not (SITE / "index.html").exists():
        needed("the site is not built: make docs")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(SITE))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
async def browser(address: str) -> AsyncIterator[Browser]:
    async with launched() as running:
        yield running


def test_every_page_of_docs_and_of_the_top_is_there() -> None:
    if not SITE.exists():
        needed("the site is not built: make docs")
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages |= {Path(name) for name in ("index.html", "changelog.html", "contributing.html", "security-policy.html")}
    pages |= {Path(name) for name in ("manifest-schema.html", "command.html", "api.html")}

    assert {str(page) for page in pages if not (SITE / page).exists()} == set()


async def test_a_page_asks_no_other_host_and_everybody_can_read_it(browser: Browser, address: str) -> None:
    grave, asked, complaints = dict[str, list[str]](), set[str](), list[str]()
    for name, scheme in product(("index", "manifest", "api"), SCHEMES):
        url = f"{address}/{name}.html"
        async with opened(browser, url, scheme=scheme, is_inspected=True, ready=DRAWN) as watched:
            grave[f"{name}, {scheme}"] = await watched.violations()
        asked |= {urlsplit(request).netloc for request in watched.requests}
        complaints += watched.complaints

    assert {page: found for page, found in grave.items() if found} == {}
    assert asked == {urlsplit(address).netloc}
    assert complaints == []


def questions() -> dict[str, str]:
    """What a stranger asks, and the page that has the whole answer, as docs/questions.md has them."""
    text = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    return {found["asked"]: found["page"].replace("../README", "index") for found in QUESTION.finditer(text)}


def test_there_are_twenty_questions_and_each_is_typed_in_another_way_too() -> None:
    assert len(questions()) == 20
    assert set(TYPED) == set(questions())


async def test_the_search_answers_a_question_within_two_pages_however_it_is_typed(
    browser: Browser, address: str
) -> None:
    """Either the page is among the first two, or the question itself is, with its answer and a link to that page."""
    missed = {}
    for asked, page in questions().items():
        slug = re.sub(r"[^\w\- ]", "", asked.lower()).replace(" ", "-")
        for typed in (asked, TYPED[asked]):
            found = await _found(browser, address, typed.rstrip("?"))
            if not {page, f"questions#{slug}"} & set(found):
                missed[typed] = (page, found)

    assert missed == {}


async def _found(browser: Browser, address: str, typed: str) -> list[str]:
    """Return the first two pages that the search shows, the best place in each with its anchor, and without."""
    url = f"{address}/index.html?{urlencode({'q': typed})}"
    async with opened(browser, url, ready=".md-search-result__item") as watched:
        links = watched.page.locator(".md-search-result__item:nth-child(-n+2) > a")
        paths = await links.evaluate_all("all => all.map(each => each.pathname + each.hash)")
    places = [path.strip("/").replace(".html", "") for path in paths]
    return places + [place.partition("#")[0] for place in places]
