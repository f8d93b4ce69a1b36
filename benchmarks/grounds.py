"""Manifests of any size with their files, and ledgers in which everything is complete, to measure reruns.

`python -m benchmarks.grounds FOLDER COUNT` writes one. To measure memory, do it in another process: a command counts
the memory that its parent had when it started as its own.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.items import ready
from batch_upload.app.sendable import Prepared
from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.ledger.tables import json_text, utc_text
from batch_upload.model import Item, Lane
from batch_upload.settings import LOCAL_ACCOUNT, LOCAL_REGION, RunOptions

BATCH = "growth"
LANE = Lane(LOCAL_ACCOUNT, LOCAL_REGION)
FOLDER_MAX = 1_000
"""Files in one folder, as people sort them."""
RUN = "20261124T000000Z-00000000"
AT = utc_text(datetime(2026, 11, 24, tzinfo=UTC))
ARN = f"arn:aws:sms-voice:{LANE.region}:{LANE.account}:registration-attachment/"


@dataclass(frozen=True, slots=True)
class Ground:
    """A manifest of `count` items, each with its own file."""

    folder: Path
    count: int

    @property
    def manifest(self) -> Path:
        return self.folder / "growth.yaml"

    @property
    def ledger(self) -> Path:
        """The path of the manifest's ledger, also used with `--local`."""
        return self.folder / "growth.ledger"

    def files(self) -> Iterator[str]:
        """Relative to the folder, as the manifest names them."""
        return (f"files/{number // FOLDER_MAX:04}/{number:07}.pdf" for number in range(self.count))


def lay_out(folder: Path, count: int) -> Ground:
    """Write the files and the manifest. The files are old enough for their digests to be remembered."""
    ground = Ground(folder, count)
    long_ago = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    lines = ["version: 1", "ledger: growth.ledger", f"batch: {BATCH}", "attachments:"]
    for number, name in enumerate(ground.files()):
        path = folder / name
        if number % FOLDER_MAX == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"%%PDF-1.7\n%% %d\n%%%%EOF\n" % number)
        os.utime(path, (long_ago, long_ago))
        lines.append(f"  - file: {name}\n    tags: {{Customer: acme-{number % 100}, Country: 'NO'}}")
    ground.manifest.write_text("\n".join(lines) + "\n")
    return ground


def complete(ground: Ground) -> None:
    """Write a ledger in which every item is complete after one attempt, and every digest remembered."""
    prepared = ready(ground.manifest, RunOptions(rehash=True))[0]
    asyncio.run(_begin(ground, prepared))
    with closing(sqlite3.connect(ground.ledger, isolation_level=None)) as raw:
        raw.execute("BEGIN")
        raw.executemany(_ITEM, (_row(number, item) for number, item in enumerate(prepared.items, 1)))
        raw.executemany(_ATTEMPT, ((n, n, AT) for n in _numbers(prepared)))
        raw.executemany(_OUTCOME, ((n, AT, f"request-{n}", f"att-{n}", ARN + str(n)) for n in _numbers(prepared)))
        raw.execute("COMMIT")


def _numbers(prepared: Prepared) -> range:
    return range(1, len(prepared.items) + 1)


async def _begin(ground: Ground, prepared: Prepared) -> None:
    clock = SystemClock()
    ledger = await open_ledger(ground.ledger, run_id=RUN, clock=clock)
    try:
        writer = await ledger.writer()
        await writer.pin(LANE, endpoint="http://127.0.0.1:1", at=clock.now())
        await writer.begin_run(RUN, verb="upload", batch=BATCH, at=clock.now())
        await writer.listed(at=clock.now())
        await ledger.remember_digests(prepared.fresh)
    finally:
        await ledger.close()


def _row(number: int, item: Item) -> tuple[object, ...]:
    return (
        number,
        item.client_token,
        item.batch,
        item.item_id,
        item.source,
        item.content,
        json_text(dict(item.tags)),
        item.size_bytes,
        item.content_type,
        f"att-{number}",
        ARN + str(number),
        AT,
        f"request-{number}",
        AT,
        AT,
        AT,
        AT,
    )


_ITEM = """
INSERT INTO item (item_no, lane_id, client_token, batch, item_id, source, content, tags, generation, identity_tag,
  size_bytes, content_type, current, state, attachment_id, attachment_arn, attachment_status, attachment_created_at,
  attempts, request_id, first_sent_at, completed_at, enlisted_at, changed_at)
VALUES (?, 1, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?, 1, 'complete', ?, ?, 'UPLOAD_COMPLETE', ?, 1, ?, ?, ?, ?, ?)
"""
_ATTEMPT = "INSERT INTO attempt (attempt_id, item_no, number, run_no, started_at) VALUES (?, ?, 1, 1, ?)"
_OUTCOME = """
INSERT INTO outcome (attempt_id, kind, ended_at, request_id, attachment_id, attachment_arn, attachment_status)
VALUES (?, 'accepted', ?, ?, ?, ?, 'UPLOAD_COMPLETE')
"""


def main() -> int:
    """Write manifest, files and ledger."""
    folder, count = sys.argv[1:]
    complete(lay_out(Path(folder), int(count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
