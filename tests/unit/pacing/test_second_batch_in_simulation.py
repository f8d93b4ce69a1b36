"""Two batches one after the other against the same bucket: how much of its rate the second gets.

The share of a batch is that of what its bucket could have given: with the tokens that it held at the first call, it
could have admitted the last one after (calls - tokens)/rate seconds.
"""

from dataclasses import dataclass
from math import exp, log
from random import Random
from statistics import fmean, median

import pytest

from batch_upload.pacing import LearnedRate, RateMemory
from tests.support.bucket_simulation import Network, Run, TokenBucket, simulate

SEEDS = range(80_001, 80_201)
"""Not tuned on (docs/decisions/pacing.md, "What it gives", names those that were)."""
BURSTS = (2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Batch:
    share: float
    run: Run


def batches(
    rate: float, burst: int, items: int, network: Network, *, seed: int, pause_s: float, count: int = 2
) -> list[Batch]:
    """Run so many batches, `pause_s` apart; each law begins with what the one before remembers."""
    bucket, memory, since = TokenBucket(rate, burst), None, 0.0
    done = []
    for number in range(count):
        bucket.admitted_at.clear()
        law = LearnedRate(1.0, memory=memory)
        law.expect(items)
        bucket.refill(since)
        before = bucket.tokens
        run = simulate(law, bucket, items=items, network=network, workers=16, seed=seed + number, since=since)
        first, last = bucket.admitted_at[0], bucket.admitted_at[-1]
        tokens = min(float(burst), before + rate * (first - since))
        done.append(Batch((items - tokens) / rate / (last - first), run))
        memory, since = law.memory(), run.calls[-1].answered_at + pause_s
    return done


def random_lane(seed: int, items: int) -> list[Batch]:
    """Two batches at 0.2 to 2.5/s, over 50 to 300 ms with jitter up to a tenth of it, timers up to 20 ms late."""
    random = Random(seed)
    rate = exp(random.uniform(log(0.2), log(2.5)))
    latency_s = exp(random.uniform(log(0.05), log(0.3)))
    network = Network(latency_s, random.uniform(0, 0.1) * latency_s, wake_s=random.uniform(0, 0.02))
    return batches(rate, random.choice(BURSTS), items, network, seed=seed, pause_s=exp(random.uniform(0, 4)))


def test_of_60_calls_a_second_batch_gets_97_percent_whatever_rate_and_burst() -> None:
    lanes = [random_lane(seed, 60) for seed in SEEDS]

    assert min(second.share for _, second in lanes) >= 0.97
    assert median(second.share for _, second in lanes) >= 0.99
    assert median(first.share for first, _ in lanes) >= 0.985
    assert fmean(second.run.throttled for _, second in lanes) <= 2.5


def test_of_25_calls_a_second_batch_gets_97_percent_in_most_cases() -> None:
    shares = sorted(random_lane(seed, 25)[1].share for seed in SEEDS)

    assert median(shares) >= 0.975
    assert shares[len(shares) // 20] >= 0.95


@pytest.mark.parametrize("rate", [1.0, 1.25, 1.5, 1.75, 2.0])
@pytest.mark.parametrize(("items", "least"), [(25, 0.95), (60, 0.98)])
def test_a_lane_of_many_gets_its_rate_in_a_second_batch(rate: float, items: int, least: float) -> None:
    for seed in range(80_001, 80_021):
        for jitter_s in (0.002, 0.02):
            network = Network(0.15, jitter_s, wake_s=0.005)

            _, second = batches(rate, 5, items, network, seed=seed, pause_s=5.0)

            assert second.share >= least
            assert second.run.throttled <= 5


def test_timers_that_are_a_tenth_of_a_slot_late_cost_a_bucket_of_five_hardly_anything() -> None:
    network = Network(0.15, 0.02, wake_s=0.1)

    seconds = [batches(1.0, 5, 60, network, seed=seed, pause_s=5.0)[1] for seed in range(80_001, 80_041)]

    assert min(each.share for each in seconds) >= 0.96
    assert median(each.share for each in seconds) >= 0.985


@pytest.mark.parametrize(
    ("rate", "items", "least"), [(1.25, 60, 0.95), (1.37, 25, 0.9), (1.37, 60, 0.95), (1.5, 60, 0.95), (2.0, 60, 0.95)]
)
def test_with_burst_one_a_second_batch_goes_on_with_a_search_that_was_not_worth_more_in_the_first(
    rate: float, items: int, least: float
) -> None:
    network = Network(0.15, 0.002, wake_s=0.002)

    for seed in range(80_001, 80_021):
        assert batches(rate, 1, items, network, seed=seed, pause_s=5.0)[1].share >= least


def test_with_burst_one_at_the_documented_rate_each_further_batch_searches_less() -> None:
    network = Network(0.15, 0.002, wake_s=0.002)

    done = batches(1.0, 1, 25, network, seed=80_001, pause_s=5.0, count=3)

    assert [each.run.throttled for each in done[:3]] == [2, 1, 0]
    assert all(each.share >= 0.965 for each in done[1:])


def test_a_short_batch_that_begins_with_a_burst_that_is_gone_is_throttled_a_few_times_only() -> None:
    memory = RateMemory(2.0, burst=10.0)
    for seed in range(80_001, 80_021):
        law, bucket = LearnedRate(1.0, memory=memory), TokenBucket(2, 10)
        law.expect(60)
        bucket.tokens = 0.0

        run = simulate(law, bucket, items=60, network=Network(0.15, 0.005), seed=seed)

        assert run.throttled <= 5
        assert run.makespan_s <= 1.03 * 60 / 2
