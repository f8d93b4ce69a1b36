"""The table of lanes in memory and in virtual time, behind what a connection of psycopg looks like.

It knows the statements of leases and fences, and keeps a log of what was written under them. There is one transaction
at a time. `failover` makes it what it was at an earlier moment, as a standby does that lagged behind.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from batch_upload.ledger.postgres import lease

LOG = "INSERT INTO log (write_id, lane_id, fence, holder) VALUES (%s, %s, %s, %s)"
"""What a controller writes: under the fence that it believes to hold."""


@dataclass(slots=True)
class LaneRow:
    """A row of the table."""

    fence: int = 0
    commit_no: int = 0
    holder: UUID | None = None
    run_id: str | None = None
    lease_until: float | None = None
    system_id: str | None = None
    timeline: str | None = None
    stretch: str | None = None


@dataclass(slots=True)
class State:
    """What is committed."""

    lanes: dict[int, LaneRow]
    log: list[tuple[int, int, int, UUID]] = field(default_factory=list)
    """`write_id`, lane, and the fence and holder of its writer, in the order of commits."""


class MemoryServer:
    """A server that `now_s` tells the time. Every connection is a `MemoryConnection`."""

    def __init__(self, lanes: Sequence[int], now_s: Callable[[], float]) -> None:
        self.state = State({lane_id: LaneRow() for lane_id in lanes})
        self.timeline = 1
        self.now_s = now_s
        self.connections: list[MemoryConnection] = []

    def connect(self) -> "MemoryConnection":
        made = MemoryConnection(self)
        self.connections.append(made)
        return made

    def failover(self, to: State) -> None:
        """Go on with an earlier state, on a new timeline. All connections are lost."""
        self.state = deepcopy(to)
        self.timeline += 1
        for each in self.connections:
            each.closed = True


class Rows:
    """What a statement returns."""

    def __init__(self, rows: Sequence[tuple[Any, ...]] = (), statusmessage: str = "") -> None:
        self._rows = list(rows)
        self.statusmessage = statusmessage

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


class MemoryConnection:
    """One connection. `cut`: what becomes of the next COMMIT: `before` it arrives, or `after` it, it is cut off."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._state: State | None = None
        self.closed = False
        self.cut: str | None = None

    def close(self) -> None:
        self.closed = True

    @contextmanager
    def pipeline(self) -> Iterator["MemoryConnection"]:
        """Answer each statement at once, as `sync` demands it."""
        if self.closed:
            raise psycopg.OperationalError("the connection is lost")
        yield self

    def sync(self) -> None:
        """Everything is carried out."""

    def execute(self, sql: bytes | str, parameters: Sequence[Any] = ()) -> Rows:
        if self.closed:
            raise psycopg.OperationalError("the connection is lost")
        text = sql.decode() if isinstance(sql, bytes) else sql
        if text.startswith("BEGIN"):
            self._state = deepcopy(self._server.state)
            return Rows()
        if text == "COMMIT":
            return self._commit()
        if text == "ROLLBACK":
            self._state = None
            return Rows()
        if text.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK TO", "SELECT set_config")):
            return Rows()
        if self._state is None:
            raise psycopg.OperationalError("no transaction")
        return Rows(self._carry_out(text, list(parameters), self._state))

    def _commit(self) -> Rows:
        cut, self.cut = self.cut, None
        if cut != "before" and self._state is not None:
            self._server.state = self._state
        self._state = None
        if cut is not None:
            self.closed = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return Rows(statusmessage="COMMIT")

    def _carry_out(self, sql: str, values: list[Any], state: State) -> list[tuple[Any, ...]]:  # noqa: C901
        now_s, lanes = self._server.now_s(), state.lanes
        match sql:
            case lease._TAKE:
                holder, run_id, _, _, ttl_s, lane_id, _ = values
                row = lanes[lane_id]
                if row.lease_until is not None and row.lease_until >= now_s and row.holder != holder:
                    return []
                row.fence, row.holder, row.run_id, row.lease_until = row.fence + 1, holder, run_id, now_s + ttl_s
                return [(row.fence, row.commit_no, row.system_id, row.timeline, row.stretch, f"lane/{lane_id}")]
            case lease._FENCE | lease._RENEW:
                ttl_s, *proofs = values
                found = []
                for lane_id, fence, holder in zip(*proofs, strict=True):
                    row = lanes[lane_id]
                    if (row.fence, row.holder) == (fence, holder):
                        row.lease_until = now_s + ttl_s
                        row.commit_no += sql == lease._FENCE
                        found.append((lane_id, row.commit_no) if sql == lease._FENCE else (lane_id,))
                return found
            case lease._DECIDE:
                return [
                    (each, lanes[each].fence, lanes[each].holder, lanes[each].commit_no) for each in sorted(values[0])
                ]
            case lease._GIVE_BACK:
                lane_id, fence, holder = values
                if (lanes[lane_id].fence, lanes[lane_id].holder) == (fence, holder):
                    lanes[lane_id].lease_until = None
            case lease._NOTE_SERVER:
                lanes[values[2]].system_id, lanes[values[2]].timeline = values[:2]
            case lease._FORGET_SERVER:
                for lane_id in values[0]:
                    lanes[lane_id].system_id = lanes[lane_id].timeline = None
            case lease._SERVER:
                return [("1", str(self._server.timeline))]
            case lease._STILL_HELD:
                given = zip(*values, strict=True)
                return [
                    (each,)
                    for each, fence, holder in given
                    if (lanes[each].fence, lanes[each].holder) == (fence, holder)
                ]
            case lease._FREE | lease._OTHER_ROLE:
                return []
            case lease._HOLDER:
                return [(f"lane/{values[0]}", None, None, None, None)]
            case _ if sql == LOG:
                state.log.append(tuple(values))
            case _:
                raise NotImplementedError(sql)
        return []
