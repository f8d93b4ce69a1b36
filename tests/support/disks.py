"""What kind of disk files lie on, as tests say it is, and what the kernel holds of them in memory."""

import os
from pathlib import Path

import pytest


def mount_table(folder: Path, kind: str) -> Path:
    """A table, written into a folder, that says that all is on a file system of one kind."""
    table = folder / "mountinfo"
    table.write_text(f"21 1 254:1 / / rw shared:1 - {kind} /dev/vda1 rw\n")
    return table


def demand_reading_without_waiting(folder: Path) -> None:
    """Skip a test where the file system of a folder cannot."""
    probe = folder / "probe"
    probe.write_bytes(b"probe")
    handle = os.open(probe, os.O_RDONLY)
    try:
        os.preadv(handle, [bytearray(1)], 0, os.RWF_NOWAIT)
    except (AttributeError, OSError):
        pytest.skip("nothing is at hand on this file system")
    finally:
        os.close(handle)


def evict(path: Path) -> None:
    """Have the kernel forget a file's bytes, or skip the test: it need not. To ask whether it did fetches them anew."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.preadv(handle, [bytearray(1)], 0, os.RWF_NOWAIT)
        pytest.skip("the kernel keeps what it was told to forget")
    except BlockingIOError:
        os.pread(handle, 1, 0)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
