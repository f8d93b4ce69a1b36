"""A service that refuses everything for half a minute: how the learned rate comes back."""

from collections.abc import Sequence

import pytest

from batch_upload.pacing import LearnedRate
from tests.support.bucket_simulation import Network, SteppedBucket, simulate

BEGINS_S, ENDS_S = 5.0, 35.0


def makespan_s(steps: Sequence[tuple[float, float]], items: int, seed: int) -> float:
    law = LearnedRate(1.0)
    law.expect(items)
    limiter = SteppedBucket(steps, burst=1)
    return simulate(law, limiter, items=items, network=Network(0.05, 0.01), workers=64, seed=seed).makespan_s


@pytest.mark.parametrize(("rate", "items"), [(5, 300), (20, 1200)])
def test_the_pace_comes_back_after_an_outage(rate: int, items: int) -> None:
    for seed in range(8):
        usual_s = makespan_s([(0, rate)], items, seed)

        ended_s = makespan_s([(0, rate), (BEGINS_S, 0), (ENDS_S, rate)], items, seed)

        assert ended_s - usual_s <= (ENDS_S - BEGINS_S) + 40


def test_an_outage_is_not_hammered() -> None:
    law = LearnedRate(1.0)
    limiter = SteppedBucket([(0, 20), (BEGINS_S, 0), (ENDS_S, 20)], burst=1)

    run = simulate(law, limiter, items=1200, network=Network(0.05, 0.01), workers=64)

    assert len(run.between(BEGINS_S + 2, ENDS_S).calls) <= 20
