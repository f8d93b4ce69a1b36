"""Mixes of everything at once: a service that lags, lies and redirects, a machine that sleeps, kills, edits, copies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mixed_campaign import perform
from tests.support.mixed_world import Ground, World, mixed_ground
from tests.support.mixes import draw
from tests.support.thief import Thief, waiting_thief

SAMPLE = (3, 4, 151, 305, 306, 453, 455)
"""Quick ones that have everything among them: each deed to a run, copies in turns and at once, each verb and fault."""
SOAK_MIXES = 300
SOAK_PARTS = 30
"""Each with seeds of its own, so that several can be under way at once."""


@pytest.fixture(scope="session")
def mixes_ground(clock_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with mixed_ground(clock_library, tmp_path_factory.mktemp("mixes")) as found:
        yield found


@pytest.fixture
def thief() -> Iterator[Thief]:
    with waiting_thief() as waiting:
        yield waiting


def test_a_seed_gives_the_same_mix_each_time_and_another_seed_another() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


@pytest.mark.parametrize("seed", SAMPLE)
def test_whatever_is_mixed_each_item_is_there_once_and_nothing_anywhere_else(
    mixes_ground: Ground, thief: Thief, seed: int
) -> None:
    perform(World(mixes_ground, draw(seed), thief))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
def test_three_hundred_mixes_make_nothing_twice_and_lose_nothing(mixes_ground: Ground, thief: Thief, part: int) -> None:
    for seed in range(part, SOAK_MIXES, SOAK_PARTS):
        perform(World(mixes_ground, draw(seed), thief))
