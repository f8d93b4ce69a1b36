"""A want of our own resources is told apart from every other error, and waited for."""

import errno
import os
import socket
from pathlib import Path

import pytest

from batch_upload.errors import ExitCode, OutOfResources
from batch_upload.manifest.matches import matches
from batch_upload.service.faults import sdk_fault
from batch_upload.shortage import (
    READ_PAUSE_S,
    READ_TRIES,
    are_descriptors_free,
    shortage_of,
    through_shortages,
)
from tests.support.resource_limits import no_descriptors, restore


def wrapped(error: BaseException) -> BaseException:
    """As libraries hand it over: twice within another."""
    connection, outer = ConnectionError("no endpoint"), ValueError("refused")
    connection.__cause__ = error
    outer.__context__ = connection
    return outer


@pytest.mark.parametrize(
    ("error", "message", "may_have_left"),
    [
        (OSError(errno.EMFILE, "x"), "out of file descriptors", False),
        (OSError(errno.ENFILE, "x"), "out of file descriptors", False),
        (OSError(errno.ENOMEM, "x"), "out of memory", True),
        (MemoryError(), "out of memory", True),
        (RuntimeError("can't start new thread"), "no thread can be started", False),
        (ImportError(f"libx.so: {os.strerror(errno.EMFILE)}"), "out of file descriptors", False),
    ],
)
def test_a_shortage_is_found_however_deep_it_is(error: Exception, message: str, may_have_left: bool) -> None:  # noqa: FBT001
    found = shortage_of(wrapped(error))

    assert found is not None
    assert (found.message, found.may_have_left, found.exit_code) == (message, may_have_left, ExitCode.TRANSIENT)
    assert "ulimit" in found.hint


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "x"),
        OSError(errno.EIO, "x"),
        RuntimeError("x"),
        ImportError("x"),
        TimeoutError(),
        KeyError(),
    ],
)
def test_any_other_error_is_none(error: Exception) -> None:
    assert shortage_of(wrapped(error)) is None


def test_what_is_freed_meanwhile_is_used() -> None:
    with no_descriptors():
        assert not are_descriptors_free(1)
        descriptor = through_shortages(lambda: os.open(os.devnull, os.O_RDONLY), pause=restore)

    os.close(descriptor)
    assert are_descriptors_free(1)


def test_a_shortage_that_stays_is_waited_for_so_long_and_then_raised() -> None:
    pauses: list[float] = []

    with no_descriptors(), pytest.raises(OutOfResources):
        through_shortages(lambda: os.open(os.devnull, os.O_RDONLY), pause=pauses.append)

    assert pauses == [READ_PAUSE_S] * (READ_TRIES - 1)


def test_another_error_is_not_waited_for(tmp_path: Path) -> None:
    pauses: list[float] = []

    with pytest.raises(FileNotFoundError):
        through_shortages(lambda: os.open(tmp_path / "none", os.O_RDONLY), pause=pauses.append)

    assert pauses == []


def test_a_name_that_cannot_be_looked_up_without_descriptors_is_no_sdk_fault_the_network() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with no_descriptors():
        without = sdk_fault(error)

    assert isinstance(without, OutOfResources)
    assert not isinstance(sdk_fault(error), OutOfResources)


def test_a_glob_without_descriptors_matches_what_it_would_with_them_or_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").touch()
    expected = matches(["*.pdf"], tmp_path)

    with no_descriptors(), pytest.raises(OutOfResources):
        matches(["*.pdf"], tmp_path, pause=lambda _: None)
    with no_descriptors():
        found = matches(["*.pdf"], tmp_path, pause=restore)

    assert found == expected
    assert expected.paths == ("a.pdf",)
