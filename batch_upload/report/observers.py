"""Who listens to a run besides the ledger: nobody, one, or several."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol


def _ignore(_error: OSError | ValueError) -> None:
    """Nobody wants to know."""


class RunObserver(Protocol):
    """An observer of the engine that also wants to know that time passes, and that nothing more will come."""

    def notify(self, event: object) -> None:
        """Take one event of `events.py`. May raise OSError or ValueError where its file or stream takes no more."""
        ...

    def tick(self, at: datetime) -> None:
        """Called about once a second, with the wall's time, aware. May raise as `notify`."""
        ...

    def close(self) -> None:
        """The run is over or was broken off: leave the terminal as it was. May be called twice, may raise likewise."""
        ...


class NullObserver:
    """Listens to nothing: `--quiet`."""

    def notify(self, event: object) -> None:
        """Nothing follows."""

    def tick(self, at: datetime) -> None:
        """Nothing follows."""

    def close(self) -> None:
        """Nothing was opened."""


class Observers:
    """Hands everything to several observers, in their order.

    An observer that raises OSError or ValueError (a full disk, a closed file) gets nothing more, and `on_lost` is
    called with its error, once. All others still get everything.
    """

    def __init__(self, *observers: RunObserver, on_lost: Callable[[OSError | ValueError], None] = _ignore) -> None:
        self._observers = observers
        self._on_lost = on_lost

    def notify(self, event: object) -> None:
        """Each is told."""
        self._tell(self._observers, lambda observer: observer.notify(event))

    def tick(self, at: datetime) -> None:
        """Each is told."""
        self._tell(self._observers, lambda observer: observer.tick(at))

    def close(self) -> None:
        """Each is closed, the last first."""
        self._tell(self._observers[::-1], lambda observer: observer.close())

    def _tell(self, observers: Sequence[RunObserver], tell: Callable[[RunObserver], None]) -> None:
        for observer in observers:
            try:
                tell(observer)
            except (OSError, ValueError) as error:
                self._observers = tuple(each for each in self._observers if each is not observer)
                self._on_lost(error)
