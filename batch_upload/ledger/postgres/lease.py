"""The lease of each lane: who may write to it, until when, and the fence that refuses everybody else.

The server's clock alone decides whether a lease has lapsed. If no other process has taken the lane then, its holder
goes on: its next write finds the lane's row as it left it, and renews the lease. Nothing here belongs to a session, so
that a pooler may carry out each transaction on another connection (docs/decisions/fleet-lease.md).
"""

import json
import os
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg

from batch_upload.errors import LaneLost, LedgerAway, LedgerFault, LedgerLocked
from batch_upload.ledger.driver import Database, LostLanes
from batch_upload.ledger.tables import utc_text
from batch_upload.moments import Moment, Stretch

TTL_S = 30.0
"""How long a lane stays its holder's without a sign of life: so long other hosts wait for a lane whose host died."""
RENEW_S = 10.0
"""Pause between two renewals where nothing is written: two may fail before the lease lapses."""
RENEW_TRIES = 5
"""Tries within RENEW_S to renew the lease of a lane whose row is locked."""
MARGIN_S = 10.0
"""Nothing is sent in the last part of a lease, so that a request arrives before another holder's first."""

_TAKE = """
UPDATE lane SET fence = fence + 1, holder = %s, run_id = %s, host = %s, pid = %s, since = clock_timestamp(),
       lease_until = clock_timestamp() + make_interval(secs => %s)
 WHERE lane_id = (SELECT lane_id FROM lane WHERE lane_id = %s
                     AND (lease_until IS NULL OR lease_until < clock_timestamp() OR holder = %s)
                     FOR UPDATE SKIP LOCKED)
RETURNING fence, commit_no, system_id, timeline, stretch, account || '/' || region
"""
"""A row that is locked has a holder at work. `holder = …` repeats a take that may have been done already."""
_FREE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
   AND split_part(application_name, '/', 1) = split_part(current_setting('application_name'), '/', 1)
   AND backend_xid IS NOT NULL AND wait_event = 'ClientRead'
   AND query_start < clock_timestamp() - make_interval(secs => %s)
