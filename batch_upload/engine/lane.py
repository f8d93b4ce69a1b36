"""Whether the lane may still be called: the one place where a run is told to stop, and by what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import anyio

from batch_upload.model import Fault


class StopKind(Enum):
    """Why no new create leaves. The three forms of stopping differ in what still may be asked of the lane."""

    DEADLINE = "deadline"
    CAPACITY = "capacity"
    TOO_MANY_FAILURES = "too many failures"
    ACCESS = "access"
    DISAGREEMENT = "disagreement"
    LEDGER = "ledger"
    SIGNAL = "signal"

    @property
    def drains(self) -> bool:
        """Whether what was created is still waited for."""
        return self in (StopKind.DEADLINE, StopKind.CAPACITY, StopKind.TOO_MANY_FAILURES)


@dataclass(frozen=True, slots=True)
class Stop:
    """The first reason to stop, as it will be told."""

    kind: StopKind
    fault: Fault
    resume_after: datetime | None = None
    hint: str = ""
    """What to do about it, in a phrase, or empty."""


class Withheld(Exception):
    """Nothing was sent, because the run is stopping. Control flow of the engine; never leaves it."""


class LaneControl:
    """Open until the first stop. A stop ends every wait for a slot or a backoff at once; requests in flight go on."""

    def __init__(self) -> None:
        self.creating: Stop | None = None
        """Why nothing is created any more, or None."""
        self.calling: Stop | None = None
        """Why nothing at all is asked of the lane any more, or None."""
        self._create_waits: set[anyio.CancelScope] = set()
        self._call_waits: set[anyio.CancelScope] = set()
        self.stopped = anyio.Event()

    @property
    def stop(self) -> Stop | None:
        """The stop that weighs most: one that ends all calls before one that only ends creates."""
        return self.calling or self.creating

    def stop_with(self, stop: Stop) -> bool:
        """Stop for this reason, unless there was one as strong before. Tells whether it was news."""
        before = self.calling if not stop.kind.drains else self.stop
        if before is not None:
            return False
        self.creating = self.creating or stop
        self._cancel(self._create_waits)
        if not stop.kind.drains:
            self.calling = stop
            self._cancel(self._call_waits)
        self.stopped.set()
        return True

    @contextmanager
    def waiting(self, *, to_create: bool) -> Iterator[None]:
        """A wait that a stop ends. Raises Withheld if the run is stopping when it begins or before it ends."""
        waits = self._create_waits if to_create else self._call_waits
        if self.is_stopped(to_create=to_create):
            raise Withheld
        with anyio.CancelScope() as scope:
            waits.add(scope)
            try:
                yield
            finally:
                waits.discard(scope)
        if scope.cancelled_caught or self.is_stopped(to_create=to_create):
            raise Withheld

    def is_stopped(self, *, to_create: bool) -> bool:
        """Return whether nothing is created any more, or nothing at all is asked."""
        return (self.creating if to_create else self.calling) is not None

    @staticmethod
    def _cancel(waits: set[anyio.CancelScope]) -> None:
        for scope in tuple(waits):
            scope.cancel()
