"""A campaign of kills at random moments under a storm of faults, the same for the same seed but for the machine's
own timing."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_upload.operations import CREATE, DESCRIBE, LIMITS, LIST_TAGS
from tests.support.invariants import assert_nothing_is_wrong_yet
from tests.support.kill_ground import Ground, Site
from tests.support.kill_points import KILLED, Kill

Rule = Mapping[str, Any]
CALLBACKS_MAX = 300
"""A run of a few items has fewer callbacks unless it waits for a fault: some kills come too late to kill."""
HORIZON = "50ms"
"""Shorter than the command takes to begin: no run replays what another has left."""
MEMORY_S = 1.0
"""How long a forgetful service knows a token: longer than a replay within the horizon can take on a busy machine."""
CODES = frozenset({KILLED, 0, 10})
"""How a run may end in a storm: killed, everything done, or transient errors left."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What goes wrong in a round, and with how many items."""

    items: int
    options: Sequence[str]
    settings: Mapping[str, Any]
    faults: Sequence[Rule]


def weather(chance: random.Random) -> Weather:
    """A storm: each fault with a share of its own; in every third round tokens are forgotten soon after the horizon."""
    storm: list[Rule] = [
        {"action": "throttle", "share": _share(chance)},
        {"action": "internal_error", "share": _share(chance)},
        {"action": "error_after", "share": _share(chance)},
        {"action": "drop_before", "share": _share(chance)},
        {"action": "drop_after", "share": _share(chance)},
        {"action": "drop_late", "seconds": 0.05, "share": _share(chance) / 2},
        {"action": "garbage", "share": _share(chance)},
        {"action": "truncated", "share": _share(chance)},
        {"action": "hang", "seconds": 0.1, "done": chance.random() < 0.5, "share": _share(chance)},
    ]
    chance.shuffle(storm)
    reads: list[Rule] = [
        {"action": "throttle", "operation": operation, "share": 0.1} for operation in (DESCRIBE, LIMITS, LIST_TAGS)
    ]
    faults = [*({"operation": CREATE, **rule} for rule in storm), *reads]
    forgetful = chance.random() < 1 / 3
    options = ["--concurrency", str(chance.choice([1, 3, 8])), *(["--safe-horizon", HORIZON] if forgetful else [])]
    settings: dict[str, Any] = {"token_memory_s": MEMORY_S} if forgetful else {}
    settings["seed"] = chance.randrange(1 << 30)
    return Weather(chance.choice([1, 3, 8]), options, settings, faults)


def one_round(ground: Ground, chance: random.Random, kills_wanted: int) -> int:
    """Kill the command at random callbacks until so many kills were counted or it is done; then one quiet run.

    Gives the kills. Looks at service and ledger after each.
    """
    drawn = weather(chance)
    site = ground.site(drawn.items, *drawn.options, **drawn.settings)
    site.endpoint.faults(*drawn.faults)
    kills = sum(_kill(site, chance) for _ in range(kills_wanted))
    if "token_memory_s" in drawn.settings:
        site.endpoint.change(token_memory_s=0)
    site.settle()
    return kills


def _kill(site: Site, chance: random.Random) -> bool:
    ended = site.upload(kill=Kill("callback", 1 + int(CALLBACKS_MAX * chance.random() ** 2)))
    assert ended.code in CODES, f"{ended.code}: {ended.result.stderr}"
    assert "Traceback" not in ended.result.stderr
    assert_nothing_is_wrong_yet(site.endpoint, site.batch.ledger)
    return ended.code == KILLED


def _share(chance: random.Random) -> float:
    return chance.choice([0.0, 0.05, 0.1, 0.2])
