"""Signals and the deadline in a run over many lanes: each lane drains, and its end is on record."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from batch_upload.engine.run import DRAIN_S
from batch_upload.operations import ASSUME_ROLE, CREATE, DESCRIBE
from tests.support.clocks import Clocks
from tests.support.command import Event
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.fleets import Fleet, make_fleet
from tests.support.invariants import assert_nothing_is_wrong_yet, assert_settled, read_copy
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100", "--concurrency", "2", "--json")
FIRST_ACCOUNT = 400_000_000_000
"""Accounts that no other test has at the emulator of the session."""
SLOW = {"action": "slow", "operation": CREATE, "after": 1, "seconds": 2}
"""Six items of a lane then take 6 s: no lane is done by itself before the signal."""
UNANSWERED_ROLES = {"action": "hang", "operation": ASSUME_ROLE}
SLACK_S = 5.0
"""What a busy machine may take to end a process, beside the time for what is in flight."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_drains_all_lanes_and_records_the_end_of_each(
    command: Preloaded, emulator_process: EmulatorProcess, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    fleet = make_fleet(tmp_path, accounts=5, items=6, first_account=FIRST_ACCOUNT + 10 * code)
    endpoint = Endpoint(emulator_process, by_role=fleet.accounts.values())
    endpoint.faults(SLOW)

    with command.started("upload", fleet.path, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        _wait_for_creates(endpoint, [fleet.lane(label) for label in fleet.labels])
        running.signal(number)
        began = monotonic()
        ended = running.finish()
        drained_s = monotonic() - began

    assert ended.code == code, ended.stderr
    assert drained_s < DRAIN_S
    _assert_ends(ended.events, fleet, dict.fromkeys(fleet.labels, code))
    _assert_next_run_settles(command, endpoint, fleet)


def test_a_signal_ends_lanes_in_every_phase_and_keeps_the_end_of_those_that_are_done(
    command: Preloaded, emulator_process: EmulatorProcess, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=4, items=6, first_account=FIRST_ACCOUNT + 100)
    endpoint = Endpoint(emulator_process, by_role=fleet.accounts.values())
    done, unanswered, slow, unreached = fleet.accounts.values()
    endpoint.faults(
        {"action": "hang", "operation": CREATE, "after": 1, "account": unanswered, "done": True},
        {**SLOW, "account": slow},
        {"action": "hang", "operation": DESCRIBE, "account": unreached},
    )

    with command.started("upload", fleet.path, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        first_ended = {running.until("lane_ended")["account"] for _ in fleet.regions}
        _wait_for_creates(
            endpoint, [f"{account}/{region}" for account in (unanswered, slow) for region in fleet.regions]
        )
        running.signal(signal.SIGTERM)
        began = monotonic()
        ended = running.finish()
        drained_s = monotonic() - began

    assert ended.code == 143, ended.stderr
    assert first_ended == {done}
    assert drained_s < DRAIN_S + SLACK_S
    codes = {label: 0 if fleet.lane(label).startswith(done) else 143 for label in fleet.labels}
    _assert_ends(ended.events, fleet, codes)
    _assert_next_run_settles(command, endpoint, fleet)


def test_a_signal_while_roles_are_assumed_ends_all_lanes_at_once_and_on_record(
    command: Preloaded, emulator_process: EmulatorProcess, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=4, items=2, first_account=FIRST_ACCOUNT + 200)
    endpoint = Endpoint(emulator_process, by_role=fleet.accounts.values())
    endpoint.faults(UNANSWERED_ROLES)

    with command.started("upload", fleet.path, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(ASSUME_ROLE, times=2)
        running.signal(signal.SIGTERM)
        began = monotonic()
        ended = running.finish()
        ended_s = monotonic() - began

    assert ended.code == 143, ended.stderr
    assert ended_s < DRAIN_S
    _assert_ends(ended.events, fleet, dict.fromkeys(fleet.labels, 143))
    assert endpoint.stats().creates == 0
    _assert_next_run_settles(command, endpoint, fleet)


@pytest.mark.parametrize(("number", "fault"), [(0, SLOW), (1, UNANSWERED_ROLES)], ids=["in-flight", "not-reached"])
def test_the_deadline_drains_all_lanes_and_records_the_end_of_each(
    timed: tuple[Preloaded, Clocks],
    emulator_process: EmulatorProcess,
    tmp_path: Path,
    number: int,
    fault: Mapping[str, Any],
) -> None:
    command, clocks = timed
    fleet = make_fleet(tmp_path, accounts=5, items=12, first_account=FIRST_ACCOUNT + 300 + 10 * number)
    endpoint = Endpoint(emulator_process, by_role=fleet.accounts.values())
    endpoint.faults(fault)

    with command.started("upload", fleet.path, *QUICK, "--deadline", "30s", cwd=tmp_path, env=endpoint.env) as running:
        if fault is SLOW:
            _wait_for_creates(endpoint, [fleet.lane(label) for label in fleet.labels])
        else:
            endpoint.wait_for(ASSUME_ROLE, times=2)
        clocks.pass_time(30)
        ended = running.finish()

    assert ended.code == 12, ended.stderr
    assert 30 <= ended.summary["elapsed_s"] < 30 + DRAIN_S
    _assert_ends(ended.events, fleet, dict.fromkeys(fleet.labels, 12))
    _assert_next_run_settles(command, endpoint, fleet)


def _wait_for_creates(endpoint: Endpoint, lanes: Sequence[str]) -> None:
    """Return as soon as a second create has come to each of these lanes: what comes after the first goes together."""
    endpoint.wait_until(
        lambda: all(endpoint.creates_by_lane().get(lane, 0) >= 2 for lane in lanes),
        "not all lanes have begun to create",
    )


def _assert_ends(events: Sequence[Event], fleet: Fleet, codes: Mapping[str, int]) -> None:
    """Assert that each lane has its exit code in its last event, in the summary with all its items, and the ledger."""
    lanes = events[-1]["lanes"]
    assert {lane["target"]: (lane["exit"]["code"], sum(lane["states"].values())) for lane in lanes} == {
        label: (codes[label], count) for label, count in fleet.items.items()
    }
    assert sum(lane["items"] for lane in lanes) == events[-1]["items"]
    last_events = [(event["target"], event["code"]) for event in events if event["event"] == "lane_ended"]
    recorded = read_copy(fleet.ledger, "SELECT target, exit_code FROM run")
    assert sorted(last_events) == sorted(recorded) == sorted(codes.items())


def _assert_next_run_settles(command: Preloaded, endpoint: Endpoint, fleet: Fleet) -> None:
    """Assert that the lock is free, and that a quiet run completes every lane."""
    assert_nothing_is_wrong_yet(endpoint, fleet.ledger)
    endpoint.faults()
    again = command.run("upload", fleet.path, *QUICK, cwd=fleet.folder, env=endpoint.env)
    assert_settled(endpoint, fleet, again)
