"""The real engine, the real ledger and the real aiobotocore client in virtual time, under storms and kills.

Everything follows from a seed: a seed that fails here fails again, step by step, with the same trace.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.limits import Rate
from batch_upload.emulator.names import EVERY_OPERATION
from batch_upload.emulator.settings import EmulatorSettings, KnownToken, LateTags, Paging
from batch_upload.errors import ExitCode
from batch_upload.model import State
from batch_upload.operations import CREATE, DESCRIBE, LIMITS, LIST_TAGS
from tests.support.simulated_network import Weather
from tests.support.world import Plan, Wanted, World

SEEDS = (*range(8), 1_084)
"""Storm 1,084 throttles describes for an hour, and its service forgets page tokens after 10 s."""
SEEDS_WITHOUT_TAG = range(3)
SOAK_SEEDS = range(8, 2_008)
SOAK_SEEDS_WITHOUT_TAG = range(3, 503)
HOUR_S = 3_600.0
DAY_S = 86_400.0
CLOCKS_SET_S = (0.0, 2.0, -2.0, 290.0, -290.0, 1_000.0, -1_000.0, HOUR_S, -HOUR_S)
"""How far ahead of the world's a wall clock is set: a little, nearly a horizon, and more than AWS lets pass."""
CLOCKS_THAT_AWS_LETS_PASS_S = CLOCKS_SET_S[:5]
"""What cannot be recognised is told apart by its age, which rests on AWS refusing what a clock far off has signed."""
RUNS_UNDER_STORM = 4
QUIET_RUNS_MAX = 3
"""A first run may end with what only a later one may settle."""

RAW_ANSWERS = (
    (200, "null"),
    (200, '"Bad Gateway"'),
    (200, "<!doctype html><title>Guest network</title>"),
    (200, '{"RegistrationAttachmentId": ""}'),
    (502, '"Bad Gateway"'),
    (503, "[]"),
)
"""Answers of somebody else, none of which says whether the request was done."""
NOT_DONE = (Action.THROTTLE, Action.INTERNAL_ERROR, Action.UNAVAILABLE, Action.DROP_BEFORE)
DONE = (
    Action.DROP_AFTER,
    Action.ERROR_AFTER,
    Action.GARBAGE,
    Action.TRUNCATED,
    Action.CUT_SHORT,
    Action.EMPTY_200,
)


def storm(chance: Random) -> tuple[FaultRule, ...]:
    """Some faults of creates and some of everything else, each with a share of its own."""
    kinds = chance.sample((*NOT_DONE, *DONE), 5)
    creates = [FaultRule(kind, CREATE, share=chance.uniform(0.02, 0.2)) for kind in kinds]
    hangs = [
        FaultRule(Action.HANG, CREATE, share=chance.uniform(0, 0.05), done=chance.random() < 0.5),
        FaultRule(Action.SLOW, CREATE, share=chance.uniform(0, 0.1), seconds=chance.uniform(1, 40)),
        FaultRule(Action.RETRY_AFTER, CREATE, share=chance.uniform(0, 0.05), seconds=chance.uniform(1, 9)),
    ]
    refusals = [
        FaultRule(Action.VALIDATION, CREATE, share=chance.uniform(0, 0.05)),
        FaultRule(Action.UNKNOWN_CODE, CREATE, share=chance.uniform(0, 0.05)),
    ]
    status, body = chance.choice(RAW_ANSWERS)
    elsewhere = [
        FaultRule(Action.RAW, EVERY_OPERATION, share=chance.uniform(0, 0.1), status=status, body=body),
        FaultRule(
            Action.REDIRECT, EVERY_OPERATION, share=chance.uniform(0, 0.1), status=307, location="http://other.example"
        ),
    ]
    others = [FaultRule(kind, EVERY_OPERATION, share=chance.uniform(0.0, 0.1)) for kind in chance.sample(kinds, 2)]
    return (*creates, *hangs, *refusals, *elsewhere, *others)


