"""How long it takes, statuses included."""

import pytest

from batch_upload.model import Capacity, State
from batch_upload.report.estimate import creates_within, run_s, settle_s, steady_rate, work_left
from batch_upload.report.plain import cut_words
from tests.unit.report.samples import plan_of, started


@pytest.mark.parametrize(("attachments", "seconds"), [(0, 0.0), (1, 2.0), (100, 2.0), (101, 3.0), (3_000, 31.0)])
def test_statuses_cost_a_look_and_a_page_for_each_hundred(attachments: int, seconds: float) -> None:
    assert settle_s(attachments) == seconds


def test_statuses_are_asked_by_id_or_by_listing_the_whole_lane_whichever_costs_less() -> None:
    assert (settle_s(150, 420), settle_s(5, 420), settle_s(12, 420)) == (6.0, 2.0, 4.0)


def test_a_run_is_its_creates_and_then_its_statuses() -> None:
    assert run_s(creates=120, watched=120, rate_per_s=2.0) == 63.0


def test_the_learned_rate_counts_unless_we_are_the_limit() -> None:
    assert steady_rate(20.0, 19.0) == pytest.approx(19.88)
    assert steady_rate(20.0, None) == pytest.approx(19.88)
    assert steady_rate(20.0, 8.0) == 8.0
    assert steady_rate(None, 3.0) == 3.0
    assert steady_rate(None, None) is None


def test_the_first_create_leaves_at_once() -> None:
    assert (creates_within(0.0, 1.0), creates_within(10.0, 1.0), creates_within(10.0, 0.5)) == (0, 11, 6)


def test_what_cuts_a_run_short_is_said_before_the_first_byte() -> None:
    tight = started(plan_of(100), capacity=Capacity(used=5, maximum=25), rate=2.0, deadline_s=30.0)

    assert cut_words(tight) == [
        "the account has room for 20 of 100, the rest will be parked",
        "at 2.0/s about 61 of 100 would be sent before the deadline in 30 s",
    ]


def test_what_fits_is_not_said_to_be_cut() -> None:
    roomy = started(plan_of(10), capacity=Capacity(used=5, maximum=25), rate=2.0, deadline_s=30.0)

    assert cut_words(roomy) == []


def test_what_is_left_takes_the_creates_and_then_the_statuses_of_all_that_is_open() -> None:
    states = {State.PENDING: 3, State.SENDING: 1, State.PROCESSING: 6, State.COMPLETE: 90}

    assert work_left(states, 2.0) == (4, run_s(4, 10, 2.0))
    assert work_left({State.PROCESSING: 6, State.COMPLETE: 90}, 2.0) == (0, None)


def test_binds_overlap_with_creates_and_the_slower_of_the_two_decides() -> None:
    assert run_s(120, 120, 2.0, binds=120, binds_per_s=10.0) == 63.1
    assert run_s(120, 120, 2.0, binds=120, binds_per_s=1.0) == 122.0
    assert run_s(0, 0, 2.0, binds=30, binds_per_s=0.5) == 60.0
    assert run_s(120, 120, 2.0, binds=0) == run_s(120, 120, 2.0)


def test_what_is_left_of_a_run_that_only_binds_are_its_binds() -> None:
    assert work_left({State.BINDING: 6, State.COMPLETE: 90}, 2.0, binds=6) == (0, 6.0)
    assert work_left({State.PENDING: 4}, 2.0, binds=4) == (4, run_s(4, 4, 2.0, binds=4))
