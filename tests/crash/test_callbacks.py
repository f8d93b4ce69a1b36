"""SIGKILL before the 1st, 2nd, 3rd … callback of the event loop, until a run ends clean."""

import pytest

from tests.support.kill_ground import (
    BOUND_LANES_SCRIPT,
    BOUND_SCRIPT,
    LANES_SCRIPT,
    SITES_BY_SCRIPT,
    Ground,
    killed_or_clean,
    record,
)
from tests.support.kill_points import Kill, spread

SAMPLES = {"1 item": 4, "6 items in flight": 4, LANES_SCRIPT: 3, BOUND_SCRIPT: 4, BOUND_LANES_SCRIPT: 3}


@pytest.mark.parametrize(("script", "sample"), SAMPLES.items())
def test_a_kill_between_two_callbacks_costs_no_item_and_makes_none_twice(
    ground: Ground, script: str, sample: int
) -> None:
    clean = SITES_BY_SCRIPT[script](ground).upload(kill=Kill("callback"))
    assert clean.code == 0, clean.result.stderr

    kills = sum(_kill(ground, script, at) for at in spread(clean.seen, sample))

    assert kills >= sample // 2


@pytest.mark.soak
@pytest.mark.parametrize("script", SITES_BY_SCRIPT)
def test_a_kill_before_every_single_callback(ground: Ground, script: str) -> None:
    at = 1
    while _kill(ground, script, at):
        at += 1

    record("callback of the event loop", script, points=at - 1, kills=at - 1)


def _kill(ground: Ground, script: str, at: int) -> bool:
    site = SITES_BY_SCRIPT[script](ground)
    killed = killed_or_clean(site.upload(kill=Kill("callback", at)))
    site.settle()
    return killed
