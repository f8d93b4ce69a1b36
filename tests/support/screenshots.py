"""Draw `docs/page.png`, the page as docs/report.md shows it: `python -m tests.support.screenshots` after a change.

What it looks like depends on the fonts of the machine, so no test compares it.
"""

import asyncio
import tempfile
from pathlib import Path

from tests.support.browser import launched, opened
from tests.support.command import run
from tests.support.emulator_process import ROOT
from tests.support.page_ledgers import FEW_CAUSES, HOSTILE, ids_of, tell_story

PICTURE = ROOT / "docs" / "page.png"
WIDTH, HEIGHT = 1_200, 1_402
COUNT = 3_000


async def _taken(page: Path) -> None:
    async with launched() as browser, opened(browser, page.as_uri(), width=WIDTH) as watched:
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
        await watched.page.screenshot(path=PICTURE, clip=clip, full_page=True, scale="css")  # type: ignore[arg-type]


def main() -> None:
    """Take the picture of a batch of 3,000."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        story = tell_story(folder, ids_of(COUNT + len(HOSTILE))[len(HOSTILE) :], causes=FEW_CAUSES)
        page = folder / "june.html"
        ended = run("report", story.manifest.name, "--format", "html", "-o", page.name, cwd=folder)
        if ended.code != 0:
            raise RuntimeError(ended.stderr)
        asyncio.run(_taken(page))


if __name__ == "__main__":
    main()
