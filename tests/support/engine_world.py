"""A whole world for the engine in virtual time: a real ledger on disk, a service in memory, and everything between."""

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio

from batch_upload.engine.context import LaneContext
from batch_upload.engine.lane import LaneControl
from batch_upload.engine.retry import RetryPolicy, Wire
from batch_upload.engine.run import LaneOptions, LaneResult, Run
from batch_upload.engine.tally import Tally
from batch_upload.errors import ChangedSincePlan, LedgerUnusable
from batch_upload.ledger import open_ledger
from batch_upload.model import Attachment, ContentType, Fault, Item, Known, Lane, Outcome
from batch_upload.moments import Stretch
from batch_upload.operations import (
    CREATE,
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    LIMITS,
    LIST_TAGS,
    PUT_FIELD,
    REGISTRATIONS,
    TAG,
    UNTAG,
)
from batch_upload.pacing import FixedRate, Pacer
from batch_upload.ports import Attempt, BindAttempt, Body, LaneMemory, Ledger, LedgerWriter, Observer
from batch_upload.ports.ledger import NO_BINDS
from batch_upload.records import BoundItem, Comparison, Duplicate, RateRecord, Twin
from batch_upload.registration import Bind, Denial, RegistrationField
from batch_upload.token import client_token
from tests.support.manual_clock import ManualClock, real_work
from tests.support.memory_service import MemoryService

T = TypeVar("T")
LANE = Lane("123456789012", "us-east-1")
BATCH = "june"
HORIZON_S = 300.0
BIND_OPERATIONS = (PUT_FIELD, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES)


