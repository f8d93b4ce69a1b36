"""Deletions: what is about to be deleted counts as deleted, and stands again as it stood if it is not."""

import pytest

from batch_upload.model import AttachmentStatus, State
from batch_upload.ports import DELETING
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import BATCH, RUN, T0, accepted, after, began, item

TOKEN = "bu1-a-1"


async def uploaded(ledger: OneLane, status: AttachmentStatus) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted("att-1", status))


async def test_what_is_about_to_be_deleted_counts_as_deleted(ledger: OneLane) -> None:
    await uploaded(ledger, AttachmentStatus.COMPLETE)

    known = await ledger.begin_deletion(TOKEN, run_id="run-2", at=after(1))

    assert (known.state, known.attachment_status, known.attachment_id) == (
        State.FAILED,
        AttachmentStatus.DELETED,
        "att-1",
    )
    assert known.fault is not None
    assert (known.fault.code, "run-2" in known.fault.message) == (DELETING, True)
    assert await ledger.begin_deletion(TOKEN, run_id="run-3", at=after(2)) == known


@pytest.mark.parametrize("status", [AttachmentStatus.COMPLETE, AttachmentStatus.IN_PROGRESS])
async def test_what_was_not_deleted_stands_as_it_stood(ledger: OneLane, status: AttachmentStatus) -> None:
    await uploaded(ledger, status)
    before = (await ledger.known(BATCH))[0]

    await ledger.begin_deletion(TOKEN, run_id="run-2", at=after(1))
    restored = await ledger.end_deletion(TOKEN, is_gone=False, at=after(2))

    assert restored == before


async def test_what_is_gone_is_recorded_as_deleted(ledger: OneLane) -> None:
    await uploaded(ledger, AttachmentStatus.COMPLETE)

    await ledger.begin_deletion(TOKEN, run_id="run-2", at=after(1))
    gone = await ledger.end_deletion(TOKEN, is_gone=True, at=after(2))

    assert (gone.state, gone.attachment_status) == (State.FAILED, AttachmentStatus.DELETED)
    assert gone.fault is not None
    assert gone.fault.code == "DELETED"


async def test_the_end_of_a_deletion_that_was_never_begun_changes_nothing(ledger: OneLane) -> None:
    await uploaded(ledger, AttachmentStatus.COMPLETE)
    before = (await ledger.known(BATCH))[0]

    assert await ledger.end_deletion(TOKEN, is_gone=True, at=after(2)) == before


async def test_an_attachment_that_failed_is_recorded_as_deleted_once_it_is_gone(ledger: OneLane) -> None:
    """It counts as nothing that stands, so that nothing need be written before the request leaves."""
    await uploaded(ledger, AttachmentStatus.FAILED)
    before = (await ledger.known(BATCH))[0]

    begun = await ledger.begin_deletion(TOKEN, run_id="run-2", at=after(1))
    kept = await ledger.end_deletion(TOKEN, is_gone=False, at=after(2))
    gone = await ledger.end_deletion(TOKEN, is_gone=True, at=after(3))

    assert begun == kept == before
    assert (gone.state, gone.attachment_status) == (State.FAILED, AttachmentStatus.DELETED)
