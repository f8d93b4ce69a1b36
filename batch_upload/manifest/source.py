"""A manifest's bytes: opened with care, and screened before a parser sees them."""

import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batch_upload.errors import UsageError
from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import Problems, quoted_path
from batch_upload.manifest.rules import batch_of
from batch_upload.model import KIB, Position
from batch_upload.shortage import through_shortages

SIZE_LIMIT_BYTES = 512 * KIB * KIB
"""A manifest of 1,000,000 entries has about 100 MB."""
CHUNK_BYTES = KIB * KIB

_BREAK = re.compile(r"\r\n?|\n")
_LONE_CR = re.compile(rb"\r(?!\n)")
# What YAML 1.1 calls printable, without NEL, LS and PS, which break lines for YAML and for hardly any editor, and
# without the byte order mark, which nobody sees and parsers take for different things.
_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_TAB_IN_INDENTATION = re.compile(r"(?:^|(?<=[\n\r])) *\t")
# What is neither white space, an item of a list nor a comment.
_AT_MARGIN = re.compile(r"[\n\r](?=[^ \t\n\r#-]|-[^ \t\n\r])")
BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The manifest, open for reading. Raises UsageError where it is no regular file or cannot be opened, and
    OutOfResources where that is for want of our own resources."""
    try:
        handle = through_shortages(lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        raise cannot_be_read(path, error) from error
    with _regular(handle, path) as file:
        yield file


def _regular(handle: int, path: Path) -> BinaryIO:
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if not stat.S_ISDIR(mode):
        raise UsageError(
            f"the manifest {quoted_path(str(path))} is not a regular file", hint="name the YAML file itself"
        )
    new = f"batch-upload manifest new {shlex.quote(str(path))} -o {batch_of(path.resolve().name) or 'new'}.yaml"
    raise UsageError(f"the manifest {quoted_path(str(path))} is a folder", hint=f"make a manifest of it first: `{new}`")


def cannot_be_read(path: Path, error: OSError | ValueError) -> UsageError:
    """The error of a manifest that the system does not open or read."""
    reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return UsageError(f"the manifest {quoted_path(str(path))} cannot be read: {reason}")


@dataclass(frozen=True, slots=True)
class Screened:
    """What the bytes tell by themselves.

    `tabs`: where a tab stands in the white space that begins a line. `last_line_at_margin`: the last line, from 1, that
    begins without indentation and with neither an item of a list nor a comment, as each key of a mapping does that is
    not indented; 0 where there is none.
    """

    readable: bool
    tabs: tuple[Position, ...] = ()
    last_line_at_margin: int = 0


def screen(file: BinaryIO, problems: Problems, *, size_limit_bytes: int) -> Screened:
    """Read the whole file once, in pieces: is it small enough, UTF-8, and of characters that YAML allows?

    The first fault ends it. The file is left at its beginning.
    """
    size_bytes, lines_before, last_line_at_margin = 0, 0, 0
    tabs: list[Position] = []
    for raw in _whole_lines(file):
        size_bytes += len(raw)
        if size_bytes > size_limit_bytes:
            problems.add(Position(), Code.TOO_LARGE, f"the manifest has more than {size_limit_bytes} bytes: split it")
            return Screened(readable=False)
        text = _decoded(raw.removeprefix(BOM) if size_bytes == len(raw) else raw, lines_before, problems)
        if text is None:
            return Screened(readable=False)
        if "\t" in text:
            tabs.extend(_at(text, match.end() - 1, lines_before) for match in _TAB_IN_INDENTATION.finditer(text))
        if at_margin := [found.start() for found in _AT_MARGIN.finditer(f"\n{text}")]:
            last_line_at_margin = _at(text, at_margin[-1], lines_before).line
        lines_before += raw.count(b"\n") + (len(_LONE_CR.findall(raw)) if b"\r" in raw else 0)
    file.seek(0)
    return Screened(readable=True, tabs=tuple(tabs), last_line_at_margin=last_line_at_margin)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while lines := file.readlines(CHUNK_BYTES):
        yield b"".join(lines)


def _decoded(raw: bytes, lines_before: int, problems: Problems) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8")
        is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "it is UTF-16" if is_utf16 else f"byte 0x{raw[error.start]:02x}"
        message = f"the manifest is not UTF-8: {found}; save it as UTF-8"
        problems.add(_at(good, len(good), lines_before), Code.NOT_UTF8, message)
        return None
    if bad := _NOT_ALLOWED.search(text):
        message = f"U+{ord(bad.group()):04X} is not allowed in a manifest: remove it"
        problems.add(_at(text, bad.start(), lines_before), Code.CHARACTER, message)
        return None
    return text


def _at(text: str, offset: int, lines_before: int) -> Position:
    line, begins = lines_before + 1, 0
    for found in _BREAK.finditer(text, 0, offset):
        line, begins = line + 1, found.end()
    return Position(line, offset - begins + 1)
