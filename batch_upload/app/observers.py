"""Observers of a use case: none, or one after the other."""

from batch_upload.ports import Observer


class Silent:
    """An observer that ignores every event."""

    def notify(self, event: object) -> None:
        """Do nothing."""


class Both:
    """Hands every event to one observer, then to the next: what is counted first is right when it is shown."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def notify(self, event: object) -> None:
        """Hand the event on, in order."""
        for observer in self._observers:
            observer.notify(event)
