"""The sheet of one item in a browser: its address, what it holds, its paper, and the keyboard."""

import re
import shutil
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import Scheme, Watched, opened, page_of
from tests.support.page_ledgers import HOSTILE, PRINCIPAL, as_shown, ids_of, tell_story
from tests.support.preloaded import Preloaded
from tests.support.strace import needed

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = 300
PLAIN = "letters/00027-authorization.pdf"


@pytest.fixture(scope="module")
def page(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(command, tell_story(tmp_path_factory.mktemp("sheet"), ids_of(COUNT)).manifest)


def address(page: Path, item_id: str) -> str:
    return f"{page.as_uri()}#item={quote(item_id, safe='')}"


async def fact(watched: Watched, name: str) -> str:
    """The value that the sheet has under a name."""
    pair = watched.page.locator("#sheet .named > div").filter(has=watched.page.get_by_text(name, exact=True))
    return (await pair.locator("dd").inner_text()).strip()


async def test_its_address_opens_everything_that_is_known_of_an_item(browser: Browser, page: Path) -> None:
    async with opened(browser, address(page, PLAIN)) as watched:
        sheet = watched.page.get_by_role("dialog")

        await expect(sheet.get_by_role("heading")).to_have_text(PLAIN)
        assert re.fullmatch(r"[0-9a-f]{64}", await fact(watched, "SHA-256"))
        assert re.fullmatch(r"\d+ KB \([\d,]+ bytes\)", await fact(watched, "Size"))
        assert await fact(watched, "Type") == "application/pdf"
        assert (await fact(watched, "Attachment")).startswith("registration-attachment-")
        assert (await fact(watched, "ARN")).endswith(await fact(watched, "Attachment"))
        assert await fact(watched, "Tags") == "Customer=acme"
        assert await fact(watched, "Account and Region") == "123456789012, us-east-1"
        assert (await fact(watched, "Ledger")).endswith("june.ledger")
        assert "20261123T200000Z-5e1f0a3c, upload by batch-upload 0, Exit 13" in await fact(watched, "Run")
        assert f"run by {PRINCIPAL}, user <b>deploy</b> on batch-1" in await fact(watched, "Run")
        await expect(sheet.locator(".tries tbody tr").first).to_contain_text("-0001-4a7e-")
        assert re.search(r"batch-upload \S+, as of 20\d\d-", await sheet.inner_text())
        assert await watched.page.title() == f"{PLAIN} · acme-2026 · batch-upload"
        assert watched.complaints == []


@pytest.mark.parametrize("name", HOSTILE)
async def test_every_name_has_an_address_of_its_own(browser: Browser, page: Path, name: str) -> None:
    async with opened(browser, address(page, name)) as watched:
        await expect(watched.page.locator("#sheet-title")).to_have_text(as_shown(name))
        await expect(watched.page.locator("#sheet .named")).to_contain_text("ClientToken")
        assert watched.complaints == []


async def test_one_click_on_an_example_opens_it_and_escape_returns_to_where_one_was(
    browser: Browser, page: Path
) -> None:
    async with opened(browser, page.as_uri()) as watched:
        shown = watched.page
        link = shown.locator(".cause .sheet-link").first
        name = await link.inner_text()

        await link.click()
        await expect(shown.locator("#sheet-title")).to_have_text(name)
        assert shown.url == address(page, name)
        await expect(shown.get_by_role("button", name="Close")).to_be_focused()
        await shown.keyboard.press("Escape")

        await expect(shown.get_by_role("dialog")).to_be_hidden()
        await expect(link).to_be_focused()
        assert shown.url == page.as_uri()
        assert await shown.title() == "acme-2026 · batch-upload"


async def test_the_details_of_a_row_lead_to_its_sheet_and_back_by_keyboard_and_history(
    browser: Browser, page: Path
) -> None:
    async with opened(browser, page.as_uri()) as watched:
        shown = watched.page
        await shown.get_by_role("searchbox").fill(PLAIN)
        await expect(shown.locator("#count")).to_have_text(f"1 of {COUNT} items")
        await shown.locator("#rows .opener").press("Enter")
        await shown.locator("#rows .sheet-link").press("Enter")
        await expect(shown.locator("#sheet-title")).to_have_text(PLAIN)

        await shown.go_back()
        await expect(shown.get_by_role("dialog")).to_be_hidden()
        await expect(shown.locator("#rows .sheet-link")).to_be_focused()
        assert watched.complaints == []


async def test_a_sheet_that_was_opened_by_its_address_leaves_the_focus_on_the_items_row(
    browser: Browser, page: Path
) -> None:
    async with opened(browser, address(page, PLAIN)) as watched:
        await watched.page.keyboard.press("Escape")

        await expect(watched.page.locator("#rows .opener:focus")).to_have_text(PLAIN)


async def test_an_item_that_the_page_does_not_list_is_said_to_be_missing(browser: Browser, page: Path) -> None:
    async with opened(browser, address(page, "no/such.pdf")) as watched:
        await expect(watched.page.locator("#sheet-title")).to_have_text("no/such.pdf")
        await expect(watched.page.locator("#sheet-body")).to_have_text("This page has no such item.")
        await watched.page.keyboard.press("Escape")
        assert watched.complaints == []


async def test_it_is_printed_alone_on_one_page_with_nothing_cut_off(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    if shutil.which("pdftotext") is None:
        needed("pdftotext is not installed")
    async with opened(browser, address(page, PLAIN), scheme="dark") as watched:
        paper, digest = tmp_path / "sheet.pdf", await fact(watched, "SHA-256")
        await watched.page.pdf(format="A4", path=paper)

        text = (await anyio.run_process(["pdftotext", "-layout", paper, "-"])).stdout.decode()
        assert text.count("\f") == 1
        assert digest in re.sub(r"\s+", "", text)
        assert re.search(r"\b1 ?/ ?1\b", text)
        assert "What needs a person" not in text
        assert "Print" not in text
        assert await watched.page.get_by_role("dialog").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1_280, 390, 320])
@pytest.mark.parametrize("name", [PLAIN, HOSTILE[7], HOSTILE[-1]])
async def test_it_scrolls_in_one_direction_and_axe_finds_nothing_grave(
    browser: Browser, page: Path, name: str, width: int, scheme: Scheme
) -> None:
    async with opened(browser, address(page, name), scheme=scheme, width=width, is_inspected=True) as watched:
        sheet = watched.page.get_by_role("dialog")
        await expect(sheet).to_be_visible()

        assert await sheet.evaluate("box => box.scrollWidth <= box.clientWidth && box.clientWidth <= innerWidth")
        assert await sheet.locator(".scroll").evaluate_all(
            "all => all.every(box => box.scrollWidth <= box.clientWidth)"
        )
        assert await watched.violations() == []
