"""Numbers and times in words."""

from datetime import datetime, timedelta, timezone

import pytest

from batch_upload.model import Fault
from batch_upload.words import (
    aligned_lines,
    clock_words,
    count_words,
    cut_in_middle,
    display_width,
    duration_words,
    fault_words,
    holder_words,
    rate_words,
    size_words,
    utc_iso,
    wrapped,
)
from tests.unit.report.samples import BEGIN


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (599.6, "10 min"),
        (3_599, "1 h"),
        (4_800, "1 h 20 min"),
        (86_399, "1 d"),
        (183_600, "2 d 3 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 KB"),
        (9_960, "10 KB"),
        (496_000, "496 KB"),
        (999_600, "1.0 MB"),
        (5_242_880, "5.2 MB"),
        (7_000_000_000_000, "7,000 GB"),
    ],
)
def test_a_size_is_told_in_decimal_units(size_bytes: int, words: str) -> None:
    assert size_words(size_bytes) == words


def test_a_count_agrees_with_its_noun() -> None:
    assert [count_words(count, "item") for count in (0, 1, 12_000)] == ["0 items", "1 item", "12,000 items"]


def test_a_rate_keeps_two_or_three_digits() -> None:
    assert [rate_words(rate) for rate in (0.25, 1, 20.04, 120.4)] == ["0.25/s", "1.0/s", "20.0/s", "120/s"]


def test_a_time_of_any_zone_is_written_in_utc() -> None:
    local = datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert utc_iso(local) == "2026-11-22T23:30:00.000Z"


def test_another_day_is_named() -> None:
    assert clock_words(BEGIN, today=BEGIN) == "14:00"
    assert clock_words(BEGIN + timedelta(days=1), today=BEGIN) == "2026-11-24 14:00"


def test_a_fault_goes_by_its_narrowest_name() -> None:
    assert fault_words(Fault(code="C", reason="R", message="bad\x1b")) == r"R: bad\x1b"
    assert fault_words(Fault(code="C", message="")) == "C"


def test_a_code_that_the_message_repeats_is_said_once() -> None:
    assert fault_words(Fault(code="413", message="413: too large")) == "413: too large"
    assert fault_words(Fault(code="C", reason="R", message="C (R): too large")) == "R: too large"
    assert fault_words(Fault(code="413", message="4130 is too large")) == "413: 4130 is too large"


def test_wide_and_combining_characters_are_measured_as_terminals_do() -> None:
    assert [display_width(text) for text in ("abc", "日本", "e\u0301", "ø")] == [3, 4, 1, 1]


def test_the_process_that_holds_a_ledger_is_named_as_far_as_it_is_known() -> None:
    assert holder_words(7, "h\n") == "process 7 on h\\n"
    assert holder_words(None, None) == "a process without a name"


def test_rows_are_aligned_by_what_a_terminal_shows_of_them() -> None:
    rows = [("id", "size"), ("日本", "5"), ("a", "12")]

    assert list(aligned_lines(rows)) == ["id    size", "日本  5", "a     12"]
    assert list(aligned_lines(rows, is_last_right=True)) == ["id    size", "日本     5", "a       12"]
    assert list(aligned_lines([])) == []


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("acme/us-east-1", 14, "acme/us-east-1"),
        ("acme/us-east-1", 9, "acme…st-1"),
        ("北京市朝阳区/us-east-1", 11, "北京…ast-1"),
        ("acme", 1, "…"),
        ("", 0, ""),
    ],
)
def test_a_name_that_is_too_wide_loses_its_middle(text: str, width: int, shown: str) -> None:
    found = cut_in_middle(text, width)

    assert found == shown
    assert display_width(found) <= width


def test_a_text_is_wrapped_at_blanks_and_no_word_is_broken() -> None:
    assert wrapped("no answer of `sms-voice.us-east-1.amazonaws.com` yet", 12) == [
        "no answer of",
        "`sms-voice.us-east-1.amazonaws.com`",
        "yet",
    ]
    assert wrapped("北京 北京 北京", 9) == ["北京 北京", "北京"]
    assert wrapped("", 9) == [""]
