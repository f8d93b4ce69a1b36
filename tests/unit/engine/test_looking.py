"""How long a look through the lane is expected to take."""

from batch_upload.engine.listing import Cost, cost_of
from batch_upload.model import Capacity


def cost(used: int, known: int) -> Cost:
    return cost_of(Capacity(used, 1_000_000), known, describes_per_s=1.0, reads_per_s=10.0)


def test_a_lost_ledger_costs_a_page_for_each_hundred_and_a_read_for_each() -> None:
    assert cost(2_500, 0) == Cost(25, 2_500, 275.0)


def test_what_the_ledger_knows_is_not_read_again() -> None:
    assert cost(130, 130) == Cost(2, 0, 2.0)


def test_a_ledger_that_remembers_more_than_is_left_costs_no_less_than_a_page() -> None:
    assert cost(0, 7) == Cost(1, 0, 1.0)


def test_where_the_service_does_not_tell_nothing_is_promised() -> None:
    assert cost_of(None, 5, describes_per_s=1.0, reads_per_s=10.0) == Cost(None, None, None)
