"""The stories of docs/stories/ can be followed from an empty folder to their end, and their pages show what comes."""

from pathlib import Path

import pytest

from tests.support.stories import NEEDS_POSTGRES, STORIES, blocks_of, disagreements, told


@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.stem)
def test_a_story_can_be_followed_and_shows_what_its_commands_print(
    page: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    text = page.read_text(encoding="utf-8")
    env = {"PGPORT": str(request.getfixturevalue("postgres").port)} if NEEDS_POSTGRES in text else {}
    folder = tmp_path / "empty"
    folder.mkdir()

    wrong = disagreements(blocks_of(text), told(blocks_of(text), folder, env=env))

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.stem)
def test_a_story_is_short_and_says_what_differs_at_aws(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert 60 <= len(text.splitlines()) <= 120
    assert "the emulator" in text.partition("## 1.")[0]
    assert "## What differs at AWS" in text


def test_there_are_four_stories() -> None:
    assert [page.stem for page in STORIES] == ["forty-accounts", "nightly", "spreadsheet", "two-hosts"]
