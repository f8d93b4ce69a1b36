"""What happened to a ledger that several processes share: every write in the order of its commit, and every request.

A witness in the database notes each write in the transaction that makes it, so that what is undone or lost leaves no
note. The emulator's log and attachments are the service's side.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import ledger_address
from batch_upload.operations import CREATE
from tests.support.command import Event
from tests.support.emulator_process import EmulatorProcess, lane_of
from tests.support.postgres import PostgresServer

SETTINGS: Mapping[str, str] = {"track_commit_timestamp": "on"}
"""Of a server whose databases are to be witnessed."""
_WITNESS = """
CREATE SCHEMA witness;
CREATE TABLE witness.write (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, transaction xid8 NOT NULL, source text NOT NULL,
  lane_id bigint NOT NULL, item_no bigint, fence bigint, commit_no bigint, holder text);
CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE changed jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
BEGIN
  INSERT INTO witness.write (transaction, source, lane_id, item_no, fence, commit_no, holder)
  SELECT pg_current_xact_id(), TG_TABLE_NAME,
    coalesce((changed->>'lane_id')::bigint, (SELECT item.lane_id FROM public.item WHERE item.item_no = noted.item_no)),
    noted.item_no, (changed->>'fence')::bigint, (changed->>'commit_no')::bigint, changed->>'holder'
  FROM (SELECT coalesce((changed->>'item_no')::bigint, CASE TG_TABLE_NAME
    WHEN 'outcome' THEN (SELECT attempt.item_no FROM public.attempt
                         WHERE attempt.attempt_id = (changed->>'attempt_id')::bigint)
    WHEN 'bind_outcome' THEN (SELECT bind_attempt.item_no FROM public.bind_attempt
                              WHERE bind_attempt.attempt_id = (changed->>'attempt_id')::bigint)
    END) AS item_no) AS noted;
  RETURN NULL;
END $$;
CREATE TRIGGER witness AFTER INSERT OR UPDATE ON lane FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT ON outcome FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT ON bind_attempt FOR EACH ROW EXECUTE FUNCTION witness.note();
CREATE TRIGGER witness AFTER INSERT ON bind_outcome FOR EACH ROW EXECUTE FUNCTION witness.note();
"""
_WRITES = """
SELECT number, transaction::text::bigint, write.source, account || '/' || region, client_token, write.fence,
       write.commit_no, write.holder, pg_xact_commit_timestamp(transaction::xid)
FROM witness.write JOIN lane USING (lane_id) LEFT JOIN item ON item.item_no = write.item_no ORDER BY number
"""
_ITEMS = """
SELECT account || '/' || region, item_id, client_token, state, attachment_id
FROM item JOIN lane USING (lane_id) WHERE current
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A row of `source`, a table, that a transaction wrote. `token` is the item's.

    `fence`, `commit_no` and `holder` are a lane's, as it was left. `at` is when the transaction was committed.
    """

    transaction: int
    source: str
    lane: str
    token: str | None
    fence: int | None
    commit_no: int | None
    holder: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A create that came to the service at this time of the wall clock. `lane`: account/Region."""

    at: datetime
    lane: str
    token: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the ledger has it."""

    lane: str
    item_id: str
    token: str
    state: str
    attachment_id: str | None


@dataclass(frozen=True, slots=True)
class History:
    """`writes` in the order of their commits, `creates` in that of their arrival. `held`: what the service holds."""

    writes: Sequence[Write]
    creates: Sequence[Request]
    items: Sequence[Item]
    held: Sequence[Event]

    def take_overs(self, lane: str) -> list[datetime]:
        """Return when the lane's fence rose."""
        found: list[datetime] = []
        before = 0
        for write in self.writes:
            if write.source == "lane" and write.lane == lane and write.fence is not None and write.fence > before:
                before = write.fence
                found.append(write.at)
        return found


def new_ledger(server: PostgresServer, name: str, *, is_witnessed: bool = True) -> str:
    """Make a database with an empty ledger whose writes are noted, and return its URL."""
    url = server.new_database(name)
    asyncio.run(_make(url))
    if is_witnessed:
        server.execute(_WITNESS, name)
    return url


def read_history(server: PostgresServer, database: str, emulator: EmulatorProcess) -> History:
    """Read what the witness, the ledger and the service have noted."""
    items = [Item(*row) for row in server.execute(_ITEMS, database)]
    lanes = {lane for (lane,) in server.execute("SELECT account || '/' || region FROM lane", database)}
    rows = server.execute(_WRITES, database)
    committed = {row[1]: row[8] for row in rows}
    places = {
        transaction: place for place, transaction in enumerate(sorted(committed, key=lambda each: committed[each]))
    }
    rows.sort(key=lambda row: (places[row[1]], row[0]))
    writes = [Write(*row[1:]) for row in rows]
    held = [each for each in emulator.attachments() if lane_of(each) in lanes]
    return History(writes, _creates(emulator, held, lanes), items, held)


def _creates(emulator: EmulatorProcess, held: Sequence[Event], lanes: set[str]) -> list[Request]:
    """Return the creates of these lanes. The emulator's log counts seconds; its attachments tell the wall clock."""
    entries = [entry for entry in emulator.entries() if entry.operation == CREATE]
    made = {(lane_of(each), each["client_token"]): each["created_at"] for each in held}
    starts = [
        datetime.fromisoformat(made[key]).timestamp() - entry.at_s
        for entry in entries
        if entry.outcome == "accepted" and (key := (f"{entry.account}/{entry.region}", entry.token)) in made
    ]
    start_s = max(starts, default=0.0)  # of those that were logged soonest after they were made
    found = [
        Request(
            datetime.fromtimestamp(start_s + entry.at_s, UTC),
            f"{entry.account}/{entry.region}",
            entry.token,
            entry.outcome,
        )
        for entry in entries
    ]
    return [each for each in found if each.lane in lanes]


async def _make(url: str) -> None:
    ledger = await open_ledger(ledger_address(url), run_id="made-by-a-test", clock=SystemClock())
    await ledger.close()
