"""Time that jumps: an event loop whose clock goes to the next timer when nothing is ready, and a `ports.Clock` over it.

Threads are real. While somebody waits for one inside `real_work`, the clock stands still.
"""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio

from batch_upload.clock import PIECE_S

EPOCH = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TICK_S = 1e-6
"""The shortest sleep: asyncio fires timers that are due within a nanosecond, and here no time would pass meanwhile."""


class Stuck(Exception):
    """Nothing is ready, no timer is set, and no thread is at work: in real time this would wait for ever."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """Hours in milliseconds. Every timer fires at its exact moment, in order."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._threads_at_work = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now_s

    @contextmanager
    def real_work(self) -> Iterator[None]:
        """Let no time pass while a thread is waited for."""
        self._threads_at_work += 1
        try:
            yield
        finally:
            self._threads_at_work -= 1

    def real_timeout_s(self, timeout_s: float | None) -> float | None:
        """How long to wait in real time for what the loop would wait `timeout_s` for."""
        if timeout_s == 0 or self._threads_at_work == 0:
            return 0
        return None

    def jump(self, seconds: float | None) -> None:
        """Nothing was ready."""
        if seconds is None:
            raise Stuck
        self._now_s += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(self._loop.real_timeout_s(timeout))
        if not ready and timeout != 0:
            self._loop.jump(timeout)
        return ready


class ManualClock:
    """Implements `ports.Clock` by the time of the running loop. `put_forward_s` moves the wall clock alone.

    `asleep_s` counts the time for which the machine was suspended, in which the loop's time stood still. `boot` names
    its boot.
    """

    def __init__(self, *, put_forward_s: float = 0.0) -> None:
        self.put_forward_s = put_forward_s
        self.asleep_s = 0.0
        self.boot = "one"

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic() + self.put_forward_s)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.asleep_s

    def machine(self) -> str:
        return self.boot

    def suspend(self, seconds: float) -> None:
        """The machine was asleep for so long, just now."""
        self.asleep_s += seconds

    async def sleep(self, seconds: float) -> None:
        ends_at = self.monotonic() + seconds
        while seconds > PIECE_S:
            await anyio.sleep(PIECE_S)
            seconds = ends_at - self.monotonic()
        await anyio.sleep(max(seconds, TICK_S) if seconds > 0 else 0)


@contextmanager
def real_work() -> Iterator[None]:
    """Let no time pass on the running loop while a thread is waited for."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, JumpingLoop):
        yield
        return
    with loop.real_work():
        yield
