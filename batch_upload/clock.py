"""The real clock. Whoever needs time is handed a `Clock` (ports.py) and never asks the system."""

import time
from datetime import UTC, datetime

import anyio


class SystemClock:
    """The system's clocks: wall time in UTC, monotonic seconds, and a sleep that can be cancelled."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))
