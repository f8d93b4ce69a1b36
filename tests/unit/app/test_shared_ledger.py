"""A run over several lanes of a PostgreSQL ledger, of which other processes hold some."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from batch_upload.app.items import ready
from batch_upload.app.prune import PruneSession
from batch_upload.app.upload import RunResult, upload
from batch_upload.engine.prune import Pruning
from batch_upload.errors import ExitCode, LedgerLocked
from batch_upload.events import ItemChanged, LaneEnded, LanesChosen, Notice, OfLane
from batch_upload.ledger_address import PostgresUrl
from batch_upload.model import Lane
from batch_upload.settings import RunOptions
from tests.support.batches import pdf
from tests.support.controllers import controller, lane_rows, lapse
from tests.support.fleets import Fleet, make_fleet
from tests.support.postgres import PostgresServer
from tests.unit.ledger.samples import T0


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, accounts=2, items=2)


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name[-50:]
    yield postgres.new_database(name)
    postgres.drop_database(name)


def options(url: str, *, wait_lock_s: float = 0.0, rate: float = 1_000.0) -> RunOptions:
    return RunOptions(local=True, rate=rate, ledger=PostgresUrl(url, url), wait_lock_s=wait_lock_s)


def codes(result: RunResult) -> dict[str, ExitCode]:
    return {label: lane.summary.exit.code for label, lane in result.lanes.items()}


def lane_of(fleet: Fleet, label: str) -> Lane:
    name, region = label.split("/")
    return Lane(fleet.accounts[name], region)


async def test_a_lane_that_another_process_holds_ends_with_11_and_the_others_are_done(fleet: Fleet, url: str) -> None:
    held, *others = fleet.labels
    async with controller(url, "run-of-another-host") as other:
        await (await other.writer(held)).pin(lane_of(fleet, held), endpoint="e", at=T0)

        result = await upload(fleet.path, options(url))

    assert codes(result) == {held: ExitCode.LOCKED, **dict.fromkeys(others, ExitCode.DONE)}
    assert "run run-of-another-host" in result.lanes[held].summary.exit.reason
    assert result.summary.states == {"pending": 2, "complete": 6}
    assert result.summary.adds_up
    assert (await upload(fleet.path, options(url))).summary.exit.code is ExitCode.DONE


async def test_a_lane_that_is_given_back_in_time_is_waited_for(fleet: Fleet, url: str) -> None:
    held = fleet.labels[0]

    class Heard:
        """Gives the lane back once another one has ended."""

        def notify(self, event: object) -> None:
            if isinstance(event, OfLane) and isinstance(event.event, LaneEnded):
                others_ended.set()
            if isinstance(event, OfLane) and isinstance(event.event, Notice):
                notices.append((event.label, event.event.message))

    others_ended, notices = asyncio.Event(), list[tuple[str, str]]()
    async with controller(url, "run-of-another-host") as other:
        writer = await other.writer(held)
        await writer.pin(lane_of(fleet, held), endpoint="e", at=T0)
        running = asyncio.ensure_future(upload(fleet.path, options(url, wait_lock_s=60), observer=Heard()))
        await others_ended.wait()
        await writer.release()

        result = await running

    assert set(codes(result).values()) == {ExitCode.DONE}
    ((label, message),) = notices
    assert label == held
    assert re.fullmatch(r"another run holds lane .*: run run-of-another-host, .*; waiting for it to end", message)


async def test_without_targets_a_held_lane_is_the_end_of_the_run(tmp_path: Path, url: str) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    manifest = tmp_path / "june.yaml"
    manifest.write_text("version: 1\nbatch: june\nattachments: [{file: a.pdf}]\n", encoding="utf-8")
    first = await upload(manifest, options(url))
    account, region = first.summary.account or "", first.summary.region or ""
    async with controller(url, "run-of-another-host") as other:
        await (await other.store.writer()).pin(Lane(account, region), endpoint="e", at=T0)

        with pytest.raises(LedgerLocked) as locked:
            await upload(manifest, options(url))

    assert locked.value.exit_code is ExitCode.LOCKED
    assert locked.value.summary is not None
    assert locked.value.summary.requests.get("CreateRegistrationAttachment", 0) == 0


async def test_a_lane_that_is_taken_over_in_the_middle_ends_with_11_and_the_others_are_done(
    tmp_path: Path, url: str, postgres: PostgresServer
) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=12)
    taken, kept = fleet.labels

    async with controller(url, "run-of-another-host") as other:
        writer = await other.writer(taken)
        takes: list[asyncio.Task[object]] = []

        async def take_over() -> object:
            while True:
                lapse(postgres, url)
                try:
                    return await writer.pin(lane_of(fleet, taken), endpoint="e", at=T0)
                except LedgerLocked:
                    continue

        class Heard:
            """Takes the lane over as soon as its run has begun."""

            def notify(self, event: object) -> None:
                is_begun = isinstance(event, OfLane) and isinstance(event.event, ItemChanged) and event.label == taken
                if is_begun and not takes:
                    takes.append(asyncio.ensure_future(take_over()))

        result = await upload(fleet.path, options(url, rate=5.0), observer=Heard())
        await asyncio.gather(*takes)

    assert codes(result) == {taken: ExitCode.LOCKED, kept: ExitCode.DONE}
    assert "run run-of-another-host" in result.lanes[taken].summary.exit.reason
    assert result.summary.adds_up
    assert lane_rows(postgres, url, "lease_until IS NULL") == [(True,), (True,)]


class AtWait:
    """Calls `change` as soon as a lane waits, and sets `told`."""

    def __init__(self, change: Callable[[], object]) -> None:
        self._change = change
        self.told = asyncio.Event()

    def notify(self, event: object) -> None:
        if isinstance(event, OfLane) and isinstance(event.event, Notice) and "waiting" in event.event.message:
            self._change()
            self.told.set()


async def uploaded_after_wait(fleet: Fleet, url: str, change: Callable[[], object]) -> RunResult:
    """Upload while another process holds the first lane; `change` is called once the run waits for it."""
    held = fleet.labels[0]
    async with controller(url, "run-of-another-host") as other:
        writer, heard = await other.writer(held), AtWait(change)
        await writer.pin(lane_of(fleet, held), endpoint="e", at=T0)
        running = asyncio.ensure_future(upload(fleet.path, options(url, wait_lock_s=60), observer=heard))
        await heard.told.wait()
        await writer.release()
        return await running


def edit(fleet: Fleet, old: str, new: str) -> None:
    text = fleet.path.read_text(encoding="utf-8")
    assert old in text
    fleet.path.write_text(text.replace(old, new, 1), encoding="utf-8")


async def test_after_a_wait_a_lane_has_what_the_manifest_lists_for_it_by_then(fleet: Fleet, url: str) -> None:
    held = fleet.labels[0]

    def change() -> None:
        (fleet.folder / "new.pdf").write_bytes(pdf("new"))
        edit(fleet, "attachments:\n", f"attachments:\n  - {{file: new.pdf, target: {held}}}\n")

    result = await uploaded_after_wait(fleet, url, change)

    assert set(codes(result).values()) == {ExitCode.DONE}
    assert {label: lane.summary.items for label, lane in result.lanes.items()} == {**fleet.items, held: 3}
    assert result.lanes[held].summary.states == {"complete": 3}
    assert result.summary.adds_up


async def test_a_file_that_is_gone_after_the_wait_ends_its_lane_with_21_and_no_other(fleet: Fleet, url: str) -> None:
    held, *others = fleet.labels
    name, _, region = held.partition("/")
    own = next(fleet.folder.glob(f"{name}/{region}-*.pdf"))

    result = await uploaded_after_wait(fleet, url, own.unlink)

    assert codes(result) == {held: ExitCode.INVALID, **dict.fromkeys(others, ExitCode.DONE)}
    assert result.lanes[held].summary.requests.get("CreateRegistrationAttachment", 0) == 0
    assert result.summary.states == {"pending": 2, "complete": 6}


async def test_a_lane_that_is_another_account_after_the_wait_ends_with_10(fleet: Fleet, url: str) -> None:
    held, name = fleet.labels[0], fleet.labels[0].partition("/")[0]

    result = await uploaded_after_wait(fleet, url, lambda: edit(fleet, fleet.accounts[name], "999999999999"))

    assert result.lanes[held].summary.exit.code is ExitCode.TRANSIENT
    assert "is another one now" in result.lanes[held].summary.exit.reason
    assert result.lanes[held].summary.requests.get("CreateRegistrationAttachment", 0) == 0


async def test_a_run_that_did_not_wait_reads_nothing_again(fleet: Fleet, url: str) -> None:
    class Heard:
        """Removes the manifest as soon as the files were read."""

        def notify(self, event: object) -> None:
            if isinstance(event, LanesChosen):
                fleet.path.unlink()

    result = await upload(fleet.path, options(url), observer=Heard())

    assert set(codes(result).values()) == {ExitCode.DONE}


async def test_prune_asks_about_what_the_manifest_lists_after_the_wait(fleet: Fleet, url: str) -> None:
    held = fleet.labels[0]
    await upload(fleet.path, options(url))
    asked: list[dict[str | None, list[str]]] = []

    async def refuse(found: Mapping[str | None, Pruning]) -> bool:
        asked.append({label: [each.known.item_id for each in some.candidates] for label, some in found.items()})
        return False

    removed = next(line for line in fleet.path.read_text(encoding="utf-8").splitlines() if f"target: {held}" in line)
    heard = AtWait(lambda: edit(fleet, f"{removed}\n", ""))
    async with controller(url, "run-of-another-host") as other:
        writer = await other.writer(held)
        await writer.pin(lane_of(fleet, held), endpoint="e", at=T0)
        wanted = options(url, wait_lock_s=60)
        prepared, settings = ready(fleet.path, wanted)
        session = PruneSession(prepared, settings, heard, read=lambda: ready(fleet.path, wanted), decide=refuse)
        running = asyncio.ensure_future(session.run())
        await heard.told.wait()
        await writer.release()
        await running

    assert {label: len(ids) for label, ids in asked[0].items()} == {label: label == held for label in fleet.labels}
