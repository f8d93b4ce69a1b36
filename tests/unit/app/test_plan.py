"""`plan` as a program calls it."""

import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from batch_upload.actions import ActionKind
from batch_upload.app.plan import FOUND, PlanResult, plan
from batch_upload.errors import ExitCode, LedgerOfAnotherLane, ManifestInvalid, UsageError
from batch_upload.events import Requested
from batch_upload.settings import LOCAL_ACCOUNT, RunOptions
from tests.support.batches import Batch, make_batch
from tests.support.fleets import make_fleet
from tests.support.process_state import process_state


class Recorder:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def notify(self, event: object) -> None:
        self.events.append(event)


def kinds(result: PlanResult) -> list[ActionKind]:
    return [action.kind for action in result.plan.actions]


async def test_without_a_ledger_everything_is_to_be_created_and_nobody_is_asked(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    result = await plan(batch.path, offline=True)

    assert kinds(result) == [ActionKind.CREATE] * 2
    assert (result.has_work, result.summary.states, result.summary.exit.code) == (True, {"pending": 2}, ExitCode.DONE)
    assert (dict(result.summary.requests), result.summary.account, result.answer.capacity) == ({}, None, None)
    assert "this ledger is new" in result.answer.warning
    assert not batch.ledger.exists()


async def test_the_service_is_asked_for_account_and_capacity_and_every_request_is_an_event(
    uploaded: Batch, options: RunOptions
) -> None:
    heard = Recorder()

    result = await plan(uploaded.path, options, observer=heard)

    assert kinds(result) == [ActionKind.UNCHANGED] * 2
    assert (result.has_work, result.look, result.summary.unchanged) == (False, None, 2)
    assert (result.summary.account, result.summary.adds_up) == (LOCAL_ACCOUNT, True)
    assert result.answer.capacity is not None
    assert result.answer.attachments == 2
    assert sum(isinstance(event, Requested) for event in heard.events) == sum(result.summary.requests.values()) > 0


async def test_a_new_ledger_finds_at_the_service_what_another_has_uploaded(
    uploaded: Batch, options: RunOptions
) -> None:
    elsewhere = replace(options, ledger=uploaded.folder / "new.ledger")

    result = await plan(uploaded.path, elsewhere)

    assert [(each.kind, each.reason) for each in result.plan.actions] == [(ActionKind.UNCHANGED, FOUND)] * 2
    assert result.answer.seen is not None
    assert result.summary.states == {"complete": 2}
    assert not (uploaded.folder / "new.ledger").exists()


async def test_what_is_to_be_created_beside_known_attachments_costs_a_look(
    uploaded: Batch, options: RunOptions
) -> None:
    (uploaded.folder / uploaded.ids[0]).write_bytes(b"%PDF-1.7\nanother\n%%EOF\n")

    result = await plan(uploaded.path, options)

    assert kinds(result)[0] is ActionKind.REPLACE
    assert result.look is not None
    assert (result.look.pages, result.look.tag_reads) == (1, 0)
    assert result.create_rate > 0


async def test_files_that_cannot_be_sent_are_problems_of_a_plan_from_the_ledger(
    uploaded: Batch, options: RunOptions
) -> None:
    (uploaded.folder / uploaded.ids[0]).unlink()

    result = await plan(uploaded.path, options)

    assert [problem.code for problem in result.problems] == ["missing"]
    assert (result.summary.exit.code, result.summary.states) == (ExitCode.INVALID, {"complete": 2})
    assert dict(result.summary.requests) == {}


async def test_files_that_cannot_be_sent_are_an_error_where_the_ledger_knows_nothing(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    (batch.folder / batch.ids[0]).unlink()

    with pytest.raises(ManifestInvalid):
        await plan(batch.path, offline=True)


async def test_only_what_is_chosen_is_planned_and_every_item_is_counted(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)

    result = await plan(batch.path, RunOptions(only_ids=frozenset({batch.ids[1]})), offline=True)

    assert [action.item_id for action in result.plan.actions] == [batch.ids[1]]
    assert result.summary.items == 3


async def test_an_id_that_the_manifest_does_not_have_is_a_usage_error(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)

    with pytest.raises(UsageError, match="nothing-like-it"):
        await plan(batch.path, RunOptions(only_ids=frozenset({"nothing-like-it"})), offline=True)


async def test_a_ledger_of_another_region_is_refused(uploaded: Batch, options: RunOptions) -> None:
    with pytest.raises(LedgerOfAnotherLane, match="us-west-2"):
        await plan(uploaded.path, replace(options, region="us-west-2"))


async def test_a_deadline_that_has_passed_is_a_warning(tmp_path: Path, options: RunOptions) -> None:
    batch = make_batch(tmp_path, 1)

    result = await plan(batch.path, replace(options, deadline_s=0.0))

    assert result.answer.warning.startswith("no answer before the deadline")
    assert result.summary.account is None


async def test_two_plans_at_once_leave_the_process_as_it_was(
    uploaded: Batch, options: RunOptions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(uploaded.folder, folder, dirs_exist_ok=True)
    before, results = process_state(), list[PlanResult]()

    async def make(path: Path) -> None:
        results.append(await plan(path, options))

    async with anyio.create_task_group() as group:
        group.start_soon(make, uploaded.path)
        group.start_soon(make, folder / uploaded.manifest)

    assert [kinds(result) for result in results] == [[ActionKind.UNCHANGED] * 2] * 2
    assert process_state() == before


def test_a_plan_can_be_made_in_a_thread_that_is_not_the_main_one(tmp_path: Path) -> None:
    batch, results = make_batch(tmp_path, 1), list[PlanResult]()

    async def outer() -> None:
        await anyio.to_thread.run_sync(lambda: results.append(anyio.run(lambda: plan(batch.path, offline=True))))

    anyio.run(outer)

    assert kinds(results[0]) == [ActionKind.CREATE]


async def test_the_plan_of_several_lanes_has_that_of_each(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)

    result = await plan(fleet.path, offline=True)
    chosen = await plan(fleet.path, RunOptions(targets=("t001",)), offline=True)

    assert [lane.target.label for lane in result.lanes] == fleet.labels
    assert [len(lane.value.plan.actions) for lane in result.lanes] == [3] * 4
    assert (len(result.plan.actions), result.has_work, result.summary.items) == (12, True, 12)
    assert (result.create_rate, result.summary.adds_up) == (4.0, True)
    assert [lane.label for lane in result.summary.lanes] == fleet.labels
    assert [lane.target.label for lane in chosen.lanes] == fleet.labels[2:]


async def test_a_file_that_cannot_be_sent_in_one_lane_is_a_problem_of_the_whole(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)
    (tmp_path / "t000" / "us-east-1-1.pdf").unlink()

    with pytest.raises(ManifestInvalid) as raised:
        await plan(fleet.path, offline=True)

    assert len(raised.value.problems) == 1
