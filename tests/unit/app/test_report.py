"""`report` as a program calls it."""

from dataclasses import replace
from pathlib import Path

import pytest

from batch_upload.app.report import InManifest, report, report_sync
from batch_upload.app.upload import upload
from batch_upload.errors import UsageError
from batch_upload.model import Item, State
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, make_batch, token_of, write_batch
from tests.support.process_state import process_state


async def test_an_item_that_the_ledger_does_not_know_is_reported_with_its_token(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    rows = await report(batch.path)

    tokens = [each.item.client_token for each in rows if isinstance(each.item, Item)]
    assert tokens == [token_of(item_id, content) for item_id, content in batch.documents.items()]
    assert [each.known for each in rows] == [None, None]


async def test_what_was_uploaded_is_reported_in_the_order_of_the_manifest(uploaded: Batch, options: RunOptions) -> None:
    before = process_state()

    rows = await report(str(uploaded.path), options)

    assert [each.known.item_id for each in rows if each.known] == uploaded.ids
    assert {each.in_manifest for each in rows} == {InManifest.LISTED}
    assert process_state() == before


async def test_states_and_ids_choose(uploaded: Batch, options: RunOptions) -> None:
    failed = await report(uploaded.path, replace(options, only_states=frozenset({State.FAILED})))
    one = await report(uploaded.path, replace(options, only_ids=frozenset({uploaded.ids[1]})))

    assert failed == []
    assert [each.known.item_id for each in one if each.known] == [uploaded.ids[1]]


async def test_everything_has_also_what_was_replaced_and_what_is_no_longer_listed(
    uploaded: Batch, options: RunOptions
) -> None:
    kept, dropped = uploaded.ids
    write_batch(uploaded.folder, {kept: b"%PDF-1.7\nanother\n%%EOF\n"})
    await upload(uploaded.path, options)

    listed = await report(uploaded.path, options)
    everything = await report(uploaded.path, options, everything=True)

    assert len(listed) == 1
    assert [(each.known.item_id, each.in_manifest) for each in everything if each.known] == [
        (kept, InManifest.LISTED),
        (kept, InManifest.REPLACED),
        (dropped, InManifest.NO_LONGER_LISTED),
    ]
    assert [each.item is None for each in everything] == [False, True, True]


async def test_an_id_of_which_there_is_nothing_to_report_is_a_usage_error(uploaded: Batch, options: RunOptions) -> None:
    kept, dropped = uploaded.ids
    write_batch(uploaded.folder, {kept: uploaded.documents[kept]})

    with pytest.raises(UsageError, match="no longer lists"):
        await report(uploaded.path, replace(options, only_ids=frozenset({dropped})))
    with pytest.raises(UsageError, match="neither a state nor an id"):
        await report(uploaded.path, replace(options, only_ids=frozenset({"other"})))


async def test_going_through_the_rows_counts_every_item_by_state(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    made = report_sync([batch.path], RunOptions(only_ids=frozenset({batch.ids[0]})), everything=False)

    rows = list(made.rows())

    assert (len(rows), made.states) == (1, {State.PENDING: 3})
