"""Long names, and those of other scripts, on the page: in a browser, on a phone and on paper."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import A4_WIDTH, SCROLLED_SIDEWAYS, opened, page_of
from tests.support.page_ledgers import HOSTILE, TOO_LARGE, ids_of, tell_story
from tests.support.preloaded import Preloaded

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = 300
FAILING = (
    "letters/" + "authorization of a customer with a long name " * 4 + "2026.pdf",
    "授权书/北京市朝阳区某某科技有限公司" * 8 + "-2026年度.pdf",
    "مكتب/שלום-מכתב-" * 12 + "ملف.pdf",
    "w" * 196 + ".pdf",
)
"""About 200 characters each."""
TAILS_OUT_OF_SIGHT = """[...document.querySelectorAll("#rows .clip, .examples .clip")].filter((each) => {
    const [box, tail] = [each.getBoundingClientRect(), each.querySelector(".tail").getBoundingClientRect()];
    return tail.left < box.left - 0.5 || tail.right > box.right + 0.5;
}).map((each) => each.textContent)"""


@pytest.fixture(scope="module")
def page(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(command, tell_story(tmp_path_factory.mktemp("names"), ids_of(COUNT)).manifest)


@pytest.fixture(scope="module")
def failing(command: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything has failed, so that these names are among the examples of what needs a person."""
    story = tell_story(tmp_path_factory.mktemp("failing"), FAILING, causes=((-1.0, TOO_LARGE),))
    return page_of(command, story.manifest)


@pytest.mark.parametrize("width", [320, 390, 1_280])
async def test_the_end_of_a_name_is_in_sight_where_its_middle_is_cut(browser: Browser, page: Path, width: int) -> None:
    """Of long ones, right-to-left ones, and Chinese ones; what is copied is whole."""
    async with opened(browser, page.as_uri(), width=width) as watched:
        shown = watched.page
        assert await shown.evaluate(TAILS_OUT_OF_SIGHT) == []
        for name in (HOSTILE[-1], HOSTILE[7], HOSTILE[1], "letters/00024-authorization.pdf"):
            await shown.get_by_role("searchbox").fill(name)
            clip = shown.locator("#rows .opener .clip")
            await expect(clip).to_have_text([name])
            assert await shown.evaluate(TAILS_OUT_OF_SIGHT) == []
            await clip.evaluate("name => getSelection().selectAllChildren(name)")
            assert await shown.evaluate("getSelection().toString()") == name
        await shown.get_by_role("searchbox").fill(HOSTILE[-1])
        await expect(shown.locator("#rows .opener .tail")).to_have_text("xxxxxxxx.pdf")
        assert await shown.locator("#rows .opener .head").evaluate("head => head.scrollWidth > head.clientWidth")


@pytest.mark.parametrize("width", [320, 390])
async def test_a_phone_shows_every_part_of_what_needs_a_person_without_scrolling_sideways(
    browser: Browser, failing: Path, width: int
) -> None:
    async with opened(browser, failing.as_uri(), width=width) as watched:
        shown = watched.page
        await shown.locator("#rows .opener").first.click()
        await expect(shown.locator(".examples .clip")).to_have_count(3)

        assert await shown.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert await shown.evaluate(SCROLLED_SIDEWAYS) == []
        assert await shown.evaluate(TAILS_OUT_OF_SIGHT) == []
        [why] = [text for text in await watched.texts(".cause .command") if " why " in text]
        assert why.endswith(("'", ".pdf"))
        box = await shown.locator(".cause .command").first.evaluate(
            "one => one.scrollWidth <= one.parentNode.clientWidth"
        )
        assert box


async def test_on_paper_no_name_is_cut(browser: Browser, failing: Path) -> None:
    async with opened(browser, failing.as_uri(), width=A4_WIDTH) as watched:
        await watched.page.emulate_media(media="print")
        await expect(watched.page.locator("#rows .item")).to_have_count(len(FAILING))

        # the rows are as many on the screen: only the style says that the page is laid out for paper
        await expect(watched.page.locator("#rows .clip").first).to_have_css("overflow-x", "visible")
        clips = watched.page.locator("#rows .clip, #rows .head, .examples .clip, .examples .head")
        cut = "all => all.filter((one) => getComputedStyle(one).overflowX !== 'visible').map((one) => one.textContent)"
        assert await clips.evaluate_all(cut) == []
        assert {*await watched.texts("#rows .opener .clip")} == {*FAILING}
        assert await watched.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
