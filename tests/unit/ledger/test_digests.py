"""Digests where there is no ledger to ask."""

from pathlib import Path

from batch_upload.ledger import find_digests
from tests.unit.ledger.samples import write


def test_where_no_ledger_can_be_used_nothing_is_remembered(path: Path) -> None:
    assert find_digests(path) is None

    write(path, b"id,state\n")

    assert find_digests(path) is None
