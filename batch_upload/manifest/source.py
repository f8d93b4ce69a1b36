"""The bytes of a manifest: open the file safely, and check encoding and characters before they are parsed."""

import io
import os
import re
import shlex
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from batch_upload.document import DATABASE_HEADER
from batch_upload.errors import UsageError
from batch_upload.escape import quoted_path
from batch_upload.manifest.problems import Code, Problems
from batch_upload.manifest.rules import batch_of
from batch_upload.model import KIB, Position
from batch_upload.settings import STANDARD_INPUT
from batch_upload.shortage import through_shortages

SIZE_LIMIT_BYTES = 512 * KIB * KIB
"""A manifest of 1,000,000 entries has about 100 MB."""
STANDARD_INPUT_NAMES = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
WRITER_S, WRITER_POLL_S = 5.0, 0.02
"""How long a named pipe waits for a program that writes into it, and how often it looks for one. A pipe that nothing
writes into would otherwise hold a run up for ever, as under cron."""
SCREENED_AT_ONCE_BYTES = KIB * KIB

_LINE_BREAK = re.compile(r"\r\n?|\n")
_LONE_CR = re.compile(rb"\r(?!\n)")
# What YAML 1.1 calls printable, without NEL, LS and PS, which are line breaks for YAML and for hardly any editor, and
# without the byte order mark, which is invisible and which parsers read in different ways.
_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_TAB_IN_INDENTATION = re.compile(r"(?:^|(?<=[\n\r])) *\t")
# Neither white space, an item of a list, nor a comment.
_AT_MARGIN = re.compile(r"[\n\r](?=[^ \t\n\r#-]|-[^ \t\n\r])")
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".numbers")
BOM = b"\xef\xbb\xbf"
THE_MANIFEST = "the manifest"
"""The name of a manifest in messages about its file."""
THE_TABLE = "the table"
"""The same of a table."""


class PipedManifest:
    """The manifest of this process that comes through a pipe: standard input, or a named pipe in its place.

    A pipe can be read only once, and a manifest is opened more than once. So it is read at the first use, and kept.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        """The pipe; None before `take`."""
        self._content: bytes | None = None

    def take(self, path: Path) -> None:
        """Set the pipe to read, `-` for standard input. Raises UsageError if one was set before."""
        if self._path is not None:
            raise UsageError("only one manifest can come through a pipe", hint="write the others to files")
        self._path = path

    def open(self) -> BinaryIO:
        """Return what came through the pipe; of more than SIZE_LIMIT_BYTES the beginning. Blocks until it is closed.

        Raises UsageError if it cannot be read, and for a named pipe that no program has opened to write after WRITER_S.
        """
        if self._content is None:
            path = self._path or STANDARD_INPUT
            try:
                if path == STANDARD_INPUT:
                    with open(0, "rb", closefd=False) as pipe:
                        self._content = pipe.read(SIZE_LIMIT_BYTES + 1)
                else:
                    self._content = _read_named_pipe(path)
            except OSError as error:
                raise cannot_be_read(STANDARD_INPUT, error) from error
        return io.BytesIO(self._content)


def _read_named_pipe(path: Path) -> bytes:
    """Return what is written into a pipe. Raises UsageError if no program has opened it to write after WRITER_S."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb", buffering=0) as pipe:
        for _ in range(int(WRITER_S / WRITER_POLL_S)):
            first = pipe.read(1)  # None if a program has it open to write, and has not written yet
            if first != b"":
                break
            time.sleep(WRITER_POLL_S)
        else:
            raise UsageError(
                f"{THE_MANIFEST} {quoted_path(str(path))} is a pipe that no program has opened to write",
                hint="name the YAML file itself, or start the program that writes into the pipe first",
            )
        os.set_blocking(handle, True)
        return (first or b"") + BufferedReader(pipe).read(SIZE_LIMIT_BYTES)


piped_manifest = PipedManifest()


def named_manifest(path: Path) -> Path:
    """Return STANDARD_INPUT for a manifest that comes through a pipe, `-` or `/dev/stdin` or the pipe's name.

    Any other path is returned as it is. Raises UsageError for a second pipe.
    """
    is_pipe = path == STANDARD_INPUT or str(path) in STANDARD_INPUT_NAMES
    with suppress(OSError, ValueError):
        is_pipe = is_pipe or stat.S_ISFIFO(path.stat().st_mode)
    if not is_pipe:
        return path
    piped_manifest.take(STANDARD_INPUT if str(path) in STANDARD_INPUT_NAMES else path)
    return STANDARD_INPUT


