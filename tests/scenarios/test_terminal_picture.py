"""The README's picture of a terminal shows what the commands print."""

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from tests.support.terminal_picture import PICTURE, plain, record
from tests.support.transcripts import copy_of_manifests

SVG = "{http://www.w3.org/2000/svg}"
LAST = f".//{SVG}g[@class='screen last']"


def _words(texts: Iterable[str]) -> list[str]:
    """The words, whatever their numbers and wherever a line was broken."""
    return re.sub(r"[\d.,]+", "#", re.sub(r"\s+", "", " ".join(texts))).split("#")


def test_the_last_screen_of_the_picture_is_what_the_commands_print_now(tmp_path: Path) -> None:
    drawn = ElementTree.parse(PICTURE).find(LAST)  # noqa: S314 - our own file
    assert drawn is not None

    shown = record(copy_of_manifests(tmp_path))[-1]

    assert _words(text.text or "" for text in drawn.iter(f"{SVG}text")) == _words([plain(shown.lines)])


def test_the_picture_needs_nothing_but_itself_and_stands_still_where_that_is_wished() -> None:
    text = PICTURE.read_text(encoding="utf-8")

    assert "<script" not in text
    assert re.findall(r"url\([^#]|@import|href", text) == []
    assert "prefers-reduced-motion" in text
    assert re.search(r"/(home|root|work|tmp)/", text) is None
