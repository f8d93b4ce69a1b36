"""A whole world in virtual time: one service, one network, one ledger, and runs of the real engine that come and go.

After each run, ended or killed, the promises that hold at any moment are checked: see `check_safety`.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from batch_upload.app.exits import exit_of_run
from batch_upload.app.lane import Reached, lane_context
from batch_upload.app.rates import laws, learned
from batch_upload.cli.flags import parse_duration
from batch_upload.emulator.core import Emulator
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.engine.context import LaneContext
from batch_upload.engine.lane import LaneControl
from batch_upload.engine.registrations import RegistrationLook, look_at_registrations, record_look
from batch_upload.engine.retry import RetryPolicy, Wire
from batch_upload.engine.run import LaneOptions, LaneResult, Run
from batch_upload.engine.tally import Tally
from batch_upload.errors import BatchUploadError, ChangedSincePlan, ExitCode, LedgerLocked
from batch_upload.events import ItemChanged, LaneStopped, Notice, OrphanSeen, Requested, Resolving, Retrying, Sending
from batch_upload.ledger import find_reader
from batch_upload.model import Item, Lane, State
from batch_upload.operations import IDENTITY, PUT_FIELD
from batch_upload.pacing import Pacer
from batch_upload.ports import Body, Ledger, LedgerWriter
from batch_upload.registration import Bind
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import open_service
from batch_upload.settings import RunOptions, settings_of
from batch_upload.token import IDENTITY_TAG, client_token
from tests.support.simulated_network import ServiceClock, SimulatedNetwork, SimulatedSession
from tests.support.virtual_time import Killed, Life, Machine, SimulatedClock, Timeline, Trace, live
from tests.support.world_ledger import open_simulated

BATCH = "acme-2026"
REGION = "us-east-1"
LIVE = frozenset({State.PROCESSING, State.BINDING, State.COMPLETE})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a manifest says of one item."""

    content: str
    tags: Mapping[str, str] = field(default_factory=dict)
    generation: int = 1
    identity_tag: bool = True
    bind: Bind | None = None

    @property
    def body(self) -> bytes:
        return b"%PDF-1.7\n% " + self.content.encode() + b"\n%%EOF\n"


def item_of(item_id: str, wanted: Wanted) -> Item:
    """The item that `upload` would make of it."""
    content = f"sha256:{sha256(wanted.body).hexdigest()}"
    generation, tags = wanted.generation, wanted.tags
    token = client_token(batch=BATCH, item_id=item_id, content=content, generation=generation, tags=tags)
    return Item(
        batch=BATCH,
        item_id=item_id,
        source=item_id,
        digest=sha256(wanted.body).digest(),
        client_token=token,
        tags=tags,
        generation=generation,
        identity_tag=wanted.identity_tag,
        folder=Path(),
        size_bytes=len(wanted.body),
        bind=wanted.bind,
    )


def tokens_of(item: Item) -> list[str]:
    """The tokens that may stand for an item: its own, and those of the retries after UPLOAD_FAILED."""
    batch, item_id, content, generation = item.batch, item.item_id, item.content, item.generation
    return [
        client_token(batch=batch, item_id=item_id, content=content, generation=generation, tags=item.tags, retry=retry)
        for retry in (0, 1, 2)
    ]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is to go. `dies_at`: the step at which it is killed; `interrupted_after_s`: when SIGTERM comes;
    `overlapped`: whether another run tries to start beside it; `asleep`: when the machine is suspended, and for how
    long; `clock_set`: when its wall clock is set, and how far ahead of the world's it is then."""

    dies_at: int | None = None
    interrupted_after_s: float | None = None
    deadline: str | None = None
    concurrency: int = 8
    overlapped: bool = False
    asleep: tuple[tuple[float, float], ...] = ()
    clock_set: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run went. `exit_code` is None where it was killed; `sent`: creates that left."""

    exit_code: ExitCode | None
    steps: int
    sent: int
    result: LaneResult | None = None


@dataclass(frozen=True, slots=True)
class _Documents:
    """Implements `ports.Bodies` over what the manifest's files hold now."""

    wanted: Mapping[str, Wanted]

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        """Nothing is read ahead."""

    async def read(self, item: Item) -> Body:
        body = self.wanted[item.item_id].body
        if f"sha256:{sha256(body).hexdigest()}" != item.content:
            raise ChangedSincePlan("the document is another", code="changed_since_plan")
        return Body.of(body)


