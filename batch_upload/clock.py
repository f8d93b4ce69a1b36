"""Clocks that are passed in, and the real one. No other module reads the system's time: it takes a clock instead."""

import socket
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import anyio

PIECE_S = 2.0
"""The longest single sleep, in seconds: the system's timers stop while the machine is suspended."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""The id of the running boot (Linux, random(4))."""


class MonotonicClock(Protocol):
    """Time for durations. A test's clock turns hours into milliseconds."""

    def monotonic(self) -> float:
        """Seconds since some moment of this boot, time asleep included; never goes back, never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at once, but after a checkpoint, where that is 0 or less. Can be cancelled.

        Time asleep counts: a sleep that was over meanwhile ends a few seconds after the machine has woken.
        """
        ...


async def sleep_or(event: anyio.Event, seconds: float, clock: MonotonicClock) -> None:
    """Return after `seconds`, or as soon as the event is set."""
    async with anyio.create_task_group() as waiting:

        async def wake() -> None:
            await event.wait()
            waiting.cancel_scope.cancel()

        waiting.start_soon(wake)
        await clock.sleep(seconds)
        waiting.cancel_scope.cancel()


class SystemClock:
    """The system's clocks: wall time in UTC, seconds that count time asleep, and a sleep that can be cancelled."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return counting_s()

    def machine(self) -> str:
        return _machine()

    async def sleep(self, seconds: float) -> None:
        ends_at = counting_s() + seconds
        while seconds > PIECE_S:
            await anyio.sleep(PIECE_S)
            seconds = ends_at - counting_s()
        await anyio.sleep(max(0.0, seconds))


def _clock_that_counts_sleep() -> int | None:
    """Return the id of a system clock that never steps and counts time asleep, or None without one."""
    if sys.platform == "linux":
        return time.CLOCK_BOOTTIME
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC_RAW  # as mach_continuous_time; what time.monotonic() reads there stands still
    return None


_CLOCK_ID = _clock_that_counts_sleep()


def counting_s() -> float:
    """Return seconds since some moment of this boot, with time asleep if the system counts it. Never goes back."""
    return time.monotonic() if _CLOCK_ID is None else time.clock_gettime(_CLOCK_ID)


@cache
def _machine() -> str:
    try:
        return f"boot {_BOOT_ID.read_text(encoding='ascii').strip()}"
    except (OSError, ValueError):
        return f"host {socket.gethostname()}"
