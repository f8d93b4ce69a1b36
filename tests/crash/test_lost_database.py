"""The database of several controllers crashes, or a standby that lags takes its place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import pauses
from tests.support.emulator_process import EmulatorProcess
from tests.support.fleet_history import SETTINGS
from tests.support.pauses import Pause
from tests.support.postgres import PostgresServer, running_postgres, running_standby
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import SharedLedger, go_on, is_stopped, shared_ledger
from tests.support.tcp_proxy import TcpProxy, running_proxy

DISAGREEMENT = 25
LOST = 11
AWAY = 10
STALL_S = 1.25
"""Intents that took less than a second, since the database was away for so long, are followed by their requests."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_postgres(**SETTINGS) as found:
        yield found


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[TcpProxy]:
    with running_proxy(server.port) as found:
        yield found


@pytest.fixture
def shared(
    server: PostgresServer, emulator: EmulatorProcess, command: Preloaded, proxy: TcpProxy, tmp_path: Path
) -> SharedLedger:
    made = shared_ledger(server, emulator, command, tmp_path, items=20, rate=10)
    return replace(made, port=proxy.port)


def test_a_database_that_crashes_and_is_started_ends_no_lane(shared: SharedLedger, server: PostgresServer) -> None:
    with shared.uploading() as running:
        shared.wait_for_creates(4)
        server.crash()
        server.start()
        ended = shared.ended(running)

    assert ended.code == 0, ended.stderr
    shared.check_done(late_s=STALL_S)


def test_commits_that_a_promoted_standby_has_lost_are_found_and_nothing_is_uploaded_twice(
    shared: SharedLedger, server: PostgresServer, proxy: TcpProxy
) -> None:
    with running_standby(server) as standby:
        with shared.uploading() as running:
            shared.wait_for_creates(4)
            standby.stop_following()
            shared.wait_for_creates(shared.endpoint.stats().creates + 4)
            fail_over(shared, server, standby, proxy)
            ended = shared.ended(running)
        promoted = replace(shared, server=standby)
        first = promoted.endpoint.stats().creates
        settle(promoted, ended.code)

        assert ended.code == AWAY, ended.stderr
        assert "lost what was committed" in ended.stderr
        lost = tokens_that_are_lost(promoted)
        assert lost
        assert first <= shared.fleet.items["t000/us-east-1"] + len(lost)
        promoted.check_done(lost=lost)


def test_of_two_holders_of_one_fence_number_only_the_later_writes(
    shared: SharedLedger, server: PostgresServer, proxy: TcpProxy
) -> None:
    with running_standby(server) as standby, shared.uploading(pause=Pause(pauses.BEFORE_GROUP, 6)) as first:
        assert is_stopped(first)
        server.wait_for(standby)
        standby.stop_following()
        with shared.uploading("--wait-lock", "20s") as second:
            shared.wait_for_creates(shared.endpoint.stats().creates + 4)
            fail_over(shared, server, standby, proxy)
            promoted = replace(shared, server=standby)
            with promoted.uploading("--wait-lock", "20s") as third:
                codes = [promoted.ended(each).code for each in (second, third)]
        go_on(first)
        codes.append(promoted.ended(first).code)
        settle(promoted, codes[1])

        assert codes[0] in (LOST, AWAY)
        assert codes[2] == LOST
        promoted.check_done(lost=tokens_that_are_lost(promoted))


def fail_over(shared: SharedLedger, server: PostgresServer, standby: PostgresServer, proxy: TcpProxy) -> None:
    """Crash the server, and promote its standby behind the same address."""
    proxy.refuse()
    server.crash()
    standby.promote()
    proxy.target = standby.port
    proxy.admit()


def settle(shared: SharedLedger, code: int) -> None:
    """Do what the last run asks for until the batch is done."""
    for _ in range(3):
        if code == 0:
            return
        if code == DISAGREEMENT:
            shared.run("reconcile")
        code = shared.upload("--wait-lock", "20s").code
    assert code == 0


def tokens_that_are_lost(shared: SharedLedger) -> frozenset[str]:
    """Return the tokens that came to the service more often than the ledger has intents for them."""
    history = shared.history()
    noted = [write.token for write in history.writes if write.source == "attempt"]
    came = [request.token for request in history.creates]
    return frozenset(token for token in came if token is not None and came.count(token) > noted.count(token))