class GuardedLedger:
    """Implements what the engine uses of `ports.LedgerWriter` by a real one, in whose thread no virtual time passes.

    Fails at the `fails_at`-th write of a run's own, counted from 1, and at every later one, as a full disk does.
    """

    def __init__(self, opened: Ledger, ledger: LedgerWriter, *, fails_at: int | None = None) -> None:
        self._opened = opened
        self._ledger = ledger
        self._fails_at = fails_at
        self.writes = 0

    def _write(self) -> None:
        self.writes += 1
        if self._fails_at is not None and self.writes >= self._fails_at:
            raise LedgerUnusable("`june.ledger` cannot be written: the disk is full", hint="make room")

    @property
    def stretch(self) -> Stretch:
        return self._ledger.stretch

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        with real_work():
            return await self._ledger.pin(lane, endpoint=endpoint, at=at)

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        with real_work():
            await self._ledger.begin_run(run_id, verb=verb, batch=batch, at=at)

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.end_run(run_id, exit_code=exit_code, summary=summary, at=at)

    async def known(self, batch: str) -> Sequence[Known]:
        with real_work():
            return await self._ledger.known(batch)

    async def compare(self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS) -> Comparison:
        with real_work():
            return await self._ledger.compare(batch, tokens, binds)

    async def unfinished(
        self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS
    ) -> Mapping[str, bool]:
        with real_work():
            return await self._ledger.unfinished(batch, tokens, binds)

    async def twins(self, contents: Collection[str]) -> Sequence[Twin]:
        with real_work():
            return await self._ledger.twins(contents)

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        with real_work():
            return await self._ledger.known_of_ids(batch, item_ids)

    async def standing_count(self) -> int:
        with real_work():
            return await self._ledger.standing_count()

    async def open_intents(self) -> Sequence[Known]:
        with real_work():
            return await self._ledger.open_intents()

    async def enlist(self, items: Iterable[Item], *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.enlist(items, at=at)

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        self._write()
        with real_work():
            return await self._ledger.intend(client_token, run_id=run_id, at=at)

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        self._write()
        with real_work():
            return await self._ledger.conclude(attempt, outcome)

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        self._write()
        with real_work():
            return await self._ledger.fail(client_token, fault, at=at)

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        self._write()
        with real_work():
            await self._ledger.park(client_tokens, fault, resume_after=resume_after)

    async def observe(self, seen: Sequence[Attachment], *, at: datetime) -> Sequence[Known]:
        self._write()
        with real_work():
            return await self._ledger.observe(seen, at=at)

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        self._write()
        with real_work():
            return await self._ledger.not_found(client_tokens, at=at)

    async def retagged(self, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
        self._write()
        with real_work():
            return await self._ledger.retagged(from_token, to_token, identity_tag=identity_tag, at=at)

    async def bound(self, batch: str) -> Sequence[BoundItem]:
        with real_work():
            return await self._ledger.bound(batch)

    async def unconfirmed(self, batch: str, *, since: datetime) -> Sequence[BoundItem]:
        with real_work():
            return await self._ledger.unconfirmed(batch, since=since)

    async def confirm(self, found: Sequence[BoundItem], *, run_id: str, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.confirm(found, run_id=run_id, at=at)

    async def is_doubtful(self, client_token: str, *, since: datetime) -> bool:
        with real_work():
            return await self._ledger.is_doubtful(client_token, since=since)

    async def rebind(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.rebind(client_tokens, at=at)

    async def intend_bind(self, client_token: str, *, run_id: str, at: datetime) -> BindAttempt:
        self._write()
        with real_work():
            return await self._ledger.intend_bind(client_token, run_id=run_id, at=at)

    async def conclude_bind(self, attempt: BindAttempt, outcome: Outcome, *, version: int | None = None) -> Known:
        self._write()
        with real_work():
            return await self._ledger.conclude_bind(attempt, outcome, version=version)

    async def deny(self, client_token: str, denial: Denial, *, at: datetime) -> Known:
        self._write()
        with real_work():
            return await self._ledger.deny(client_token, denial, at=at)

    async def fields_of(self, attachment_ids: Collection[str]) -> Mapping[str, Sequence[Bind]]:
        with real_work():
            return await self._ledger.fields_of(attachment_ids)

    async def field_definitions(self, *, after: datetime) -> Mapping[str, Sequence[RegistrationField]]:
        with real_work():
            return await self._ledger.field_definitions(after=after)

    async def remember_field_definitions(
        self, definitions: Mapping[str, Sequence[RegistrationField]], *, at: datetime
    ) -> None:
        self._write()
        with real_work():
            await self._ledger.remember_field_definitions(definitions, at=at)

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        self._write()
        with real_work():
            return await self._ledger.adopt(client_token, attachment, at=at)

    async def absent(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.absent(client_tokens, at=at)

    async def undecided(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.undecided(client_tokens, at=at)

    async def attachment_tokens(self) -> Mapping[str, str | None]:
        with real_work():
            return await self._ledger.attachment_tokens()

    async def remember(self, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.remember(seen, at=at)

    async def duplicates(self) -> Sequence[Duplicate]:
        with real_work():
            return await self._ledger.duplicates()

    async def listed(self, *, at: datetime) -> None:
        self._write()
        with real_work():
            await self._ledger.listed(at=at)

    async def rates(self) -> Sequence[RateRecord]:
        with real_work():
            return await self._ledger.rates()

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        self._write()
        with real_work():
            await self._ledger.learn(learned)

    async def close(self) -> None:
        with real_work():
            await self._opened.close()


@dataclass(slots=True)
class Heard:
    """Implements `ports.Observer`: keeps every event and counts as the summary does."""

    events: list[object] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    others: list[Observer] = field(default_factory=list)

    def notify(self, event: object) -> None:
        self.events.append(event)
        self.tally.notify(event)
        for other in self.others:
            other.notify(event)


@dataclass(slots=True)
class MemoryBodies:
    """Implements `ports.Bodies`. The ids in `changed` are not what they were when they were planned."""

    changed: set[str] = field(default_factory=set)
    slow_s: float = 0.0
    reads: list[str] = field(default_factory=list)

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        """Nothing is read ahead."""

    async def read(self, item: Item) -> Body:
        self.reads.append(item.item_id)
        await anyio.sleep(self.slow_s)
        if item.item_id in self.changed:
            raise ChangedSincePlan(f"`{item.item_id}` has changed", code="changed_since_plan")
        return Body.of(item.content.encode())


def an_item(
    item_id: str = "a",
    *,
    content: str = "",
    generation: int = 1,
    tags: Mapping[str, str] | None = None,
    identity_tag: bool = True,
    bind: Bind | None = None,
) -> Item:
    """An item with a true token."""
    sha256 = hashlib.sha256((content or item_id).encode()).hexdigest()
    own = dict(tags or {"Customer": "acme"})
    token = client_token(batch=BATCH, item_id=item_id, content=f"sha256:{sha256}", generation=generation, tags=own)
    return Item(
        batch=BATCH, item_id=item_id, source=f"{item_id}.pdf", digest=bytes.fromhex(sha256), client_token=token,
        tags=own, generation=generation, identity_tag=identity_tag, folder=Path("/nowhere"),
        size_bytes=1_000, content_type=ContentType.PDF, bind=bind,
    )  # fmt: skip


def some_items(count: int, *, identity_tag: bool = True) -> list[Item]:
    return [an_item(f"item-{number:03}", identity_tag=identity_tag) for number in range(count)]


@dataclass(slots=True)
class World:
    """One lane and one ledger, over several runs. `rate`: of every operation, in calls a second."""

    path: Path
    clock: ManualClock = field(default_factory=ManualClock)
    rate: float = 10.0
    horizon_s: float = HORIZON_S
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    service: MemoryService = field(init=False)
    service_clock: ManualClock = field(default_factory=ManualClock)
    bodies: MemoryBodies = field(default_factory=MemoryBodies)
    heard: Heard = field(default_factory=Heard)
    runs: int = 0
    _open: list[GuardedLedger] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = MemoryService(self.service_clock)  # the service has a wall clock of its own

    def suspend(self, seconds: float) -> None:
        """Our machine was asleep for so long, just now. The service was not."""
        self.clock.suspend(seconds)
        self.service_clock.suspend(seconds)

    async def ledger(self, *, fails_at: int | None = None) -> GuardedLedger:
        """The ledger, as a new process opens it."""
        await self.close()
        self.runs += 1
        with real_work():
            opened = await open_ledger(self.path, run_id=self.run_id, clock=self.clock)
            writer = await opened.writer()
        self._open.append(GuardedLedger(opened, writer, fails_at=fails_at))
        return self._open[-1]

    async def close(self) -> None:
        while self._open:
            await self._open.pop().close()

    @property
    def run_id(self) -> str:
        return f"run-{self.runs}"

    def context(self, ledger: GuardedLedger) -> LaneContext:
        """What the engine works with, fresh for each run."""
        lane, self.heard = LaneControl(), Heard()
        operations = (CREATE, DESCRIBE, LIST_TAGS, LIMITS, TAG, UNTAG, *BIND_OPERATIONS)
        wire = Wire(
            {name: Pacer(FixedRate(self.rate), self.clock) for name in operations},
            lane=lane, clock=self.clock, observer=self.heard, policy=self.policy, chance=random.Random(7),
        )  # fmt: skip
        return LaneContext(
            self.run_id,
            self.service,
            cast(LedgerWriter, ledger),
            wire,
            lane,
            self.clock,
            self.heard,
            self.horizon_s,
        )

    async def prepared(self, *items: Item) -> LaneContext:
        """LaneContext whose ledger is pinned and knows these items."""
        ledger = await self.ledger()
        await ledger.pin(LANE, endpoint="https://sms-voice.example", at=self.clock.now())
        await ledger.begin_run(self.run_id, verb="upload", batch=BATCH, at=self.clock.now())
        await ledger.enlist(items, at=self.clock.now())
        return self.context(ledger)

    async def pin(self, context: LaneContext) -> LaneMemory:
        """Pin the ledger of a context to the lane, as a use case does before its run."""
        return await context.ledger.pin(LANE, endpoint="https://sms-voice.example", at=self.clock.now())

    def new_run(self, context: LaneContext, options: LaneOptions) -> Run:
        return Run(context, self.bodies, lane=LANE, endpoint="https://sms-voice.example", options=options)

    async def known(self) -> dict[str, Known]:
        """What the ledger that is open knows, by token."""
        return {row.client_token: row for row in await self._open[-1].known(BATCH)}

    async def upload(self, items: Sequence[Item], options: LaneOptions | None = None) -> LaneResult:
        """One run of a process of its own."""
        context = self.context(await self.ledger())
        return await self.new_run(context, options or LaneOptions(BATCH)).run(items, await self.pin(context))

    def heard_of(self, kind: type) -> list[Any]:
        return [event for event in self.heard.events if isinstance(event, kind)]

    @property
    def creates(self) -> list[str]:
        """The token of each create request, over all runs."""
        return [str(call.about) for call in self.service.made(CREATE)]

    def assert_each_once(self, items: Sequence[Item]) -> None:
        """Every item stands at the service exactly once."""
        made = Counter(held.token for held in self.service.held.values() if held.token is not None)
        assert made == Counter(item.client_token for item in items)


async def left_open(world: World, *items: Item, age_s: float = 0.0, done: bool = False) -> LaneContext:
    """A ledger with an open intent for each item, `age_s` old, as a process leaves that was killed.

    `done`: the service has carried them out.
    """
    context = await world.prepared(*items)
    for item in items:
        await context.ledger.intend(item.client_token, run_id=world.run_id, at=world.clock.now())
        if done:
            tags = {**item.tags, **({"batch-upload:token": item.client_token} if item.identity_tag else {})}
            held = world.service.plant(tags=tags)
            held.token = item.client_token
            held.made_of = (Body.of(item.content.encode()), None, tuple(sorted(tags.items())))
    await context.ledger.listed(at=world.clock.now())
    await world.clock.sleep(age_s)
    return context
