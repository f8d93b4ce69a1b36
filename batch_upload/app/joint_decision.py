"""One decision over what all lanes of a run have found."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import anyio

Found = TypeVar("Found")


class JointDecision(Generic[Found]):
    """Calls `decide` once, when each expected lane has handed in what it found, or has ended before.

    Lanes are known by their label, None for the only lane of a manifest without `targets`.
    """

    def __init__(self, decide: Callable[[Mapping[str | None, Found]], Awaitable[bool]]) -> None:
        self._decide = decide
        self._awaited: set[str | None] = set()
        self._found: dict[str | None, Found] = {}
        self._is_made = anyio.Event()
        self._is_agreed = False
        self._error: Exception | None = None

    def expect(self, label: str | None) -> None:
        """Wait for this lane."""
        self._awaited.add(label)

    async def of(self, label: str | None, found: Found) -> bool:
        """Hand in what a lane has found, and return what was decided. Raises what `decide` raises, in every lane."""
        self._found[label] = found
        await self.leave(label)
        await self._is_made.wait()
        if self._error is not None:
            raise self._error
        return self._is_agreed

    async def leave(self, label: str | None) -> None:
        """Wait for this lane no longer. Done again, it does no more."""
        if label not in self._awaited:
            return
        self._awaited.discard(label)
        if self._awaited or not self._found:
            return
        try:
            self._is_agreed = await self._decide(self._found)
        except Exception as error:  # noqa: BLE001 - raised in every lane
            self._error = error
        finally:
            self._is_made.set()
