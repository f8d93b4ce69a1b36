"""The page of attachments for fields of registrations: where each is, what would not go there, what was denied."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from batch_upload.registration import Denial
from tests.support.bound_ledgers import (
    DENIED,
    FEEDBACK,
    FIELD,
    GO_ON,
    ITEMS,
    REASON,
    STATES,
    open_bound_ledger,
    registration_of,
    tell_binds,
    write_bound_manifest,
)
from tests.support.browser import Scheme, Watched, opened, page_of
from tests.support.preloaded import Preloaded
from tests.support.strace import needed

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOKS_MS = 20_000
"""A look a second, on a machine that is busy with other tests."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = await tell_binds(tmp_path_factory.mktemp("bound"))
    return page_of(command, manifest)


@pytest_asyncio.fixture(loop_scope="module")
async def shown(browser: Browser, page: Path) -> AsyncIterator[Watched]:
    async with opened(browser, page.as_uri()) as watched:
        yield watched
        assert watched.complaints == []
        assert watched.requests == [page.as_uri()]


def address(page: Path, item_id: str) -> str:
    return f"{page.as_uri()}#item={quote(item_id, safe='')}"


async def facts(watched: Watched) -> dict[str, str]:
    """What the sheet says under each name."""
    names, values = [await watched.texts(f"#sheet .named {each}") for each in ("dt", "dd")]
    return dict(zip(names, values, strict=True))


async def test_binding_is_a_state_with_a_tile_a_part_of_the_bar_and_a_filter(shown: Watched) -> None:
    page = shown.page

    for state, count in STATES.items():
        await expect(page.locator(f".tile[data-key={state}] .number")).to_have_text(str(count))
    assert await page.locator("#bar .part.s-binding").count() == 1
    await expect(page.locator("#verdict")).to_contain_text("6 of 14 items are complete. 4 need a person; 3 were denied")
    await page.locator(".tile[data-key=binding]").click()
    await expect(page.locator("#count")).to_have_text("2 of 14 items")
    assert {*await shown.texts("#rows .item td:nth-child(2)")} == {"Binding"}
    assert await page.locator("#rows .label.s-binding .icon use[href='#i-binding']").count() == 2


async def test_what_failed_at_binding_is_apart_and_says_when_it_can_go_on(shown: Watched) -> None:
    page = shown.page
    submitted = page.locator(".cause", has_text="REGISTRATION_ALREADY_SUBMITTED")

    assert await shown.texts(".cause .label") == [
        *("2 failed at binding", "1 failed", "1 failed at binding", "2 denied", "1 denied")
    ]
    await expect(submitted).to_contain_text(GO_ON)
    await expect(submitted).to_contain_text("which puts the attachment into the field without an upload")
    await submitted.get_by_role("button", name="Show these 2 items").click()
    await expect(page.locator("#count")).to_have_text("2 of 14 items")
    await expect(page.locator("#cause-filter")).to_contain_text("REGISTRATION_ALREADY_SUBMITTED at binding")


async def test_denials_are_grouped_by_reason_and_stand_behind_what_failed(shown: Watched) -> None:
    page = shown.page
    denied = page.locator(".cause.s-denied").first

    await expect(denied).to_contain_text(REASON)
    await expect(denied).to_contain_text("Correct the document, make a new version of the registration")
    rows = await shown.texts("#rows .item th")
    assert rows[4:7] == list(DENIED)
    assert await shown.texts("#rows .item:has(.s-denied) td:nth-child(2)") == ["Complete\nDenied"] * 3
    await denied.get_by_role("button", name="Show these 2 items").click()
    await expect(page.locator("#count")).to_have_text("2 of 14 items")
    await expect(page.locator("#cause-filter")).to_contain_text(f"Only denied by a reviewer: {REASON}")


@pytest.mark.parametrize(
    ("words", "count"),
    [(FIELD, 13), (FIELD.upper(), 13), (registration_of("binding.png"), 1), ("denied agrees", 3), ("no-such-field", 1)],
)
async def test_items_are_found_by_registration_field_and_what_was_said(shown: Watched, words: str, count: int) -> None:
    await shown.page.get_by_role("searchbox").fill(words)

    await expect(shown.page.locator("#count")).to_have_text(f"{count} of {len(ITEMS)} items")


