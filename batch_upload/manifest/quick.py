"""A usual manifest, read by its shapes instead of as YAML: the same entries in a quarter of the time.

Nothing is reported from here. Either the careful reader (reader.py) would read the very same entries without a problem,
or UnusualError is raised, perhaps only after some entries, and it has to read them.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from batch_upload.manifest.problems import Problems
from batch_upload.manifest.reader import read_document
from batch_upload.manifest.rules import TAGS_LIMIT
from batch_upload.manifest.shapes import Taker, UnusualError
from batch_upload.manifest.source import BOM, CHUNK_BYTES, SIZE_LIMIT_BYTES
from batch_upload.model import Entry, Manifest

_BEGIN = re.compile(rb"^attachments: *\n(?: *(?:#[^\n]*)?\n)*(?=( *)- )", re.MULTILINE)


class QuickReader:
    """A manifest whose last key is `attachments`, and whose entries are of usual shapes.

    What stands before the entries is read carefully, together with the first of them: that proves that what follows is
    the block of lines that it looks like. Raises UnusualError at once, or from `entries`.
    """

    def __init__(self, file: BinaryIO, path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._file = file
        self._chunk_bytes = chunk_bytes
        self._size_bytes = 0
        self._is_at_end = False
        self._waiting = b""
        data = self._more().removeprefix(BOM)
        if data.startswith(BOM):  # the careful reader would take the second for the first
            raise UnusualError
        begin = _BEGIN.search(data)
        if begin is None or data.startswith(BOM):  # a second mark is a character, which the careful reader reports
            raise UnusualError
        self._next = b"\n" + begin[1] + b"- "
        second = data.find(self._next, begin.end())
        if second < 0 and not self._is_at_end:
            raise UnusualError
        head = data if second < 0 else data[: second + 1]
        careful = _carefully(head, path)
        (self._first,) = careful.entries
        self.manifest = replace(careful, entries=())
        self._line = data.count(b"\n", 0, begin.end()) + 1
        self._waiting = data[begin.end() :]
        limit = TAGS_LIMIT - 1 if careful.identity_tag else TAGS_LIMIT
        self._taker = Taker(begin[1].decode(), shared=careful.tags, limit=limit)

    def entries(self) -> Iterator[Entry]:
        """Every entry, in order. May be asked for once."""
        is_first = True
        while text := self._text():
            for entry in self._taker.entries(text, self._line):
                if is_first and not _are_same(entry, self._first):
                    raise UnusualError
                is_first = False
                yield entry
            self._line += text.count("\n")

    def _text(self) -> str:
        """Whole entries, some of them; nothing at the end."""
        data = self._waiting
        while not self._is_at_end:
            data = self._more()
            if self._is_at_end:
                break
            cut = data.rfind(self._next) + 1
            if cut:
                self._waiting = data[cut:]
                return _decoded(data[:cut])
        self._waiting = b""
        return _decoded(data if data.endswith(b"\n") or not data else data + b"\n")

    def _more(self) -> bytes:
        """What waits, and the next piece of the file behind it."""
        raw = self._file.read(self._chunk_bytes)
        self._is_at_end = not raw
        self._size_bytes += len(raw)
        if self._size_bytes > SIZE_LIMIT_BYTES:
            raise UnusualError
        data = self._waiting + raw
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
            if data.find(b"\r", 0, len(data) - 1) >= 0:  # ends a line, too; the last may be half of a pair
                raise UnusualError
        self._waiting = data
        return data


def _carefully(head: bytes, path: Path) -> Manifest:
    problems = Problems(str(path))
    found = read_document(io.BytesIO(head), path, problems)
    if found is None or problems or len(found.entries) != 1:
        raise UnusualError
    return found


def _are_same(quick: Entry, careful: Entry) -> bool:
    """Except for places that only problems name."""
    return quick == careful._replace(id_at=None, tags_at=quick.tags_at)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusualError from error
