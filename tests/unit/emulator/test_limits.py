"""The rate limits against plain references."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.emulator.limits import Rate, RateMode, limiter

GRID = 64  # times and rates on a binary grid are exact in floating point, so the reference may be exact too
gaps = st.lists(st.integers(0, 5 * GRID), min_size=1, max_size=80)
rates = st.integers(1, 40).map(lambda eighths: eighths / 8)


def reference_bucket(rate: float, burst: int, times: list[float], *, charges: bool) -> list[bool]:
    level, last, answers = Fraction(burst), Fraction(0), []
    for at_s in map(Fraction, times):
        level, last = min(Fraction(burst), level + (at_s - last) * Fraction(rate)), at_s
        answers.append(level >= 1)
        if level >= 1:
            level -= 1
        elif charges:
            level = Fraction(0)
    return answers


def times_of(gaps: list[int]) -> list[float]:
    return [sum(gaps[: index + 1]) / GRID for index in range(len(gaps))]


@given(
    rate=rates, burst=st.integers(1, 10), gaps=gaps, mode=st.sampled_from([RateMode.BUCKET, RateMode.CHARGE_REFUSED])
)
def test_a_bucket_agrees_with_a_bucket_of_fractions(rate: float, burst: int, gaps: list[int], mode: RateMode) -> None:
    times = times_of(gaps)
    bucket = limiter(Rate(rate, burst=burst, mode=mode), at_s=0)

    answers = [bucket.take(at_s) for at_s in times]

    assert answers == reference_bucket(rate, burst, times, charges=mode is RateMode.CHARGE_REFUSED)


@given(rate=rates, gaps=gaps)
def test_a_window_lets_through_what_the_rate_supplies_in_it_and_no_more(rate: float, gaps: list[int]) -> None:
    windows = limiter(Rate(rate, mode=RateMode.WINDOW), at_s=0)
    passed: dict[int, int] = {}
    asked: dict[int, int] = {}

    for at_s in times_of(gaps):
        second = int(at_s)
        asked[second] = asked.get(second, 0) + 1
        passed[second] = passed.get(second, 0) + windows.take(at_s)

    supplied = {second: int(Fraction(rate) * (second + 1)) - int(Fraction(rate) * second) for second in asked}
    assert passed == {second: min(asked[second], supplied[second]) for second in asked}


def test_a_steady_client_gets_exactly_the_rate() -> None:
    bucket = limiter(Rate(20, burst=5), at_s=0)

    passed = sum(bucket.take(index / 200) for index in range(200 * 60))

    assert passed == pytest.approx(5 + 20 * 60, abs=1)


def test_a_client_that_hammers_a_bucket_which_charges_refusals_starves() -> None:
    bucket = limiter(Rate(1, mode=RateMode.CHARGE_REFUSED), at_s=0)

    assert [bucket.take(index / 10) for index in range(100)] == [True] + [False] * 99


def test_a_step_changes_the_rate_at_its_time() -> None:
    bucket = limiter(Rate(10, steps=((10, 1),)), at_s=0)

    passed = [sum(bucket.take(second + index / 100) for index in range(100)) for second in range(20)]

    assert passed[1:9] == [10] * 8
    assert passed[11:] == [1] * 9


def test_a_bucket_made_later_is_full_and_no_fuller() -> None:
    bucket = limiter(Rate(1, burst=2), at_s=1_000)

    assert [bucket.take(1_000) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rate(-1), "greater than or equal to 0"),
        (lambda: Rate(1, burst=0), "greater than or equal to 1"),
        (lambda: Rate(1, burst=2, mode=RateMode.WINDOW), "fixed windows have no burst"),
        (lambda: Rate(1, steps=((2, 1), (1, 1))), "steps must be in order of time"),
        (lambda: Rate(1, steps=((-1, 1),)), "greater than or equal to 0"),
    ],
)
def test_a_rate_that_cannot_be_is_refused(make: Callable[[], Rate], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
