"""CPU of a row of the ledger: ours beside Python's bare sqlite3 that reads and writes the same rows.

    python -m benchmarks.ledger [--items 10000] [--workers 64]

Every item is enlisted, read, intended, concluded and observed (by pages of a listing), as in an upload. Ours: workers
on the event loop, the writing thread, groups committed together, values converted both ways. The floor: the same
tables, indexes and rules, one thread with its parameters ready, groups of the same size, rows read and dropped.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.ledger.sqlite.connection import connect
from batch_upload.ledger.tables import json_text, utc_text
from batch_upload.model import (
    Attachment,
    AttachmentStatus,
    ContentType,
    Item,
    Known,
    Lane,
    Outcome,
    OutcomeKind,
    Receipt,
)
from batch_upload.ports import Attempt, LedgerWriter

AT = datetime(2026, 11, 24, tzinfo=UTC)
TIME = utc_text(AT)
RUN = "20261124T000000Z-00000000"
ARN = "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/"
PAGE = 100
"""Attachments that a page of a listing has, at most."""
STEPS = ("enlist", "read", "intend", "conclude", "observe")

Step = Callable[[Item], Awaitable[object]]


def some_items(count: int) -> list[Item]:
    """Items with tokens as random as real ones."""
    return [_item(number) for number in range(count)]


def _item(number: int) -> Item:
    digest, name = sha256(str(number).encode()).digest(), f"files/{number:07}.pdf"
    return Item(
        batch="june", item_id=name, source=name, client_token=f"bu1-{digest.hex()[:52]}",
        tags={"Customer": "acme", "Country": "NO"}, digest=digest, size_bytes=450_000, content_type=ContentType.PDF,
    )  # fmt: skip


def attachment_id_of(item: Item) -> str:
    return f"registration-attachment-{item.client_token[-32:]}"


# ours


class Ours:
    """The steps of one item, by the ledger."""

    def __init__(self, ledger: LedgerWriter) -> None:
        self._ledger = ledger
        self._began: dict[str, Attempt] = {}
        self._known: dict[str, Known] = {}

    async def know(self) -> None:
        """What a run knows of its items when it begins to send."""
        self._known = {known.client_token: known for known in await self._ledger.known("june")}

    async def intend(self, item: Item) -> None:
        self._began[item.client_token] = await self._ledger.intend(item.client_token, run_id=RUN, at=AT)

    async def conclude(self, item: Item) -> None:
        name = attachment_id_of(item)
        receipt = Receipt(name, ARN + name, AttachmentStatus.IN_PROGRESS, AT, "request")
        outcome = Outcome(OutcomeKind.ACCEPTED, AT, receipt=receipt, request_id="request")
        self._known[name] = await self._ledger.conclude(self._began[item.client_token], outcome)

    async def observe(self, items: Sequence[Item]) -> None:
        names = [attachment_id_of(item) for item in items]
        seen = [Attachment(name, ARN + name, AttachmentStatus.COMPLETE, AT) for name in names]
        await self._ledger.observe(seen, at=AT)


async def take_ours(path: Path, items: Sequence[Item], workers: int) -> list[float]:
    """Seconds of the processor for each step."""
    opened = await open_ledger(path, run_id=RUN, clock=SystemClock())
    ledger = await opened.writer()
    await ledger.pin(Lane("123456789012", "us-east-1"), endpoint="http://127.0.0.1:1", at=AT)
    await ledger.begin_run(RUN, verb="upload", batch="june", at=AT)
    ours, marks = Ours(ledger), [time.process_time()]
    await ledger.enlist(items, at=AT)
    marks.append(time.process_time())
    await ours.know()
    marks.append(time.process_time())
    for step in (ours.intend, ours.conclude):
        await _each(items, step, workers)
        marks.append(time.process_time())
    for page in _pages(items, PAGE):
        await ours.observe(page)
    marks.append(time.process_time())
    await opened.close()
    return _between(marks)


async def _each(items: Sequence[Item], step: Step, workers: int) -> None:
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await step(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


# the floor


class Floor:
    """The steps of one item, by sqlite3."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._attempts: dict[str, int | None] = {}

    def enlist(self, items: Sequence[Item]) -> None:
        self._raw.executemany(_ENLIST, [_row(item) for item in items])

    def intend(self, item: Item) -> None:
        item_no, *_ = self._raw.execute(_BEFORE, (item.client_token,)).fetchone()
        self._attempts[item.client_token] = self._raw.execute(_INTEND, (item_no, TIME)).lastrowid
        self._raw.execute(_SENDING, (TIME, TIME, TIME, TIME, item_no))

    def conclude(self, item: Item) -> None:
        token, name = item.client_token, attachment_id_of(item)
        attempt_id = self._attempts[token]
        self._raw.execute(_CREATED, (name, ARN + name, TIME, TIME, attempt_id, token, name, name))
        self._raw.execute(_CONCLUDE, (attempt_id, TIME, name, ARN + name))

    def observe(self, item: Item) -> None:
        name = (attachment_id_of(item),)
        self._raw.execute(_COMPLETED, (TIME, TIME, *name))


