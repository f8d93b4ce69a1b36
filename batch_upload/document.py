"""What is known of files: shared by the code that reads them and the ledger that remembers it."""

from collections.abc import Mapping
from typing import NamedTuple

from batch_upload.model import ContentType

EXTENSIONS: Mapping[ContentType, tuple[str, ...]] = {
    ContentType.PDF: (".pdf",),
    ContentType.PNG: (".png",),
    ContentType.JPEG: (".jpg", ".jpeg"),
}
"""The extensions that a file of each type may have, in lower case."""
DATABASE_HEADER = b"SQLite format 3\0"
"""The first bytes of a SQLite file, such as a ledger (https://www.sqlite.org/fileformat.html)."""
EVERY_EXTENSION = tuple(extension for extensions in EXTENSIONS.values() for extension in extensions)


class Document(NamedTuple):
    """The content of a file. `path` is resolved, `sha256` is lower-case hex."""

    path: str
    sha256: str
    size_bytes: int
    content_type: ContentType


class Fingerprint(NamedTuple):
    """The metadata of a file that change with its content. While they are the same, the file is not read again.

    `mtime_ns` in nanoseconds since 1970. `device` and `inode` are any 64 bits.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class RememberedDigest(NamedTuple):
    """The content of a file when it was last read, and its fingerprint then. `sha256` is lower-case hex."""

    fingerprint: Fingerprint
    sha256: str
    content_type: ContentType
