"""Slots: workers wait here until their next request may leave, first come, first served. A law decides when."""

from collections.abc import Callable
from functools import partial

import anyio

from batch_upload.clock import MonotonicClock, sleep_or
from batch_upload.pacing.law import RateLaw


class Slot:
    """The right to send one request now. Report its result once; whatever is reported after that has no effect."""

    __slots__ = ("_pacer", "_ticket")

    def __init__(self, pacer: "Pacer", ticket: int) -> None:
        self._pacer = pacer
        self._ticket: int | None = ticket

    def accepted(self) -> None:
        """Report any answer but a throttle, even an error: the service's rate limiter admitted the request."""
        self._report(self._pacer.law.accepted)

    def throttled(self, retry_after_s: float | None = None) -> None:
        """Report that the service refused the request as too early. `retry_after_s`: the wait it asked for, if any."""
        self._report(partial(self._pacer.law.throttled, retry_after_s=retry_after_s))

    def unanswered(self) -> None:
        """Report that nothing was sent, or that no answer came. Safe in a `finally`, after another report."""
        self._report(self._pacer.law.unanswered)

    def _report(self, report: Callable[[int, float], None]) -> None:
        if self._ticket is not None:
            report(self._ticket, self._pacer.clock.monotonic())
            self._ticket = None
            self._pacer.reconsider()


class Pacer:
    """Hands out slots at the pace of a law, in the order of asking. A cancelled waiter takes no slot."""

    def __init__(self, law: RateLaw, clock: MonotonicClock) -> None:
        self.law = law
        self.clock = clock
        self._turn = anyio.Lock()  # FIFO: only the first in line looks at the law
        self._changed = anyio.Event()

    @property
    def rate(self) -> float:
        """Calls a second that the law allows now."""
        return self.law.rate

    def expect(self, calls: int) -> None:
        """Tell the law how many more calls are to be accepted."""
        self.law.expect(calls)
        self.reconsider()

    def slot_at_once(self) -> Slot | None:
        """Take the next slot if it is due and no one is waiting for it; otherwise return None."""
        now = self.clock.monotonic()
        if self._turn.locked() or self.law.ready_at(now) > now:
            return None
        return Slot(self, self.law.take(now))

    async def slot(self) -> Slot:
        """Wait for the next slot and take it."""
        async with self._turn:
            while (wait_s := self.law.ready_at(now := self.clock.monotonic()) - now) > 0:
                await sleep_or(self._changed, wait_s, self.clock)
            return Slot(self, self.law.take(now))

    def reconsider(self) -> None:
        """Let the first waiter look at the law again, because it may have changed."""
        if self._turn.locked():  # otherwise there is no waiter
            self._changed.set()
            self._changed = anyio.Event()