class World:
    """Everything of it follows from the seed and from what is asked of it, in this order."""

    def __init__(self, folder: Path, settings: EmulatorSettings, *, seed: int, horizon_s: float = 300.0) -> None:
        self.timeline = Timeline(1_000.0)
        self.trace = Trace(self.timeline)
        self.wanted: dict[str, Wanted] = {}
        self.ledger = folder / "june.ledger"
        self.machine = Machine()
        self.horizon_s = horizon_s
        self.chance = random.Random(seed)
        self._runs = 0
        self._things: dict[str, object] = {}
        clock = ServiceClock(self.timeline)
        self.emulator = Emulator(settings, clock=clock)
        self.network = SimulatedNetwork(self.emulator, clock, chance=self.chance, trace=self.trace)

    @property
    def items(self) -> list[Item]:
        return [item_of(item_id, wanted) for item_id, wanted in self.wanted.items()]

    def pass_time(self, seconds: float) -> None:
        """Let time pass while no run is under way."""
        self.timeline.now_s += seconds
        self.network.deliver_late()

    def suspend(self, seconds: float) -> None:
        """The machine sleeps for so long."""
        self.trace.note(f"asleep for {seconds:.0f} s")
        self.network.suspend()
        self.timeline.now_s += seconds
        self.network.deliver_late()

    def set_clock(self, ahead_s: float) -> None:
        """Set the wall clock of the machine."""
        self.trace.note(f"the clock is set {ahead_s:.0f} s ahead")
        self.machine.ahead_s = ahead_s

    def reboot(self) -> None:
        """The machine boots anew while no run is under way."""
        self.machine.boots += 1
        self.machine.booted_s = self.timeline.now_s

    def run(self, plan: Plan = Plan()) -> Ended:
        """One run of `upload`, to its end or to its death. Raises BatchUploadError where nothing could begin."""
        self._runs += 1
        self._things.update(
            (token, (each.item_id, each.content, each.generation)) for each in self.items for token in tokens_of(each)
        )
        self.network.land(PUT_FIELD)
        life, sent = Life(dies_at=plan.dies_at), self.network.seen.creates
        self.network.life = life
        process = _Process(self, life, plan, run_id=f"run-{self._runs:04d}")
        try:
            exit_code, result = live(process.main(), timeline=self.timeline, life=life)
        except Killed:
            self.trace.note("killed")
            self.network.cut()
            exit_code, result = None, None
        self.trace.note(f"run ended: {exit_code}")
        self.check_safety()
        return Ended(exit_code, life.steps, self.network.seen.creates - sent, result)

    def held(self) -> list[dict[str, Any]]:
        """Every attachment at the service, deleted or not."""
        return self.emulator.attachments()

    def check_safety(self) -> None:
        """No token made two attachments or had two bodies, and the ledger says nothing that is not so."""
        held = self.held()
        tokens = [each["client_token"] for each in held]
        for each, token in zip(held, tokens, strict=True):
            assert self.is_same_thing(each["tags"].get(IDENTITY_TAG, token), token)
        assert len(tokens) == len(set(tokens)), f"twice at the service: {_twice(tokens)}"
        torn = [token for token, bodies in self.network.seen.bodies.items() if len(bodies) > 1]
        assert not torn, f"one token with two bodies: {torn}"
        assert self.emulator.stats()["token_mismatches"] == 0
        self._check_ledger({each["id"]: each for each in held})

    def is_same_thing(self, token: str, other: str) -> bool:
        """Whether two tokens are of one document under one id: then they differ by their tags alone."""
        return token == other or self._things.get(token, token) == self._things.get(other, other)

    def check_complete(self) -> None:
        """Each item of the manifest is at the service once, finished, and the ledger knows it.

        Besides, there may be the attachments of earlier tries that ended as UPLOAD_FAILED.
        """
        self.check_safety()
        by_token = {each["client_token"]: each for each in self.held()}
        known = {row.client_token: row for row in self.known()}
        for item in self.items:
            *failed, latest = [token for token in tokens_of(item) if token in by_token]
            assert all(by_token[token]["status"] == "UPLOAD_FAILED" for token in failed)
            assert by_token[latest]["status"] == "UPLOAD_COMPLETE"
            assert known[latest].state is State.COMPLETE
            assert known[latest].attachment_id == by_token[latest]["id"]

    def known(self) -> Sequence[Any]:
        """What the ledger on disk says of the batch."""
        reader = find_reader(self.ledger)
        if reader is None:
            return ()
        with reader:
            return reader.known(BATCH)

    def _check_ledger(self, held: Mapping[str, Mapping[str, Any]]) -> None:
        for row in self.known():
            if row.state not in LIVE:
                continue
            attachment = held[row.attachment_id]
            assert self.is_same_thing(attachment["client_token"], row.client_token)
            if row.state is not State.PROCESSING:
                assert attachment["status"] == "UPLOAD_COMPLETE"


