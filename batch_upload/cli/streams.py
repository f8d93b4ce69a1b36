"""The standard streams of the process: one that is closed, full or gone loses what is written, and ends nothing."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READER_LEFT = (errno.EPIPE, errno.ECONNRESET)
"""A pipe or socket whose other end was closed, as by `| head -1`."""


class _Descriptor(io.FileIO):
    """A standard descriptor. After the first failed write it accepts everything and writes nothing.

    So no buffer above it keeps what could not be written, and Python's flush at the end of the process succeeds, where
    it would otherwise end with code 120. `raises` makes the first failure also an exception.
    """

    def __init__(self, number: int, *, is_missing: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._is_missing = is_missing
        self._was_terminal = self.isatty()
        self.failure: OSError | None = None
        self.raises = False

    @property
    def has_lost_its_reader(self) -> bool:
        """Whether it failed because its reader left: a closed pipe, or a terminal that was hung up."""
        code = None if self.failure is None else self.failure.errno
        return code in _READER_LEFT or (code == errno.EIO and self._was_terminal)

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.failure is None:
            try:
                return self._written(data)
            except OSError as error:
                self.failure = error
                if self.raises:
                    raise
        return memoryview(data).nbytes

    def _written(self, data: "ReadableBuffer") -> int:
        if self._is_missing:
            raise OSError(errno.EBADF, "it is closed")
        while (count := super().write(data)) is None:  # another process made the shared terminal or pipe non-blocking
            poll = select.poll()
            poll.register(self, select.POLLOUT)
            poll.poll()
        return count


class StandardStream(io.TextIOWrapper):
    """Standard output or standard error as text. Writing to it never raises OSError, except within `raising`."""

    def __init__(self, number: int, replaced: TextIO | None, *, is_missing: bool) -> None:
        self.descriptor = _Descriptor(number, is_missing=is_missing)
        super().__init__(
            io.BufferedWriter(self.descriptor),
            encoding=getattr(replaced, "encoding", None) or "utf-8",
            errors=getattr(replaced, "errors", None) or "backslashreplace",
            line_buffering=getattr(replaced, "line_buffering", False),
            write_through=getattr(replaced, "write_through", False),
        )


def guard_standard_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that cannot end the process. Call it before any file is opened.

    A descriptor from 0 to 2 that is closed becomes the null device: the next file that the process opens, such as the
    ledger, would otherwise take its number, and what any library writes to standard error would go into it.
    """
    missing = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            missing.add(number)
    for number in sorted(missing):
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)  # noqa: FBT003 - for programs that we start, such as a credential helper
    given: tuple[TextIO | None, TextIO | None, TextIO | None] = (sys.stdin, sys.stdout, sys.stderr)
    if given[0] is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = StandardStream(1, given[1], is_missing=1 in missing)
    sys.stderr = StandardStream(2, given[2], is_missing=2 in missing)


def failure_of(stream: TextIO) -> OSError | None:
    """Return why text for this stream was lost; None if none was, or if its reader left, as `| head -1` does."""
    if not isinstance(stream, StandardStream) or stream.descriptor.has_lost_its_reader:
        return None
    return stream.descriptor.failure


@contextmanager
def raising(stream: TextIO) -> Iterator[TextIO]:
    """Let the first failed write to the stream raise OSError, so that a long output can stop.

    Flushes the stream at the end.
    """
    if not isinstance(stream, StandardStream):
        yield stream
        stream.flush()
        return
    stream.descriptor.raises = True
    try:
        yield stream
        stream.flush()
    finally:
        stream.descriptor.raises = False


def is_failure_of(error: OSError, stream: TextIO) -> bool:
    """Whether the error is the one with which the stream failed."""
    return isinstance(stream, StandardStream) and error is stream.descriptor.failure


def reason_of(error: OSError | ValueError) -> str:
    """Return the system's own words for an error, in lower case: `no space left on device`."""
    return (getattr(error, "strerror", None) or str(error)).lower()
