"""What is known of files, between those who read them and the ledger that remembers it."""

from typing import NamedTuple

from batch_upload.model import ContentType


class Document(NamedTuple):
    """What was found in a file. `path` is resolved, `sha256` is lower-case hex."""

    path: str
    sha256: str
    size_bytes: int
    content_type: ContentType


class Fingerprint(NamedTuple):
    """What a file system says of a file without a look into it: while this is the same, so is what is in it.

    `mtime_ns` in nanoseconds since 1970. `device` and `inode` are any 64 bits.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class RememberedDigest(NamedTuple):
    """What was in a file when it was last read, and how the file looked then. `sha256` is lower-case hex."""

    fingerprint: Fingerprint
    sha256: str
    content_type: ContentType
