"""What the use cases that read share over the lanes of a manifest."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from batch_upload.app.items import LanePart, lane_parts, list_items, ready_to_read
from batch_upload.app.lanes import (
    in_each_lane,
    lane_reader,
    listed_parts,
    new_lanes,
    one_at_a_time,
)
from batch_upload.app.observers import observer_of_lane
from batch_upload.errors import AccessFault, BatchUploadError, LedgerOfAnotherLane, LedgerUnusable, UsageError
from batch_upload.events import Notice, OfLane
from batch_upload.ledger import open_ledger
from batch_upload.model import Lane
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.targets import Target
from tests.support.batches import make_batch
from tests.support.fleets import Fleet, make_fleet
from tests.unit.ledger.samples import T0, ManualClock, after

DENIED = AccessFault("no", code="AccessDenied")


@dataclass(frozen=True, slots=True)
class Part:
    """A lane's part that has nothing but its target."""

    target: Target
    settings: Settings


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, accounts=3)


def parts_of(fleet: Fleet, *targets: str) -> tuple[LanePart, ...]:
    return lane_parts(*ready_to_read(fleet.path, RunOptions(targets=targets)))


async def asked(parts: tuple[LanePart, ...], ask: Callable[[LanePart], Awaitable[str]]) -> list[str | BatchUploadError]:
    return await in_each_lane(parts, ask)


async def test_the_fault_of_one_lane_is_returned_in_its_place_and_the_others_are_answered(fleet: Fleet) -> None:
    moved = LedgerOfAnotherLane("another account")

    async def ask(part: LanePart) -> str:
        faults: dict[str, BatchUploadError] = {fleet.labels[1]: DENIED, fleet.labels[4]: moved}
        if part.target.label in faults:
            raise faults[part.target.label]
        return part.target.label or ""

    answers = await asked(parts_of(fleet), ask)

    assert answers == [fleet.labels[0], DENIED, *fleet.labels[2:4], moved, fleet.labels[5]]


@pytest.mark.parametrize("error", [LedgerUnusable("damaged"), UsageError("no such flag")])
async def test_an_error_that_is_not_of_one_lane_ends_all(fleet: Fleet, error: BatchUploadError) -> None:
    async def ask(part: LanePart) -> str:
        raise error

    with pytest.raises(type(error)) as raised:
        await asked(parts_of(fleet), ask)

    assert raised.value is error


async def test_the_only_lane_of_a_manifest_without_targets_raises_its_own_fault(tmp_path: Path) -> None:
    async def ask(part: LanePart) -> str:
        raise DENIED

    with pytest.raises(AccessFault):
        await asked(lane_parts(*ready_to_read(make_batch(tmp_path, 1).path, RunOptions())), ask)


async def test_no_more_lanes_are_asked_at_once_than_allowed(fleet: Fleet) -> None:
    under_way, most = 0, 0

    async def ask(part: LanePart) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        under_way -= 1
        return ""

    await in_each_lane(parts_of(fleet), ask, at_once=4)

    assert most == 4


async def test_people_are_asked_one_question_after_the_other() -> None:
    questions: list[str] = []

    async def ask(question: str) -> str:
        questions.append(question)
        await anyio.lowlevel.checkpoint()
        questions.append(f"{question} answered")
        return "123456"

    in_turn = one_at_a_time(ask)
    assert in_turn is not None

    async def answer(question: str) -> None:
        assert await in_turn(question) == "123456"

    async with anyio.create_task_group() as group:
        for each in "ab":
            group.start_soon(answer, each)

    assert questions in (["a", "a answered", "b", "b answered"], ["b", "b answered", "a", "a answered"])
    assert one_at_a_time(None) is None


def test_what_is_listed_is_parted_as_items_are(fleet: Fleet) -> None:
    only = frozenset({f"{fleet.labels[0]}:t000/all-0.pdf"})
    manifest, listed = list_items(fleet.path, allow_outside=False)
    options = RunOptions(targets=("t000", fleet.labels[4]), only_ids=only)
    settings = settings_of(options, manifest=fleet.path, targets=manifest.targets)

    parts = listed_parts(manifest, listed, settings)

    assert [part.target.label for part in parts] == [*fleet.labels[:2], fleet.labels[4]]
    assert [len(part.listed) for part in parts] == [3, 3, 3]
    assert {each.lane_label for each in parts[0].listed} == {fleet.labels[0]}
    assert "t000/all-0.pdf" in parts[0].settings.only_ids
    assert "t000/all-0.pdf" not in parts[1].settings.only_ids
    assert {part.settings.region for part in parts} == {"us-east-1", "us-west-2"}


def test_the_events_of_a_lane_name_it_and_those_of_the_only_lane_do_not() -> None:
    heard: list[object] = []

    class Listener:
        def notify(self, event: object) -> None:
            heard.append(event)

    event = Notice("so", T0)
    observer_of_lane(Target(name="acme", account="111122223333", region="us-east-1"), Listener()).notify(event)
    observer_of_lane(Target(), Listener()).notify(event)

    assert heard == [OfLane("acme/us-east-1", "111122223333", "us-east-1", event), event]


async def test_lanes_are_new_until_one_of_them_had_a_run(fleet: Fleet) -> None:
    parts, path = parts_of(fleet), fleet.folder / "fleet.ledger"
    before, chosen = new_lanes(parts, path), new_lanes(parts_of(fleet, "t001"), path)

    ledger = await open_ledger(path, run_id="run-1", clock=ManualClock())
    writer = await ledger.writer(fleet.labels[0])
    await writer.pin(Lane(fleet.accounts["t000"], "us-east-1"), endpoint="http://127.0.0.1", at=after(0))
    await ledger.close()

    assert (before, chosen, new_lanes(parts, path), new_lanes(parts_of(fleet, "t001"), path)) == (6, 2, 0, 2)
    with lane_reader(path, parts[0].target) as reader:
        assert reader is not None
        assert reader.lane() == Lane(fleet.accounts["t000"], "us-east-1")
    with lane_reader(path, parts[1].target) as reader:
        assert reader is not None
        assert reader.lane() is None
