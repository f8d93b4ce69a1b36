"""The page of `report --format html` in a browser, of a ledger with failures and hostile names."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.batches import make_batch
from tests.support.browser import A4_WIDTH, SCROLLED_SIDEWAYS, TIMEOUT_MS, Scheme, Watched, opened, page_of
from tests.support.endpoint import Endpoint
from tests.support.page_ledgers import HOSTILE, as_shown, ids_of, tell_story
from tests.support.preloaded import Preloaded
from tests.support.strace import needed

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = 2_000
MANY = 20_000
LABEL = "cell => getComputedStyle(cell, '::before').content"
CUT = """[...document.querySelectorAll("#columns th, #rows .item > *, #rows .clip, #rows .head, .examples .head")]
    .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth
        && getComputedStyle(each).overflowX === "hidden").map((each) => each.textContent)"""


@pytest.fixture(scope="module")
def page(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(command, tell_story(tmp_path_factory.mktemp("page"), ids_of(COUNT)).manifest)


@pytest.fixture(scope="module")
def long_page(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(command, tell_story(tmp_path_factory.mktemp("long"), ids_of(MANY)).manifest)


@pytest_asyncio.fixture(loop_scope="module")
async def shown(browser: Browser, page: Path) -> AsyncIterator[Watched]:
    async with opened(browser, page.as_uri()) as watched:
        yield watched
        assert watched.complaints == []
        assert watched.requests == [page.as_uri()]


async def _search(shown: Watched, words: str, count: str) -> None:
    await shown.page.get_by_role("searchbox").fill(words)
    await expect(shown.page.locator("#count")).to_have_text(count)


async def test_it_tells_how_it_stands_and_what_to_do_first(shown: Watched) -> None:
    page = shown.page
    causes = page.locator(".cause")

    await expect(page.get_by_role("heading", level=1)).to_have_text("acme-2026")
    await expect(page.locator("#verdict")).to_contain_text("of 2,000 items are complete")
    await expect(page.locator("#facts")).to_contain_text("123456789012")
    await expect(page.locator("#facts")).to_contain_text("Exit 20, some items failed")
    assert await causes.count() == 4
    await expect(causes.first).to_contain_text("MAXIMUM_SIZE_EXCEEDED")
    await expect(causes.first).to_contain_text("Make the file smaller")
    await expect(causes.first).to_contain_text("batch-upload why")
    assert {*await shown.texts("#rows .item td:nth-child(2)")} == {"Failed"}
    below = await page.locator("#viewport").evaluate("box => box.clientHeight / 44")
    assert await page.locator("#rows .item").count() > below


async def test_each_run_can_be_seen_over_time_and_read(shown: Watched) -> None:
    page = shown.page
    chart = page.locator("#chart svg")

    latest = await chart.get_attribute("aria-label")
    await page.get_by_role("button", name="Show run 20261123T200000Z-5e1f0a3c").click()
    first = await chart.get_attribute("aria-label")

    assert latest is not None
    assert first is not None
    assert "run 20261124T000500Z-90b2c4d7" in latest
    assert "The rate learned is 2.1 calls a second" in latest
    assert "run 20261123T200000Z-5e1f0a3c" in first
    assert await page.locator("#chart .col.accepted").count() > 20
    await page.get_by_text("The same as a table").click()
    assert len(await shown.texts("#figures tbody tr")) > 20


async def test_hostile_names_stay_text(shown: Watched) -> None:
    page = shown.page

    for name in HOSTILE:
        await _search(shown, name, "1 of 2,000 items")
        await expect(page.locator("#rows .opener .clip")).to_have_text([as_shown(name)])
    await _search(shown, "field_validation_failed", "8 of 2,000 items")
    await page.locator("#rows .opener").first.press("Enter")

    await expect(page.locator(".said .message")).to_contain_text("\\u2028 may not contain <!-- or </script>")
    assert await page.title() == "acme-2026 · batch-upload"
    assert await page.locator("img, iframe, object, #rows script").count() == 0


async def test_rows_filters_and_details_work_by_keyboard_alone(shown: Watched) -> None:
    page = shown.page
    focused = page.locator(":focus")

    await page.get_by_role("searchbox").focus()
    await page.keyboard.type("opt-in")
    await expect(page.locator("#count")).to_contain_text("of 2,000 items")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("checkbox", name="Failed")).to_be_checked()
    while not await focused.evaluate("element => element.classList.contains('opener')"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowDown")
    second = await focused.inner_text()
    await page.keyboard.press("Enter")

    assert await focused.get_attribute("aria-expanded") == "true"
    detail = page.locator(f"#{await focused.get_attribute('aria-controls')}")
    await expect(detail).to_contain_text(second.strip())
    await expect(detail.locator(".tries tbody tr").first).to_contain_text("20261123T200000Z-5e1f0a3c")
    await page.keyboard.press("Escape")
    assert await focused.get_attribute("aria-expanded") == "false"
    await page.keyboard.press("End")
    last = await page.locator("#table").get_attribute("aria-rowcount")
    row = page.locator("#rows tr", has=focused)
    assert await row.get_attribute("aria-rowindex") == last


async def test_columns_sort_up_down_and_back(shown: Watched) -> None:
    page = shown.page
    header = page.locator("th.c-size")

    async def sizes() -> list[float]:
        return [float(text.removesuffix(" KB")) for text in await shown.texts("#rows .item td:nth-child(4)")]

    await header.get_by_role("button").click()
    assert await header.get_attribute("aria-sort") == "ascending"
    up = await sizes()
    await header.get_by_role("button").click()
    assert await header.get_attribute("aria-sort") == "descending"
    down = await sizes()
    await header.get_by_role("button").click()

    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert max(up) < min(down)
    assert await header.get_attribute("aria-sort") is None
    assert {*await shown.texts("#rows .item td:nth-child(2)")} == {"Failed"}


async def test_a_cause_shows_its_items_and_nothing_found_is_said(shown: Watched) -> None:
    page = shown.page

    await page.get_by_role("button", name="Show these 2 items").click()
    await expect(page.locator("#count")).to_have_text("2 of 2,000 items")
    assert await shown.texts("#rows .item td:nth-child(3)") == ["ConflictException"] * 2
    await page.get_by_role("button", name="Clear filters").click()
    await expect(page.locator("#count")).to_have_text("2,000 items")
    await _search(shown, "no such thing", "0 of 2,000 items")

    await expect(page.locator("#nothing")).to_be_visible()


async def test_an_attempt_is_found_by_its_request_id_and_told_whole(shown: Watched) -> None:
    page = shown.page
    await _search(shown, "throttlingexception", "0 of 2,000 items")
    await _search(shown, "-0002-4a7e-", "86 of 2,000 items")
    await page.locator("#rows .opener").first.click()
    tries = page.locator(".tries tbody tr")

    assert await tries.count() == 2
    assert [text.split("\t")[3] for text in await tries.all_inner_texts()][1] in ("accepted", "refused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_grave(browser: Browser, page: Path, scheme: Scheme) -> None:
    async with opened(browser, page.as_uri(), scheme=scheme, is_inspected=True) as watched:
        await watched.page.locator("#rows .opener").nth(1).click()
        await watched.page.get_by_text("The same as a table").click()
        await watched.page.get_by_role("checkbox", name="Failed").check()
        await watched.page.locator("#rows .opener").nth(1).click()

        assert await watched.violations() == []


@pytest.mark.parametrize("width", [320, 375, 390])
async def test_a_narrow_page_scrolls_in_one_direction_only(browser: Browser, page: Path, width: int) -> None:
    """Its tables too: of those in sight none is wider than the box that it scrolls in."""
    async with opened(browser, page.as_uri(), width=width, is_inspected=True) as watched:
        await _search(watched, "UPLOAD_FAILED", "5 of 2,000 items")
        await watched.page.locator("#rows .opener").first.click()
        await expect(watched.page.locator(".tries td").first).to_be_visible()

        assert await watched.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await watched.page.evaluate(SCROLLED_SIDEWAYS) == []
        assert await watched.page.locator("#runs td").nth(0).evaluate(LABEL) == '"Began (UTC)"'
        assert await watched.violations() == []


async def test_twenty_thousand_rows_are_a_few_in_the_page_and_scroll_to_the_end(
    browser: Browser, long_page: Path
) -> None:
    async with opened(browser, long_page.as_uri()) as watched:
        page = watched.page
        await expect(page.locator("#count")).to_have_text("20,000 items")
        few = await page.evaluate("document.querySelectorAll('*').length")
        await page.locator("#rows .opener").first.focus()
        await page.keyboard.press("End")
        await expect(page.locator('#rows tr[aria-rowindex="20001"]')).to_be_in_viewport()
        await page.locator("#viewport").evaluate("box => box.scrollTo(0, box.scrollHeight / 2)")
        await expect(page.locator('#rows tr[aria-rowindex="10001"]')).to_be_attached()
        still_few = await page.evaluate("document.querySelectorAll('*').length")
        await page.locator("th.c-done").get_by_role("button").click()
        await page.get_by_role("searchbox").fill("terms/1998")
        await expect(page.locator("#count")).to_have_text("2 of 20,000 items")

        assert max(few, still_few) < 2_000
        assert watched.complaints == []
        assert watched.requests == [long_page.as_uri()]


async def test_what_is_printed_is_the_beginning_of_what_is_chosen(shown: Watched) -> None:
    page = shown.page
    await page.emulate_media(media="print")
    await expect(page.locator("#rows .item")).to_have_count(1_000, timeout=TIMEOUT_MS)
    await expect(page.locator("#printed")).to_be_visible()
    await expect(page.locator("#printed")).to_contain_text("The first 1,000 of 2,000 items are printed")
    await expect(page.get_by_role("searchbox")).to_be_hidden()

    printed = await page.pdf(format="A4")
    await page.emulate_media(media="screen")

    assert printed.startswith(b"%PDF")
    await expect(page.locator("#rows .item").nth(60)).not_to_be_attached()


async def test_nothing_is_cut_off_on_paper(browser: Browser, page: Path) -> None:
    async with opened(browser, page.as_uri(), width=A4_WIDTH) as watched:
        await watched.page.emulate_media(media="print")
        await expect(watched.page.locator("#rows .item")).to_have_count(1_000, timeout=TIMEOUT_MS)

        assert await watched.page.evaluate(CUT) == []
        await expect(watched.page.locator("#rows .item td:last-child time").last).to_have_text(
            re.compile(r"2026-11-2\d \d\d:\d\d:\d\d")
        )


async def test_every_page_has_its_number_and_the_items_begin_with_the_names_of_the_columns(
    shown: Watched, tmp_path: Path
) -> None:
    if shutil.which("pdftotext") is None:
        needed("pdftotext is not installed")
    await shown.page.emulate_media(media="print")
    await expect(shown.page.locator("#rows .item")).to_have_count(1_000, timeout=TIMEOUT_MS)
    paper = tmp_path / "june.pdf"
    await shown.page.pdf(format="A4", path=paper)
    await shown.page.emulate_media(media="screen")

    text = await anyio.run_process(["pdftotext", "-layout", paper, "-"])
    pages = text.stdout.decode().split("\f")[:-1]
    for number, each in enumerate(pages, 1):
        assert re.sub(r"\s", "", each).endswith(f"{number}/{len(pages)}")
    of_items = [each.split("\n") for each in pages if each.count("registration-attachment-") > 10]

    assert len(of_items) > 20
    assert {" ".join(lines[0].split()) for lines in of_items[1:]} == {"Item State Reason or attachment Completed (UTC)"}


async def test_it_is_written_to_standard_output_too(command: Preloaded, page: Path) -> None:
    folder = page.parent
    out = command.run("report", "june.yaml", "--format", "html", "--only", "failed", cwd=folder)
    told = command.run("report", "june.yaml", "--format", "html", "--json", cwd=folder)
    beside = command.run("report", "june.yaml", "--format", "html", "--json", "-o", "again.html", cwd=folder)

    assert out.code == 0
    assert out.stdout.startswith("<!DOCTYPE html>")
    assert out.stdout.endswith("</html>\n")
    assert "MAXIMUM_SIZE_EXCEEDED" in out.stdout
    assert HOSTILE[0] not in out.stdout
    assert (told.code, told.summary["exit"]["name"]) == (2, "usage")
    assert (beside.code, beside.summary["items"]) == (0, COUNT)


async def test_items_that_a_full_account_keeps_waiting_are_left_to_a_person(
    browser: Browser, command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 5)
    endpoint.change(attachments_per_account=2)
    ended = command.run("upload", batch.path, "--rate", "50", cwd=tmp_path, env=endpoint.env)
    assert ended.code == 27, ended.stderr

    async with opened(browser, page_of(command, batch.path).as_uri()) as watched:
        cause = watched.page.locator(".cause")

        await expect(watched.page.locator("#verdict")).to_have_text(
            "2 of 5 items are complete. 3 wait for room in the account, which a person must make."
        )
        await expect(cause).to_have_count(1)
        await expect(cause).to_contain_text("Raise the quota (Service Quotas), or delete with prune; then run again.")
        assert [text.split(" # ")[0].split()[1] for text in await watched.texts(".cause .commands li")] == [
            *("why", "plan", "prune", "upload")
        ]


async def test_what_a_run_left_out_is_invalid_with_its_reason_and_what_to_do(
    browser: Browser, command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    broken = tmp_path / batch.ids[0]
    broken.write_bytes(b"<!DOCTYPE html><title>log in</title>")
    ended = command.run("upload", batch.path, "--skip-invalid", "--rate", "50", cwd=tmp_path, env=endpoint.env)
    assert ended.code == 20, ended.stderr

    async with opened(browser, page_of(command, batch.path).as_uri()) as watched:
        cause = watched.page.locator(".cause")

        await expect(watched.page.locator(".tile[data-key=invalid] .number")).to_have_text("1")
        await expect(cause).to_have_count(1)
        await expect(cause).to_contain_text("invalid")
        await expect(cause).to_contain_text("Correct what the message names")
        assert [text.split(" # ")[0].split()[1] for text in await watched.texts(".cause .commands li")] == [
            *("why", "validate", "upload")
        ]
        await watched.page.locator(".cause .sheet-link").first.click()
        await expect(watched.page.locator("#sheet")).to_contain_text("is a web page")
        assert watched.complaints == []


async def test_what_the_next_run_does_by_itself_is_a_count_and_needs_no_person(
    browser: Browser, command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 5)
    endpoint.change(attachments_per_day=2)
    ended = command.run("upload", batch.path, "--rate", "50", cwd=tmp_path, env=endpoint.env)
    assert ended.code == 13, ended.stderr

    async with opened(browser, page_of(command, batch.path).as_uri()) as watched:
        await expect(watched.page.locator("#verdict")).to_have_text(
            "2 of 5 items are complete. 3 are left for the same command again."
        )
        await expect(watched.page.locator("#attention")).to_be_hidden()


async def test_an_end_that_must_be_put_right_first_is_shown_and_nothing_is_left_for_the_same_command(
    browser: Browser, command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.change(deny=["CreateRegistrationAttachment"])
    ended = command.run("upload", batch.path, cwd=tmp_path, env=endpoint.env)
    assert ended.code == 22, ended.stderr

    async with opened(browser, page_of(command, batch.path).as_uri()) as watched:
        await expect(watched.page.locator("#verdict")).to_contain_text(
            "3 wait until a person has put right what ended the last run."
        )
        await expect(watched.page.locator(".cause").first).to_contain_text("Exit 22")
        await expect(watched.page.locator(".cause .command").first).to_contain_text("batch-upload doctor ")
