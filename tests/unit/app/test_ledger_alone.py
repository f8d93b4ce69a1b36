"""A ledger that takes the place of the manifest: which lanes and batches it lists, and under which names."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from batch_upload.app.ledger_alone import current_rows, ledger_parts
from batch_upload.app.ledger_view import view_ledger
from batch_upload.app.report import InManifest, report
from batch_upload.app.status import status
from batch_upload.app.upload import upload
from batch_upload.app.why import why
from batch_upload.errors import LedgerUnusable, UsageError
from batch_upload.ledger import open_ledger
from batch_upload.model import Known, Lane, State
from batch_upload.ports import Clock
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, pdf
from tests.unit.ledger.samples import LANE, RUN, T0, ManualClock, item

WEST = Lane("123456789012", "us-west-2")
NO_OPTIONS = RunOptions()
Enlisted = Iterable[tuple[str | None, Lane, str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "june.ledger"


async def made(path: Path, enlisted: Enlisted, *, clock: Clock | None = None) -> None:
    """Write a ledger with an item for each label, lane, batch and id."""
    ledger = await open_ledger(path, run_id=RUN, clock=clock or ManualClock())
    for label, lane, batch, item_id in enlisted:
        writer = await ledger.writer(label)
        await writer.pin(lane, endpoint="https://example.com", at=T0)
        await writer.begin_run(f"{RUN}-{label}-{batch}", verb="upload", batch=batch, at=T0)
        await writer.enlist([item(item_id, token=f"bu1-{batch}-{item_id}", batch=batch)], at=T0)
    await ledger.close()


def parts_of(path: Path, options: RunOptions = NO_OPTIONS) -> list[tuple[str | None, Lane | None, str | None]]:
    with ledger_parts(path, options) as parts:
        return [(part.target.label, part.lane, part.batch) for part in parts]


async def test_the_only_lane_without_a_target_has_no_label(path: Path) -> None:
    await made(path, [(None, LANE, "june", "a"), (None, LANE, "july", "a")])

    assert parts_of(path) == [(None, LANE, "july"), (None, LANE, "june")]


async def test_lanes_are_named_by_their_targets_in_order(path: Path) -> None:
    await made(path, [("beta/us-west-2", WEST, "june", "a"), ("acme/us-east-1", LANE, "june", "a")])

    assert parts_of(path) == [("acme/us-east-1", LANE, "june"), ("beta/us-west-2", WEST, "june")]
    assert parts_of(path, RunOptions(targets=("beta",))) == [("beta/us-west-2", WEST, "june")]


async def test_a_lane_without_a_target_among_several_is_named_by_account_and_region(path: Path) -> None:
    await made(path, [(None, LANE, "june", "a"), ("acme/us-west-2", WEST, "june", "a")])

    assert parts_of(path) == [(f"{LANE}", LANE, "june"), ("acme/us-west-2", WEST, "june")]
    assert parts_of(path, RunOptions(targets=(LANE.account,))) == [(f"{LANE}", LANE, "june")]
    assert [len(found.rows) for found in view_ledger(path, RunOptions())] == [1, 1]


async def test_a_target_that_was_renamed_is_one_lane_under_its_latest_name(path: Path) -> None:
    await made(path, [("old/us-east-1", LANE, "june", "a")])
    later = ManualClock()
    later.elapsed_s = 60
    ledger = await open_ledger(path, run_id="run-2", clock=later)
    writer = await ledger.writer("new/us-east-1")
    await writer.pin(LANE, endpoint="https://example.com", at=later.now())
    await ledger.close()

    assert parts_of(path) == [("new/us-east-1", LANE, "june")]
    assert (await status(path)).items == 1


async def test_a_ledger_whose_runs_reached_no_lane_has_their_batch_and_no_items(path: Path) -> None:
    ledger = await open_ledger(path, run_id=RUN, clock=ManualClock())
    writer = await ledger.writer()
    await writer.record_end(
        RUN, verb="upload", batch="june", began_at=T0, exit_code=22, summary={"exit": {"reason": "denied"}}, at=T0
    )
    await ledger.close()

    found = await status(path)

    assert parts_of(path) == [(None, None, "june")]
    assert (found.items, found.batch, found.lane, found.summary.adds_up) == (0, "june", None, True)
    assert found.last_run is not None
    assert found.last_run.exit_code == 22


async def test_a_ledger_without_runs_has_one_part_without_a_batch(path: Path) -> None:
    ledger = await open_ledger(path, run_id=RUN, clock=ManualClock())
    await ledger.close()

    found = await status(path)

    assert parts_of(path) == [(None, None, None)]
    assert (found.items, found.batch, found.last_run) == (0, None, None)


def test_an_empty_file_is_no_ledger_yet(path: Path) -> None:
    path.touch()

    with pytest.raises(LedgerUnusable, match="is empty: no run has recorded anything in it"):
        parts_of(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RunOptions(local=True), "`--local` needs the manifest"),
        (RunOptions(rehash=True), "`--rehash` needs the manifest"),
        (RunOptions(ledger=Path("other.ledger")), "are both given"),
        (RunOptions(targets=("acme",)), "needs a ledger with `targets`"),
    ],
)
async def test_options_that_need_the_manifest_are_refused(path: Path, options: RunOptions, words: str) -> None:
    await made(path, [(None, LANE, "june", "a")])

    with pytest.raises(UsageError, match=words):
        await status(path, options)
    assert parts_of(path, RunOptions(ledger=path)) == [(None, LANE, "june")]


def test_rows_keep_the_place_of_their_id_when_it_gets_another_token() -> None:
    rows = [
        Known("a", "1", State.COMPLETE, "url:a", {}, 1, current=False),
        Known("b", "2", State.COMPLETE, "url:b", {}, 1),
        Known("a", "3", State.PENDING, "url:a", {}, 2),
    ]

    assert [row.client_token for row in current_rows(rows)] == ["3", "2"]


async def test_status_adds_up_batches_and_lanes(path: Path) -> None:
    await made(
        path,
        [
            ("acme/us-east-1", LANE, "june", "a"),
            ("acme/us-east-1", LANE, "july", "a"),
            ("acme/us-west-2", WEST, "june", "a"),
        ],
    )

    found = await status(path)

    assert (found.items, found.batch, found.is_ledger_alone) == (3, None, True)
    assert found.batches == {"june": {State.PENDING: 2}, "july": {State.PENDING: 1}}
    assert [(lane.target.label, lane.value.items, lane.value.batch) for lane in found.lanes] == [
        ("acme/us-east-1", 2, None),
        ("acme/us-west-2", 1, "june"),
    ]
    assert [(lane.label, lane.items) for lane in found.summary.lanes] == [("acme/us-east-1", 2), ("acme/us-west-2", 1)]
    assert found.create_rate == 2.0
    assert len(found.rows) == 3


async def test_why_of_an_id_in_several_batches_is_refused_by_the_library(path: Path) -> None:
    await made(path, [(None, LANE, "june", "a"), (None, LANE, "july", "a")])

    with pytest.raises(UsageError, match="`a` is an id in several batches"):
        await why(path, "a")


async def test_why_knows_nothing_of_what_upload_would_do(uploaded: Batch, options: RunOptions) -> None:
    (uploaded.folder / uploaded.ids[0]).write_bytes(pdf("another"))
    await upload(uploaded.path, options)

    found = await why(uploaded.folder / "june.local.ledger", uploaded.ids[0])

    assert (found.state, found.action, found.item, found.is_ledger_alone) == (State.COMPLETE, None, None, True)
    assert len(found.earlier) == 1


async def test_report_has_what_was_replaced_only_with_everything(uploaded: Batch, options: RunOptions) -> None:
    (uploaded.folder / uploaded.ids[0]).write_bytes(pdf("another"))
    await upload(uploaded.path, options)
    ledger = uploaded.folder / "june.local.ledger"

    current = await report(ledger)
    everything = await report(ledger, everything=True)

    assert [(row.known.item_id, row.in_manifest) for row in current if row.known] == [
        (each, None) for each in uploaded.ids
    ]
    assert [row.in_manifest for row in everything] == [None, None, InManifest.REPLACED]
    with pytest.raises(UsageError, match="nor an id of the ledger"):
        await report(ledger, replace(RunOptions(), only_ids=frozenset({"nothing"})))
