"""A whole run gives back what it took: one after another in one process, as whoever embeds it would."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from batch_upload.app.upload import upload
from batch_upload.errors import ExitCode
from batch_upload.operations import CREATE
from batch_upload.settings import RunOptions
from tests.support.batches import pdf, write_batch
from tests.support.endpoint import Endpoint
from tests.support.process_state import descriptors

JOINED_S = 10
FAULTS = ("throttle", "drop_after", "validation", "access_denied")


def threads_since(before: set[threading.Thread]) -> list[str]:
    """Names of the threads that have come and not gone. Those that were told to end are given the time to."""
    come = set(threading.enumerate()) - before
    for thread in come:
        thread.join(JOINED_S)
    return [thread.name for thread in come if thread.is_alive()]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_runs_leave_no_descriptor_and_no_thread_behind(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_collector: None
) -> None:
    for name, value in endpoint.env.items():
        monkeypatch.setenv(name, value)
    options = RunOptions(rate=1_000)
    first = write_batch(tmp_path / "first", {"a.pdf": pdf("a")})
    assert anyio.run(upload, first.path, options).summary.exit.code is ExitCode.DONE
    before, threads = descriptors(), set(threading.enumerate())

    for fault in FAULTS:
        endpoint.faults({"action": fault, "operation": CREATE, "times": 3})
        documents = {f"{number}.pdf": pdf(f"{fault} {number}") for number in range(8)}
        anyio.run(upload, write_batch(tmp_path / fault, documents).path, options)

        assert threads_since(threads) == [], fault
        assert descriptors() == before, fault
