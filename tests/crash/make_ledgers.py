"""Makes the ledgers that are kept as files: `python -m tests.crash.make_ledgers`.

One of each schema version, with an item that is complete (and bound, in those that know binds), one whose outcome was
never learned, and one that is pending; and damaged ones. A file of a version that was released is never made again: it
is what that version left.
"""

import hashlib
import random
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import anyio

from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.model import AttachmentStatus, Item, Lane, Outcome, OutcomeKind, Receipt
from batch_upload.registration import Bind
from tests.support.batches import BATCH, TAGS, make_batch, token_of

KEPT = Path(__file__).parent / "ledgers"
REGION = "us-east-1"
ACCOUNTS = {
    1: "100000000001",
    2: "100000000002",
    3: "100000000003",
    4: "100000000004",
    5: "100000000005",
    6: "100000000006",
    7: "100000000007",
    8: "100000000008",
    9: "100000000009",
    10: "100000000010",
    11: "100000000011",
}
ITEMS = 3
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = "20260102T030405Z-00000000"
BIND = Bind("registration-1", "messagingUseCase.optInImage")


def main() -> None:
    """Write every ledger that is not there and can still be made."""
    with tempfile.TemporaryDirectory() as folder:
        newest = max(ACCOUNTS)
        _keep(f"version-{newest}", _written(Path(folder) / "newest.ledger", ACCOUNTS[newest]))
    whole = (KEPT / "version-2.ledger").read_bytes()
    _keep("truncated", whole[: len(whole) // 2])
    _keep("random-header", random.Random(1).randbytes(100) + whole[100:])
    _keep("random-page", whole[:4096] + random.Random(2).randbytes(4096) + whole[8192:])
    _keep("half-made", b"")
    _keep("text", b"id,state\nfiles/000.pdf,complete\n")
    _keep("other-database", _changed(b"", "CREATE TABLE letters (name TEXT)"))
    newer = ("UPDATE migration SET program = '9.0.0', version = 99 WHERE version = 2", "PRAGMA user_version = 99")
    _keep("newer", _changed(whole, *newer))


def _keep(name: str, content: bytes) -> None:
    path = KEPT / f"{name}.ledger"
    if not path.exists():
        path.write_bytes(content)


def _written(path: Path, account: str) -> bytes:
    anyio.run(_write, path, account)
    return _changed(path.read_bytes(), "UPDATE run SET os_user = 'jane', host = 'upload-1'")


def _changed(content: bytes, *statements: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed"
        path.write_bytes(content)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            for statement in (*statements, "VACUUM"):
                raw.execute(statement)
        return path.read_bytes()


async def _write(path: Path, account: str) -> None:
    complete, unknown, pending = _items()
    ledger = await open_ledger(path, run_id=RUN, clock=SystemClock())
    try:
        writer = await ledger.writer(f"acme/{REGION}")
        await writer.pin(Lane(account, REGION), endpoint="http://127.0.0.1:1", at=AT)
        writer.act_as(f"arn:aws:iam::{account}:user/jane")
        await writer.begin_run(RUN, verb="upload", batch=BATCH, at=AT)
        await writer.enlist([complete._replace(bind=BIND), unknown, pending], at=AT)
        attempt = await writer.intend(complete.client_token, run_id=RUN, at=AT)
        arn = f"arn:aws:sms-voice:{REGION}:{account}:registration-attachment/registration-attachment-1"
        receipt = Receipt("registration-attachment-1", arn, AttachmentStatus.COMPLETE, AT, request_id="request-1")
        await writer.conclude(attempt, Outcome(OutcomeKind.ACCEPTED, AT, receipt=receipt))
        bind_attempt = await writer.intend_bind(complete.client_token, run_id=RUN, at=AT)
        await writer.conclude_bind(bind_attempt, Outcome(OutcomeKind.ACCEPTED, AT), version=1)
        await writer.intend(unknown.client_token, run_id=RUN, at=AT)
    finally:
        await ledger.close()


def _items() -> tuple[Item, ...]:
    with tempfile.TemporaryDirectory() as folder:
        documents = make_batch(Path(folder), ITEMS).documents
    return tuple(_item(name, content) for name, content in documents.items())


def _item(name: str, content: bytes) -> Item:
    return Item(
        batch=BATCH,
        item_id=name,
        source=name,
        digest=hashlib.sha256(content).digest(),
        client_token=token_of(name, content),
        tags=TAGS,
        size_bytes=len(content),
    )


if __name__ == "__main__":
    main()
