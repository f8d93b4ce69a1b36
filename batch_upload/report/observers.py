"""The observers of a run: their protocol, and several as one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol


class RunObserver(Protocol):
    """An observer of the engine that is also called as time passes, and at the end. By itself it does nothing."""

    def notify(self, event: object) -> None:
        """Take one event of `events.py`. May raise OSError or ValueError where its file or stream takes no more."""
        ...

    def tick(self, at: datetime) -> None:
        """Take the wall's time, aware, about once a second. May raise as `notify`."""
        return

    def close(self) -> None:
        """Leave the terminal as it was: the run is over or was broken off. May be called twice, may raise likewise."""
        return


class Observers:
    """Passes everything on to several observers, in their order; without one it does nothing.

    An observer that raises OSError or ValueError (a full disk, a closed file) gets nothing more, and `on_lost` is
    called with its error, once. All others still get everything.
    """

    def __init__(
        self, *observers: RunObserver, on_lost: Callable[[OSError | ValueError], None] = lambda error: None
    ) -> None:
        self._observers = observers
        self._on_lost = on_lost

    def notify(self, event: object) -> None:
        """Pass the event on."""
        self._each(self._observers, lambda observer: observer.notify(event))

    def tick(self, at: datetime) -> None:
        """Pass the time on."""
        self._each(self._observers, lambda observer: observer.tick(at))

    def close(self) -> None:
        """Close each, the last first."""
        self._each(self._observers[::-1], lambda observer: observer.close())

    def _each(self, observers: Sequence[RunObserver], call: Callable[[RunObserver], None]) -> None:
        for observer in observers:
            try:
                call(observer)
            except (OSError, ValueError) as error:
                self._observers = tuple(each for each in self._observers if each is not observer)
                self._on_lost(error)
