"""As many workers as help: the rate times what a create takes (Little's law), and one more that waits for its slot."""

from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup


class Crew:
    """Calls up one worker more whenever a slot is taken and nobody waits for the next, up to `most`.

    So nobody has to know how long a create takes: where it takes longer, more of them are under way when a slot comes,
    and those that wait out a fault are stood in for. Nobody is sent home: a worker that waits costs a few kilobytes.
    """

    def __init__(
        self, group: TaskGroup, work: Callable[[], Coroutine[Any, Any, None]], *, in_line: Callable[[], int], most: int
    ) -> None:
        self._group = group
        self._work = work
        self._in_line = in_line
        self._most = most
        self.called = 0
        """Workers that were called up so far."""

    def relieve(self) -> None:
        """A slot was taken: see to it that somebody waits for the next one."""
        if self.called < self._most and not self._in_line():
            self.called += 1
            self._group.start_soon(self._work)
