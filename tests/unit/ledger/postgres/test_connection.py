"""The connection: what it costs, what it leaves behind, and how it outlives a cut."""

import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from batch_upload.document import Fingerprint, RememberedDigest
from batch_upload.errors import BatchUploadError
from batch_upload.ledger import find_digests, find_reader
from batch_upload.ledger.sqlite.digest_cache import FILE
from batch_upload.ledger_address import PostgresUrl, ledger_address
from batch_upload.model import ContentType, OutcomeKind, State
from batch_upload.ports import LedgerReader
from batch_upload.settings import cache_folder
from tests.support.one_lane import OneLane, open_one_lane
from tests.support.postgres import PostgresServer
from tests.support.tcp_proxy import Message, TcpProxy, Way, running_proxy
from tests.unit.ledger.samples import BATCH, RUN, T0, ManualClock, accepted, attachment, began, ended, item, rows

FAR_S = 0.02
"""How late everything on the wire is, so that what is sent without waiting leaves before an answer comes."""
OTHERS_ENDED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
LOOK = Fingerprint(device=64_768, inode=1_234, size_bytes=450_000, mtime_ns=1_764_000_000_123_456_789)
FOUND = RememberedDigest(LOOK, "0f" * 32, ContentType.PDF)


@pytest.fixture
def address(url: str) -> PostgresUrl:
    found = ledger_address(url)
    assert isinstance(found, PostgresUrl)
    return found


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with running_proxy(postgres.port) as found:
        yield found


@pytest.fixture
async def ledger(url: str, postgres: PostgresServer, proxy: TcpProxy) -> AsyncIterator[OneLane]:
    """A ledger that is written to through the proxy."""
    far = ledger_address(url.replace(f":{postgres.port}/", f":{proxy.port}/"))
    opened = await open_one_lane(far, run_id=RUN, clock=ManualClock())
    yield opened
    await opened.close()


def reader_of(address: PostgresUrl) -> LedgerReader:
    found = find_reader(address)
    assert found is not None
    return found


class Turns:
    """Counts how often the client waits for the server before it goes on."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.count = 0
        self._last = Way.TO_CLIENT
        self._proxy = proxy
        proxy.cut_before(self._count)
        proxy.delay_s = FAR_S

    def _count(self, message: Message) -> bool:
        if message.way is not self._last:
            self._last = message.way
            self.count += message.way is Way.TO_SERVER
        return False

    def taken(self) -> int:
        count, self.count = self.count, 0
        return count


async def test_what_an_upload_writes_takes_few_round_trips(ledger: OneLane, proxy: TcpProxy) -> None:
    await began(ledger, item("a"), item("b"))
    turns = Turns(proxy)

    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
    for_intent = turns.taken()
    await ledger.conclude(attempt, accepted())
    for_outcome = turns.taken()
    await ledger.observe([attachment()], at=T0)
    for_status = turns.taken()
    await ledger.enlist([item(f"i{number}") for number in range(100)], at=T0)
    for_many = turns.taken()
    proxy.delay_s = 0.0

    # the fence, what is known of the item, and the attempt's number are waited for, and then the commit
    assert (for_intent, for_outcome, for_status, for_many) == (4, 4, 3, 2)


async def test_a_broken_rule_is_its_own_jobs_fault_wherever_it_is_told(ledger: OneLane, address: PostgresUrl) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
    await ledger.conclude(attempt, ended(OutcomeKind.THROTTLED))

    with pytest.raises(BatchUploadError, match="breaks its rules"):
        await ledger.conclude(attempt, ended(OutcomeKind.THROTTLED))
    await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    assert rows(address, "SELECT count(*) FROM attempt") == [(2,)]


async def test_nothing_of_a_transaction_is_left_in_the_session(ledger: OneLane, address: PostgresUrl) -> None:
    """A pooler may give the session to another client after each transaction."""
    await began(ledger, *(item(f"i{number}") for number in range(20)))
    await ledger.compare(BATCH, {"i1": "bu1-i1-1"})
    await ledger.known(BATCH)

    def left(db: object) -> list[tuple[object, ...]]:
        raw: psycopg.Connection[tuple[object, ...]] = db.raw  # type: ignore[attr-defined]
        return raw.execute(
            "SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name <> ''), "
            "(SELECT count(*) FROM pg_class WHERE relpersistence = 't'), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
        ).fetchall()

    assert await ledger.ledger.thread.read(left) == [(0, 0, 0, 0)]


async def test_a_reader_tells_a_change_from_none_also_over_a_new_connection(
    ledger: OneLane, address: PostgresUrl
) -> None:
    await began(ledger, item("a"))
    with reader_of(address) as reader:
        first = reader.version()
        assert reader.version() == first
        await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
        second = reader.version()
        rows(address, OTHERS_ENDED)
        assert reader.version() == second != first
        assert [known.state for known in reader.known(BATCH)] == [State.SENDING]


async def test_a_reader_may_only_read(ledger: OneLane, address: PostgresUrl) -> None:
    with reader_of(address) as reader, reader.moment():
        db = reader._source.db  # type: ignore[attr-defined]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            db.execute("DELETE FROM rate")
        db.raw.execute("ROLLBACK")
        db.raw.execute("BEGIN")


async def test_what_was_in_files_is_remembered_on_this_machine_for_its_owner_alone(
    ledger: OneLane, address: PostgresUrl
) -> None:
    await ledger.remember_digests({"/files/a.pdf": FOUND})

    reader = find_digests(address)
    assert reader is not None
    with reader:
        assert reader.digests(["/files/a.pdf", "/files/b.pdf"]) == {"/files/a.pdf": FOUND}
    assert stat.S_IMODE(os.stat(cache_folder() / FILE).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(cache_folder()).st_mode) == 0o700


def spoil(folder: Path, what: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if what == "folder":
        folder.write_text("a file in its place")
    else:
        folder.mkdir()
        (folder / FILE).write_text("no database" * 1_000)


@pytest.mark.parametrize("broken", ["folder", "file"])
async def test_where_nothing_can_be_remembered_nothing_is_and_nothing_fails(
    ledger: OneLane, address: PostgresUrl, broken: str
) -> None:
    spoil(cache_folder(), broken)

    await ledger.remember_digests({"/files/a.pdf": FOUND})

    with reader_of(address) as reader:
        assert reader.digests(["/files/a.pdf"]) == {}
