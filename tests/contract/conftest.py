"""The lane under test: the real client over HTTP to the emulator, and the fake of the engine's tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from batch_upload.emulator.serve import serving
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import open_service
from tests.support.lanes import EmulatedLane, LaneUnderTest, MemoryLane

GENEROUS = EmulatorSettings(rates={"*": None}, attachments_per_account=1_000, processing_s=0)


@pytest.fixture(params=["http", "memory"])
async def lane(request: pytest.FixtureRequest) -> AsyncIterator[LaneUnderTest]:
    if request.param == "memory":
        yield MemoryLane()
        return
    async with emulated(GENEROUS) as made:
        yield made


@pytest.fixture
async def wire() -> AsyncIterator[EmulatedLane]:
    """The real client alone, for what only a wire can do."""
    async with emulated(GENEROUS) as made:
        yield made


@asynccontextmanager
async def emulated(settings: EmulatorSettings) -> AsyncIterator[EmulatedLane]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(settings))
        access = Access(region="us-east-1", endpoint_url=running.url, keys=StaticKeys("AKIDEXAMPLE", "not-a-secret"))
        yield EmulatedLane(await stack.enter_async_context(open_service(access)), running)