"""
"""End the transactions of this program that have written, and whose client has been silent for so long. A host that was
stopped or lost in the middle of a pipeline is ended by no time-out of the server's. Transactions of another role are
for a person to end, who has the rights to (`_OTHER_ROLE`)."""
_OTHER_ROLE = """
SELECT usename, pid FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE relation = 'lane'::regclass AND granted AND usename <> current_user
   AND mode IN ('RowShareLock', 'RowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   AND EXISTS (SELECT FROM lane WHERE lane_id = %s AND (lease_until IS NULL OR lease_until < clock_timestamp()))
 ORDER BY pid LIMIT 1
"""
"""A process of another role that probably has locked the row of a lane whose lease has lapsed."""
_HOLDER = "SELECT account || '/' || region, run_id, host, pid, since FROM lane WHERE lane_id = %s"
_FENCE = """
UPDATE lane SET commit_no = commit_no + 1, lease_until = clock_timestamp() + make_interval(secs => %s)
  FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS h (lane_id, fence, holder)
 WHERE lane.lane_id = h.lane_id AND lane.fence = h.fence AND lane.holder = h.holder
RETURNING lane.lane_id, commit_no
"""
_RENEW = """
UPDATE lane SET lease_until = clock_timestamp() + make_interval(secs => %s)
 WHERE lane_id IN (SELECT lane.lane_id FROM lane
                     JOIN unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS h (lane_id, fence, holder)
                       ON lane.lane_id = h.lane_id AND lane.fence = h.fence AND lane.holder = h.holder
                      FOR UPDATE OF lane SKIP LOCKED)
RETURNING lane_id
"""
"""Rows that another transaction has locked are skipped, so that they do not delay the renewal of the other lanes."""
_STILL_HELD = """
SELECT lane.lane_id FROM lane JOIN unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS h (lane_id, fence, holder)
    ON lane.lane_id = h.lane_id AND lane.fence = h.fence AND lane.holder = h.holder
"""
_DECIDE = "SELECT lane_id, fence, holder, commit_no FROM lane WHERE lane_id = ANY(%s::bigint[]) ORDER BY 1 FOR UPDATE"
"""The lock waits for a transaction of a connection that was lost, which then is either committed or not."""
_GIVE_BACK = "UPDATE lane SET lease_until = NULL WHERE lane_id = %s AND fence = %s AND holder = %s"
_NOTE_RUN = "UPDATE lane SET run_id = %s WHERE lane_id = %s"
_NOTE_SERVER = "UPDATE lane SET system_id = %s, timeline = %s WHERE lane_id = %s"
_NOTE_STRETCH = "UPDATE lane SET stretch = %s WHERE lane_id = %s"
_FORGET_SERVER = "UPDATE lane SET system_id = NULL, timeline = NULL WHERE lane_id = ANY(%s::bigint[])"
_SERVER = "SELECT system_identifier::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()"
"""The first eight digits of a file of the log are its timeline, another one after each promotion. That of
`pg_control_checkpoint` is the old one until the next checkpoint."""

Server = tuple[str, str]
UNKNOWN_SERVER: Server = ("", "")
"""Of a server that does not say which it is."""


@dataclass(frozen=True, slots=True)
class HeldLane:
    """A lane that this process holds. `commit_no` is of the last transaction that is known to be committed."""

    name: str
    fence: int
    holder: UUID
    commit_no: int
    renewed_s: float
    """When the last renewal that was answered was sent, in counting seconds."""
    noted: Server | None
    """The server that its last holder noted, None if none did."""
    server: Server
    """The server that it was taken from."""
    stretch: Stretch | None = None


@dataclass(slots=True)
class Changes:
    """What becomes true of the leases if the transaction is committed."""

    began_s: float
    taken: dict[int, HeldLane] = field(default_factory=dict)
    fenced: dict[int, int] = field(default_factory=dict)
    """Of the lanes that are written to, the `commit_no` that the transaction gives them."""
    given_back: set[int] = field(default_factory=set)
    stretches: dict[int, Stretch] = field(default_factory=dict)


class PostgresLeases:
    """`leases.Leases` by rows of the table `lane`.

    `now_s` counts seconds, time asleep included. `ttl_s` is the duration of a lease, from which the pause between
    renewals and the margin follow.
    """

    of_each_lane = True

    def __init__(self, *, run_id: str, shown: str, now_s: Callable[[], float], ttl_s: float = TTL_S) -> None:
        self._run_id = run_id
        self._shown = shown
        self._now_s = now_s
        self._ttl_s = ttl_s
        self._renew_s = RENEW_S * ttl_s / TTL_S
        self._margin_s = MARGIN_S * ttl_s / TTL_S
        self._held: dict[int, HeldLane] = {}
        self._wanted: dict[int, UUID] = {}
        """The holder by which a take is tried, until it is known to be done."""
        self._lost: dict[int, Callable[[], LedgerFault]] = {}
        self._changes = Changes(0.0)
        self._renewed: dict[int, float] = {}
        self._retry_s: dict[int, float] = {}
        """When the renewal of a lane whose row was locked is tried again, in counting seconds."""
        self._tells_server = True

    # what the ledger does with a lane (`leases.Leases`)

    def take(self, db: Database, lane_id: int) -> int | None:
        held = self._held.get(lane_id)
        keeps = held is not None and lane_id not in self._lost
        holder = held.holder if held is not None and keeps else self._wanted.setdefault(lane_id, uuid4())
        sent_s = self._now_s()
        who = [holder, self._run_id, socket.gethostname(), os.getpid()]
        rows = db.execute(_TAKE, [*who, self._ttl_s, lane_id, holder]).fetchall()
        if not rows:
            self.free(db)
            raise self._locked(db, lane_id)
        fence, commit_no, system_id, timeline, stretch, name = rows[0]
        self._changes.given_back.discard(lane_id)
        self._changes.taken[lane_id] = HeldLane(
            name=name,
            fence=fence,
            holder=holder,
            commit_no=commit_no,
            renewed_s=sent_s,
            noted=None if system_id is None else (system_id, timeline),
            server=self._server(db),
            stretch=stretch_of(stretch),
        )
        return int(fence)

    def give_back(self, db: Database, lane_id: int) -> None:
        held = self._changes.taken.pop(lane_id, None) or self._held.get(lane_id)
        self._changes.stretches.pop(lane_id, None)
        if held is not None:
            db.execute(_GIVE_BACK, [lane_id, held.fence, held.holder])
        self._changes.given_back.add(lane_id)

    def stretch(self, lane_id: int | None) -> Stretch | None:
        held = self._changes.taken.get(lane_id or 0) or self._held.get(lane_id or 0)
        return None if held is None else held.stretch

    def is_as_left(self, lane_id: int, last_run_id: str | None) -> bool | None:
        held = self._changes.taken[lane_id]
        return None if held.noted is None else held.noted == held.server

    def note_run(self, db: Database, lane_id: int, run_id: str, *, is_trusted: bool) -> None:
        db.execute(_NOTE_RUN, [run_id, lane_id])
        if is_trusted:
            db.execute(_NOTE_SERVER, [*self._server(db), lane_id])

    def sync(self) -> None:
        """All notes are in the lane's row, and durable with their transaction."""

    def note_stretch(self, db: Database, lane_id: int | None, stretch: Stretch) -> None:
        if lane_id is None:
            return
        db.execute(_NOTE_STRETCH, [stretch_text(stretch), lane_id])
        self._changes.stretches[lane_id] = stretch

    def may_send_until(self, lane_id: int) -> float:
        if (lost := self._lost.get(lane_id)) is not None:
            raise lost()
        held = self._held.get(lane_id)
        return float("-inf") if held is None else held.renewed_s + self._ttl_s - self._margin_s

    # what a transaction does with all lanes (`fenced.FencedDatabase`)

    def begin(self) -> None:
        """Begin a transaction; what the last one would have changed is forgotten."""
        self._changes = Changes(self._now_s())

    def committed(self) -> None:
        """Take over what the transaction changed: it was committed."""
        changes, self._changes = self._changes, Changes(self._now_s())
        for lane_id, held in changes.taken.items():
            self._held[lane_id] = held
            self._wanted.pop(lane_id, None)
            self._lost.pop(lane_id, None)
        for lane_id, commit_no in changes.fenced.items():
            self._held[lane_id] = replace(self._held[lane_id], commit_no=commit_no, renewed_s=changes.began_s)
        for lane_id, stretch in changes.stretches.items():
            self._held[lane_id] = replace(self._held[lane_id], stretch=stretch)
        for lane_id in changes.given_back:
            self._held.pop(lane_id, None)
            self._lost.pop(lane_id, None)

    def fence(self, db: Database, lanes: Collection[int]) -> LostLanes:
        """Increment the `commit_no` of lanes under their fence, and renew them. Return those that are lost."""
        still = [lane_id for lane_id in lanes if lane_id in self._held and lane_id not in self._lost]
        found = dict(db.execute(_FENCE, [self._ttl_s, *self._proofs(still)]).fetchall()) if still else {}
        self._lose(db, [lane_id for lane_id in still if lane_id not in found])
        set_back = [lane_id for lane_id, commit_no in found.items() if commit_no != self._held[lane_id].commit_no + 1]
        if set_back:  # by a failover that the connection did not notice, as behind a pooler
            db.execute(_FORGET_SERVER, [set_back])
            self._set_back(set_back)
        self._changes.fenced.update({each: number for each, number in found.items() if each not in set_back})
        return {
            each: self._lost.get(each) or self._not_held(each) for each in lanes if each not in self._changes.fenced
        }

    def renew(self, db: Database) -> None:
        """Renew the lease of every lane that is held. Lanes that another process has taken are lost from now on.

        A lane whose row is locked is tried again soon. Until then its lease may lapse, and with it the right to send.
        """
        still, sent_s = [*self._held.keys() - self._lost.keys()], self._now_s()
        found = {lane_id for (lane_id,) in db.execute(_RENEW, [self._ttl_s, *self._proofs(still)]).fetchall()}
        if left := [lane_id for lane_id in still if lane_id not in found]:
            held = {lane_id for (lane_id,) in db.execute(_STILL_HELD, self._proofs(left)).fetchall()}
            self._lose(db, [lane_id for lane_id in left if lane_id not in held])
            if held:
                self.free(db)
            self._retry_s = dict.fromkeys(held, sent_s + self._renew_s / RENEW_TRIES)
        self._renewed = {lane_id: sent_s for lane_id in found}

    def renewed(self) -> None:
        """Take over what `renew` did: it was committed."""
        for lane_id, sent_s in self._renewed.items():
            self._held[lane_id] = replace(self._held[lane_id], renewed_s=sent_s)

    def renewal_due_s(self) -> float | None:
        """Return after how many seconds the next renewal is due; None if nothing is held."""
        due_s = [
            max(held.renewed_s + self._renew_s, self._retry_s.get(lane_id, 0.0))
            for lane_id, held in self._held.items()
            if lane_id not in self._lost
        ]
        return min(due_s) - self._now_s() if due_s else None

    def lost(self) -> LostLanes:
        """Return the lanes that were taken over, or set back."""
        return self._lost

    def decide(self, db: Database) -> bool:
        """Return whether the transaction whose COMMIT was not answered was committed.

        Lanes that were taken over or set back meanwhile are lost from now on. Without a lane nothing tells; then it is
        False, since everything that is done without one may be done again.
        """
        before = {lane_id: self._held[lane_id] for lane_id in self._changes.fenced}
        rows = db.execute(_DECIDE, [[*before]]).fetchall() if before else []
        numbers = {
            lane_id: commit_no
            for lane_id, fence, holder, commit_no in rows
            if (fence, holder) == (before[lane_id].fence, before[lane_id].holder)
        }
        self._lose(db, [lane_id for lane_id in before if lane_id not in numbers])
        set_back = [lane_id for lane_id, number in numbers.items() if number < before[lane_id].commit_no]
        if set_back:
            db.execute(_FORGET_SERVER, [set_back])
            self._set_back(set_back)
        return any(number > before[lane_id].commit_no for lane_id, number in numbers.items())

    def free(self, db: Database) -> None:
        """Let go on what waits for a row, if a transaction has it whose client has been silent for half a lease."""
        db.execute(_FREE, [self._ttl_s / 2]).fetchall()

    def _proofs(self, lanes: Collection[int]) -> tuple[list[int], list[int], list[UUID]]:
        held = [self._held[lane_id] for lane_id in lanes]
        return [*lanes], [each.fence for each in held], [each.holder for each in held]

    def _server(self, db: Database) -> Server:
        """Return which server this is, and the timeline that it writes; UNKNOWN_SERVER if it does not say."""
        if not self._tells_server:
            return UNKNOWN_SERVER
        try:
            with db.savepoint():
                system_id, timeline = db.execute(_SERVER).fetchall()[0]
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            self._tells_server = False
            return UNKNOWN_SERVER
        return system_id, timeline

    def _locked(self, db: Database, lane_id: int) -> LedgerLocked:
        name, who, values = self._holder(db, lane_id)
        message = f"another run holds lane {name} of `{self._shown}`{who}"
        hint = "wait for it to end, or let this one wait with `--wait-lock 30m`"
        for role, pid in db.execute(_OTHER_ROLE, [lane_id]).fetchall():
            hint = (
                f"its lease has lapsed, but a transaction of role `{role}` holds a lock; if its process is gone, end "
                f"it with `SELECT pg_terminate_backend({pid})` as that role or a superuser"
            )
        return LedgerLocked(message, **values, hint=hint)

    def _lose(self, db: Database, lanes: Collection[int]) -> None:
        for lane_id in lanes:
            name, who, values = self._holder(db, lane_id)
            message = f"another run has taken over lane {name} of `{self._shown}`{who}"
            hint = "it goes on with the lane; this run could not renew its lease in time"
            self._lost[lane_id] = partial(LaneLost, message, **values, hint=hint)

    def _holder(self, db: Database, lane_id: int) -> tuple[str, str, Mapping[str, Any]]:
        """Return the name of a lane, and who holds it: as words, and as fields of `LedgerLocked`."""
        rows = db.execute(_HOLDER, [lane_id]).fetchall()
        name, run_id, host, pid, since = rows[0] if rows else (str(lane_id), None, None, None, None)
        words = ""
        if run_id is not None and since is not None:
            at = since.astimezone(UTC)
            words = f": run {run_id}, process {pid} on {host} since {at:%Y-%m-%d %H:%M:%SZ}"
        return name, words, {"pid": pid, "host": host, "since": since}

    def _set_back(self, lanes: Collection[int]) -> None:
        for lane_id in lanes:
            message = (
                f"`{self._shown}` has lost what was committed to lane {self._held[lane_id].name}: "
                "its server was replaced by one that lagged behind"
            )
            hint = "run the same command again: it looks at the lane before it creates anything"
            self._lost[lane_id] = partial(LedgerAway, message, hint=hint)

    def _not_held(self, lane_id: int) -> Callable[[], LedgerFault]:
        message = f"lane {lane_id} of `{self._shown}` is not this run's any more"
        return partial(LaneLost, message, pid=None, host=None, since=None)


def stretch_text(stretch: Stretch) -> str:
    """Return a stretch as it is noted: JSON."""
    latest = stretch.latest_before
    return json.dumps(
        {
            "machine": stretch.machine,
            "began": utc_text(stretch.began.wall),
            "began_counting_s": stretch.began.counting_s,
            "latest_before": None if latest is None else utc_text(latest),
        }
    )


def stretch_of(text: str | None) -> Stretch | None:
    """Return the stretch that was noted; None if none was."""
    if text is None:
        return None
    noted = json.loads(text)
    latest = noted["latest_before"]
    return Stretch(
        noted["machine"],
        Moment(datetime.fromisoformat(noted["began"]), noted["began_counting_s"]),
        None if latest is None else datetime.fromisoformat(latest),
    )
