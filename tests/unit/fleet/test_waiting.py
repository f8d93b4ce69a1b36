"""A lane of a fleet that another run holds, such as a plain `upload`, is waited for as long as `--wait-lock` says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_upload.app.observers import Silent
from batch_upload.fleet.lane import LOCKED_AGAIN_S, WAIT_LOCK_UNTIL, run_lane, worker_host
from batch_upload.ledger import newest_schema
from batch_upload.ledger_address import ledger_address
from batch_upload.model import Lane
from batch_upload.settings import RunOptions
from tests.support.controllers import controller
from tests.support.emulator_process import running_emulator
from tests.support.fleets import make_fleet
from tests.support.postgres import PostgresServer
from tests.unit.fleet.test_lane import task_of
from tests.unit.ledger.samples import T0


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    yield postgres.new_database("waiting_for_a_lane")
    postgres.drop_database("waiting_for_a_lane")


async def test_it_is_given_out_again_until_then(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, ledger, now = make_fleet(tmp_path, accounts=1), ledger_address(url), datetime.now(UTC)
    label = fleet.labels[0]
    account, _, region = fleet.lane(label).partition("/")
    task = replace(task_of(fleet, label), ledger=url, schema=newest_schema(ledger))
    waiting = {WAIT_LOCK_UNTIL: (now + timedelta(hours=1)).isoformat()}
    over = {WAIT_LOCK_UNTIL: now.isoformat()}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "999988887777")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
        async with controller(url, "run-1") as other:
            await (await other.writer(label)).pin(Lane(account, region), endpoint="e", at=T0)
            async with worker_host(ledger, RunOptions(), Silent(), lanes=1, wait_lock_s=0.0) as host:
                reports = [
                    await run_lane(host, replace(task, options={**task.options, **options}))
                    for options in (dict[str, str](), waiting, over)
                ]

    assert [(each.code, each.again_in_s) for each in reports] == [(11, None), (11, LOCKED_AGAIN_S), (11, None)]
