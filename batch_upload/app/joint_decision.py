"""One decision over what all lanes of a run have found."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import anyio

Found = TypeVar("Found")


class JointDecision(Generic[Found]):
    """Calls `decide` once, when each expected lane has handed in what it found, or has ended before.

    `decide` runs in one of the lanes that handed something in, so that what ends these lanes ends it too. Lanes are
    known by their label, None for the only lane of a manifest without `targets`.
    """

    def __init__(self, decide: Callable[[Mapping[str | None, Found]], Awaitable[bool]]) -> None:
        self._decide = decide
        self._awaited: set[str | None] = set()
        self._found: dict[str | None, Found] = {}
        self._is_complete = anyio.Event()
        self._has_begun = False
        self._is_made = anyio.Event()
        self._is_agreed = False
        self._error: Exception | None = None

    def expect(self, label: str | None) -> None:
        """Wait for this lane."""
        self._awaited.add(label)

    def leave(self, label: str | None) -> None:
        """Wait for this lane no longer. Calling it again does nothing."""
        self._awaited.discard(label)
        if not self._awaited:
            self._is_complete.set()

    async def of(self, label: str | None, found: Found) -> bool:
        """Hand in what a lane has found, and return what was decided. Raises what `decide` raises, in every lane.

        If the deciding lane is cancelled there is no decision. An interruption or the deadline, which cancels one lane,
        cancels all: until then the others wait.
        """
        self._found[label] = found
        self.leave(label)
        await self._is_complete.wait()
        if not self._has_begun:
            self._has_begun = True
            try:
                self._is_agreed = await self._decide(self._found)
            except Exception as error:  # noqa: BLE001 - raised in every lane
                self._error = error
            self._is_made.set()
        await self._is_made.wait()
        if self._error is not None:
            raise self._error
        return self._is_agreed
