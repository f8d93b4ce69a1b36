"""Batches for the use cases, with the embedded service."""

from pathlib import Path

import pytest

from batch_upload.app.upload import upload
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, make_batch

LOCAL = RunOptions(local=True)


@pytest.fixture
def options() -> RunOptions:
    """Options that reach the embedded service, with a ledger of its own."""
    return LOCAL


@pytest.fixture
async def uploaded(tmp_path: Path) -> Batch:
    """A batch of two documents that were uploaded."""
    batch = make_batch(tmp_path, 2)
    await upload(batch.path, LOCAL)
    return batch
