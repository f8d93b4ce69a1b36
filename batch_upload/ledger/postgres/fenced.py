"""The connection that writes: each transaction under the fence of its lanes, and what is done if it is lost."""

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from threading import Event

import psycopg

from batch_upload.errors import LedgerAway
from batch_upload.ledger.driver import LostLanes, Recovered
from batch_upload.ledger.postgres.connection import BEGIN_WRITING, PostgresDatabase, Raw, open_for_writing
from batch_upload.ledger.postgres.faults import PASSING, STANDBY, UNKNOWN, database_fault_of, first_line
from batch_upload.ledger.postgres.lease import PostgresLeases
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger_address import PostgresUrl

RECONNECT_S = 60.0
"""How long a run waits for a database that stopped answering. A failover takes 35 s (RDS Multi-AZ clusters, Aurora) to
120 s; nothing is sent meanwhile, and after that the same command goes on where this one ended."""
ENDING_S = 10.0
"""How long it waits once the run is being ended, as for everything else then."""
PAUSE_S = (0.05, 2.0)
"""The first pause between two tries to connect, and the longest. Each is drawn from half of it to all of it."""


class FencedDatabase(PostgresDatabase):
    """A connection that writes under the leases of lanes, and is made anew when it is lost.

    `reconnect_s` and `ending_s` are RECONNECT_S and ENDING_S. `now_s` counts seconds, time asleep included.
    """

    def __init__(
        self,
        raw: Raw,
        connect: Callable[[], Raw],
        *,
        shown: str,
        leases: PostgresLeases,
        now_s: Callable[[], float],
        reconnect_s: float = RECONNECT_S,
        ending_s: float = ENDING_S,
    ) -> None:
        super().__init__(raw, connect, shown=shown, begin=BEGIN_WRITING, is_pipelined=True)
        self._leases = leases
        self._now_s = now_s
        self._reconnect_s = reconnect_s
        self._ending_s = ending_s
        self._failing_since: float | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._leases.begin()
        with super().transaction():
            yield
        self._leases.committed()
        self._failing_since = None

    def fence(self, lanes: Collection[int]) -> LostLanes:
        return self._leases.fence(self, lanes)

    def lost_lanes(self) -> LostLanes:
        return self._leases.lost()

    def renewal_due_s(self) -> float | None:
        return self._leases.renewal_due_s()

    def renew(self) -> None:
        with super().transaction():
            self._leases.renew(self)
        self._leases.renewed()
        self._failing_since = None

    def recover(self, error: Exception, *, is_ending: Event) -> Recovered:
        in_doubt, pause_s = self.is_committing, PAUSE_S[0]
        if self._failing_since is None:
            self._failing_since = self._now_s()
        elif is_passing(error):  # the last recovery was not enough: the server answers, and refuses again and again
            self._give_up_in_time(error, "has not carried out a write", is_ending)
            self._pause(pause_s, is_ending)
        while is_passing(error):
            try:
                with super().transaction():
                    self._leases.free(self)  # it may have waited for a row of a process that was stopped
                    was_committed = in_doubt and self._leases.decide(self)
            except self.FAILURES as again:
                error = again
            else:
                if was_committed:
                    self._leases.committed()
                    self._failing_since = None
                return Recovered(was_committed=was_committed)
            self.raw.close()  # what is a standby by now may still answer
            self._give_up_in_time(error, "has not answered", is_ending)
            self._pause(pause_s, is_ending)
            pause_s = min(2 * pause_s, PAUSE_S[1])
        raise self.unusable(error)

    def _give_up_in_time(self, error: Exception, what: str, is_ending: Event) -> None:
        """Raise LedgerAway if nothing was committed for as long as a run waits. `what` the database has not done."""
        waits_s = self._ending_s if is_ending.is_set() else self._reconnect_s
        if self._failing_since is not None and self._now_s() - self._failing_since >= waits_s:
            raise LedgerAway(
                f"the database of `{self._shown}` {what} for {waits_s:.0f} s: {first_line(error)}",
                hint="check that its server is up and not held up by a lock, then run the same command again",
            ) from error

    def _pause(self, seconds: float, is_ending: Event) -> None:
        pause_s = random.uniform(seconds / 2, seconds)  # noqa: S311 - jitter, not a secret
        if is_ending.is_set():
            Event().wait(pause_s)
        else:
            is_ending.wait(pause_s)


def is_passing(error: Exception) -> bool:
    """Return whether an error of the connection or the server passes by itself: also that of a server that has become
    a standby, since its name may mean the next primary soon."""
    fault = database_fault_of(error)
    is_of_way = fault is UNKNOWN and getattr(error, "sqlstate", None) is None
    return fault in PASSING or fault.name == STANDBY or (is_of_way and isinstance(error, psycopg.OperationalError))


def open_fenced(
    url: PostgresUrl,
    *,
    at: datetime,
    leases: PostgresLeases,
    now_s: Callable[[], float],
    reconnect_s: float = RECONNECT_S,
    ending_s: float = ENDING_S,
) -> AbstractContextManager[PostgresDatabase]:
    """Return `open_for_writing` of a database that is written under these leases. Raises as `parameters_of`."""

    def make(raw: Raw, connect: Callable[[], Raw]) -> FencedDatabase:
        return FencedDatabase(
            raw,
            connect,
            shown=str(url),
            leases=leases,
            now_s=now_s,
            reconnect_s=reconnect_s,
            ending_s=ending_s,
        )

    return open_for_writing(parameters_of(url), at=at, make=make)
