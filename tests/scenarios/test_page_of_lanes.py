"""The page of a manifest with many lanes in a browser, some of them with hostile names."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from batch_upload.app.ledger_view import view_lanes
from batch_upload.cli.flags import Flags, options_of
from batch_upload.ledger import find_reader
from batch_upload.report.ndjson import LaneRef
from batch_upload.report.summary_text import Invocation
from batch_upload.watch.still_page import still_page_of_lanes
from tests.support.browser import Scheme, opened
from tests.support.page_ledgers import lane_labels, tell_lanes

pytestmark = pytest.mark.asyncio(loop_scope="module")
LANES = 24
ITEMS = 12
SHOWN = 20
"""Lanes in the table before more are asked for."""


def written(folder: Path, labels: Sequence[str]) -> Path:
    """The page of these lanes."""
    path = folder / "lanes.html"
    with ExitStack() as closing:
        lanes = []
        for place, (label, story) in enumerate(zip(labels, tell_lanes(folder, labels, count=ITEMS), strict=True)):
            reader = find_reader(story.ledger)
            assert reader is not None
            lane = LaneRef(label, f"{111_122_223_333 + place // 2}", label.rpartition("/")[2])
            (view,) = view_lanes(story.manifest, options_of(Flags()))
            lanes.append((lane, view, closing.enter_context(reader)))
        path.write_text("".join(still_page_of_lanes(lanes, Invocation(""))[1]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("lanes"), lane_labels(LANES))


async def test_lanes_are_a_table_in_which_one_can_be_chosen_and_left_again(browser: Browser, page: Path) -> None:
    async with opened(browser, page.as_uri()) as watched:
        shown, rows = watched.page, watched.page.locator("#lane-rows tr")
        await expect(rows).to_have_count(SHOWN)
        await shown.get_by_role("button", name=f"Show all {LANES} lanes").click()
        await expect(rows).to_have_count(LANES)
        assert len(set(await watched.texts("#lane-rows th code"))) == LANES

        await shown.get_by_role("button", name="Show the items of customer-000/us-west-2", exact=True).click()
        await expect(shown.locator("#count")).to_have_text(f"{ITEMS} of {LANES * ITEMS} items")
        await expect(shown.locator("#lane-filter")).to_contain_text("Only the lane customer-000/us-west-2")
        assert set(await watched.texts("#rows .of-lane")) == {"customer-000/us-west-2"}

        await shown.get_by_role("button", name="Show all lanes").click()
        await expect(shown.locator("#count")).to_have_text(f"{LANES * ITEMS} items")
        assert watched.complaints == []
        assert watched.requests == [page.as_uri()]


async def test_an_item_says_in_which_lane_and_account_it_is_and_is_found_by_its_lane(
    browser: Browser, page: Path
) -> None:
    async with opened(browser, page.as_uri()) as watched:
        await watched.page.get_by_role("searchbox").fill("customer-001/us-east-1")
        await expect(watched.page.locator("#count")).to_have_text(f"{ITEMS} of {LANES * ITEMS} items")
        await watched.page.locator("#rows .opener").first.click()

        await expect(watched.page.locator(".named")).to_contain_text("customer-001/us-east-1, account 111122223334")
        await expect(watched.page.locator("#facts")).to_contain_text(f"{LANES} in {LANES // 2} accounts")


async def test_the_hostile_name_of_a_lane_stays_text(browser: Browser, page: Path) -> None:
    async with opened(browser, page.as_uri()) as watched:
        await watched.page.get_by_role("button", name=f"Show all {LANES} lanes").click()

        names = await watched.texts("#lane-rows th code")
        assert "<script>alert(1)</script>.pdf/us-west-2" in names
        assert await watched.page.locator("#lane-rows script, #lane-rows img").count() == 0
        assert await watched.page.title() != "owned"
        assert watched.complaints == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1_280), ("dark", 1_280), ("light", 360), ("dark", 360)])
async def test_axe_finds_nothing_grave_and_a_narrow_page_scrolls_in_one_direction(
    browser: Browser, page: Path, scheme: Scheme, width: int
) -> None:
    async with opened(browser, page.as_uri(), scheme=scheme, width=width, is_inspected=True) as watched:
        await watched.page.locator("#lane-rows button").first.click()
        await watched.page.locator("#rows .opener").first.click()

        assert await watched.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await watched.violations() == []
