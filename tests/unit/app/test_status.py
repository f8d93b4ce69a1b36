"""`status` as a program calls it."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import anyio

from batch_upload.actions import ActionKind
from batch_upload.app.items import ready
from batch_upload.app.status import Status, status, status_sync
from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.model import State
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, make_batch
from tests.support.fleets import make_fleet
from tests.support.process_state import process_state
from tests.unit.ledger.samples import LANE, T0


async def test_without_a_ledger_everything_is_pending_and_no_file_is_opened(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    (tmp_path / batch.ids[1]).unlink()

    found = await status(batch.path)

    assert (found.items, found.states, found.missing) == (3, {State.PENDING: 3}, [batch.ids[1]])
    assert (found.prepared, found.lane, found.last_run, found.holder) == (None, None, None, None)
    assert not batch.ledger.exists()


async def test_a_run_that_is_making_its_ledger_has_a_rate_to_expect(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)
    with batch.ledger.with_name("june.ledger.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        found = await status(batch.path)

    assert found.holder is not None
    assert found.create_rate == 1.0


async def test_what_was_uploaded_is_complete_and_needs_no_attention(uploaded: Batch, options: RunOptions) -> None:
    found = await status(uploaded.path, options)

    assert (found.items, found.states, found.attention) == (2, {State.COMPLETE: 2}, [])
    assert found.last_run is not None
    assert (found.last_run.verb, found.last_run.exit_code) == ("upload", 0)
    assert found.lane is not None


async def test_a_file_that_has_changed_is_to_be_replaced_and_its_item_is_counted_once(
    uploaded: Batch, options: RunOptions
) -> None:
    (uploaded.folder / uploaded.ids[0]).write_bytes(b"%PDF-1.7\nanother\n%%EOF\n")

    found = await status(uploaded.path, options)

    assert found.plan.counts[ActionKind.REPLACE] == 1
    assert sum(found.states.values()) == found.items == 2


async def test_a_file_that_is_gone_is_named_and_its_item_is_counted(uploaded: Batch, options: RunOptions) -> None:
    (uploaded.folder / uploaded.ids[0]).unlink()

    found = await status(uploaded.path, options)

    assert (found.missing, found.states) == ([uploaded.ids[0]], {State.COMPLETE: 2})


async def test_two_at_once_leave_the_process_as_it_was(uploaded: Batch, options: RunOptions) -> None:
    before, results = process_state(), list[Status]()

    async def look(options: RunOptions) -> None:
        results.append(await status(uploaded.path, options))

    async with anyio.create_task_group() as group:
        group.start_soon(look, options)
        group.start_soon(look, replace(options, ledger=uploaded.folder / "none.ledger"))

    assert sorted([dict(found.states) for found in results], key=str) == [{State.COMPLETE: 2}, {State.PENDING: 2}]
    assert process_state() == before


async def test_the_status_of_several_lanes_has_that_of_each_and_their_sums(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)
    (tmp_path / "t000" / "all-0.pdf").unlink()

    found = await status(fleet.path)

    assert [lane.target.label for lane in found.lanes] == fleet.labels
    assert (found.items, found.states, found.lane) == (12, {State.PENDING: 12}, None)
    assert found.missing == ["t000/all-0.pdf"]
    assert [dict(lane.states) for lane in found.summary.lanes] == [{"pending": 3}] * 4


async def test_a_file_that_a_run_recorded_and_that_is_too_young_now_is_pending_and_not_invalid(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)
    batch.path.write_text("version: 1\nbatch: june\nattachments:\n  - {glob: '**/*.pdf', min_age: 10m}\n")
    document = batch.folder / batch.ids[0]
    os.utime(document, (1_000_000_000, 1_000_000_000))
    prepared, settings = ready(batch.path, RunOptions())
    ledger = await open_ledger(settings.ledger, run_id="run-1", clock=SystemClock())
    writer = await ledger.writer()
    await writer.pin(LANE, endpoint="https://example.com", at=T0)
    await writer.enlist(prepared.items, at=T0)
    await ledger.close()
    os.utime(document)

    for whole in (False, True):
        found = status_sync(batch.path, RunOptions(), whole=whole)

        assert (found.items, found.states, found.gone) == (1, {State.PENDING: 1}, 0)
