"""A process in virtual time: an asyncio loop whose clock jumps when nothing is ready, and that dies at a chosen step.

One timeline serves everything that is simulated, the service too. It moves only while a process lives, or when it is
told to, so that the same steps always happen at the same moments.
"""

import asyncio
import hashlib
import selectors
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio

from batch_upload.clock import PIECE_S

T = TypeVar("T")

EPOCH = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TURN_S = 1e-6
"""What a turn of the loop takes at least, as in life: who waits for a moment that is all but there would spin."""
UNWINDING_S = 3_600.0
"""How long, in a time that nobody else sees, a dead process is waited for before it is cancelled again."""


class Stuck(Exception):
    """Nothing is ready and no timer is set: in real time this would wait for ever."""


class Killed(Exception):
    """The process died. Raised by the loop itself, never inside a task."""


@dataclass(slots=True)
class Timeline:
    """The time of a simulated world, in seconds."""

    now_s: float = 0.0


@dataclass(slots=True)
class Machine:
    """Where simulated processes run. `ahead_s`: how far its wall clock goes ahead of the world's; `booted_s`: when it
    booted, in the world's time; `boots`: how often."""

    ahead_s: float = 0.0
    booted_s: float = 0.0
    boots: int = 1


@dataclass(frozen=True, slots=True)
class SimulatedClock:
    """Implements `ports.Clock` over a timeline, as the clocks of a machine show it."""

    timeline: Timeline
    on: Machine = field(default_factory=Machine)

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.timeline.now_s + self.on.ahead_s)

    def monotonic(self) -> float:
        return self.timeline.now_s - self.on.booted_s

    def machine(self) -> str:
        return f"boot {self.on.boots}"

    async def sleep(self, seconds: float) -> None:
        ends_at = self.monotonic() + seconds
        while seconds > PIECE_S:
            await anyio.sleep(PIECE_S)
            seconds = ends_at - self.monotonic()
        await anyio.sleep(max(0.0, seconds))


@dataclass(slots=True)
class Trace:
    """What happened and when, in order. Two simulations are the same if and only if their digests are."""

    timeline: Timeline
    lines: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.lines.append(f"{self.timeline.now_s:.9f} {what}")

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


@dataclass(slots=True)
class Life:
    """Whether a simulated process lives. From the step it dies at on, nothing that it does has any effect."""

    dies_at: int | None = None
    steps: int = 0
    dead: bool = False

    def step(self) -> bool:
        """Live one step more. Tells whether the process is still alive after it."""
        if not self.dead:
            self.steps += 1
            self.dead = self.steps == self.dies_at
        return not self.dead


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer when nothing is ready. Each turn is a step of the life."""

    def __init__(self, timeline: Timeline, life: Life) -> None:
        self._now_s = timeline.now_s
        self._timeline = timeline
        self._life = life
        self._unwinding = False
        super().__init__(_JumpingSelector(self._turn))

    def time(self) -> float:
        return self._now_s

    def unwind(self, root: "asyncio.Task[Any]") -> None:
        """Clean away what a dead process left behind, in a time of its own. Every task has an owner, up to the root."""
        self._unwinding = True
        while not root.done():
            root.cancel()
            self.run_until_complete(asyncio.wait([root], timeout=UNWINDING_S))

    def _turn(self, timeout_s: float | None) -> None:
        if not self._unwinding and not self._life.step():
            raise Killed
        if timeout_s is None:
            raise Stuck
        passed_s = max(timeout_s, TURN_S)
        self._now_s += passed_s
        if not self._life.dead:
            self._timeline.now_s += passed_s  # which has gone further where the machine was suspended


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: only the loop's own wake-ups are looked for."""

    def __init__(self, turn: Callable[[float | None], None]) -> None:
        super().__init__()
        self._turn = turn

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self._turn(0.0 if ready else timeout)
        return ready


def live(main: Coroutine[Any, Any, T], *, timeline: Timeline, life: Life) -> T:
    """Run `main` as a process. Raises Killed if it died before it returned, whatever it did then."""
    loop = VirtualTimeLoop(timeline, life)
    task = loop.create_task(main)
    try:
        with suppress(Killed):
            loop.run_until_complete(asyncio.wait([task]))
    finally:
        loop.unwind(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    if life.dead:
        task.cancelled() or task.exception()
        raise Killed
    return task.result()
