"""Filters of templates: what tags may not have is replaced, and nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.manifest.filters import clean_for_tag, filtered, filters_of, is_replacement, not_allowed_in_tag, slug
from batch_upload.manifest.rules import (
    TEMPLATE_NAMES,
    are_tag_values,
    render,
    wrong_with_tag_value,
    wrong_with_template,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("AT&T (US)", "AT_T _US_"),
        ("Müller & Söhne, GmbH", "Müller _ Söhne_ GmbH"),
        ("Socie\u0301te\u0301", "Société"),
        ("a\n\tb", "a_b"),
        ("plain 1.5", "plain 1.5"),
        ("x" * 300, "x" * 256),
        ("#N/A", "_N/A"),
    ],
)
def test_what_tags_may_not_have_is_replaced(text: str, clean: str) -> None:
    assert clean_for_tag(text) == clean


@given(text=st.text(max_size=400), replacement=st.sampled_from("_-. +@:/="))
def test_a_cleaned_value_is_one_that_tags_may_have_and_cleaning_it_changes_nothing(text: str, replacement: str) -> None:
    clean = clean_for_tag(text, replacement)

    assert wrong_with_tag_value("Tag", clean) is None
    assert clean_for_tag(clean, replacement) == clean


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_texts_that_are_checked_together_are_values_of_tags(texts: list[str]) -> None:
    if are_tag_values(texts):
        assert [wrong_with_tag_value("Tag", text) for text in texts] == [None] * len(texts)


def test_a_tag_may_have_letters_numbers_and_separators_of_any_script_and_some_punctuation() -> None:
    allowed = {char for char in map(chr, range(0x110000)) if not_allowed_in_tag(char) is None}

    assert allowed == {
        char for char in map(chr, range(0x110000)) if char in "_.:/=+-@" or unicodedata.category(char)[0] in "LNZ"
    }


def test_filters_follow_each_other_from_left_to_right() -> None:
    assert filtered("AT&T (Zürich)", "|slug|upper") == "AT-T-ZURICH"
    assert filtered("AT&T", "|tag:-") == "AT-T"
    assert slug(" --Ä b!") == "a-b"
    assert render("{stem|lower}-{id}", {"stem": "ABC", "id": "X"}) == "abc-X"


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ("|titel", "`|titel` is not a filter: there are `tag`, `lower`, `upper`, `slug`"),
        ("|lower:x", "`|lower:x`: only `tag` takes a character, as in `tag:_`"),
        ("|tag:__", "`|tag:__`: `tag:` takes one character that a tag may have, such as `tag:_`"),
        ("|tag:&", "`|tag:&`: `tag:` takes one character that a tag may have, such as `tag:_`"),
    ],
)
def test_a_filter_that_does_not_exist_is_told_with_those_that_do(filters: str, words: str) -> None:
    with pytest.raises(ValueError) as wrong:
        filters_of(filters)

    assert str(wrong.value) == words
    assert wrong_with_template(f"{{stem{filters}}}", TEMPLATE_NAMES) == words


def test_only_one_character_that_tags_may_have_replaces() -> None:
    assert [is_replacement(text) for text in ("_", "é", " ", "", "__", "&")] == [True, True, True, False, False, False]
