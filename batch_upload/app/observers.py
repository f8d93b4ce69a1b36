"""Observers of a use case: none, or one after the other."""

from collections.abc import Callable

from batch_upload.events import OfLane
from batch_upload.model import Lane
from batch_upload.ports import Observer
from batch_upload.targets import Target


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


class OneLane:
    """Hands the events of one lane of several on, wrapped as `OfLane`. `lane` returns the lane once it is known."""

    def __init__(self, observer: Observer, target: Target, lane: Callable[[], Lane | None] = lambda: None) -> None:
        self._observer = observer
        self._target = target
        self._lane = lane

    def notify(self, event: object) -> None:
        """Hand the event on."""
        lane = self._lane()
        account = self._target.account if lane is None else lane.account
        self._observer.notify(OfLane(self._target.label or "", account, self._target.region or "", event))


def observer_of_lane(target: Target, observer: Observer, lane: Callable[[], Lane | None] = lambda: None) -> Observer:
    """Return an observer that names the lane of what it hands on, where there are `targets`. `lane` as in OneLane."""
    return observer if target.label is None else OneLane(observer, target, lane)