def world_of(folder: Path, seed: int) -> World:
    """A world whose service forgets a token as early as the safe horizon allows, and may lag as far as it allows."""
    chance = Random(f"world {seed}")
    horizon_s = chance.choice((60.0, 120.0, 300.0))
    fast = Rate(20, burst=5)
    settings = EmulatorSettings(
        rates={CREATE: Rate(chance.choice((1, 4, 20))), DESCRIBE: fast, LIST_TAGS: fast, LIMITS: fast},
        attachments_per_account=None,
        processing_s=chance.choice((0.0, 2.0, 45.0)),
        token_memory_s=horizon_s,
        page_size=chance.choice((7, 100)),
        seed=seed,
    )
    settings = settings.model_copy(update=lags(Random(f"lags {seed}"), horizon_s))
    world = World(folder, settings, seed=seed, horizon_s=horizon_s)
    world.machine.ahead_s = chance.uniform(-600, 600)
    world.wanted = {f"item-{number:02d}": Wanted(f"document {number}") for number in range(chance.randint(30, 60))}
    return world


def lags(chance: Random, horizon_s: float) -> dict[str, Any]:
    """How far the service is behind itself, how it pages, and what a token gets that it knows."""
    return {
        "listing_lag_s": chance.choice((0.0, 0.0, 3.0, 0.5 * horizon_s)),
        "describe_lag_s": chance.choice((0.0, 0.0, 3.0, 0.9 * horizon_s)),
        "tags_lag_s": chance.choice((0.0, 0.0, 5.0, 0.9 * horizon_s)),
        "tags_lag_answer": chance.choice(list(LateTags)),
        "limits_lag_s": chance.choice((0.0, 30.0)),
        "limits_used": chance.choice((None, None, 5)),
        "paging": chance.choice(list(Paging)),
        "next_token_life_s": chance.choice((None, 10.0)),
        "known_token": chance.choice(list(KnownToken)),
    }


def plan_of(chance: Random, steps: int, horizon_s: float, clocks_set_s: Sequence[float]) -> Plan:
    """A run that is killed at some step, or told to stop at some moment, or left alone.

    Its machine may fall asleep and have its clock set meanwhile.
    """
    plan = _undisturbed(chance, steps)
    if chance.random() < 0.4:
        plan = replace(plan, asleep=((chance.uniform(0, 60), chance.choice((1.0, horizon_s / 2, horizon_s, HOUR_S))),))
    if chance.random() < 0.4:
        moments = sorted(chance.uniform(0, 60) for _ in range(chance.randint(1, 3)))
        plan = replace(plan, clock_set=tuple((at_s, chance.choice(clocks_set_s)) for at_s in moments))
    return plan


def _undisturbed(chance: Random, steps: int) -> Plan:
    way, concurrency = chance.random(), chance.choice((1, 3, 8, 30))
    if way < 0.6:
        return Plan(dies_at=chance.randint(1, steps), concurrency=concurrency)
    if way < 0.75:
        return Plan(interrupted_after_s=chance.uniform(0, 60), concurrency=concurrency)
    if way < 0.85:
        return Plan(deadline=f"{chance.randint(1, 60)}s", concurrency=concurrency)
    return Plan(concurrency=concurrency)


def simulate(folder: Path, seed: int) -> World:
    """Storms with kills, then calm."""
    world = world_of(folder, seed)
    weather_storms(world, Random(f"storm {seed}"))
    calm(world)
    return world


def weather_storms(world: World, chance: Random, clocks_set_s: Sequence[float] = CLOCKS_SET_S) -> None:
    """Runs under storms, with kills. The promises that hold at any moment are checked after each run."""
    for _ in range(RUNS_UNDER_STORM):
        world.emulator.set_faults(storm(chance))
        world.network.weather = Weather(
            way_s=chance.choice((0.005, 0.05, 0.3)),
            jitter_s=chance.choice((0.0, 0.01, 0.2)),
            late_share=chance.choice((0.0, 0.0, 0.1)),
            horizon_s=world.horizon_s,
            listing_lag_s=world.emulator.settings.listing_lag_s,
        )
        world.run(plan_of(chance, 40 * len(world.wanted), world.horizon_s, clocks_set_s))
        waited_s = chance.choice((0.0, 1.0, world.horizon_s / 2, 2 * world.horizon_s))
        world.pass_time(waited_s)
        if chance.random() < 0.4:  # also by so much that no time seems to have passed
            world.set_clock(chance.choice((*clocks_set_s, *[world.machine.ahead_s - waited_s] * 6)))
        if chance.random() < 0.1:
            world.reboot()


