"""Three controllers of two lanes, in any order of takes, writes, pauses and failures: one writes, and one sends.

The same code runs on a table in memory, whose server may fail over, and on a real server. Time is a number in both: on
the real server it passes by moving the leases back.
"""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import psycopg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batch_upload.errors import LaneLost, LedgerAway, LedgerFault, LedgerLocked
from batch_upload.ledger.driver import Database
from batch_upload.ledger.postgres.fenced import FencedDatabase
from batch_upload.ledger.postgres.lease import PostgresLeases
from batch_upload.ledger.postgres.schema import MIGRATIONS
from batch_upload.ledger.writer import Writer, _Done, _Failed, _Job
from tests.support.memory_server import LOG, MemoryServer, State
from tests.support.postgres import PostgresServer

LANES = (1, 2)
CONTROLLERS = 3

controllers = st.integers(0, CONTROLLERS - 1)
lanes = st.sampled_from(LANES)
cuts = st.sampled_from([None, None, None, "before", "after"])
pauses_s = st.sampled_from([1.0, 9.0, 10.0, 19.0, 20.5, 29.0, 30.5, 100.0])


class Cutting:
    """A connection of psycopg whose next COMMIT is cut off: before it arrives, or after it."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401
        self._raw = raw
        self.cut: str | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._raw, name)

    def execute(self, sql: bytes | str, parameters: Any = None) -> Any:  # noqa: ANN401
        if sql in (b"COMMIT", "COMMIT") and self.cut is not None:
            if self.cut == "after":
                self._raw.execute(sql)
            self.cut = None
            self._raw.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return self._raw.execute(sql, parameters)


class Controller:
    """A process that writes: the real leases, connection and groups, without the thread."""

    def __init__(self, name: str, connect: Callable[[], Any], now_s: Callable[[], float], writer: Writer) -> None:
        self.leases = PostgresLeases(run_id=name, shown="the ledger", now_s=now_s)
        self.db = FencedDatabase(connect(), connect, shown="the ledger", leases=self.leases, now_s=now_s)
        self._writer = writer

    @property
    def raw(self) -> Any:  # noqa: ANN401
        return self.db.raw

    def do(self, *jobs: tuple[int | None, Callable[[Database], object]]) -> list[object]:
        """Carry out jobs as one group. Return the result of each, or the error that it ended with."""
        group = [_Job(work, lane_id=lane_id, writes=True, answer=None) for lane_id, work in jobs]  # type: ignore[arg-type]
        answers = self._writer._commit(self.db, group)
        return [
            each.value if isinstance(each, _Done) else each.error
            for each in answers
            if isinstance(each, _Done | _Failed)
        ]


class Controllers(RuleBasedStateMachine):
    """On a table in memory. A subclass has a real one."""

    can_fail_over = True

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.runner = asyncio.Runner()
        self.groups = 0
        self.told_done: set[int] = set()
        self.told_lost: set[int] = set()
        self.lost_by_failover: set[int] = set()
        self.before: State | None = None
        self.open()
        self.all = [
            Controller(f"run-{number}", self.connect, lambda: self.now_s, self.runner.run(self.new_writer()))
            for number in range(CONTROLLERS)
        ]

    async def new_writer(self) -> Writer:
        return Writer(None, shown="the ledger", on_closed=lambda: None)  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.runner.close()

    # what differs on a real server

    def open(self) -> None:
        self.server = MemoryServer(LANES, lambda: self.now_s)

    def connect(self) -> Any:  # noqa: ANN401
        return self.server.connect()

    def rows(self) -> dict[int, tuple[int, int, object]]:
        """Return fence, `commit_no` and holder of each lane."""
        return {each: (row.fence, row.commit_no, row.holder) for each, row in self.server.state.lanes.items()}

    def log(self) -> list[tuple[Any, ...]]:
        return list(self.server.state.log)

    def pass_time(self, seconds: float) -> None:
        """The server's clock is the same number."""

    # rules

    @rule(number=controllers, lane_id=lanes, cut=cuts)
    def take(self, number: int, lane_id: int, cut: str | None) -> None:
        controller = self.all[number]
        controller.raw.cut = cut
        (end,) = controller.do((None, lambda db: controller.leases.take(db, lane_id)))
        assert isinstance(end, int | LedgerLocked), end

    @rule(number=controllers, some=st.lists(lanes, min_size=1, max_size=3), cut=cuts, fails=st.booleans())
    def write(self, number: int, some: list[int], cut: str | None, *, fails: bool) -> None:
        """Write to lanes in one group, of which one job may fail."""
        controller, held = self.all[number], self.all[number].leases._held
        controller.raw.cut = cut
        jobs: list[tuple[int | None, Callable[[Database], object]]] = []
        ids: list[int] = []
        self.groups += 1
        for index, lane_id in enumerate(some):
            ids.append(self.groups * 10 + index)
            proof = held.get(lane_id)
            values = [ids[-1], lane_id, proof.fence if proof else -1, proof.holder if proof else None]
            jobs.append((lane_id, lambda db, values=values: db.execute(LOG, values) and None))  # type: ignore[misc]
        if fails:
            jobs.insert(0, (some[0], self.fail))
        ends = controller.do(*jobs)[1:] if fails else controller.do(*jobs)
        for write_id, end in zip(ids, ends, strict=True):
            assert end is None or isinstance(end, LaneLost | LedgerAway), end
            (self.told_done if end is None else self.told_lost).add(write_id)

    def fail(self, _db: Database) -> object:
        raise KeyError("a job of its own fault")

    @rule(number=controllers)
    def renew(self, number: int) -> None:
        controller = self.all[number]
        if controller.leases.renewal_due_s() is not None:
            controller._writer._renew(controller.db)

    @rule(number=controllers, lane_id=lanes)
    def give_back(self, number: int, lane_id: int) -> None:
        controller = self.all[number]
        controller.do((None, lambda db: controller.leases.give_back(db, lane_id)))

    @rule(number=controllers)
    def lose_connection(self, number: int) -> None:
        self.all[number].raw.close()

    @rule(seconds=pauses_s)
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.pass_time(seconds)

    @rule(number=controllers, lane_id=lanes, seconds=st.sampled_from([19.5, 20.5, 30.5]))
    def take_over(self, number: int, lane_id: int, seconds: float) -> None:
        """All others are stopped, and one that waits for a lane takes it if it may."""
        self.wait(seconds=seconds)
        self.take(number=number, lane_id=lane_id, cut=None)

    @precondition(lambda self: self.can_fail_over)
    @rule()
    def lag(self) -> None:
        """A standby has what is committed by now, and gets nothing more."""
        self.before = deepcopy(self.server.state)

    @precondition(lambda self: self.before is not None)
    @rule()
    def fail_over(self) -> None:
        lost = {row[0] for row in self.server.state.log} - {row[0] for row in (self.before or self.server.state).log}
        self.lost_by_failover |= lost
        self.server.failover(self.before or self.server.state)
        self.before = None
        self.has_failed_over = True

    has_failed_over = False

    # what always holds

    @invariant()
    def who_may_send_is_the_lanes_holder(self) -> None:
        if self.has_failed_over:
            return  # a server that lost a take-over may give the lane to a second one: no fence covers that
        rows = self.rows()
        for lane_id in LANES:
            for controller in self.all:
                held = controller.leases._held.get(lane_id)
                try:
                    may_send = self.now_s < controller.leases.may_send_until(lane_id)
                except LedgerFault:
                    may_send = False
                if may_send:
                    assert held is not None
                    assert (held.fence, held.holder) == (rows[lane_id][0], rows[lane_id][2])

    @invariant()
    def nothing_was_written_under_an_old_fence(self) -> None:
        rows, log = self.rows(), self.log()
        for lane_id in LANES:
            written = [(fence, holder) for _, of_lane, fence, holder in log if of_lane == lane_id]
            assert [fence for fence, _ in written] == sorted(fence for fence, _ in written)
            assert len({fence for fence, _ in written}) == len(set(written)), "two holders wrote under one fence"
            assert all(fence <= rows[lane_id][0] for fence, _ in written)

    @invariant()
    def what_was_told_is_so(self) -> None:
        written = [row[0] for row in self.log()]
        assert len(written) == len(set(written)), "written twice"
        assert self.told_done - self.lost_by_failover <= set(written)
        assert not self.told_lost & set(written)

    @invariant()
    def groups_are_counted(self) -> None:
        if self.has_failed_over:
            return  # a lane that was set back is counted once more before it is refused
        rows, log = self.rows(), self.log()
        for lane_id in LANES:
            assert rows[lane_id][1] == len({write_id // 10 for write_id, of_lane, *_ in log if of_lane == lane_id})


class OnPostgres(Controllers):
    """The same on a real server: a database with the real table of lanes."""

    can_fail_over = False
    url: str

    def open(self) -> None:
        self.opened: list[Any] = []
        self.other = psycopg.connect(self.url, autocommit=True)
        self.other.execute("TRUNCATE log")
        self.other.execute("UPDATE lane SET fence = 0, commit_no = 0, holder = NULL, lease_until = NULL")

    def connect(self) -> Any:  # noqa: ANN401
        self.opened.append(Cutting(psycopg.connect(self.url, autocommit=True, prepare_threshold=None)))
        return self.opened[-1]

    def teardown(self) -> None:
        for each in (*self.opened, self.other):
            each.close()
        super().teardown()

    def rows(self) -> dict[int, tuple[int, int, object]]:
        found = self.other.execute("SELECT lane_id, fence, commit_no, holder FROM lane").fetchall()
        return {row[0]: (row[1], row[2], row[3]) for row in found}

    def log(self) -> list[tuple[Any, ...]]:
        return self.other.execute("SELECT write_id, lane_id, fence, holder FROM log ORDER BY log_no").fetchall()

    def pass_time(self, seconds: float) -> None:
        self.other.execute("UPDATE lane SET lease_until = lease_until - make_interval(secs => %s)", [seconds])


def test_in_any_order_of_takes_pauses_and_failures_one_writes_and_one_sends() -> None:
    run_state_machine_as_test(Controllers, settings=settings(max_examples=150, stateful_step_count=40))


def test_the_same_sequences_on_a_real_server(postgres: PostgresServer) -> None:
    class Machine(OnPostgres):
        pass

    Machine.url = postgres.new_database("controllers")
    for statement in MIGRATIONS[0]:
        postgres.execute(statement, "controllers")
    postgres.execute(
        "INSERT INTO lane (lane_id, account, region, endpoint, pinned_at) SELECT n, '12345678901' || n, 'r', 'e', "
        "'2026-11-23T09:00:00.000000Z' FROM generate_series(1, 2) AS n",
        "controllers",
    )
    postgres.execute(
        "CREATE TABLE log (log_no bigserial, write_id bigint, lane_id bigint, fence bigint, holder uuid)", "controllers"
    )
    run_state_machine_as_test(Machine, settings=settings(max_examples=20, stateful_step_count=25))
    postgres.drop_database("controllers")