def take_floor(path: Path, items: Sequence[Item], at_once: int) -> list[float]:
    """Seconds of the processor for each step, on a ledger that is there and empty."""
    with closing(connect(path, query="mode=rw")) as raw:
        raw.execute("PRAGMA synchronous = FULL")
        floor, marks = Floor(raw), [time.process_time()]
        raw.execute("BEGIN IMMEDIATE")
        floor.enlist(items)
        raw.execute("COMMIT")
        marks.append(time.process_time())
        raw.execute("SELECT * FROM item WHERE lane_id = 1 AND batch = 'june'").fetchall()
        marks.append(time.process_time())
        for step, together in ((floor.intend, at_once), (floor.conclude, at_once), (floor.observe, PAGE)):
            for page in _pages(items, together):
                raw.execute("BEGIN IMMEDIATE")
                for item in page:
                    step(item)
                raw.execute("COMMIT")
            marks.append(time.process_time())
        return _between(marks)


def _pages(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _row(item: Item) -> tuple[object, ...]:
    tags = json_text(dict(item.tags))
    return (item.client_token, item.item_id, item.source, item.content, tags, item.size_bytes, TIME, TIME)


_ENLIST = """
INSERT INTO item (lane_id, client_token, batch, item_id, source, content, tags, generation, identity_tag, size_bytes,
  content_type, current, state, enlisted_at, changed_at)
VALUES (1, ?, 'june', ?, ?, ?, ?, 1, 1, ?, 'application/pdf', 1, 'pending', ?, ?)
"""
_BEFORE = """
SELECT item_no, state, attachment_id, attachment_status, unknown_since, last_open_at,
  (SELECT count(*) FROM attempt WHERE attempt.item_no = item.item_no)
FROM item WHERE lane_id = 1 AND client_token = ?
"""
_INTEND = "INSERT INTO attempt (item_no, number, run_no, started_at) VALUES (?, 1, 1, ?)"
_SENDING = """
UPDATE item SET state = 'sending', attempts = attempts + 1, first_sent_at = coalesce(first_sent_at, ?),
  unknown_since = ?, last_open_at = ?, resume_after = NULL, changed_at = ?
WHERE item_no = ?
"""
_CREATED = """
UPDATE item SET state = 'processing', attachment_id = ?, attachment_arn = ?, attachment_created_at = ?,
  attachment_status = 'UPLOAD_IN_PROGRESS', request_id = 'request', unknown_since = NULL, last_open_at = NULL,
  changed_at = ?
WHERE item_no = (SELECT item_no FROM attempt WHERE attempt_id = ?) AND lane_id = 1 AND client_token = ?
  AND state = 'sending' AND attachment_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM item AS owner WHERE owner.lane_id = 1 AND owner.attachment_id = ?)
  AND NOT EXISTS (SELECT 1 FROM stranger WHERE stranger.lane_id = 1 AND stranger.attachment_id = ?)
"""
_CONCLUDE = """
INSERT INTO outcome (attempt_id, kind, ended_at, request_id, attachment_id, attachment_arn, attachment_status)
VALUES (?, 'accepted', ?, 'request', ?, ?, 'UPLOAD_IN_PROGRESS')
"""
_COMPLETED = """
UPDATE item SET state = 'complete', attachment_status = 'UPLOAD_COMPLETE', completed_at = ?, changed_at = ?
WHERE lane_id = 1 AND attachment_id = ? AND state = 'processing'
"""


# both


@dataclass(frozen=True, slots=True)
class Measured:
    """One step for all items, in seconds of the processor."""

    step: str
    ours_s: float
    floor_s: float


def measure(count: int, workers: int, times: int = 2) -> Iterator[Measured]:
    """Both in turn, the best of some times."""
    items = some_items(count)
    ours: list[list[float]] = []
    floors: list[list[float]] = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(asyncio.run(take_ours(Path(folder) / "ours.ledger", items, workers)))
            asyncio.run(take_ours(Path(folder) / "floor.ledger", [], workers))
            floors.append(take_floor(Path(folder) / "floor.ledger", items, workers))
    for step, of_ours, of_floor in zip(STEPS, zip(*ours, strict=True), zip(*floors, strict=True), strict=True):
        yield Measured(step, min(of_ours), min(of_floor))


def table(measured: Sequence[Measured], count: int) -> str:
    """The figures as Markdown, for one item each, and for 100,000 altogether."""
    total = Measured("altogether", sum(each.ours_s for each in measured), sum(each.floor_s for each in measured))
    rows = ["| step | ours, an item | bare sqlite3 | ratio | 100,000 items |", "|---|---|---|---|---|"]
    rows.extend(
        f"| {each.step} | {each.ours_s / count * 1e6:.0f} µs | {each.floor_s / count * 1e6:.0f} µs |"
        f" {each.ours_s / each.floor_s:.2f} | {each.ours_s / count * 1e5:.1f} s |"
        for each in (*measured, total)
    )
    return "\n".join(rows)


def _between(marks: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(marks)]


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument(
        "--workers", type=int, default=64, help="what is handed over at once, and so committed together"
    )
    arguments = parser.parse_args()
    sys.stdout.write(table(list(measure(arguments.items, arguments.workers)), arguments.items) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
