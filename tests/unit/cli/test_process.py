"""What the command sets for its whole process."""

import platform
import resource

import pytest

from batch_upload.cli.process import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere memory is kept by other rules")
def test_memory_of_one_document_serves_the_next() -> None:
    keep_freed_memory()
    _four_documents()

    before = _pages_asked_for()
    for _ in range(50):
        _four_documents()

    assert _pages_asked_for() - before < 50 * 4 * 600_000 / resource.getpagesize() / 10


def _four_documents() -> None:
    documents = [b"x" * 600_000 for _ in range(4)]
    documents.clear()


def _pages_asked_for() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
