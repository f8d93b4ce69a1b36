"""As many workers as help: the rate times what a create takes (Little's law), and a few for the next slots."""

from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup

SPARE = 3
"""Workers that wait for the next slots: with one, a busy machine lost 10 % of the slots at 100/s."""


class Crew:
    """Calls up workers whenever a slot is taken and too few are left for the next ones, up to `most`.

    So nobody has to know how long a create takes: where it takes longer, more of them are under way when a slot comes,
    and those that wait out a fault are stood in for. A worker that waits costs a few kilobytes, so none is dismissed
    unless descriptors, memory or threads run out.
    """

    def __init__(self, group: TaskGroup, work: Callable[[], Coroutine[Any, Any, None]], *, most: int) -> None:
        self._group = group
        self._work = work
        self._most = most
        self.called = 0
        """Workers that were called up so far."""
        self._dismissed = 0

    def relieve(self, *, busy: int) -> None:
        """See to it that SPARE workers are left beside those that are `busy` with what has had its slot."""
        for _ in range(min(busy + SPARE, self._most) - self.called):
            self.called += 1
            self._group.start_soon(self._work)

    def dismiss(self) -> bool:
        """Tell a worker that found nothing left to work with whether it may end: unless it is the last. Once one has
        ended, no other is called up in its place."""
        if self.called - self._dismissed <= 1:
            return False
        self._dismissed += 1
        self._most = self.called
        return True
