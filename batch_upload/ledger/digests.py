"""What was in the files when they were last read, so that a file that looks the same need not be read again.

A digest that is remembered wrongly sends nothing wrong: what is sent is hashed again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from batch_upload.document import Fingerprint, RememberedDigest
from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import any_of, chunks
from batch_upload.ledger.tables import digest, encodable
from batch_upload.model import ContentType


def digests(connection: Connection, paths: Sequence[str]) -> dict[str, RememberedDigest]:
    """What is remembered of these paths; what nothing is remembered of is left out."""
    found: dict[str, RememberedDigest] = {}
    for chunk in chunks(paths):
        asked = {encodable(path): path for path in chunk}
        # read as SQLite has it: a rerun asks for every file, and converting each column costs as much again
        rows = _OF_PATHS.as_they_are(connection, {"wanted_paths": list(asked)})
        for path, device, inode, size_bytes, mtime_ns, sha256, content_type in rows:
            look = Fingerprint(device & _BITS, inode & _BITS, size_bytes, mtime_ns)
            found[asked[path]] = RememberedDigest(look, sha256, _CONTENT_TYPES[content_type])
    return found


def remember_digests(connection: Connection, remembered: Iterable[tuple[str, RememberedDigest]]) -> None:
    """Remember these instead of what was known of their paths."""
    _REMEMBER.run_all(connection, (_row(path, found) for path, found in remembered))


def _row(path: str, found: RememberedDigest) -> dict[str, Any]:
    return {
        "path": path,
        "device": found.fingerprint.device,
        "inode": found.fingerprint.inode,
        "size_bytes": found.fingerprint.size_bytes,
        "mtime_ns": found.fingerprint.mtime_ns,
        "sha256": found.sha256,
        "content_type": found.content_type,
    }


_OF_PATHS = Prepared(select(digest).where(digest.c.path.in_(any_of("wanted_paths"))))
_BITS = 2**64 - 1
"""Takes SQLite's number with a sign for the one without (`tables.Bits64`)."""
_CONTENT_TYPES = {each.value: each for each in ContentType}
_fresh = insert(digest)
_COLUMNS = [column.name for column in digest.c]
_REMEMBER = Prepared(
    _fresh.on_conflict_do_update(
        index_elements=[digest.c.path],
        set_={name: _fresh.excluded[name] for name in _COLUMNS if name != "path"},
    ),
    columns=_COLUMNS,
)
