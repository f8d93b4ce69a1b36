"""Kills at random moments under storms of throttles, errors, lost connections, garbage and hangs, over HTTP."""

import random

import pytest

from tests.support.campaign import lanes_round, one_round
from tests.support.kill_ground import Ground, record

SEED = 20261123
KILLS_A_ROUND = 8
SOAK_KILLS = 10_000
LANE_KILLS = 50
SOAK_PARTS = 4
"""Each with seeds of its own, so that several can be under way at once."""


@pytest.mark.parametrize("round_number", range(4))
def test_under_a_storm_with_random_kills_each_item_is_there_once(ground: Ground, round_number: int) -> None:
    kills = one_round(ground, random.Random(SEED + round_number), 6)

    assert kills > 0


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_ten_thousand_random_kills_under_storms_make_nothing_twice_and_lose_nothing(ground: Ground, part: int) -> None:
    seed, kills, rounds = SEED + part, 0, 0
    while kills < SOAK_KILLS // SOAK_PARTS:
        rounds += 1
        kills += one_round(ground, random.Random(seed * 10_000 + rounds), KILLS_A_ROUND)

    record("random moment under a storm", f"{rounds} batches of 1 to 8 items, seed {seed}", points=kills, kills=kills)


def test_killed_at_random_moments_with_six_lanes_in_flight_each_item_is_once_in_its_lane(ground: Ground) -> None:
    in_flight = lanes_round(ground, random.Random(SEED), 3, accounts=3)

    assert len(in_flight) >= 2
    assert max(in_flight) >= 2


@pytest.mark.soak
def test_fifty_random_kills_with_twenty_lanes_in_flight_leave_each_item_once_in_its_lane(ground: Ground) -> None:
    in_flight: list[int] = []
    rounds = 0
    while len(in_flight) < LANE_KILLS:
        rounds += 1
        in_flight += lanes_round(ground, random.Random(SEED * 10_000 + rounds), KILLS_A_ROUND, accounts=10)

    assert sum(lanes >= 10 for lanes in in_flight) >= LANE_KILLS // 4
    script = f"{rounds} manifests of 20 lanes with 8 items each, seed {SEED}"
    record("random moment under mild faults", script, points=len(in_flight), kills=len(in_flight))
