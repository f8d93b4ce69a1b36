"""A controller of a lane is stopped or killed at a point, and another one waits for the lane."""

import fcntl
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import pauses
from tests.support.bound_fields import puts
from tests.support.emulator_process import EmulatorProcess
from tests.support.kill_ground import record
from tests.support.pauses import Pause
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import SharedLedger, go_on, is_stopped, shared_ledger

SAMPLE = (pauses.BEFORE_GROUP, pauses.BEFORE_INTENT, pauses.BEFORE_COMMIT, pauses.SIGNED, pauses.LEAVING)
"""The points that `make check` tries."""
EVERY_POINT = [
    pytest.param(point, id=point, marks=[] if point in SAMPLE else [pytest.mark.soak]) for point in pauses.ALL
]
EVERY_POINT_OF_BINDING = [
    pytest.param(point, id=point, marks=[] if point in (pauses.PUT_SIGNED, pauses.PUT_LEAVING) else [pytest.mark.soak])
    for point in pauses.OF_BINDING
]
PLACES = {pauses.BEFORE_GROUP: 8, pauses.BEFORE_COMMIT: 8, pauses.AFTER_COMMIT: 8}
"""Which of them is tried: the first groups are those of a lane that is not held yet. Elsewhere it is the second."""
PINNED = 4
"""Which commit is that of the lane and its target."""
SMALL_PIPE = 4096
"""Bytes that a pipe holds at least: some ten lines of `--json`."""
LOST = 11
UNUSABLE = 24
DISAGREEMENT = 25
KILLED = -9
_NEWER = "INSERT INTO migration SELECT max(version) + 1, '99.0', max(applied_at) FROM migration"


@pytest.fixture
def shared(witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path) -> SharedLedger:
    return shared_ledger(witnessed, emulator, command, tmp_path)


@pytest.mark.parametrize("point", EVERY_POINT)
def test_stopped_beyond_its_lease_a_controller_writes_and_sends_nothing_more(shared: SharedLedger, point: str) -> None:
    assert stop_and_follow(shared, point, PLACES.get(point, 2)) == LOST


def test_stopped_when_it_has_pinned_a_new_lane_and_not_committed_it_a_controller_holds_up_no_other(
    shared: SharedLedger,
) -> None:
    assert stop_and_follow(shared, pauses.BEFORE_COMMIT, PINNED) in (0, LOST)


@pytest.mark.parametrize("point", EVERY_POINT)
def test_killed_at_a_point_a_controller_is_followed_by_the_one_that_waits(shared: SharedLedger, point: str) -> None:
    assert kill_and_follow(shared, point, PLACES.get(point, 2)) == KILLED


@pytest.mark.soak
@pytest.mark.parametrize(
    ("point", "is_bound"),
    [*((point, False) for point in pauses.ALL), *((point, True) for point in (*pauses.ALL, *pauses.OF_BINDING))],
)
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_stopped_or_killed_at_every_single_place(
    witnessed: PostgresServer,
    emulator: EmulatorProcess,
    command: Preloaded,
    tmp_path: Path,
    point: str,
    how: str,
    *,
    is_bound: bool,
) -> None:
    follow, at = stop_and_follow if how == "stopped" else kill_and_follow, 1

    def shared() -> SharedLedger:
        return shared_ledger(witnessed, emulator, command, tmp_path / str(at), items=2, is_bound=is_bound)

    while follow(shared(), point, at) is not None:
        at += 1

    lane = f"1 lane of 2 items{', bound to fields,' if is_bound else ''} in PostgreSQL"
    record(f"{how} {point}", f"{lane}, another controller follows", points=at - 1, kills=at - 1)


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("point", EVERY_POINT_OF_BINDING)
def test_stopped_or_killed_while_it_binds_a_controller_puts_nothing_into_a_field_that_another_one_has_filled(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path, point: str, how: str
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, is_bound=True)

    ended = (stop_and_follow if how == "stopped" else kill_and_follow)(shared, point, 2)

    assert ended in ((0, LOST) if how == "stopped" else (KILLED,))
    assert len(shared.fleet.fields) <= puts(shared.endpoint) <= len(shared.fleet.fields) + 1


