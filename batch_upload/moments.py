"""How much time has passed by two clocks, and how far the wall times in a ledger can be trusted. Pure.

The wall clock may be set at any moment. The counting clock never steps and counts time asleep, but restarts with each
boot, and stops while a whole virtual machine is paused. A ledger has only wall times.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEADY_WITHIN_S = 1.0
"""How far the two clocks may drift apart before the wall clock counts as set. More than a leap second or a slow
correction within a run, and less than the time that is reserved for a replay on its way (`engine/replay.py`)."""

WRONG_AT_MOST = timedelta(hours=12)
"""How far a wall time of another stretch may be off. AWS refuses signatures of a clock that is 15 minutes off, so
what a worse clock dated was never carried out. The limit covers a clock set by hand or to another time zone, too."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by both clocks."""

    wall: datetime
    counting_s: float

    def passed_at_most(self, since: "Moment") -> float:
        """Return the seconds since an earlier moment, the larger of both clocks: for what is safe only for a while."""
        return max((self.wall - since.wall).total_seconds(), self.counting_s - since.counting_s)


LONG_AGO = Moment(datetime.min.replace(tzinfo=UTC), float("-inf"))
"""An unknown moment, where an early one is the safe guess."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A period in which the wall clock of one machine kept pace with its counting clock.

    `machine` is as `Clock.machine`. `latest_before`: the latest wall time of an open attempt in the ledger when the
    stretch began, or None. It may be later than `began` if a wrong clock wrote it.
    """

    machine: str
    began: Moment
    latest_before: datetime | None = None

    def goes_on(self, now: Moment, machine: str) -> bool:
        """Tell whether the wall clock was not set since the stretch began."""
        if machine != self.machine or now.counting_s < self.began.counting_s:
            return False
        parted_s = (now.wall - self.began.wall).total_seconds() - (now.counting_s - self.began.counting_s)
        return abs(parted_s) <= STEADY_WITHIN_S

    def is_comparable(self, at: datetime) -> bool:
        """Tell whether a wall time in the ledger was certainly written within this stretch."""
        return at >= self.began.wall and (self.latest_before is None or at > self.latest_before)

    def earliest(self, at: datetime, now: Moment) -> Moment:
        """Return the earliest moment of an event that the ledger dates `at`."""
        if not self.is_comparable(at) or at > now.wall:
            return LONG_AGO
        return Moment(at, self._counting_s(at))

    def latest_s(self, at: datetime, now: Moment) -> float:
        """Return the latest moment of an event that the ledger dates `at`, in counting seconds.

        An event of before the stretch happened before it began, whatever its date, and at most WRONG_AT_MOST after it.
        """
        if self.is_comparable(at):
            return min(now.counting_s, self._counting_s(at))
        shown_by_now = now.wall + timedelta(seconds=STEADY_WITHIN_S)
        if self.latest_before is not None and shown_by_now < at <= self.latest_before:
            # the clock has not shown that time within the stretch: it was written before
            return self.began.counting_s
        by_then = min(max(at, self.began.wall), at + WRONG_AT_MOST)
        return min(now.counting_s, self._counting_s(by_then))

    def _counting_s(self, at: datetime) -> float:
        return self.began.counting_s + (at - self.began.wall).total_seconds()
