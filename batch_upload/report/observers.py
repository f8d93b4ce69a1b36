"""Who listens to a run besides the ledger: nobody, one, or several."""

from datetime import datetime
from typing import Protocol


class RunObserver(Protocol):
    """An observer of the engine that also wants to know that time passes, and that nothing more will come."""

    def notify(self, event: object) -> None:
        """Take one event of `events.py`. Does not raise: a run must not depend on its audience."""
        ...

    def tick(self, at: datetime) -> None:
        """Called about once a second, with the wall's time, aware. Does not raise."""
        ...

    def close(self) -> None:
        """The run is over or was broken off: leave the terminal as it was. May be called twice."""
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
    """Hands everything to several observers, in their order."""

    def __init__(self, *observers: RunObserver) -> None:
        self._observers = observers

    def notify(self, event: object) -> None:
        """Each is told."""
        for observer in self._observers:
            observer.notify(event)

    def tick(self, at: datetime) -> None:
        """Each is told."""
        for observer in self._observers:
            observer.tick(at)

    def close(self) -> None:
        """Each is closed, the last first."""
        for observer in reversed(self._observers):
            observer.close()