def _twice(tokens: Sequence[str]) -> list[str]:
    return sorted({token for token in tokens if tokens.count(token) > 1})


class _Observer:
    """Writes what the engine tells into the trace. What a dead process says is not heard."""

    def __init__(self, trace: Trace, life: Life) -> None:
        self._trace = trace
        self._life = life
        self.tally = Tally()

    def notify(self, event: object) -> None:
        if not self._life.step():
            return
        self._trace.note(_told(event))
        self.tally.notify(event)


def _told(event: object) -> str:
    name = type(event).__name__
    match event:
        case Requested():
            return f"{name} {event.operation} {event.outcome} {event.item_id} {event.latency_s:.9f}"
        case Sending():
            return f"{name} {event.item_id} {event.number}"
        case ItemChanged():
            return f"{name} {event.known.item_id} {event.known.state} {event.created} {event.adopted}"
        case Retrying():
            return f"{name} {event.operation} {event.item_id} {event.fault.code} {event.delay_s:.9f}"
        case LaneStopped():
            return f"{name} {event.fault.code}"
        case OrphanSeen():
            return f"{name} {event.client_token}"
        case Notice():
            return f"{name} {event.message}"
        case Resolving():
            return f"{name} {event.count}"
    return name


class _Process:
    """One process that runs `upload`: put together as `app/upload.py` does it."""

    def __init__(self, world: World, life: Life, plan: Plan, *, run_id: str) -> None:
        self._world = world
        self._life = life
        self._plan = plan
        self._run_id = run_id
        self._clock = SimulatedClock(world.timeline, world.machine)
        self._observer = _Observer(world.trace, life)
        self._settings = settings_of(
            RunOptions(
                concurrency=plan.concurrency,
                safe_horizon_s=world.horizon_s,
                deadline_s=None if plan.deadline is None else parse_duration(plan.deadline),
            ),
            manifest=world.ledger.with_suffix(".yaml"),
            environ={},
        )

    async def main(self) -> tuple[ExitCode, LaneResult | None]:
        loop = asyncio.get_running_loop()
        for after_s, seconds in self._plan.asleep:
            loop.call_later(after_s, self._if_alive, self._world.suspend, seconds)
        for after_s, ahead_s in self._plan.clock_set:
            loop.call_later(after_s, self._if_alive, self._world.set_clock, ahead_s)
        async with AsyncExitStack() as stack:
            opened = await self._opened()
            stack.push_async_callback(opened.close)
            ledger = await opened.writer()
            if self._plan.overlapped:
                await self._overlap()
            try:
                reached = await self._reached(ledger, stack)
            except BatchUploadError as error:
                return error.exit_code, None
            return await self._uploaded(ledger, reached)

    def _if_alive(self, happens: Callable[[float], None], seconds: float) -> None:
        if not self._life.dead:
            happens(seconds)

    async def _opened(self) -> Ledger:
        world = self._world
        return await open_simulated(
            world.ledger, run_id=self._run_id, clock=self._clock, life=self._life, chance=world.chance
        )

    async def _overlap(self) -> None:
        """Another run begins on the same ledger, and must be turned away."""
        try:
            second = await self._opened()
        except LedgerLocked:
            return
        await second.close()
        raise AssertionError("two runs hold one ledger")

    async def _reached(self, ledger: LedgerWriter, stack: AsyncExitStack) -> Reached:
        made = laws(self._settings, await ledger.rates(), now=self._clock.now())
        service = await stack.enter_async_context(open_service(self._access()))
        control = LaneControl()
        wire = Wire(
            {name: Pacer(law, self._clock) for name, law in made.items()},
            lane=control,
            clock=self._clock,
            observer=self._observer,
            policy=RetryPolicy(),
            chance=self._world.chance,
        )
        account = await wire.call(IDENTITY, service.account)
        return Reached(
            service=service,
            wire=wire,
            control=control,
            clock=self._clock,
            observer=self._observer,
            laws=made,
            lane=Lane(account, service.region),
        )

    def _access(self) -> Access:
        return Access(
            region=REGION,
            endpoint_url="http://127.0.0.1:1",
            keys=StaticKeys("simulated", "simulated"),
            http_session=partial(SimulatedSession, self._world.network),
        )

    async def _uploaded(self, ledger: LedgerWriter, reached: Reached) -> tuple[ExitCode, LaneResult | None]:
        documents = _Documents(self._world.wanted)
        context = lane_context(reached, self._settings, ledger, self._observer, run_id=self._run_id)
        memory = await ledger.pin(reached.lane, endpoint=reached.service.endpoint, at=self._clock.now())
        try:
            look = await self._look(context)
        except BatchUploadError as error:
            return error.exit_code, None
        options = replace(self._options(), registrations=look.registrations)
        run = Run(context, documents, lane=reached.lane, endpoint=reached.service.endpoint, options=options)
        signalled = self._signal_later(run)
        result = await run.run(self._world.items, memory)
        code = exit_of_run(result, signalled=ExitCode.TERMINATED if signalled() else None).code
        if result.ledger_error is None:
            await ledger.learn(learned(reached.laws, self._observer.tally, now=self._clock.now()))
            await ledger.end_run(self._run_id, exit_code=code, summary={}, at=self._clock.now())
        return ExitCode(code), result

    async def _look(self, context: LaneContext) -> RegistrationLook:
        """Look at the registrations that the items are bound to, and record what that has found."""
        ledger, items = context.ledger, self._world.items
        if all(item.bind is None for item in items):
            return RegistrationLook()
        known = await ledger.field_definitions(after=self._clock.now() - timedelta(days=1))
        look = await look_at_registrations(context, items, await ledger.bound(BATCH), known, notice=context.notice)
        assert not look.problems
        await record_look(context, look)
        return look

    def _options(self) -> LaneOptions:
        settings = self._settings
        return LaneOptions(
            batch=BATCH,
            concurrency=settings.concurrency,
            deadline_s=settings.deadline_s,
            settle_timeout_s=settings.settle_timeout_s,
        )

    def _signal_later(self, run: Run) -> Callable[[], bool]:
        """Let a signal come when the plan says so; tells whether it has come."""
        after_s = self._plan.interrupted_after_s
        if after_s is None:
            return lambda: False
        loop = asyncio.get_running_loop()
        at_s = loop.time() + after_s
        loop.call_at(at_s, run.interrupt, "SIGTERM")
        return lambda: loop.time() >= at_s
