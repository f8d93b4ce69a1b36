"""A campaign of kills at random moments under a storm of faults, the same for the same seed but for the machine's
own timing."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_upload.operations import ASSUME_ROLE, CREATE, DESCRIBE, LIMITS, LIST_TAGS, PUT_FIELD, REGISTRATIONS
from tests.support.invariants import read_copy
from tests.support.kill_ground import FleetSite, Ground, Site
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
ITEMS_A_LANE = 8
LANE_LATENCY_S = 0.05
"""How long each answer takes: at any moment most lanes have requests in flight."""
REQUESTS_A_LANE = 9
"""A run sends fewer if kills before it left less to do: some kills come too late to kill."""
MILD: tuple[Rule, ...] = (
    {"action": "throttle", "operation": CREATE, "share": 0.05},
    {"action": "drop_after", "operation": CREATE, "share": 0.05},
    {"action": "error_after", "operation": CREATE, "share": 0.05},
    {"action": "drop_before", "operation": CREATE, "share": 0.05},
    *({"action": "throttle", "operation": each, "share": 0.05} for each in (DESCRIBE, LIMITS, ASSUME_ROLE)),
)
BIND_FAULTS: tuple[Rule, ...] = (
    {"action": "throttle", "operation": PUT_FIELD, "share": 0.05},
    {"action": "drop_after", "operation": PUT_FIELD, "share": 0.05},
    {"action": "error_after", "operation": PUT_FIELD, "share": 0.05},
    {"action": "drop_before", "operation": PUT_FIELD, "share": 0.05},
    {"action": "throttle", "operation": REGISTRATIONS, "share": 0.05},
)
BOUND_RUNS_MAX = 3
"""How many runs a kill may take: some kills come too late to kill."""
_BINDING = "SELECT count(*) FROM item WHERE state = 'binding'"
_SENDING = "SELECT count(DISTINCT lane_id) FROM item WHERE state = 'sending'"


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
    site.assert_nothing_is_wrong_yet()
    return ended.code == KILLED


def _share(chance: random.Random) -> float:
    return chance.choice([0.0, 0.05, 0.1, 0.2])


def lanes_round(ground: Ground, chance: random.Random, kills_wanted: int, *, accounts: int) -> list[int]:
    """Kill the installed command at random moments in a manifest of so many accounts, each in two Regions; then settle.

    Return for each kill how many lanes had a request in flight.
    """
    site = ground.fleet_site(
        accounts, "--concurrency", "3", items=ITEMS_A_LANE, latency_s=LANE_LATENCY_S, seed=chance.randrange(1 << 30)
    )
    site.endpoint.faults(*MILD)
    kills: list[int] = []
    for _ in range(kills_wanted):
        if _kill_from_outside(site, chance.randrange(REQUESTS_A_LANE * len(site.batch.labels))):
            kills.append(sum(lanes for (lanes,) in read_copy(site.batch.ledger, _SENDING)))
    site.settle()
    return kills


def bound_round(site: FleetSite, chance: random.Random, kills_wanted: int) -> list[int]:
    """Kill the installed command so many times at random moments while it uploads and binds; then settle.

    Return for each kill how many attachments were uploaded and not in their fields.
    """
    site.endpoint.faults(*MILD, *BIND_FAULTS)
    a_run = 2 * len(site.fields) * 2 // kills_wanted  # twice the mean: a create and a put for each item
    kills: list[int] = []
    for _ in range(BOUND_RUNS_MAX * kills_wanted):
        if _kill_from_outside(site, 1 + chance.randrange(a_run)):
            kills.append(sum(items for (items,) in read_copy(site.batch.ledger, _BINDING)))
        if len(kills) == kills_wanted:
            break
    site.settle()
    return kills


def _kill_from_outside(site: FleetSite, requests: int) -> bool:
    """Kill the installed command once it has sent so many requests. Return whether it still ran."""
    endpoint = site.endpoint
    before = endpoint.stats().requests.total()
    with site.uploading() as process:
        endpoint.wait_until(
            lambda: process.poll() is not None or endpoint.stats().requests.total() - before >= requests,
            f"{requests} requests have not come, and the run has not ended",
        )
        process.kill()
        code = process.wait()
    assert code in CODES
    site.assert_nothing_is_wrong_yet()
    return code == KILLED
