"""SIGKILL before and after each named step: each write of the ledger, each request, each answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from batch_upload.operations import CREATE
from tests.support.kill_ground import SITES_BY_SCRIPT, FleetSite, Ground, Site, killed_or_clean, record
from tests.support.kill_points import KILLED, Kill, spread

WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Script:
    """What is uploaded, and what goes wrong with it before the kill."""

    make: Callable[[Ground], Site | FleetSite]
    faults: Sequence[Mapping[str, Any]] = ()
    forgets: bool = False
    """Whether the service has forgotten every token when the next run begins."""

    def site(self, ground: Ground) -> Site | FleetSite:
        site = self.make(ground)
        site.endpoint.faults(*self.faults)
        return site


RETRIED = (
    {"action": "throttle", "after": 0, "times": 1},
    {"action": "error_after", "times": 1},
    {"action": "drop_after", "times": 1},
)
FORGETFUL = ("--safe-horizon", "50ms")
"""Shorter than the command takes to begin: no run replays what another has left."""
SCRIPTS = {name: Script(make) for name, make in SITES_BY_SCRIPT.items()} | {
    "1 item, throttled, then done twice without an answer": Script(lambda ground: ground.site(1), RETRIED),
    "6 items, throttled, then done twice without an answer": Script(lambda ground: ground.site(6), RETRIED),
    "3 items, done twice without an answer, then all tokens forgotten": Script(
        lambda ground: ground.site(3, *FORGETFUL), [{"action": "drop_after", "times": 2}], forgets=True
    ),
}
SAMPLES = dict(zip(SCRIPTS, (5, 4, 3, 5, 3, 3, 3, 3), strict=True))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_kill_before_or_after_a_step_costs_no_item_and_makes_none_twice(ground: Ground, script: str) -> None:
    clean = SCRIPTS[script].site(ground).upload(kill=Kill("step"))
    assert clean.code == 0, clean.result.stderr

    kills = sum(_kill(ground, SCRIPTS[script], at) for at in spread(clean.seen, SAMPLES[script]))

    assert kills >= SAMPLES[script] // 2


@pytest.mark.soak
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_kill_at_every_single_step(ground: Ground, script: str) -> None:
    at = 1
    while _kill(ground, SCRIPTS[script], at):
        at += 1

    record("named step", script, points=at - 1, kills=at - 1)


@pytest.mark.parametrize("number", [1, 3])
def test_a_kill_while_the_service_has_it_and_no_answer_has_left_makes_none_twice(ground: Ground, number: int) -> None:
    _kill_unanswered(ground, 3, number)


@pytest.mark.soak
def test_a_kill_between_service_and_answer_of_every_item(ground: Ground) -> None:
    for number in range(1, 7):
        _kill_unanswered(ground, 6, number)

    record("done, no answer yet", "6 items", points=6, kills=6)


def _kill(ground: Ground, script: Script, at: int) -> bool:
    site = script.site(ground)
    killed = killed_or_clean(site.upload(kill=Kill("step", at)))
    if script.forgets:
        site.endpoint.change(token_memory_s=0)
    site.settle()
    return killed


def _kill_unanswered(ground: Ground, items: int, number: int) -> None:
    """Kill once the service has done the `number`-th create, whose answer it keeps to itself."""
    site = ground.site(items, "--concurrency", "1")
    site.endpoint.faults({"action": "hang", "operation": CREATE, "after": number - 1, "times": 1, "done": True})
    with site.uploading() as process:
        give_up_at = time.monotonic() + WAIT_S
        while len(site.endpoint.attachments()) < number:
            assert time.monotonic() < give_up_at
        process.kill()
        assert process.wait() == KILLED
    site.settle()
