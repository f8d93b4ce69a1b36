"""The real clock."""

import sys
import time
from datetime import UTC, datetime

import pytest

from batch_upload.clock import SystemClock


async def test_the_wall_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert abs((SystemClock().now() - datetime.now(UTC)).total_seconds()) < 60


async def test_monotonic_time_never_goes_back() -> None:
    clock = SystemClock()
    before = clock.monotonic()

    await clock.sleep(0)

    assert clock.monotonic() >= before


async def test_a_sleep_of_nothing_returns() -> None:
    await SystemClock().sleep(-5)


@pytest.mark.skipif(sys.platform != "linux", reason="the clock has another name there")
def test_time_asleep_counts() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    shown = SystemClock().monotonic()

    assert before <= shown <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_machine_has_one_name_while_it_runs() -> None:
    assert SystemClock().machine() == SystemClock().machine() != ""
