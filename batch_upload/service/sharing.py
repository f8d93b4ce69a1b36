"""What limits several lanes together: one fetch of shared credentials at a time, and a number of calls a second."""

import copy
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from batch_upload.clock import MonotonicClock, SystemClock
from batch_upload.errors import AccessFault, ServiceError


class StartLimiter:
    """Lets at most `rate` calls start in any second, in the order in which callers came."""

    def __init__(self, rate: int, *, clock: MonotonicClock | None = None) -> None:
        self._clock: MonotonicClock = clock or SystemClock()
        self._starts_s: deque[float] = deque(maxlen=rate)

    async def slot(self, **_: object) -> None:
        """Return when the caller may start. Takes any arguments, as a handler of botocore's events must."""
        start_s = now = self._clock.monotonic()
        if len(self._starts_s) == self._starts_s.maxlen:
            start_s = max(now, self._starts_s[0] + 1.0)
        self._starts_s.append(start_s)
        if start_s > now:
            await self._clock.sleep(start_s - now)


class Turns:
    """One caller at a time does what the others wait for. If it fails, those that waited fail with its fault.

    An AccessFault is raised by every turn for `kept_s` seconds. After that the next caller tries again.
    """

    def __init__(self, *, clock: MonotonicClock | None = None, kept_s: float = 0.0) -> None:
        self._clock: MonotonicClock = clock or SystemClock()
        self._kept_s = kept_s
        self._lock = anyio.Lock()
        self._failures = 0
        self._fault: ServiceError | None = None
        self._failed_at_s = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the caller's turn. Raises a copy of the fault that ended another turn meanwhile, or that is kept."""
        failures = self._failures
        async with self._lock:
            if self._fault is not None:
                is_kept = isinstance(self._fault, AccessFault) and self._age_s() < self._kept_s
                if is_kept or failures != self._failures:
                    raise copy.copy(self._fault)
            try:
                yield
            except ServiceError as error:
                self._failures += 1
                self._fault, self._failed_at_s = copy.copy(error), self._clock.monotonic()  # without its traceback
                raise

    def _age_s(self) -> float:
        return self._clock.monotonic() - self._failed_at_s
