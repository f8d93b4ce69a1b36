"""Values that the tests of the ledger are written with."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.lowlevel
import psycopg

from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import (
    Attachment,
    AttachmentStatus,
    ContentType,
    Fault,
    Item,
    Lane,
    Outcome,
    OutcomeKind,
    Receipt,
)
from batch_upload.ports import LaneMemory, LedgerWriter
from tests.support.one_lane import OneLane, Open

LANE = Lane("123456789012", "us-east-1")
BATCH = "june"
RUN = "run-1"
T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NO_ANSWER = Fault("NoAnswer", "the connection was lost")
TOO_LARGE = Fault("ValidationException", "no", "MAXIMUM_SIZE_EXCEEDED", (("AttachmentBody", "too large"),), "res-1")


def after(seconds: float) -> datetime:
    """A time so many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


class ManualClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return after(self.elapsed_s)

    def monotonic(self) -> float:
        return self.elapsed_s

    def machine(self) -> str:
        return "boot one"

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.elapsed_s += max(0.0, seconds)


def item(
    item_id: str = "a", *, token: str | None = None, batch: str = BATCH, generation: int = 1, identity_tag: bool = True
) -> Item:
    """An item with a token that is told from its id and generation."""
    return Item(
        batch=batch,
        item_id=item_id,
        source=f"files/{item_id}.pdf",
        digest=b"\0" * 32,
        client_token=token or f"bu1-{item_id}-{generation}",
        tags={"Customer": "acme", "Land": "Ø"},
        generation=generation,
        identity_tag=identity_tag,
        folder=Path("/"),
        size_bytes=1_000,
        content_type=ContentType.PDF,
    )


def attachment(
    attachment_id: str = "att-1", status: AttachmentStatus = AttachmentStatus.IN_PROGRESS, *, created_at: datetime = T0
) -> Attachment:
    """An attachment as the service lists it."""
    return Attachment(attachment_id, f"arn:{attachment_id}", status, created_at)


def accepted(
    attachment_id: str = "att-1",
    status: AttachmentStatus = AttachmentStatus.IN_PROGRESS,
    *,
    at: datetime = T0,
    request_id: str = "req-1",
) -> Outcome:
    """The end of an attempt that made an attachment."""
    receipt = Receipt(attachment_id, f"arn:{attachment_id}", status, at, request_id)
    return Outcome(OutcomeKind.ACCEPTED, at, receipt=receipt, request_id=request_id)


def ended(kind: OutcomeKind, fault: Fault | None = NO_ANSWER, *, at: datetime = T0) -> Outcome:
    """The end of an attempt that made nothing, or nobody knows what."""
    return Outcome(kind, at, fault=fault)


async def began(ledger: LedgerWriter, *items: Item, run_id: str = RUN) -> None:
    """Make a ledger ready to send these items."""
    await ledger.pin(LANE, endpoint="https://sms-voice.us-east-1.amazonaws.com", at=T0)
    await ledger.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await ledger.enlist(items, at=T0)


async def pin(ledger: OneLane) -> LaneMemory:
    return await ledger.pin(LANE, endpoint="e", at=T0)


async def whole_run(opened: Open, address: LedgerAddress, run_id: str) -> None:
    """A run that reads its lane's listing to the end."""
    ledger = await opened(address, run_id)
    await pin(ledger)
    await ledger.begin_run(run_id, verb="upload", batch="june", at=T0)
    await ledger.listed(at=T0)
    await ledger.close()


async def run_without_listing(opened: Open, address: LedgerAddress, run_id: str) -> None:
    ledger = await opened(address, run_id)
    await pin(ledger)
    await ledger.begin_run(run_id, verb="upload", batch="june", at=T0)
    await ledger.close()


def commits_of(ledger: OneLane) -> int:
    """How many transactions it has committed."""
    return ledger.ledger.commits


def rows(address: LedgerAddress, query: str) -> list[tuple[Any, ...]]:
    """Return what another program sees in a ledger."""
    if isinstance(address, PostgresUrl):
        with psycopg.connect(address.secret, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(address)) as other:
        return other.execute(query).fetchall()


def contents(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Damage a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
