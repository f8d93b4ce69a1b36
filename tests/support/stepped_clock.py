"""A clock for tests with real connections, which an event loop in virtual time cannot wait for."""

import asyncio
from datetime import UTC, datetime, timedelta


class SteppedClock:
    """Implements `ports.Clock` with a time that moves only by `pass_time`. A sleep is noted and over at once."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 9, 0, tzinfo=UTC) + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def machine(self) -> str:
        return "one"

    def pass_time(self, seconds: float) -> None:
        self.passed_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)
