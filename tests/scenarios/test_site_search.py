"""A stranger's questions to the site's own search, as its search box asks them in a browser."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.browser import launched
from tests.support.built_site import first_results, opened_page, require_site, served
from tests.support.site_source import REPOSITORY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return require_site(tmp_path_factory.mktemp("site"))


FIRST = 2
SEARCHED = {
    "cron": "docs/operations.html#cron",
    "kubernetes": "docs/fleet-schedulers.html",
    "exit codes": "index.html#exit-codes",
    "which permissions does it need?": "docs/operations.html#permissions-in-aws",
    "PDF is refused": "docs/documents.html",
    "excel spreadsheet": "docs/spreadsheets.html",
    "How do I delete old attachments?": "docs/prune.html",
    "several accounts": "docs/manifest.html#several-accounts-and-regions",
    "ledger in PostgreSQL": "docs/operations.html#the-ledger-in-postgresql",
    "report as a table": "docs/report.html#tables",
    "doctor": "docs/doctor.html",
    "job arrays": "docs/fleet-schedulers.html",
    "notes to the log file": "docs/output.html",
    "bind to a registration field": "docs/registrations.html",
}
"""What people type, and the page that is meant; with an anchor where a heading answers it."""
QUESTIONS = "docs/questions.md"
SHORT = "docs/questions.html"
"""The page of questions: a short answer to each, and a link to the whole one."""
_ROW = re.compile(r"^\| (?P<question>[^|]+\?) \| \[[^\]]*\]\((?P<page>[^)#\s]+)", re.MULTILINE)
_SECTION = re.compile(
    r"^## (?P<question>.+\?)\n(?:(?!## ).*\n)*?.*\bMore: \[[^\]]*\]\((?P<page>[^)#\s]+)", re.MULTILINE
)


def _questions() -> dict[str, str]:
    """Each question of the page of questions, and the page that it names; nothing where there is no such page."""
    page = REPOSITORY / QUESTIONS
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    linked = [*_ROW.finditer(text), *_SECTION.finditer(text)]
    assert len(linked) == len(re.findall(r"^(?:## |\| )[^|\n]+\?(?: \||$)", text, re.MULTILINE))
    return {each["question"]: _built(page.parent / each["page"]) for each in linked}


def _built(page: Path) -> str:
    name = page.resolve().relative_to(REPOSITORY).with_suffix(".html").as_posix()
    return "index.html" if name == "README.html" else name


async def _pages_found(site: Path, questions: Sequence[str]) -> list[list[str]]:
    """The pages that each question finds, best first, without their anchors."""
    with served(site) as address:
        async with launched() as browser, opened_page(browser, address) as watched:
            found = await first_results(watched.page, site, questions)
    return [[each.partition("#")[0] for each in results] for results in found]


async def test_what_people_type_finds_its_page_among_the_first_two(site: Path) -> None:
    found = await _pages_found(site, list(SEARCHED))

    whole = [[page for page in pages if page != SHORT][:FIRST] for pages in found]  # no credit for the short answers
    asked = zip(SEARCHED.items(), whole, strict=True)
    assert {question: pages for (question, page), pages in asked if page.partition("#")[0] not in pages} == {}


async def test_each_question_of_its_page_finds_the_short_answer_or_the_whole_one_among_the_first_two(
    site: Path,
) -> None:
    questions = _questions()

    found = await _pages_found(site, list(questions))

    asked = zip(questions.items(), found, strict=True)
    assert {question: pages for (question, page), pages in asked if not {page, SHORT} & set(pages[:FIRST])} == {}


async def test_the_search_box_finds_a_page_from_a_disk(site: Path) -> None:
    async with launched() as browser, opened_page(browser, (site / "docs" / "ledger.html").as_uri()) as watched:
        box = watched.page.get_by_role("textbox", name="Search")
        await box.click()
        await box.press_sequentially("How do I delete old attachments?")
        await watched.page.locator(".md-search-result__item a[href*='prune.html']").first.click()
        await watched.page.wait_for_url("**/docs/prune.html*")

    assert [url for url in watched.requests if not url.startswith(site.as_uri())] == []
    assert watched.complaints == []
