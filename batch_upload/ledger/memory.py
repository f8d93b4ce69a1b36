"""What later runs need not find out again: the rates of the lane, and what was in files when they were last read.

A digest that is remembered wrongly sends nothing wrong: what is sent is hashed again.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from batch_upload.document import INSIGHT_VERSION, Fingerprint, Insight, RememberedDigest
from batch_upload.ledger.driver import Database, Statement, Upsert
from batch_upload.ledger.tables import digest, encodable, json_text, rate, wanted
from batch_upload.model import ContentType
from batch_upload.records import RateRecord


def rates(db: Database, lane_id: int) -> list[RateRecord]:
    return [RateRecord(*row) for row in db.rows(_RATES, {"of_lane": lane_id})]


def learn(db: Database, lane_id: int, learned: Sequence[RateRecord]) -> None:
    rows = (
        {
            "lane_id": lane_id,
            "operation": each.operation,
            "learned": dict(each.learned),
            "learned_at": each.learned_at,
        }
        for each in learned
    )
    db.run_many(_LEARN, rows)


def digests(db: Database, paths: Sequence[str]) -> dict[str, RememberedDigest]:
    """Return what is remembered of these paths; those of which nothing is are left out."""
    asked = {encodable(path): path for path in paths}
    found: dict[str, RememberedDigest] = {}
    with db.of_digests() as local:
        if local is None:
            return found
        local.want(dict.fromkeys(asked))
        # not converted column by column: a rerun asks for every file, and that would cost as much as the query
        for path, device, inode, size_bytes, mtime_ns, sha256, content_type, insight in local.raw_rows(_DIGESTS):
            fingerprint = Fingerprint(device & _BITS, inode & _BITS, size_bytes, mtime_ns)
            found[asked[path]] = RememberedDigest(
                fingerprint, sha256, _CONTENT_TYPES[content_type], insight and _insight_of(insight)
            )
    return found


def remember_digests(db: Database, remembered: Iterable[tuple[str, RememberedDigest]]) -> None:
    """Remember these instead of what was known of their paths."""
    with db.of_digests() as local:
        if local is not None:
            local.run_many(_REMEMBER, (_digest_row(path, found) for path, found in remembered))


def _digest_row(path: str, found: RememberedDigest) -> dict[str, Any]:
    insight = found.insight
    return {
        "path": path,
        "device": found.fingerprint.device,
        "inode": found.fingerprint.inode,
        "size_bytes": found.fingerprint.size_bytes,
        "mtime_ns": found.fingerprint.mtime_ns,
        "sha256": found.sha256,
        "content_type": found.content_type,
        "insight": None if insight is None else json_text({"version": INSIGHT_VERSION, **insight.as_json()}),
    }


@lru_cache(maxsize=4_096)  # most documents have the same pages or pixels as many others
def _insight_of(text: str) -> Insight | None:
    """Return what a look found; None if it was a look of another version."""
    value = json.loads(text)
    return Insight.of_json(value) if value["version"] == INSIGHT_VERSION else None


_RATES = Statement(
    select(rate.c.operation, rate.c.learned, rate.c.learned_at)
    .where(rate.c.lane_id == bindparam("of_lane"))
    .order_by(rate.c.operation)
)
_LEARN = Upsert(
    rate,
    key=["lane_id", "operation"],
    columns=["lane_id", "operation", "learned", "learned_at"],
    replaced=["learned", "learned_at"],
)
_DIGEST_COLUMNS = [column.name for column in digest.c]
_DIGESTS = Statement(select(digest).where(digest.c.path.in_(select(wanted.c.key))))
_REMEMBER = Upsert(digest, key=["path"], columns=_DIGEST_COLUMNS, replaced=_DIGEST_COLUMNS[1:])
_BITS = 2**64 - 1
"""Turns a stored number with a sign into the one without (`tables.Bits64`)."""
_CONTENT_TYPES = {each.value: each for each in ContentType}
