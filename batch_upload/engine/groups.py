"""Several things at once, one error at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from batch_upload.engine.lane import Withheld
from batch_upload.ports import Clock

T = TypeVar("T")


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises the first error of its tasks as it is, not in a group."""
    first: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        first = _first(errors)
    if first is None:
        return
    try:
        # not within `except`: the group would become its context. It holds the error, so both would stay in memory,
        # with all that their frames hold, until the garbage collector comes
        raise first
    finally:
        del first  # the error holds this frame


async def for_each(things: Iterable[T], do: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do it for each, at most `at_once` at the same time. The first error ends the others and is raised.

    After Withheld, those that have begun end by themselves and no other is begun; then it is raised.
    """
    limit = anyio.Semaphore(at_once)
    withheld: list[Withheld] = []

    async def one(thing: T) -> None:
        try:
            await do(thing)
        except Withheld as error:
            withheld.append(error)
        finally:
            limit.release()

    async with task_group() as group:
        for thing in things:
            await limit.acquire()
            if withheld:
                break
            group.start_soon(one, thing)
    if withheld:
        raise withheld[0]


@dataclass(slots=True)
class TimeLimit:
    """Whether the time is up. Also True if the work ended at that very moment: ask it first."""

    is_up: bool = False


@asynccontextmanager
async def time_limit(seconds: float | None, clock: Clock) -> AsyncIterator[TimeLimit]:
    """Cancel what is done within after so many seconds of the clock, time asleep included. None: never."""
    limit = TimeLimit()
    if seconds is None:
        yield limit
        return
    async with task_group() as group:
        watch = anyio.CancelScope()

        async def cut_off() -> None:
            with watch:
                await clock.sleep(seconds)
                limit.is_up = True
                group.cancel_scope.cancel()

        group.start_soon(cut_off)
        yield limit
        watch.cancel()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
