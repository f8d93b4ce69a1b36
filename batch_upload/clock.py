"""The real clock. Whoever needs time is handed a `Clock` (ports.py) and never asks the system."""

import socket
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import anyio

PIECE_S = 2.0
"""The longest sleep that is left to the system's timers, which stand still while the machine is suspended."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A name of the running boot (Linux, random(4))."""


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
    """The id of a system clock that never steps and goes on while the machine is suspended; None without one."""
    if sys.platform == "linux":
        return time.CLOCK_BOOTTIME
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC_RAW  # as mach_continuous_time; what time.monotonic() reads there stands still
    return None


_CLOCK_ID = _clock_that_counts_sleep()


def counting_s() -> float:
    """Seconds since some moment of this boot, time asleep included where the system tells. Never goes back."""
    return time.monotonic() if _CLOCK_ID is None else time.clock_gettime(_CLOCK_ID)


@cache
def _machine() -> str:
    try:
        return f"boot {_BOOT_ID.read_text(encoding='ascii').strip()}"
    except (OSError, ValueError):
        return f"host {socket.gethostname()}"
