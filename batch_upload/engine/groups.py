"""Several things at once, one error at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises the first error of its tasks as it is, not in a group."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


async def for_each(things: Iterable[T], do: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do it for each, at most `at_once` at the same time. The first error ends the others and is raised."""
    limit = anyio.Semaphore(at_once)

    async def one(thing: T) -> None:
        try:
            await do(thing)
        finally:
            limit.release()

    async with task_group() as group:
        for thing in things:
            await limit.acquire()
            group.start_soon(one, thing)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
