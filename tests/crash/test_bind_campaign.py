"""Kills at random moments of a manifest that binds, over HTTP, with faults of creates and of binds."""

import random
import signal
from pathlib import Path

import pytest

from batch_upload.operations import ASSUME_ROLE, IDENTITY, REGISTRATIONS
from tests.support.campaign import LANE_LATENCY_S, bound_round
from tests.support.emulator_process import EmulatorProcess
from tests.support.kill_ground import FleetSite, Ground, record
from tests.support.kill_points import KILLED
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.shared_ledger import shared_ledger

SEED = 20261128


def two_lanes(ground: Ground, items: int, *, latency_s: float = LANE_LATENCY_S) -> FleetSite:
    """Two accounts in one Region, each with so many items that are bound to half as many registrations."""
    return ground.fleet_site(
        *(2, "--concurrency", "3"),
        items=items,
        in_one_region=["t000", "t001"],
        is_bound=True,
        latency_s=latency_s,
        seed=SEED,
    )


def assert_a_rerun_only_looks(site: FleetSite) -> None:
    """Assert that one more run asks each lane for a page of its registrations, and the service for nothing else."""
    before = site.endpoint.stats().requests
    ended = site.upload().result
    sent = site.endpoint.stats().requests - before

    assert (ended.code, ended.summary["uploaded"], ended.summary["bound"]) == (0, 0, 0), ended.stderr
    assert {name: count for name, count in sent.items() if name not in (ASSUME_ROLE, IDENTITY)} == {REGISTRATIONS: 2}


def test_killed_four_times_each_field_holds_its_document_and_a_rerun_only_looks(ground: Ground) -> None:
    site = two_lanes(ground, 12)

    binding = bound_round(site, random.Random(SEED), 4)

    assert (len(site.fields), len(binding)) == (24, 4)
    assert any(binding)
    assert_a_rerun_only_looks(site)


@pytest.mark.soak
def test_two_hundred_items_in_a_hundred_registrations_survive_twenty_kills(ground: Ground) -> None:
    site = two_lanes(ground, 100)

    binding = bound_round(site, random.Random(SEED), 20)

    assert len({place.registration for place in site.fields}) == 100
    assert (len(site.fields), len(binding)) == (200, 20)
    assert sum(items > 0 for items in binding) >= 10
    assert_a_rerun_only_looks(site)
    record("random moment under mild faults", "200 items of 2 lanes, bound to 100 registrations", points=20, kills=20)


def test_in_postgresql_the_processes_that_follow_each_other_put_each_document_into_its_field(
    witnessed: PostgresServer, emulator: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    shared = shared_ledger(witnessed, emulator, command, tmp_path, accounts=2, items=6, rate=50.0, is_bound=True)
    for _ in range(2):
        before, requests = shared.endpoint.stats().requests.total(), chance.randrange(4, 14)
        with shared.uploading("--wait-lock", "20s") as running:
            shared.endpoint.wait_until(
                lambda: shared.endpoint.stats().requests.total() - before >= requests,  # noqa: B023 - within this turn
                "the requests have not come",
            )
            running.signal(signal.SIGKILL)
            assert shared.ended(running).code == KILLED
        shared.check()

    assert shared.upload("--wait-lock", "20s").code == 0
    shared.check_done()