def calm(world: World) -> None:
    """No faults any more: everything gets done, and then there is nothing left to send."""
    world.emulator.set_faults(())
    world.network.weather = Weather()
    codes = [world.run().exit_code]
    while codes[-1] is not ExitCode.DONE and len(codes) < QUIET_RUNS_MAX:
        codes.append(world.run().exit_code)
    assert codes[-1] is ExitCode.DONE, codes
    world.check_complete()
    rerun = world.run()
    assert (rerun.exit_code, rerun.sent) == (ExitCode.DONE, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_the_storm_and_whenever_it_is_killed_each_item_is_uploaded_once(tmp_path: Path, seed: int) -> None:
    simulate(tmp_path, seed)


@pytest.mark.parametrize("seed", SEEDS_WITHOUT_TAG)
def test_without_identity_tag_nothing_is_uploaded_twice_and_what_cannot_be_known_is_called_unknown(
    tmp_path: Path, seed: int
) -> None:
    simulate_without_tag(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS_WITHOUT_TAG)
def test_five_hundred_storms_without_identity_tag_upload_nothing_twice(tmp_path: Path, seed: int) -> None:
    simulate_without_tag(tmp_path, seed)


def simulate_without_tag(folder: Path, seed: int) -> None:
    """As `simulate`, but nothing at the service can be recognised."""
    world = world_of(folder, seed)
    world.wanted = {item_id: replace(wanted, identity_tag=False) for item_id, wanted in world.wanted.items()}
    weather_storms(world, Random(f"storm {seed}"), CLOCKS_THAT_AWS_LETS_PASS_S)
    world.emulator.set_faults(())
    world.network.weather = Weather()
    codes = [world.run().exit_code for _ in range(QUIET_RUNS_MAX)]
    states = {row.client_token: row.state for row in world.known()}
    held = {each["client_token"] for each in world.held()}
    assert codes[-1] in (ExitCode.DONE, ExitCode.OUTCOMES_UNKNOWN)
    assert set(states.values()) <= {State.COMPLETE, State.UNKNOWN}
    assert all(token in held for token, state in states.items() if state is State.COMPLETE)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_two_thousand_storms_upload_each_item_once(tmp_path: Path, seed: int) -> None:
    simulate(tmp_path, seed)


def test_the_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    first, second = (traced(tmp_path / name, seed=3) for name in ("first", "second"))

    assert first.trace.lines == second.trace.lines
    assert first.trace.digest() == second.trace.digest()
    assert first.trace.digest() != traced(tmp_path / "other", seed=4).trace.digest()


def traced(folder: Path, *, seed: int) -> World:
    folder.mkdir()
    return simulate(folder, seed)


def test_an_hour_at_one_call_in_five_seconds_uploads_at_the_pace_of_the_service(tmp_path: Path) -> None:
    world = paced(tmp_path, items=720, per_second=0.2)

    assert world.timeline.now_s - began_s(world) <= 1.08 * HOUR_S


@pytest.mark.soak
def test_a_day_at_one_call_a_second_uploads_at_the_pace_of_the_service(tmp_path: Path) -> None:
    world = paced(tmp_path, items=86_400, per_second=1.0)

    assert world.timeline.now_s - began_s(world) <= 1.02 * DAY_S


def paced(folder: Path, *, items: int, per_second: float) -> World:
    """One undisturbed run against a service of this rate."""
    settings = EmulatorSettings(rates={CREATE: Rate(per_second)}, attachments_per_account=None)
    world = World(folder, settings, seed=1)
    world.network.weather = Weather(way_s=0.03, jitter_s=0.01)
    world.wanted = {f"item-{number}": Wanted(f"document {number}") for number in range(items)}
    assert world.run().exit_code is ExitCode.DONE
    world.check_complete()
    return world


def began_s(world: World) -> float:
    return first_moment(world.trace.lines)


def first_moment(lines: Sequence[str]) -> float:
    """The time of the first line of a trace."""
    return float(lines[0].partition(" ")[0])
