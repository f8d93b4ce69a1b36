"""Slots: when the next request of one operation of one lane may leave.

The law (engine/rate_law.py) decides when; the pacer makes workers wait for it, first come, first served.
"""

import anyio

from batch_upload.engine.rate_law import RateLaw
from batch_upload.errors import ServiceError, Throttled
from batch_upload.ports import Clock


class Slot:
    """The right to send one request now. Whoever holds it says what came of it, once."""

    def __init__(self, pacer: "Pacer", ticket: int) -> None:
        self._pacer = pacer
        self._ticket: int | None = ticket

    def answered(self, error: ServiceError | None = None) -> None:
        """The service answered: a throttle, or anything else, which proves that its limiter let the request through."""
        if self._ticket is not None:
            self._pacer.learn(self._ticket, error)
            self._ticket = None

    def unanswered(self) -> None:
        """Nothing was sent, or no answer came: nothing was learned. Harmless after `answered`."""
        if self._ticket is not None:
            self._pacer.learn_nothing(self._ticket)
            self._ticket = None


class Pacer:
    """Hands out slots at the pace of a law, in the order in which they were asked for. A waiter may be cancelled."""

    def __init__(self, law: RateLaw, clock: Clock) -> None:
        self.law = law
        self._clock = clock
        self._turn = anyio.Lock()  # FIFO: only the first in line looks at the law
        self._changed = anyio.Event()

    @property
    def rate(self) -> float:
        """Calls a second that the law would hand out now."""
        return self.law.rate

    def slot_at_once(self) -> Slot | None:
        """The next slot, if nobody need wait for it."""
        now = self._clock.monotonic()
        if self._turn.locked() or self.law.ready_at(now) > now:
            return None
        return Slot(self, self.law.take(now))

    async def slot(self) -> Slot:
        """Wait for the next slot and take it."""
        async with self._turn:
            while (wait_s := self.law.ready_at(now := self._clock.monotonic()) - now) > 0:
                await sleep_or(self._changed, wait_s, self._clock)
            return Slot(self, self.law.take(now))

    def learn(self, ticket: int, error: ServiceError | None) -> None:
        """Hand an answer to the law, and let the first in line look again."""
        now = self._clock.monotonic()
        if isinstance(error, Throttled):
            self.law.throttled(ticket, now, error.retry_after_s)
        else:
            self.law.accepted(ticket, now)
        self._wake()

    def learn_nothing(self, ticket: int) -> None:
        """Tell the law that a ticket ended without an answer."""
        self.law.unanswered(ticket, self._clock.monotonic())
        self._wake()

    def _wake(self) -> None:
        if self._turn.locked():  # otherwise nobody waits
            self._changed.set()
            self._changed = anyio.Event()


async def sleep_or(event: anyio.Event, seconds: float, clock: Clock) -> None:
    """Return after so many seconds, or as soon as the event is set."""
    async with anyio.create_task_group() as waiting:

        async def wake() -> None:
            await event.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(wake)
        await clock.sleep(seconds)
        waiting.cancel_scope.cancel()
