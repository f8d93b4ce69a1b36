"""Ending a use case from outside: by a signal, a button, or whatever else the caller listens to."""

from collections.abc import Callable

import anyio

from batch_upload.errors import ExitCode


class Interruption:
    """A way to end a use case from outside. To be used from its event loop.

    Until the work can be drained, it is cancelled. Afterwards what is in flight ends and is recorded, 10 s at most.
    """

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        """The exit code of the first interruption, None before it."""
        self.scope = anyio.CancelScope()
        """What is cancelled by an interruption that comes before anything is sent."""
        self._drain: Callable[[str], None] | None = None

    def interrupt(self, code: ExitCode, name: str) -> None:
        """End the work. `name` says why, for instance `SIGTERM`. The first call counts."""
        if self.code is not None:
            return
        self.code = code
        if self._drain is None:
            self.scope.cancel()
        else:
            self._drain(name)

    def drain_with(self, drain: Callable[[str], None]) -> None:
        """From now on call `drain` with the name of the interruption; at once if there was one."""
        self._drain = drain
        if self.code is not None:
            drain(self.code.name)
