"""The pacer's tests run in virtual time."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.manual_clock import JumpingLoop, ManualClock


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test of this folder runs on a loop whose clock jumps."""
    return {"virtual": JumpingLoop}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
