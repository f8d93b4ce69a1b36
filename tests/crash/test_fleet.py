"""Workers of a fleet are killed, stopped and deceived while lanes run, with the real queue and the real service."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import pauses
from tests.support.command import Running
from tests.support.emulator_process import EmulatorProcess
from tests.support.fleet_invariants import assert_no_secret, longest_pause_s
from tests.support.pauses import Pause
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import LEASE_S, SharedLedger, go_on, is_stopped, shared_ledger
from tests.support.tcp_proxy import running_proxy

SOON = ("--dead-after", "3s")
TAKE_OVER_S = 10.0
"""How long beyond its lease a lane may pause when its worker dies: FLEET's promise."""
BUSY_S = 5.0
"""What a machine that runs other tests may add."""
LATE_S = 2.0
"""By how much a request of one of many lanes may come late there."""
TERMINATED = 143
LOCKED = 11
AWAY = 10
_JOBS = "SELECT coalesce(string_agg(args::text, ' '), '') FROM procrastinate_jobs"
_FAIL_OTHERS = """
UPDATE procrastinate_jobs SET status = 'failed' WHERE id = (
  SELECT id FROM procrastinate_jobs WHERE status = 'doing' ORDER BY id LIMIT 1)
"""


@contextmanager
def worker(shared: SharedLedger, pause: Pause | None = None, away_s: float | None = None) -> Iterator[Running]:
    """A worker with a short lease, which is killed at the end if it still runs. It waits `away_s` for its database."""
    words = ("fleet", "worker", *SOON)  # without `--json`: a pipe that is not read would hold it up
    with shared.command.started(
        *words, cwd=shared.fleet.folder, env=shared.env, pause=pause, lease_s=LEASE_S, away_s=away_s, timeout_s=300
    ) as running:
        yield running


@contextmanager
def coordinator(shared: SharedLedger, *options: str) -> Iterator[Running]:
    words = ("fleet", "upload", str(shared.fleet.path), "--rate", f"{shared.rate:g}", "--fixed-rate", "--yes", "--json")
    with shared.command.started(
        *words, *SOON, *options, cwd=shared.fleet.folder, env=shared.env, lease_s=LEASE_S, timeout_s=300
    ) as running:
        yield running


def check_fleet(shared: SharedLedger, *workers: Running) -> None:
    """Stop the workers, and assert that each item is there once and that no job tells a secret."""
    for each in workers:
        each.signal(signal.SIGTERM)
    for each in workers:
        assert shared.ended(each).code in (TERMINATED, LOCKED)
    [(jobs,)] = shared.server.execute(_JOBS, shared.database)
    assert_no_secret({"jobs": jobs}, [shared.endpoint.env["AWS_SECRET_ACCESS_KEY"]])
    shared.check_done(late_s=LATE_S)


def lanes_when_one_of_two_is_killed(shared: SharedLedger) -> float:
    """Run all lanes on two workers, kill one of them in the middle, and return the longest pause of a lane."""
    total = sum(shared.wanted.values())
    with worker(shared) as first, worker(shared) as second, coordinator(shared) as upload:
        shared.wait_for_creates(total // 3)
        first.signal(signal.SIGKILL)
        ended = shared.ended(upload)

        assert (ended.code, ended.states) == (0, {"complete": total}), ended.stderr
        check_fleet(shared, second)
    history = shared.history()
    return max(longest_pause_s(history, lane) for lane in shared.wanted)


def test_when_one_of_two_workers_is_killed_the_other_ends_its_lanes(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=6, items=12, rate=4)

    pause_s = lanes_when_one_of_two_is_killed(shared)

    assert pause_s <= LEASE_S + TAKE_OVER_S + BUSY_S


@pytest.mark.soak
def test_twenty_lanes_on_two_workers_of_which_one_is_killed(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=20, items=40, rate=2)

    pause_s = lanes_when_one_of_two_is_killed(shared)

    assert pause_s <= LEASE_S + TAKE_OVER_S


def test_a_worker_that_slept_beyond_its_lease_sends_nothing_more_in_the_lanes_that_it_lost(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=2, items=12, rate=4)
    with worker(shared, Pause(pauses.SIGNED, 6)) as first, coordinator(shared) as upload:
        assert is_stopped(first)
        with worker(shared) as second:
            ended = shared.ended(upload)
            go_on(first)

            assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
            check_fleet(shared, first, second)


@pytest.mark.soak
def test_a_worker_whose_database_stays_away_ends_with_10_and_another_one_ends_its_lanes(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=2, items=12, rate=4)
    with running_proxy(witnessed.port) as proxy, coordinator(shared) as upload:
        with worker(replace(shared, port=proxy.port), away_s=1.0) as cut_off:
            shared.wait_for_creates(4)
            proxy.refuse()
            away = shared.ended(cut_off)
        with worker(shared) as other:
            ended = shared.ended(upload)

            assert away.code == AWAY, away.stderr
            assert "has not answered for 1 s" in away.stderr
            assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
            check_fleet(shared, other)


def test_a_job_that_another_worker_calls_failed_ends_no_lane(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=2, items=8, rate=4)
    with worker(shared) as only, coordinator(shared) as upload:
        shared.wait_for_creates(4)
        shared.server.execute(_FAIL_OTHERS, shared.database)
        ended = shared.ended(upload)

        assert ended.code in (0, 10), ended.stderr
        if ended.code:
            with coordinator(shared) as again:
                assert shared.ended(again).code == 0
        check_fleet(shared, only)


def test_two_coordinators_of_one_manifest_in_the_same_second_run_each_lane_once(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=4, items=6, rate=10)
    with worker(shared) as only, coordinator(shared) as first, coordinator(shared) as second:
        codes = sorted(shared.ended(each).code for each in (first, second))

        assert codes[0] == 0
        assert codes[1] in (0, LOCKED)
        check_fleet(shared, only)


def test_a_coordinator_that_is_killed_while_it_defers_is_followed_by_the_same_command(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=6, items=3, rate=10)
    with coordinator(shared) as first:
        shared.endpoint.wait_until(lambda: jobs_of(shared) >= 3, "no job was deferred")
        first.signal(signal.SIGKILL)
        first.finish()
    with worker(shared) as only, coordinator(shared) as again:
        ended = shared.ended(again)
        shared.endpoint.wait_until(lambda: len(shared.endpoint.attachments()) == 18, "the queued lanes are not run")

        assert ended.code in (0, LOCKED), ended.stderr  # lanes that the first one has queued are its own
        check_fleet(shared, only)


def jobs_of(shared: SharedLedger) -> int:
    """Return how many jobs there are; 0 while there is no queue yet."""
    there = shared.server.execute("SELECT to_regclass('procrastinate_jobs') IS NOT NULL", shared.database)
    if there != [(True,)]:
        return 0
    [(count,)] = shared.server.execute("SELECT count(*) FROM procrastinate_jobs", shared.database)
    return int(count)