@contextmanager
def open_manifest(path: Path, *, what: str = THE_MANIFEST) -> Iterator[BinaryIO]:
    """Open a manifest for reading, or another file that is named `what` in messages.

    Raises UsageError if it is no regular file or cannot be opened, and OutOfResources if this process lacks file
    descriptors or memory.
    """
    if path == STANDARD_INPUT:
        with piped_manifest.open() as file:
            yield file
        return
    try:
        handle = through_shortages(lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        raise cannot_be_read(path, error, what=what) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        named = f"{what} {quoted_path(str(path))} is"
        itself = "name the table itself" if what == THE_TABLE else "name the YAML file itself"
        if not stat.S_ISDIR(mode):
            raise UsageError(f"{named} not a regular file", hint=itself)
        if what != THE_MANIFEST:
            raise UsageError(f"{named} a folder", hint=itself)
        new = f"batch-upload manifest new {shlex.quote(str(path))} -o {batch_of(path.resolve().name) or 'new'}.yaml"
        raise UsageError(f"{named} a folder", hint=f"make a manifest of it first: `{new}`")
    with os.fdopen(handle, "rb") as file:
        yield file


def copy_input(stdin: BinaryIO, copy: BinaryIO) -> None:
    """Copy a stream: SIZE_LIMIT_BYTES and one more at most, which then are too many."""
    left = SIZE_LIMIT_BYTES + 1
    while left > 0 and (piece := stdin.read(min(left, KIB * KIB))):
        copy.write(piece)
        left -= len(piece)


def read_list(named: Path) -> bytes:
    """Return a list of files, SIZE_LIMIT_BYTES and one more at most. Raises UsageError if it cannot be read."""
    is_piped = named == STANDARD_INPUT
    try:
        with open(0 if is_piped else named, "rb", closefd=not is_piped) as file:
            return file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"`{named}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def cannot_be_read(path: Path, error: OSError | ValueError, *, what: str = THE_MANIFEST) -> UsageError:
    """Return the error of a file, named `what`, that the system does not open or read."""
    reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return UsageError(f"{what} {quoted_path(str(path))} cannot be read: {reason}")


@dataclass(frozen=True, slots=True)
class Screened:
    """What the bytes of a manifest show before they are parsed.

    `tabs`: the positions of tabs in the white space at the beginning of lines. `last_line_at_margin`: the last line,
    from 1, that begins without indentation and is neither an item of a list nor a comment; 0 if there is none. Every
    key of a mapping that is not indented begins such a line.
    """

    readable: bool
    tabs: tuple[Position, ...] = ()
    last_line_at_margin: int = 0
    may_have_globs: bool = False
    """Whether the word `glob` is anywhere in it."""


def refuse_database(path: Path, file: BinaryIO) -> None:
    """Raise UsageError for a manifest that is a database, such as a ledger. The file is left at its beginning."""
    head = file.read(len(DATABASE_HEADER))
    file.seek(0)
    if head == DATABASE_HEADER:
        raise UsageError(
            f"{quoted_path(str(path))} is a database, such as a ledger, and not a manifest; nothing was done",
            hint="name the manifest, which is a YAML file; only `status`, `why` and `report` take a ledger instead",
        )


def refuse_table(path: Path) -> None:
    """Raise UsageError for a table in place of a manifest, which is known by its extension."""
    if path.suffix.lower() in _TABLE_SUFFIXES:
        new = f"batch-upload manifest new {shlex.quote(str(path))} -o {batch_of(path.stem) or 'new'}.yaml"
        raise UsageError(
            f"{quoted_path(str(path))} is a table, and not a manifest", hint=f"make a manifest of it first: `{new}`"
        )


def screen(file: BinaryIO, problems: Problems, *, size_limit_bytes: int, what: str = THE_MANIFEST) -> Screened:
    """Read the whole file once, in pieces: check its size, that it is UTF-8, and that YAML allows its characters.

    `what` names the file in messages. Stops at the first problem. The file is left at its beginning.
    """
    size_bytes, lines_before, last_line_at_margin, may_have_globs = 0, 0, 0, False
    tabs: list[Position] = []
    while raw := b"".join(file.readlines(SCREENED_AT_ONCE_BYTES)):
        size_bytes += len(raw)
        if size_bytes > size_limit_bytes:
            problems.add(Position(), Code.TOO_LARGE, f"{what} has more than {size_limit_bytes} bytes: split it")
            return Screened(readable=False)
        text = _text_of(raw.removeprefix(BOM) if size_bytes == len(raw) else raw, lines_before, problems, what)
        if text is None:
            return Screened(readable=False)
        may_have_globs = may_have_globs or "glob" in text
        if "\t" in text:
            tabs.extend(_at(text, match.end() - 1, lines_before) for match in _TAB_IN_INDENTATION.finditer(text))
        if at_margin := [found.start() for found in _AT_MARGIN.finditer(f"\n{text}")]:
            last_line_at_margin = _at(text, at_margin[-1], lines_before).line
        lines_before += raw.count(b"\n") + (len(_LONE_CR.findall(raw)) if b"\r" in raw else 0)
    file.seek(0)
    return Screened(
        readable=True, tabs=tuple(tabs), last_line_at_margin=last_line_at_margin, may_have_globs=may_have_globs
    )


def _text_of(raw: bytes, lines_before: int, problems: Problems, what: str) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8")
        is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "it is UTF-16" if is_utf16 else f"byte 0x{raw[error.start]:02x}"
        message = f"{what} is not UTF-8: {found}; save it as UTF-8"
        if lines_before == 0 and raw.startswith(DATABASE_HEADER):
            message = "this is a database, such as a ledger: name the manifest, which is a YAML file"
        problems.add(_at(good, len(good), lines_before), Code.NOT_UTF8, message)
        return None
    if bad := _NOT_ALLOWED.search(text):
        message = f"U+{ord(bad.group()):04X} is not allowed in a manifest: remove it"
        problems.add(_at(text, bad.start(), lines_before), Code.CHARACTER, message)
        return None
    return text


def _at(text: str, offset: int, lines_before: int) -> Position:
    line, begins = lines_before + 1, 0
    for found in _LINE_BREAK.finditer(text, 0, offset):
        line, begins = line + 1, found.end()
    return Position(line, offset - begins + 1)