@pytest.mark.parametrize(
    ("item_id", "title", "version"),
    [
        ("bound.png", "In field", "1"),
        ("bound-again.png", "In field", "2"),
        ("binding.png", "To be put into", None),
        ("pending.png", "To be put into", None),
        ("silent.png", "Sent to, no answer so far", None),
        ("submitted-one.png", "Could not be put into", None),
    ],
)
async def test_the_sheet_names_field_registration_and_version(
    browser: Browser, page: Path, item_id: str, title: str, version: str | None
) -> None:
    async with opened(browser, address(page, item_id)) as watched:
        found = await facts(watched)

    assert (found[title], found["Registration"]) == (FIELD, registration_of(item_id))
    assert found.get("Version of the registration") == version


async def test_an_item_without_bind_has_no_word_of_it(browser: Browser, page: Path) -> None:
    async with opened(browser, address(page, "plain.png")) as watched:
        assert not {"In field", "To be put into", "Registration"} & {*await facts(watched)}


async def test_the_sheet_has_what_a_reviewer_said_as_text_in_its_lines(browser: Browser, page: Path) -> None:
    async with opened(browser, address(page, DENIED[0])) as watched:
        said = watched.page.locator("#sheet .said.s-denied")

        await expect(said).to_contain_text("Denied by a reviewer in version 1 of the registration")
        lines = [text.replace("\u202e", r"\u202e") for text in FEEDBACK.splitlines()]
        assert await watched.texts("#sheet .review dd p") == [REASON, *lines]
        assert await watched.page.title() == f"{DENIED[0]} · brands-2026 · batch-upload"
        assert watched.complaints == []


async def test_a_denial_of_an_earlier_version_is_history(browser: Browser, page: Path) -> None:
    async with opened(browser, address(page, "bound-again.png")) as watched:
        said = watched.page.locator("#sheet .said.s-denied")

        await expect(said).to_contain_text("in version 1 of the registration; it is in version 2 now")
        assert await watched.page.locator("#rows .item:has-text('bound-again.png') .s-denied").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1_280, 390, 320])
@pytest.mark.parametrize("item_id", [None, DENIED[0], "submitted-one.png"])
async def test_it_scrolls_in_one_direction_and_axe_finds_nothing_grave(
    browser: Browser, page: Path, item_id: str | None, width: int, scheme: Scheme
) -> None:
    url = page.as_uri() if item_id is None else address(page, item_id)
    async with opened(browser, url, scheme=scheme, width=width, is_inspected=True) as watched:
        assert await watched.page.evaluate("document.documentElement.scrollWidth") <= width
        if item_id is not None:
            sheet = watched.page.get_by_role("dialog")
            assert await sheet.evaluate("box => box.scrollWidth <= box.clientWidth && box.clientWidth <= innerWidth")
        assert await watched.violations() == []


async def test_on_paper_the_sheet_has_every_word_of_the_reviewer_and_the_page_every_state(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    if shutil.which("pdftotext") is None:
        needed("pdftotext is not installed")
    texts = []
    for place, url in enumerate((address(page, DENIED[0]), page.as_uri())):
        paper = tmp_path / f"{place}.pdf"
        async with opened(browser, url, scheme="dark") as watched:
            await watched.page.pdf(format="A4", path=paper)
        found = (await anyio.run_process(["pdftotext", "-layout", paper, "-"])).stdout.decode()
        texts.append(re.sub(r"\s+", "", found))

    for line in (REASON, *FEEDBACK.splitlines()[:3]):
        assert re.sub(r"\s+", "", line) in texts[0]
    assert "ProcessingBindingPending" in texts[1]


async def test_a_page_that_is_watched_follows_an_item_into_its_field_and_to_its_denial(
    browser: Browser, command: Preloaded, tmp_path: Path
) -> None:
    manifest = write_bound_manifest(tmp_path)
    ledger = await open_bound_ledger(manifest)
    with command.started("watch", manifest, "--json", cwd=tmp_path) as watch:
        url = watch.until("listening")["url"]
        async with opened(browser, f"{url}#item=bound.png") as watched:
            sheet = watched.page.locator("#sheet-body")
            await ledger.create("bound.png")
            await ledger.settle("bound.png")
            await expect(sheet).to_contain_text("binding: uploaded", timeout=LOOKS_MS)
            await expect(watched.page.locator("#verdict")).to_contain_text(
                "Running now: 13 to send at 1.0/s, 13 attachments to put into fields, about", timeout=LOOKS_MS
            )
            await ledger.bind("bound.png", version=1)
            await expect(sheet).to_contain_text("complete: uploaded", timeout=LOOKS_MS)
            await ledger.deny("bound.png", Denial(1, REASON, ""))
            await expect(sheet).to_contain_text(REASON, timeout=LOOKS_MS)
            await expect(watched.page.locator(".cause .label")).to_have_text("1 denied", timeout=LOOKS_MS)
            assert watched.complaints == []
    await ledger.close()
