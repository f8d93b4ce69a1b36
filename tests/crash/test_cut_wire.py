"""The wire between a controller and its database is cut around a COMMIT, held, slow, or dead without a word."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bound_fields import puts
from tests.support.commit_cuts import CommitCuts
from tests.support.emulator_process import EmulatorProcess
from tests.support.kill_ground import record
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import SharedLedger, shared_ledger
from tests.support.tcp_proxy import TcpProxy, running_proxy

SEED = 20261127
CUTS = 30
SOAK_CUTS = 1_000
CUTS_A_RUN = 30
DELAYS_S = (0.001, 0.02)


@pytest.fixture
def proxy(witnessed: PostgresServer) -> Iterator[TcpProxy]:
    with running_proxy(witnessed.port) as found:
        yield found


@pytest.fixture
def shared(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, proxy: TcpProxy, tmp_path: Path
) -> SharedLedger:
    made = shared_ledger(witnessed, emulator, command, tmp_path, items=20, rate=50)
    return replace(made, port=proxy.port)


def cut_run(shared: SharedLedger, proxy: TcpProxy, seed: int, most: int) -> int:
    """Upload while the wire is cut at up to `most` COMMITs, check what came of it, and return how often it was cut."""
    before = proxy.cuts
    cuts = CommitCuts(seed, most=most)
    proxy.cut_before(cuts)
    ended = shared.upload()
    proxy.spare()

    assert ended.code == 0, ended.stderr
    assert cuts.before + cuts.after == proxy.cuts - before
    shared.check_done()
    return proxy.cuts - before


def test_a_commit_whose_wire_is_cut_before_or_after_it_is_decided_right(shared: SharedLedger, proxy: TcpProxy) -> None:
    cuts = cut_run(shared, proxy, SEED, CUTS)

    assert cuts >= CUTS // 2


def test_a_commit_of_a_binding_whose_wire_is_cut_is_decided_right(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, proxy: TcpProxy, tmp_path: Path
) -> None:
    """Each field gets one request: an intent or an outcome that is lost would send another."""
    shared = replace(
        shared_ledger(witnessed, emulator, command, tmp_path, items=10, rate=50, is_bound=True), port=proxy.port
    )

    cuts = cut_run(shared, proxy, SEED, CUTS)

    assert cuts >= CUTS // 2
    assert puts(shared.endpoint) == len(shared.fleet.fields)


@pytest.mark.soak
def test_a_thousand_commits_whose_wire_is_cut_are_decided_right(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, proxy: TcpProxy, tmp_path: Path
) -> None:
    cuts, runs = 0, 0
    while cuts < SOAK_CUTS:
        runs += 1
        made = shared_ledger(witnessed, emulator, command, tmp_path / str(runs), items=20, rate=50)
        cuts += cut_run(replace(made, port=proxy.port), proxy, SEED + runs, CUTS_A_RUN)

    record("wire cut at a COMMIT", f"{runs} lanes of 20 items, seed {SEED}", points=cuts, kills=cuts)


def test_while_the_wire_is_held_beyond_the_lease_nothing_is_sent_and_then_the_run_goes_on(
    shared: SharedLedger, proxy: TcpProxy
) -> None:
    with shared.uploading() as running:
        shared.wait_for_creates(4)
        proxy.hold()
        shared.wait_until_lapsed()
        before = shared.endpoint.stats().creates
        shared.wait_until_lapsed(1.0)
        during = shared.endpoint.stats().creates - before
        proxy.release()
        ended = shared.ended(running)

    assert during == 0
    assert ended.code == 0, ended.stderr
    shared.check_done()


@pytest.mark.parametrize("how", [TcpProxy.lose, TcpProxy.cut_from_server, TcpProxy.cut])
def test_a_wire_that_dies_without_a_word_ends_no_lane(
    shared: SharedLedger, proxy: TcpProxy, how: Callable[[TcpProxy], None]
) -> None:
    with shared.uploading() as running:
        shared.wait_for_creates(4)
        how(proxy)
        ended = shared.ended(running)

    assert ended.code == 0, ended.stderr
    shared.check_done()


@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_over_a_slow_wire_a_run_is_the_same(shared: SharedLedger, proxy: TcpProxy, delay_s: float) -> None:
    proxy.delay_s = delay_s

    ended = shared.upload()

    assert ended.code == 0, ended.stderr
    shared.check_done()
