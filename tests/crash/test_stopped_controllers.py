"""A controller of a lane is stopped or killed at a point, and another one waits for the lane."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import pauses
from tests.support.emulator_process import EmulatorProcess
from tests.support.pauses import Pause
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import SharedLedger, go_on, shared_ledger, wait_stopped

SAMPLE = (pauses.BEFORE_GROUP, pauses.BEFORE_COMMIT, pauses.SIGNED, pauses.LEAVING)
"""The points that `make test` tries."""
EVERY_POINT = [
    pytest.param(point, id=point, marks=[] if point in SAMPLE else [pytest.mark.soak]) for point in pauses.ALL
]
PLACES = {pauses.BEFORE_GROUP: 8, pauses.BEFORE_COMMIT: 8, pauses.AFTER_COMMIT: 8}
"""Which of them is tried: the first groups are those of a lane that is not held yet. Elsewhere it is the second."""
LOST = 11
UNUSABLE = 24
KILLED = -9
_NEWER = "INSERT INTO migration SELECT max(version) + 1, '99.0', max(applied_at) FROM migration"


@pytest.fixture
def shared(witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path) -> SharedLedger:
    return shared_ledger(witnessed, emulator, command, tmp_path)


@pytest.mark.parametrize("point", EVERY_POINT)
def test_stopped_beyond_its_lease_a_controller_writes_and_sends_nothing_more(shared: SharedLedger, point: str) -> None:
    stop_and_follow(shared, point)


def stop_and_follow(shared: SharedLedger, point: str) -> None:
    """Stop a controller at a point, let another one take the lane over and end it, and let the first one go on."""
    with shared.uploading(pause=Pause(point, PLACES.get(point, 2))) as first:
        wait_stopped(first)
        with shared.uploading("--wait-lock", "20s") as second:
            other = shared.ended(second)
        creates = shared.endpoint.stats().creates
        go_on(first)
        stopped = shared.ended(first)

    assert other.code == 0, other.stderr
    assert stopped.code == LOST, stopped.stderr
    assert shared.endpoint.stats().creates - creates <= (1 if point == pauses.LEAVING else 0)
    shared.check_done()


@pytest.mark.parametrize("point", EVERY_POINT)
def test_killed_at_a_point_a_controller_is_followed_by_the_one_that_waits(shared: SharedLedger, point: str) -> None:
    with shared.uploading(pause=Pause(point, PLACES.get(point, 2), signal.SIGKILL)) as first:
        assert shared.ended(first).code == KILLED
        shared.check()
        other = shared.upload("--wait-lock", "20s")

    assert other.code == 0, other.stderr
    shared.check_done()


@pytest.mark.parametrize("point", [pauses.BEFORE_GROUP, pauses.SIGNED])
def test_behind_pgbouncer_a_stopped_controller_writes_and_sends_nothing_more(
    shared: SharedLedger, witnessed: PostgresServer, point: str
) -> None:
    with running_pgbouncer(witnessed) as pool:
        stop_and_follow(replace(shared, port=pool.port), point)


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
