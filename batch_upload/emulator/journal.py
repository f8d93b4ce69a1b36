"""The state on disk: one JSON line for each change, appended and never rewritten.

A line is handed to the operating system before the change is answered, so it survives the death of this process (a
power cut may cost the last lines: this is a rehearsal, not a service). A last line that was torn is cut off. The file
is 0600, belongs to one emulator at a time, and holds digests, never documents.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from batch_upload.emulator.attachment import Change
from batch_upload.errors import BatchUploadError, UsageError

HEADER = b'{"emulator_journal": 1}\n'
_CHANGE: TypeAdapter[Change] = TypeAdapter(Annotated[Change, Field(discriminator="change")])


class Journal:
    """Opens or makes the file at `path` and holds it until `close`.

    Raises UsageError where it cannot be opened, is held by another emulator, or is not a journal: then it stays as it
    was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _opened(path)
        self._is_open = True
        try:
            self._size_bytes = _prepared(self._descriptor, path)
        except UsageError:
            self.close()
            raise

    def changes(self) -> Iterator[Change]:
        """What was recorded before, in order. Raises UsageError at a line that makes no sense."""
        with self._path.open("rb") as lines:
            lines.readline()
            for number, line in enumerate(lines, start=2):
                try:
                    yield _CHANGE.validate_json(line)
                except ValidationError as error:
                    raise UsageError(f"the emulator's state `{self._path}` is damaged in line {number}") from error

    def append(self, change: Change) -> None:
        """Record a change. Raises BatchUploadError where it could not be; then nothing of it is in the file."""
        line = _CHANGE.dump_json(change) + b"\n"
        try:
            _write_whole(self._descriptor, line)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size_bytes)
            raise BatchUploadError(f"the emulator's state `{self._path}` cannot be written: {error}") from error
        self._size_bytes += len(line)

    def close(self) -> None:
        """Give the file back. May be called twice."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"the emulator's state `{path}` cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"the emulator's state `{path}` is in use by another emulator") from error
    return descriptor


def _prepared(descriptor: int, path: Path) -> int:
    """The size in bytes, after the header was written or checked and a torn last line was cut off."""
    header = os.pread(descriptor, len(HEADER), 0)
    if header != HEADER:
        if not HEADER.startswith(header):
            raise UsageError(f"`{path}` is not a state of the emulator")
        os.ftruncate(descriptor, 0)
        _write_whole(descriptor, HEADER)
    size_bytes = _end_of_last_line(descriptor)
    os.ftruncate(descriptor, size_bytes)
    return size_bytes


def _end_of_last_line(descriptor: int, *, block_bytes: int = 65_536) -> int:
    end = os.fstat(descriptor).st_size
    while True:
        start = max(0, end - block_bytes)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start


def _write_whole(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
