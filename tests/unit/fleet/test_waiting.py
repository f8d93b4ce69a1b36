"""A lane of a fleet that another run holds, such as a plain `upload`, is waited for as long as `--wait-lock` says."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_upload.app.observers import Silent
from batch_upload.errors import ExitCode
from batch_upload.events import Notice, OfLane
from batch_upload.fleet.lane import LOCKED_AGAIN_S, WAIT_LOCK_UNTIL, run_lane, worker_host
from batch_upload.ledger import newest_schema
from batch_upload.ledger_address import ledger_address
from batch_upload.model import Lane
from batch_upload.settings import RunOptions
from tests.support.batches import pdf
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


class AtWait:
    """Calls `change` as soon as a lane waits, and sets `told`."""

    def __init__(self, change: Callable[[], object]) -> None:
        self._change = change
        self.told = asyncio.Event()

    def notify(self, event: object) -> None:
        if isinstance(event, OfLane) and isinstance(event.event, Notice):
            self._change()
            self.told.set()


@pytest.mark.parametrize(
    ("is_manifest_changed", "code", "states"),
    [(True, ExitCode.INVALID, {"pending": 3}), (False, ExitCode.DONE, {"complete": 3})],
    ids=["another manifest", "another file"],
)
async def test_a_lane_is_read_again_after_a_wait_and_the_manifest_must_be_the_one_of_the_run(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_manifest_changed: bool,  # noqa: FBT001
    code: ExitCode,
    states: dict[str, int],
) -> None:
    fleet, ledger = make_fleet(tmp_path, accounts=1), ledger_address(url)
    label = fleet.labels[0]
    account, _, region = fleet.lane(label).partition("/")
    task = replace(task_of(fleet, label), ledger=url, schema=newest_schema(ledger))
    changed = pdf("changed meanwhile")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "999988887777")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")

    def change() -> None:
        if is_manifest_changed:
            fleet.path.write_text(fleet.path.read_text(encoding="utf-8") + "# new\n", encoding="utf-8")
        else:
            (fleet.folder / "t000" / f"{region}-1.pdf").write_bytes(changed)

    heard = AtWait(change)
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
        async with controller(url, "run-1") as other:
            writer = await other.writer(label)
            await writer.pin(Lane(account, region), endpoint="e", at=T0)
            async with worker_host(ledger, RunOptions(), heard, lanes=1, wait_lock_s=60.0) as host:
                running = asyncio.ensure_future(run_lane(host, task))
                await heard.told.wait()
                await writer.release()
                report = await running
        held = {each["sha256"] for each in emulator.attachments()}

    assert (report.code, report.again_in_s) == (code, None)
    assert report.summary is not None
    assert {name: count for name, count in report.summary["states"].items() if count} == states
    assert (hashlib.sha256(changed).hexdigest() in held) is not is_manifest_changed
