"""What was in the files when they were last read, so that a file that looks the same need not be read again.

A digest that is remembered wrongly sends nothing wrong: what is sent is hashed again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from batch_upload.document import Fingerprint, RememberedDigest
from batch_upload.ledger.rows import chunks
from batch_upload.ledger.tables import digest, encodable


def digests(connection: Connection, paths: Sequence[str]) -> dict[str, RememberedDigest]:
    """What is remembered of these paths; what nothing is remembered of is left out."""
    found: dict[str, RememberedDigest] = {}
    for chunk in chunks(paths):
        asked = {encodable(path): path for path in chunk}
        for path, *fingerprint, sha256, content_type in connection.execute(_OF_PATHS, {"wanted": list(asked)}):
            found[asked[path]] = RememberedDigest(Fingerprint(*fingerprint), sha256, content_type)
    return found


def remember_digests(connection: Connection, remembered: Iterable[tuple[str, RememberedDigest]]) -> None:
    """Remember these instead of what was known of their paths."""
    rows = [_row(path, found) for path, found in remembered]
    if rows:
        connection.execute(_REMEMBER, rows)


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


_OF_PATHS = select(
    digest.c.path,
    digest.c.device,
    digest.c.inode,
    digest.c.size_bytes,
    digest.c.mtime_ns,
    digest.c.sha256,
    digest.c.content_type,
).where(digest.c.path.in_(bindparam("wanted", expanding=True)))
_fresh = insert(digest)
_REMEMBER = _fresh.on_conflict_do_update(
    index_elements=[digest.c.path],
    set_={column.name: _fresh.excluded[column.name] for column in digest.c if not column.primary_key},
)
