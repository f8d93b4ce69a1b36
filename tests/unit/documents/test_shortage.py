"""A document that cannot be opened for want of descriptors is no problem of the document."""

import hashlib
import time
from pathlib import Path

import pytest

from batch_upload.document import Document
from batch_upload.documents.inspect import examine, read_body
from batch_upload.documents.look import Looker, recall_nothing
from batch_upload.errors import OutOfResources
from batch_upload.model import Listed, Position
from tests.support.batches import pdf
from tests.support.resource_limits import no_descriptors, restore

LIMIT_BYTES = 100_000


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf("a"))
    return path


def test_it_is_not_refused_when_it_is_examined_or_read(document: Path) -> None:
    body = document.read_bytes()
    sha256 = hashlib.sha256(body).hexdigest()

    with no_descriptors():
        with pytest.raises(OutOfResources):
            examine(document, max_size_bytes=LIMIT_BYTES, root=document.parent)
        with pytest.raises(OutOfResources):
            read_body(document, sha256=sha256, size_bytes=len(body), max_size_bytes=LIMIT_BYTES, root=document.parent)


def test_who_looks_into_many_files_waits_until_descriptors_are_free(document: Path) -> None:
    listed = Listed(
        batch="june",
        item_id="a",
        source=document.name,
        tags={},
        generation=1,
        identity_tag=True,
        folder=document.parent,
        max_size_bytes=LIMIT_BYTES,
        at=Position(),
    )
    with (
        Looker(document.parent, recall=recall_nothing, now_ns=time.time_ns, pause=restore) as looker,
        no_descriptors(),
    ):
        found = looker.look([listed])

    assert [type(each) for each in found] == [Document]