def stop_and_follow(shared: SharedLedger, point: str, at: int) -> int | None:
    """Stop a controller at a point, let another one take the lane over and end it, and let the first one go on.

    Return how the first one ended; None if it ended before it was stopped.
    """
    with shared.uploading(pause=Pause(point, at)) as first:
        if not is_stopped(first):
            return None
        with shared.uploading("--wait-lock", "20s") as second:
            other = shared.ended(second)
        creates = shared.endpoint.stats().creates
        go_on(first)
        stopped = shared.ended(first)

    assert other.code == 0, other.stderr
    assert stopped.code in (0, LOST), stopped.stderr
    assert shared.endpoint.stats().creates - creates <= (1 if point == pauses.LEAVING else 0)
    shared.check_done()
    return stopped.code


def kill_and_follow(shared: SharedLedger, point: str, at: int) -> int | None:
    """Kill a controller at a point, and let another one end the lane. Return how it ended, or None as above."""
    with shared.uploading(pause=Pause(point, at, signal.SIGKILL)) as first:
        killed = shared.ended(first)
    if killed.code != KILLED:
        assert killed.code == 0, killed.stderr
        return None
    shared.check()
    other = shared.upload("--wait-lock", "20s")

    assert other.code == 0, other.stderr
    shared.check_done()
    return killed.code


def test_a_controller_whose_output_is_not_read_loses_its_lanes_and_writes_and_sends_nothing_more(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, items=40)
    with shared.uploading() as first:
        assert first.process.stdout is not None
        fcntl.fcntl(first.process.stdout, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
        shared.wait_for_creates(1)
        with shared.uploading("--wait-lock", "20s") as second:
            other = shared.ended(second)
        creates = shared.endpoint.stats().creates
        stuck = shared.ended(first)

    assert other.code == 0, other.stderr
    assert other.summary["uploaded"] > 0
    assert (stuck.code, shared.endpoint.stats().creates) == (LOST, creates), stuck.stderr
    shared.check_done()


def test_what_leaves_after_a_sleep_longer_than_the_service_remembers_a_token_is_found_by_verify(
    shared: SharedLedger,
) -> None:
    shared.endpoint.change(token_memory_s=1.0)
    with shared.uploading(pause=Pause(pauses.LEAVING, 2)) as first:
        assert is_stopped(first)
        assert shared.upload("--wait-lock", "20s").code == 0
        shared.wait_since_last_create(1.1)
        go_on(first)
        assert shared.ended(first).code == LOST

    verified = shared.run("verify")

    assert verified.code == DISAGREEMENT, verified.stderr


@pytest.mark.parametrize("point", [pauses.BEFORE_GROUP, pauses.SIGNED])
def test_behind_pgbouncer_a_stopped_controller_writes_and_sends_nothing_more(
    shared: SharedLedger, witnessed: PostgresServer, point: str
) -> None:
    with running_pgbouncer(witnessed) as pool:
        assert stop_and_follow(replace(shared, port=pool.port), point, PLACES.get(point, 2)) == LOST


def test_two_that_begin_at_once_share_the_lanes_and_none_is_uploaded_twice(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=6)

    with shared.uploading() as first, shared.uploading() as second:
        codes = [shared.ended(each).code for each in (first, second)]

    assert set(codes) <= {0, LOST}
    shared.check()
    assert shared.upload("--wait-lock", "20s").code == 0
    shared.check_done()


def test_a_controller_of_an_older_schema_is_refused_and_one_that_runs_writes_whole(shared: SharedLedger) -> None:
    with shared.uploading() as running:
        shared.wait_for_creates(1)
        shared.server.execute(_NEWER, shared.database)
        late = shared.upload()
        assert shared.ended(running).code in (0, UNUSABLE)

    assert late.code == UNUSABLE
    assert "newer" in late.stderr
    shared.check()
