"""Names that would move, hide or reorder others on a terminal."""

import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.escape import QUOTED_PATH_MAX, escaped_for, printable, quoted, quoted_path, shell_word, write_text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("acme/loa.pdf", "acme/loa.pdf"),
        ("Ærø 日本 😀.png", "Ærø 日本 😀.png"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("loa\u202efdp.exe", r"loa\u202efdp.exe"),
        ("\u2066x\u2069\u200e\u061c", r"\u2066x\u2069\u200e\u061c"),
        ("a\u2028b\u2029c\ufeff", r"a\u2028b\u2029c\ufeff"),
        ("a\ud800b\U000e0041", r"a\ud800b\U000e0041"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_a_name_is_shown_without_characters_that_move_or_hide(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_no_control_or_surrogate_is_left_in_any_text(text: str) -> None:
    shown = printable(text)

    shown.encode()
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in shown)


def test_a_name_in_backticks_shows_every_character_that_is_not_printable_or_only_looks_like_a_space() -> None:
    assert quoted("a\x1b[31m\u202eb\udcff\u200b é\xa0😀") == "`a\\x1b[31m\\u202eb\\udcff\\u200b é\\xa0😀`"


def test_a_name_in_a_message_stands_in_backticks_and_has_an_end() -> None:
    assert quoted("a\x1b.pdf") == r"`a\x1b.pdf`"
    assert quoted(Path("in/a.pdf")) == "`in/a.pdf`"
    assert quoted("a" * 100, max_length=80) == f"`{'a' * 79}…`"
    assert quoted("a" * 80, max_length=80) == f"`{'a' * 80}`"


def test_a_long_path_in_a_message_keeps_the_name_of_its_file() -> None:
    shown = quoted_path("folder/" * 100 + "name.pdf")

    assert shown.startswith("`…")
    assert shown.endswith("/name.pdf`")
    assert len(shown) == QUOTED_PATH_MAX + 2
    assert quoted_path(Path("a.pdf")) == "`a.pdf`"


def test_what_an_encoding_cannot_take_becomes_an_escape() -> None:
    assert escaped_for("Ærø 日", "latin-1") == r"Ærø \u65e5"
    assert escaped_for("Ærø", "ascii") == r"\xc6r\xf8"


def test_lines_are_written_whatever_the_stream_can_take() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="") as stream:
        write_text(stream, ["ø", "b"])
        written = raw.getvalue()

    assert written == b"\\xf8\nb\n"


@pytest.mark.parametrize("word", ["june.yaml", "two words", "it's", "a\x1b[31m'\\b", "x\u202ey", "\udcff", "$(ls)"])
def test_a_shell_reads_the_word_that_was_meant(word: str) -> None:
    shown = shell_word(word)

    said = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True).stdout
    assert said == word.encode("utf-8", "surrogateescape")
    assert printable(shown) == shown
