"""The progress of a run over the lanes of a manifest: of each lane, and of all together. Fed by events alone.

A manifest without `targets` has no lane here: its events come unwrapped and are counted as a whole.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from batch_upload.errors import ExitCode
from batch_upload.events import LaneEnded, LanesChosen, OfLane, RunStarted, lane_and_event
from batch_upload.report.progress import Eta, RunProgress

HARD_THROTTLED_SHARE = 0.1
"""Share of throttled requests from which a lane needs attention. At rest it is 0.006 (docs/decisions/pacing.md)."""
ENOUGH_REQUESTS = 20
"""With fewer requests their share says nothing."""


class LaneActivity(StrEnum):
    """What a lane does."""

    WAITING = "waiting"
    """Nothing has happened there yet."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It ended with another exit code than 0."""


class Trouble(IntEnum):
    """Why a lane needs attention, the most urgent first."""

    ENDED = 1
    """It ended with another exit code than 0."""
    STOPPED = 2
    """Nothing new is sent there."""
    FAILING = 3
    """Items failed."""
    THROTTLED = 4
    """A large share of its requests is throttled."""
    SLOW = 5
    """It will be among the last."""


class ProgressCounts(Protocol):
    """What is read of the progress of one lane or of all; see `RunProgress`."""

    @property
    def total(self) -> int: ...
    @property
    def done(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def processing(self) -> int: ...
    @property
    def binding(self) -> int: ...
    @property
    def parked(self) -> int: ...
    @property
    def open(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def throttled(self) -> int: ...
    def rate_per_s(self, at: datetime) -> float | None: ...
    def eta(self, at: datetime) -> Eta | None: ...


class LaneProgress(RunProgress):
    """Counts of one lane."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.account: str | None = None
        self.region: str | None = None
        """None before the lane's first event."""
        self.lane_ended: LaneEnded | None = None

    def notify_of_lane(self, wrapped: OfLane) -> None:
        """Count an event of this lane."""
        self.account, self.region = wrapped.account or self.account, wrapped.region
        if isinstance(wrapped.event, LaneEnded):
            self.lane_ended = wrapped.event
            return
        if isinstance(wrapped.event, RunStarted):  # a worker may run a lane again
            self.lane_ended = None
        self.notify(wrapped.event)

    @property
    def activity(self) -> LaneActivity:
        """What the lane does now."""
        if self.lane_ended is not None:
            return LaneActivity.DONE if self.lane_ended.code == ExitCode.DONE else LaneActivity.FAILED
        return LaneActivity.WAITING if self.region is None else LaneActivity.RUNNING

    @property
    def is_hard_throttled(self) -> bool:
        """Whether so many requests are throttled that the lane needs attention."""
        requests = self.requests.total()
        return requests >= ENOUGH_REQUESTS and self.throttled >= HARD_THROTTLED_SHARE * requests


class LanesProgress:
    """Counts of a run. Pass every event to `notify` in order; read at any time. Numbers are of all lanes together."""

    def __init__(self) -> None:
        self.whole = RunProgress()
        """The only lane of a manifest without `targets`."""
        self.lanes: dict[str, LaneProgress] = {}
        """By label, in the manifest's order if `LanesChosen` came. Empty for a manifest without `targets`."""
        self.chosen: LanesChosen | None = None

    def notify(self, event: object) -> None:
        """Count one event."""
        wrapped, inner = lane_and_event(event)
        if wrapped is not None:
            lane = self.lanes.get(wrapped.label)
            if lane is None:
                lane = self.lanes[wrapped.label] = LaneProgress(wrapped.label)
            lane.notify_of_lane(wrapped)
        elif isinstance(inner, LanesChosen):
            self.chosen = inner
            self.lanes = {label: self.lanes.get(label) or LaneProgress(label) for label in inner.labels}
        else:
            self.whole.notify(inner)

    @property
    def activities(self) -> Mapping[LaneActivity, int]:
        """Number of lanes by what they do, each activity named."""
        counts = Counter(lane.activity for lane in self.lanes.values())
        return {activity: counts[activity] for activity in LaneActivity}

    @property
    def total(self) -> int:
        """Items that the run brings to an end; of a lane that has not planned yet, all of its items."""
        if self.chosen is None:
            return sum(each.total for each in self._each())
        items = dict(zip(self.chosen.labels, self.chosen.items, strict=False))
        return sum(
            lane.total if lane.started or lane.lane_ended else items.get(label, 0) for label, lane in self.lanes.items()
        )

    @property
    def done(self) -> int:
        """Items that ended well."""
        return sum(each.done for each in self._each())

    @property
    def failed(self) -> int:
        """Items that ended as `failed`."""
        return sum(each.failed for each in self._each())

    @property
    def processing(self) -> int:
        """Items that were created and that the service still processes."""
        return sum(each.processing for each in self._each())

    @property
    def binding(self) -> int:
        """Items with which the service has finished, and that are not in their field yet."""
        return sum(each.binding for each in self._each())

    @property
    def binds_left(self) -> int:
        """Items that are still to be put into a field, of the lanes that have started."""
        return sum(each.binds_left for each in self._each())

    @property
    def parked(self) -> int:
        """Items that ended as `parked`."""
        return sum(each.parked for each in self._each())

    @property
    def open(self) -> int:
        """Items that ended in a state from which the next run goes on."""
        return sum(each.open for each in self._each())

    @property
    def sent(self) -> int:
        """Items for which nothing is left to be sent in this run."""
        return sum(each.sent for each in self._each())

    @property
    def ended(self) -> int:
        """Items for which nothing more will be done in this run."""
        return sum(each.ended for each in self._each())

    @property
    def created(self) -> int:
        """Items that became known as created."""
        return sum(each.created for each in self._each())

    @property
    def created_bytes(self) -> int:
        """Bytes of their documents."""
        return sum(each.created_bytes for each in self._each())

    @property
    def throttled(self) -> int:
        """Requests that the service throttled, of all operations."""
        return sum(each.throttled for each in self._each())

    @property
    def states(self) -> Counter[str]:
        """Every item by state, of the lanes that have started."""
        return sum((each.states for each in self._each()), Counter[str]())

    @property
    def requests(self) -> Counter[str]:
        """Requests by operation."""
        return sum((each.requests for each in self._each()), Counter[str]())

    def rate_per_s(self, at: datetime) -> float | None:
        """Return creates a second over the last seconds, of all running lanes together; None if none is known."""
        lanes = (each for each in self._each() if not (isinstance(each, LaneProgress) and each.lane_ended))
        rates = [rate for each in lanes if (rate := each.rate_per_s(at)) is not None]
        return sum(rates) if rates else None

    def eta(self, at: datetime) -> Eta | None:
        """Return when all is done: when the slowest lane is. Lanes that have not started are left out."""
        if not self.lanes:
            return self.whole.eta(at)
        slowest = self.slowest(at)
        return None if slowest is None else slowest[1]

    def slowest(self, at: datetime) -> tuple[LaneProgress, Eta] | None:
        """Return the lane that will be the last to end, and when; None where no lane's end can be told."""
        ends = self._ends(at)
        return max(ends, key=lambda each: each[1].left_s, default=None)

    def troubled(self, at: datetime) -> list[tuple[LaneProgress, Trouble]]:
        """Return the lanes that need attention with the most urgent reason, most urgent first, the slowest last.

        Every lane whose end can be told counts as slow, the slowest first: a caller shows as many as have room.
        """
        found: list[tuple[LaneProgress, Trouble]] = []
        for lane in self.lanes.values():
            if lane.activity is LaneActivity.FAILED:
                found.append((lane, Trouble.ENDED))
            elif lane.lane_ended is not None:
                continue
            elif lane.stopped is not None:
                found.append((lane, Trouble.STOPPED))
            elif lane.failed:
                found.append((lane, Trouble.FAILING))
            elif lane.is_hard_throttled:
                found.append((lane, Trouble.THROTTLED))
        found.sort(key=lambda each: each[1])
        named = {lane.label for lane, _ in found}
        ends = sorted(self._ends(at), key=lambda each: -each[1].left_s)
        return found + [(lane, Trouble.SLOW) for lane, _ in ends if lane.label not in named]

    def _ends(self, at: datetime) -> list[tuple[LaneProgress, Eta]]:
        running = (lane for lane in self.lanes.values() if lane.lane_ended is None)
        return [(lane, end) for lane in running if (end := lane.eta(at)) is not None]

    def _each(self) -> tuple[RunProgress, ...]:
        return tuple(self.lanes.values()) or (self.whole,)
