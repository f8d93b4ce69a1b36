"""`why` as a program calls it."""

from pathlib import Path

import pytest

from batch_upload.actions import ActionKind
from batch_upload.app.why import why
from batch_upload.errors import UsageError
from batch_upload.model import OutcomeKind, State
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, make_batch, token_of
from tests.support.process_state import process_state


async def test_an_item_that_was_never_sent_has_a_token_and_is_to_be_created(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)
    [(item_id, content)] = batch.documents.items()

    found = await why(batch.path, item_id)

    assert (found.state, found.current, found.is_new) == (State.PENDING, None, True)
    assert found.item is not None
    assert found.item.client_token == token_of(item_id, content)
    assert found.action is not None
    assert found.action.kind is ActionKind.CREATE


async def test_an_item_that_was_uploaded_has_its_attempts(uploaded: Batch, options: RunOptions) -> None:
    before = process_state()

    found = await why(str(uploaded.path), uploaded.ids[0], options)

    assert found.current is not None
    assert [attempt.kind for attempt in found.current.attempts] == [OutcomeKind.ACCEPTED]
    assert (found.state, found.current.retry, found.earlier) == (State.COMPLETE, 0, [])
    assert found.action is not None
    assert found.action.kind is ActionKind.UNCHANGED
    assert process_state() == before


async def test_a_token_that_was_replaced_is_kept_as_an_earlier_one(uploaded: Batch, options: RunOptions) -> None:
    item_id = uploaded.ids[0]
    (uploaded.folder / item_id).write_bytes(b"%PDF-1.7\nanother\n%%EOF\n")

    found = await why(uploaded.path, item_id, options)

    assert found.action is not None
    assert found.action.kind is ActionKind.REPLACE
    assert found.item is not None
    tokens = [each.known.client_token for each in (*found.earlier, *([found.current] if found.current else []))]
    assert tokens == [token_of(item_id, uploaded.documents[item_id])]
    assert found.item.client_token not in tokens


async def test_a_file_that_cannot_be_read_leaves_what_the_ledger_knows(uploaded: Batch, options: RunOptions) -> None:
    (uploaded.folder / uploaded.ids[0]).unlink()

    found = await why(uploaded.path, uploaded.ids[0], options)

    assert (found.state, found.item) == (State.COMPLETE, None)
    assert found.unreadable is not None


async def test_an_id_that_neither_manifest_nor_ledger_have_is_a_usage_error(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)

    with pytest.raises(UsageError) as refused:
        await why(batch.path, "files/00.pdf")

    assert batch.ids[0] in refused.value.hint
