"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batch_upload.errors import UsageError


@contextmanager
def written_whole(path: Path, *, replace: bool) -> Iterator[TextIO]:
    """A stream in UTF-8 that becomes the file when the block ends without an error; with one, nothing is left.

    Raises UsageError where it cannot be written, or where it exists and is not to be replaced.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}") from error
    try:
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            yield stream
        os.chmod(name, 0o666 & ~_umask())
        _put(name, path, replace=replace)
    finally:
        Path(name).unlink(missing_ok=True)


def exists_already(path: Path) -> UsageError:
    """The error of a file that is not to be replaced."""
    return UsageError(f"`{path}` exists already, nothing was written", hint="`--force` replaces it, `-o` names another")


def _put(name: str, path: Path, *, replace: bool) -> None:
    if replace:
        os.replace(name, path)
        return
    try:
        os.link(name, path)  # as one step: two writers at once must not both believe that they were first
    except FileExistsError as error:
        raise exists_already(path) from error
    except OSError:  # a file system without hard links
        if path.exists():
            raise exists_already(path) from None
        os.replace(name, path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
