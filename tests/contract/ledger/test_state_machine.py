"""Any sequence of calls, in any of three lanes, leaves every lane where a small model of the contract is."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.ledger import find_reader, open_ledger
from batch_upload.model import AttachmentStatus, Fault, Known, Lane, Outcome, OutcomeKind, State
from batch_upload.ports import Attempt, BindAttempt, LedgerWriter
from batch_upload.registration import Bind, BindState
from tests.support.ledger_model import Model
from tests.support.ledgers import Ledgers
from tests.unit.ledger.samples import BATCH, LANE, T0, ManualClock, accepted, after, attachment, item, rows

LANES = {
    "acme/us-east-1": LANE,
    "acme/eu-west-1": Lane("123456789012", "eu-west-1"),
    "beta/us-east-1": Lane("999999999999", "us-east-1"),
}
TOKENS = ("bu1-a-1", "bu1-a-2", "bu1-b-1")
NO = Fault("No", "no")
CERTAIN = {OutcomeKind.REFUSED: State.FAILED, OutcomeKind.NO_CAPACITY: State.PARKED}
BINDS = (Bind("registration-1", "a.b"), Bind("registration-2", "a.b"))

COUNTED = """
SELECT item_no, attempts, request_id, first_sent_at,
  (SELECT count(*) FROM attempt LEFT JOIN outcome USING (attempt_id)
    WHERE attempt.item_no = item.item_no AND coalesce(kind, '') <> 'withdrawn'),
  (SELECT outcome.request_id FROM attempt JOIN outcome USING (attempt_id)
    WHERE attempt.item_no = item.item_no AND outcome.request_id IS NOT NULL ORDER BY number DESC LIMIT 1),
  (SELECT min(started_at) FROM attempt LEFT JOIN outcome USING (attempt_id)
    WHERE attempt.item_no = item.item_no AND coalesce(kind, '') <> 'withdrawn')
