"""What is left behind by many calls, whatever became of them: no descriptor, no task, no document."""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.errors import ServiceError
from batch_upload.ports import Body, CreateRequest
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import AwsService, open_service
from tests.support.emulator_process import EmulatorProcess, running_emulator

CREATE = "CreateRegistrationAttachment"
AT_ONCE = 8
SPOILT = (Action.THROTTLE, Action.DROP_BEFORE, Action.DROP_AFTER, Action.CUT_SHORT, Action.GARBAGE)
DOCUMENT_BYTES = 300_000


@asynccontextmanager
async def opened(emulator: EmulatorProcess) -> AsyncIterator[AwsService]:
    access = Access(region="us-east-1", endpoint_url=emulator.url, keys=StaticKeys("AKID", "no"), connections=AT_ONCE)
    async with open_service(access) as service:
        yield service


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    """Elsewhere, so that nothing of a server is counted."""
    with running_emulator({"rates": {"*": None}, "attachments_per_account": None, "processing_s": 0}) as made:
        yield made


@pytest.fixture
async def emulator(process: EmulatorProcess) -> EmulatorProcess:
    """It was called before, so that what is made once is made."""
    process.set_faults([])
    async with opened(process) as service:
        await create(service, "first")
    await settled()
    return process


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing may have to wait for the collector of garbage to be closed or freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def create(service: AwsService, token: str) -> ServiceError | None:
    """Gives what went wrong, without the frames of ours that it went through: letting go of those is the engine's."""
    try:
        await service.create(CreateRequest(token, {"Customer": "acme"}, body=Body.of(bytes(DOCUMENT_BYTES))))
    except ServiceError as error:
        return error.with_traceback(None)
    return None


async def create_many(service: AwsService, count: int, *, begin: int = 0) -> list[ServiceError | None]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> ServiceError | None:
        async with limit:
            return await create(service, f"token-{number}")

    return await asyncio.gather(*(one(number) for number in range(begin, begin + count)))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def left() -> tuple[int, int]:
    """Descriptors and tasks."""
    return descriptors(), len(asyncio.all_tasks())


async def settled(to: tuple[int, int] | None = None) -> tuple[int, int]:
    """What is left once the loop has done what it has to do."""
    for _ in range(200):
        await asyncio.sleep(0)
        if to is not None and left() == to:
            break
    return left()


async def test_many_calls_need_no_more_than_a_few(emulator: EmulatorProcess, no_collector: None) -> None:
    before = left()
    descriptors_before, tasks_before = before

    async with opened(emulator) as service:
        # the first few may do with less than a connection each: one is free again before the last call is sent
        await create_many(service, 20 * AT_ONCE)
        descriptors_after, tasks_after = await settled((descriptors_before + AT_ONCE, tasks_before))

    assert descriptors_after <= descriptors_before + AT_ONCE
    assert tasks_after == tasks_before
    assert await settled(before) == before


@pytest.mark.parametrize("action", SPOILT)
async def test_what_goes_wrong_leaves_nothing_behind(
    emulator: EmulatorProcess, no_collector: None, action: Action
) -> None:
    before = left()
    tracemalloc.start()

    async with opened(emulator) as service:
        emulator.set_faults([{"action": action}])
        await create_many(service, AT_ONCE)
        begun_bytes, _ = tracemalloc.get_traced_memory()
        errors = await create_many(service, 3 * AT_ONCE, begin=AT_ONCE)
        ended_bytes, _ = tracemalloc.get_traced_memory()

    tracemalloc.stop()
    assert all(errors)
    assert ended_bytes - begun_bytes < 3 * DOCUMENT_BYTES
    assert await settled(before) == before


async def test_calls_that_are_cancelled_leave_nothing_behind(emulator: EmulatorProcess, no_collector: None) -> None:
    before = left()
    requests = emulator.stats()["requests"][CREATE]
    emulator.set_faults([{"action": Action.HANG}])

    async with opened(emulator) as service:
        calls = [asyncio.ensure_future(create(service, f"token-{number}")) for number in range(AT_ONCE)]
        while emulator.stats()["requests"][CREATE] < requests + AT_ONCE:
            await settled()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    assert await settled(before) == before
