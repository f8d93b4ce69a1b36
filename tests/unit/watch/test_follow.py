"""A page that keeps up with a ledger, however it comes and goes."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_upload.errors import LedgerUnusable, ManifestInvalid
from batch_upload.ledger import open_ledger
from batch_upload.model import AttachmentStatus, Lane, State
from batch_upload.report.page.board import STATES
from batch_upload.settings import RunOptions
from batch_upload.watch.follow import UNUSABLE_LOOKS_MAX, Follower
from tests.support.fleets import BATCH as BATCH_OF_FLEET
from tests.support.fleets import make_fleet
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import BATCH, RUN, T0, TOO_LARGE, ManualClock, accepted, after, attachment, began, item

Open = Callable[[str], Awaitable[OneLane]]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "june.yaml"
    path.write_text(
        f"version: 1\nbatch: {BATCH}\nattachments:\n  - {{id: a, url: s3://b/a}}\n  - {{id: b, url: s3://b/b}}\n"
    )
    return path


@pytest.fixture
async def opened(manifest: Path) -> Any:  # noqa: ANN401 - an async generator of a function
    ledgers: list[OneLane] = []

    async def open_one(run_id: str) -> OneLane:
        ledgers.append(await open_one_lane(manifest.with_suffix(".ledger"), run_id=run_id, clock=ManualClock()))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        await ledger.close()


@pytest.fixture
def follower(manifest: Path) -> Iterator[Follower]:
    made = Follower(manifest, RunOptions())
    yield made
    made.close()


def read(path: Path) -> str:
    return path.read_text()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def states(follower: Follower) -> dict[str, str]:
    """What the page shows: id → state."""
    return {row[1]: STATES[row[3]].value for row in follower.page.board.since(0)["items"]}


async def test_it_waits_for_a_ledger_and_shows_each_run(follower: Follower, opened: Open) -> None:
    assert states(follower) == {"a": "pending", "b": "pending"}
    assert follower.look() is False

    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=after(1))
    assert follower.look() is True
    assert states(follower) == {"a": "sending", "b": "pending"}
    head = follower.page.board.head
    assert (head["account"], head["runs"][0]["id"], head["runs"][0]["open"]) == ("123456789012", RUN, 1)

    before = follower.page.board.revision
    await ledger.conclude(attempt, accepted("att-a", at=after(2)))
    await ledger.observe([attachment("att-a", AttachmentStatus.COMPLETE)], at=after(3))
    assert follower.look() is True
    changes = follower.page.board.since(before)
    assert changes["whole"] is False
    assert [row[1] for row in changes["items"]] == ["a"]
    assert [row[:2] for row in changes["attempts"]] == [[0, 1]]
    assert states(follower) == {"a": "complete", "b": "pending"}
    assert follower.look() is False

    await ledger.end_run(RUN, exit_code=20, summary={"exit": {"reason": "told"}}, at=after(4))
    await ledger.begin_run("run-2", verb="upload", batch=BATCH, at=after(100))
    await ledger.fail("bu1-b-1", TOO_LARGE, at=after(101))
    assert follower.look() is True
    assert follower.page.board.since(before)["whole"] is True
    head = follower.page.board.head
    assert [(run["id"], run["exit"], run["reason"]) for run in head["runs"]] == [
        ("run-2", None, None),
        (RUN, 20, "told"),
    ]
    assert head["causes"][0]["name"] == "MAXIMUM_SIZE_EXCEEDED"


async def test_an_attachment_that_fails_while_it_is_watched_shows_which_retry_comes_next(
    follower: Follower, opened: Open
) -> None:
    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=after(1))
    await ledger.conclude(attempt, accepted("att-a", at=after(2)))
    follower.look()

    await ledger.observe([attachment("att-a", AttachmentStatus.FAILED)], at=after(3))
    before = follower.page.board.revision
    assert follower.look() is True

    assert follower.page.board.since(before)["whole"] is False
    (cause,) = follower.page.board.head["causes"]
    assert (cause["name"], cause["retries"]) == ("UPLOAD_FAILED", "0")
    assert "(1 of 2)" in cause["advice"]


async def test_only_keeps_choosing_as_items_change(manifest: Path, opened: Open) -> None:
    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    follower = Follower(manifest, RunOptions(only_states=frozenset({State.FAILED})))
    before = states(follower)
    await ledger.fail("bu1-b-1", TOO_LARGE, at=after(1))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=after(1))
    await ledger.conclude(attempt, accepted("att-a", at=after(2)))
    follower.look()
    failed, head = states(follower), follower.page.board.head
    attempt = await ledger.intend("bu1-b-1", run_id=RUN, at=after(3))
    follower.look()
    after_all = states(follower)
    follower.close()

    assert (before, failed, after_all) == ({}, {"b": "failed"}, {"b": "sending"})
    assert (head["chosen"], head["listed"], head["total"]) == (1, 1, 2)


async def test_a_new_run_brings_a_new_manifest_and_a_broken_one_is_passed_over(
    follower: Follower, manifest: Path, opened: Open
) -> None:
    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    follower.look()
    text = read(manifest)

    write(manifest, "version: [")
    await ledger.begin_run("run-2", verb="upload", batch=BATCH, at=after(10))
    await ledger.fail("bu1-b-1", TOO_LARGE, at=after(11))
    assert follower.look() is True
    assert states(follower) == {"a": "pending", "b": "failed"}

    write(manifest, f"{text}  - {{id: c, url: s3://b/c}}\n")
    await ledger.begin_run("run-3", verb="upload", batch=BATCH, at=after(20))
    assert follower.look() is True
    assert states(follower) == {"a": "pending", "b": "failed", "c": "pending"}


async def test_a_token_that_takes_anothers_place_begins_without_its_attempts(follower: Follower, opened: Open) -> None:
    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=after(1))
    await ledger.conclude(attempt, accepted("att-a", at=after(2)))
    follower.look()
    assert len(follower.page.board.since(0)["attempts"]) == 1

    await ledger.enlist([item("a", token="bu1-a-2")], at=after(3))

    assert follower.look() is True
    assert states(follower) == {"a": "pending", "b": "pending"}
    assert follower.page.board.since(0)["attempts"] == []


async def test_a_ledger_that_is_moved_away_is_waited_for_again(
    follower: Follower, manifest: Path, opened: Open
) -> None:
    path = manifest.with_suffix(".ledger")
    ledger = await opened(RUN)
    await began(ledger, item("a"), item("b"))
    await ledger.fail("bu1-b-1", TOO_LARGE, at=T0)
    await ledger.close()
    follower.look()
    assert states(follower)["b"] == "failed"

    path.rename(path.with_suffix(".away"))
    assert follower.look() is True
    assert states(follower) == {"a": "pending", "b": "pending"}
    path.with_suffix(".away").rename(path)
    assert follower.look() is True
    assert states(follower)["b"] == "failed"


def test_a_ledger_that_stays_unusable_ends_it_and_one_that_is_so_for_a_moment_does_not(
    follower: Follower, manifest: Path
) -> None:
    path = manifest.with_suffix(".ledger")
    path.write_bytes(b"this is no ledger at all, " * 100)
    for _ in range(UNUSABLE_LOOKS_MAX - 1):
        assert follower.look() is False
    path.unlink()
    assert follower.look() is False

    path.write_bytes(b"this is no ledger at all, " * 100)
    for _ in range(UNUSABLE_LOOKS_MAX - 1):
        follower.look()
    with pytest.raises(LedgerUnusable):
        follower.look()


def test_a_manifest_that_is_broken_at_the_start_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "june.yaml"
    path.write_text("version: [")

    with pytest.raises(ManifestInvalid):
        Follower(path, RunOptions())


async def test_it_follows_every_lane_of_a_manifest_with_targets(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=1)
    made = Follower(fleet.path, RunOptions())
    ledger = await open_ledger(fleet.folder / "fleet.ledger", run_id=RUN, clock=ManualClock())
    try:
        assert (made.look(), dict(made.page.states)) == (True, {"pending": 4})
        for label in fleet.labels[:2]:
            account, _, region = fleet.lane(label).partition("/")
            writer = await ledger.writer(label)
            await writer.pin(Lane(account, region), endpoint="http://127.0.0.1", at=T0)
            await writer.begin_run(RUN, verb="upload", batch=BATCH_OF_FLEET, at=T0)
            await writer.enlist([item("t000/all-0.pdf", batch=BATCH_OF_FLEET)], at=T0)
        assert made.look() is True
        await writer.intend("bu1-t000/all-0.pdf-1", run_id=RUN, at=after(1))
        assert made.look() is True

        shown = made.page.board.since(0)
        assert dict(made.page.states) == {"pending": 3, "sending": 1}
        assert [STATES[row[3]].value for row in shown["items"]] == ["pending", "sending", "pending", "pending"]
        assert [lane["label"] for lane in shown["head"]["lanes"]] == fleet.labels
        assert [run["id"] for run in shown["head"]["runs"]] == [RUN]
    finally:
        await ledger.close()
        made.close()