FROM item ORDER BY item_no
"""

tokens = st.sampled_from(TOKENS)
attachment_ids = st.sampled_from(["att-1", "att-2", "att-3"])
statuses = st.sampled_from(AttachmentStatus)
binds = st.sampled_from([None, *BINDS])


@dataclass(frozen=True)
class Open:
    """An attempt that has not ended, and what was before it."""

    attempt: Attempt
    unknown_before: datetime | None
    last_open_before: datetime | None


@dataclass
class OfLane:
    """What a lane has, and the writer of the run that is under way."""

    writer: LedgerWriter
    items: dict[str, Model] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)
    binding: dict[str, BindAttempt] = field(default_factory=dict)


async def _known_and_owners(writer: LedgerWriter) -> tuple[Sequence[Known], Mapping[str, str | None]]:
    return await asyncio.gather(writer.known(BATCH), writer.attachment_tokens())


class LedgerMachine(RuleBasedStateMachine):
    """Works in the lane that `turn` chose last."""

    def __init__(self, ledgers: Ledgers) -> None:
        super().__init__()
        self.lent = ExitStack()
        self.address = self.lent.enter_context(ledgers.one())
        self.runner = asyncio.Runner()
        self.seconds = 0
        self.runs = 0
        self.lanes: dict[str, OfLane] = {}
        self.label = next(iter(LANES))
        self.open_ledger()
        reader = find_reader(self.address)
        assert reader is not None
        self.reader = reader

    @property
    def ledger(self) -> LedgerWriter:
        return self.lanes[self.label].writer

    @property
    def items(self) -> dict[str, Model]:
        return self.lanes[self.label].items

    @property
    def current(self) -> dict[str, str]:
        return self.lanes[self.label].current

    @property
    def owners(self) -> dict[str, str]:
        return self.lanes[self.label].owners

    @property
    def open(self) -> dict[str, Open]:
        return self.lanes[self.label].open

    def teardown(self) -> None:
        self.runner.run(self.opened.close())
        self.reader.close()
        self.runner.close()
        self.lent.close()

    def open_ledger(self) -> None:
        self.runs += 1
        self.run_id = f"run-{self.runs}"
        self.opened = self.runner.run(open_ledger(self.address, run_id=self.run_id, clock=ManualClock()))
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        """A run begins in every lane at the same time."""
        await asyncio.gather(*(self._begin_on(label) for label in LANES))

    async def _begin_on(self, label: str) -> None:
        writer = await self.opened.writer(label)
        memory = await writer.pin(LANES[label], endpoint="e", at=T0)
        # a database does not note yet which run was its last: there every run lists its lane
        assert memory.continuous == (self.runs > 1)
        await writer.begin_run(self.run_id, verb="upload", batch=BATCH, at=T0)
        await writer.listed(at=T0)
        self.lanes.setdefault(label, OfLane(writer)).writer = writer

    def told(self, known: Known | None) -> None:
        """What a change gives is what the ledger tells of the item from then on."""
        assert known in self.runner.run(self.ledger.known(BATCH))

    def now(self) -> datetime:
        self.seconds += 1
        return after(self.seconds)

    @initialize()
    def first(self) -> None:
        for self.label in LANES:
            self.enlist(1)

    @rule(label=st.sampled_from(sorted(LANES)))
    def turn(self, label: str) -> None:
        """What follows happens in another lane."""
        self.label = label

    @rule(token=tokens)
    def intend_at_once(self, token: str) -> None:
        """Every lane that may sends this token at the same time."""
        able = [
            lane
            for lane in self.lanes.values()
            if token in lane.items and token not in lane.open and not lane.items[token].is_live
        ]
        at = self.now()

        async def intend() -> list[Attempt]:
            return await asyncio.gather(*(lane.writer.intend(token, run_id=self.run_id, at=at) for lane in able))

        for lane, attempt in zip(able, self.runner.run(intend()), strict=True):
            model = lane.items[token]
            lane.open[token] = Open(attempt, model.unknown_since, model.last_open_at)
            lane.items[token] = model.sent(at)

    @rule(generation=st.sampled_from([1, 2]), of_a=binds, of_b=binds)
    def enlist(self, generation: int, of_a: Bind | None = None, of_b: Bind | None = None) -> None:
        wanted = [item("a", generation=generation)._replace(bind=of_a), item("b")._replace(bind=of_b)]
        self.runner.run(self.ledger.enlist(wanted, at=self.now()))
        for one in wanted:
            self.items[one.client_token] = self.items.get(one.client_token, Model()).wanted_in(one.bind)
            self.current[one.item_id] = one.client_token

    @rule()
    def reopen(self) -> None:
        """A run ends, or dies: attempts that are open stay so."""
        self.runner.run(self.opened.close())
        for lane in self.lanes.values():
            lane.open.clear()
            lane.binding.clear()
        self.open_ledger()

    @rule(token=tokens)
    def intend(self, token: str) -> None:
        if token not in self.items or token in self.open:
            return
        model, at = self.items[token], self.now()
        if model.is_live:
            self._raises(BatchUploadError, token, at)
            return
        attempt = self.runner.run(self.ledger.intend(token, run_id=self.run_id, at=at))
        self.open[token] = Open(attempt, model.unknown_since, model.last_open_at)
        self.items[token] = model.sent(at)

    def _raises(self, kind: type[Exception], token: str, at: datetime) -> None:
        try:
            self.runner.run(self.ledger.intend(token, run_id=self.run_id, at=at))
        except kind:
            return
        raise AssertionError("it was sent again")

    @precondition(lambda self: self.open)
    @rule(kind=st.sampled_from([kind for kind in OutcomeKind if kind is not OutcomeKind.ACCEPTED]), data=st.data())
    def conclude(self, kind: OutcomeKind, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.open)))
        was, model = self.open.pop(token), self.items[token]
        self.told(self.runner.run(self.ledger.conclude(was.attempt, Outcome(kind, self.now(), fault=NO))))
        if kind is OutcomeKind.WITHDRAWN:
            model = replace(model, attempts=model.attempts - 1)
        if kind is not OutcomeKind.UNKNOWN and model.state is State.SENDING:
            state = State.SENDING if was.unknown_before else CERTAIN.get(kind, State.PENDING)
            model = replace(model, state=state, unknown_since=was.unknown_before, last_open_at=was.last_open_before)
        self.items[token] = model

    @precondition(lambda self: self.open)
    @rule(attachment_id=attachment_ids, status=statuses, data=st.data())
    def accept(self, attachment_id: str, status: AttachmentStatus, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.open)))
        was = self.open.pop(token)
        outcome = accepted(attachment_id, status, at=self.now())
        self._bind(token, attachment_id, status, self.ledger.conclude(was.attempt, outcome))

    @rule(token=tokens, attachment_id=attachment_ids, status=statuses)
    def adopt(self, token: str, attachment_id: str, status: AttachmentStatus) -> None:
        if token in self.items:
            found = attachment(attachment_id, status)
            self._bind(token, attachment_id, status, self.ledger.adopt(token, found, at=self.now()))

    def _bind(
        self, token: str, attachment_id: str, status: AttachmentStatus, doing: Coroutine[Any, Any, Known]
    ) -> None:
        model = self.items[token]
        theirs = self.owners.get(attachment_id, token) != token
        second = model.is_live and model.attachment_id != attachment_id
        try:
            self.told(self.runner.run(doing))
        except Disagreement:
            assert theirs or second
            return
        assert not theirs
        assert not second
        self.owners[attachment_id] = token
        self.items[token] = model.landed(attachment_id, status)

    @rule(seen=st.dictionaries(attachment_ids, statuses))
    def observe(self, seen: dict[str, AttachmentStatus]) -> None:
        owners = {one.attachment_id: token for token, one in self.items.items()}
        ours = {owners[attachment_id]: attachment_id for attachment_id in seen if attachment_id in owners}
        attachments = [attachment(*each) for each in seen.items()]
        told = self.runner.run(self.ledger.observe(attachments, at=self.now()))
        assert [known.client_token for known in told] == list(ours)
        for known in told:
            self.told(known)
            attachment_id = ours[known.client_token]
            model = self.items[known.client_token]
            self.items[known.client_token] = model.landed(attachment_id, seen[attachment_id])

    @rule(token=tokens)
    def fail(self, token: str) -> None:
        if token in self.items:
            self.told(self.runner.run(self.ledger.fail(token, NO, at=self.now())))
            model = self.items[token]
            if model.state is State.BINDING:
                model = replace(model, bind_state=BindState.REFUSED)
            if model.unknown_since is None:
                self.items[token] = replace(model, state=State.FAILED)

    @rule(token=tokens)
    def intend_bind(self, token: str) -> None:
        model = self.items.get(token, Model())
        if model.state is State.BINDING or model.bind_state is BindState.REFUSED:
            attempt = self.runner.run(self.ledger.intend_bind(token, run_id=self.run_id, at=self.now()))
            assert attempt.was_sent == (model.bind_state is BindState.SENT)
            self.lanes[self.label].binding[token] = attempt
            self.items[token] = replace(model, state=State.BINDING, bind_state=BindState.SENT)
            self._replace_others(attempt)

    @precondition(lambda self: self.lanes[self.label].binding)
    @rule(kind=st.sampled_from(OutcomeKind), version=st.sampled_from([1, 2]), data=st.data())
    def conclude_bind(self, kind: OutcomeKind, version: int, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.lanes[self.label].binding.values(), key=str)))
        del self.lanes[self.label].binding[attempt.client_token]
        is_accepted, model = kind is OutcomeKind.ACCEPTED, self.items[attempt.client_token]
        outcome = Outcome(kind, self.now(), fault=None if is_accepted else NO)
        concluding = self.ledger.conclude_bind(attempt, outcome, version=version if is_accepted else None)
        self.told(self.runner.run(concluding))
        if is_accepted:
            self._replace_others(attempt)
        if (model.bind, model.attachment_id) == (attempt.bind, attempt.attachment_id):
            self.items[attempt.client_token] = self._bound(model, attempt, kind, version)

    def _replace_others(self, attempt: BindAttempt) -> None:
        for token, other in self.items.items():
            is_replaced = other.bind == attempt.bind and other.bind_state is BindState.BOUND
            if is_replaced and token != attempt.client_token:
                self.items[token] = replace(other, bind_state=BindState.REPLACED)

    def _bound(self, model: Model, attempt: BindAttempt, kind: OutcomeKind, version: int) -> Model:
        if kind is OutcomeKind.ACCEPTED and model.is_ready:
            return replace(model, state=State.COMPLETE, bind_state=BindState.BOUND, bound_version=version)
        if kind is OutcomeKind.ACCEPTED or model.state is not State.BINDING:
            return model
        if kind is OutcomeKind.REFUSED:
            return replace(model, state=State.FAILED, bind_state=BindState.REFUSED)
        is_open = attempt.was_sent or kind is OutcomeKind.UNKNOWN
        return replace(model, bind_state=BindState.SENT if is_open else BindState.WANTED)

    @rule(chosen=st.lists(tokens, unique=True))
    def rebind(self, chosen: list[str]) -> None:
        there = [token for token in chosen if token in self.items]
        self.runner.run(self.ledger.rebind(there, at=self.now()))
        for token in there:
            model = self.items[token]
            if model.state is State.COMPLETE and model.bind_state is BindState.BOUND:
                self.items[token] = replace(model, state=State.BINDING, bind_state=BindState.WANTED)

    @rule(chosen=st.lists(tokens, unique=True))
    def park(self, chosen: list[str]) -> None:
        there = [token for token in chosen if token in self.items]
        self.runner.run(self.ledger.park(there, NO, resume_after=None))
        self._move(there, (State.PENDING, State.FAILED, State.PARKED), State.PARKED)

    @rule(chosen=st.lists(tokens, unique=True))
    def undecided(self, chosen: list[str]) -> None:
        there = [token for token in chosen if token in self.items]
        self.runner.run(self.ledger.undecided(there, at=self.now()))
        self._move(there, (State.SENDING,), State.UNKNOWN)

    @rule(chosen=st.lists(tokens, unique=True))
    def absent(self, chosen: list[str]) -> None:
        there = [token for token in chosen if token in self.items and token not in self.open]
        self.runner.run(self.ledger.absent(there, at=self.now()))
        for token in there:
            if self.items[token].unknown_since is not None:
                self.items[token] = replace(
                    self.items[token], state=State.PENDING, unknown_since=None, last_open_at=None
                )

    def _move(self, chosen: list[str], states: tuple[State, ...], to: State) -> None:
        for token in chosen:
            if self.items[token].state in states and self.items[token].bind_state is not BindState.REFUSED:
                self.items[token] = replace(self.items[token], state=to)

    @invariant()
    def every_lane_is_where_its_model_is_for_its_writer_and_a_reader(self) -> None:
        with self.reader.moment():
            for label, lane in self.lanes.items():
                known, owners = self.runner.run(_known_and_owners(lane.writer))
                found = {
                    row.client_token: Model(
                        *(row.state, row.attachment_id, row.unknown_since, row.last_open_at, row.attempts),
                        *(row.bind, row.bind_state, row.bound_version),
                    )
                    for row in known
                }
                assert found == lane.items
                assert {row.item_id: row.client_token for row in known if row.current} == lane.current
                assert owners == lane.owners
                assert self.reader.of_target(label).known(BATCH) == known

    @invariant()
    def an_item_tells_of_its_attempts_what_they_tell(self) -> None:
        for _, *kept_and_counted in rows(self.address, COUNTED):
            assert kept_and_counted[:3] == kept_and_counted[3:]


def test_any_sequence_of_calls_leaves_every_lane_where_the_model_is(ledgers: Ledgers) -> None:
    run_state_machine_as_test(
        partial(LedgerMachine, ledgers),  # type: ignore[arg-type]
        settings=settings(max_examples=15 if ledgers.kind == "sqlite" else 10, stateful_step_count=30),
    )
