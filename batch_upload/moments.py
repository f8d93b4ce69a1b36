"""What two clocks say of how much time has passed, and what the wall times in a ledger are worth. Pure.

The wall clock may be set forward or back at any moment. The counting clock never steps and counts time asleep, but
begins anew with each boot, and stands still where a whole virtual machine is paused. A ledger holds wall times alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEADY_WITHIN_S = 1.0
"""How far the two clocks may part before the wall clock counts as set: more than any leap second or slow correction
within a run, and less than what a replay keeps for its way (`engine/job.py`)."""

WRONG_AT_MOST = timedelta(hours=12)
"""How far a wall time of another stretch may be off. AWS refuses what is signed by a clock 15 minutes off, so what a
worse clock dated was never carried out; a clock set by hand or to another time zone is counted in all the same."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment, as both clocks show it."""

    wall: datetime
    counting_s: float

    def passed_at_most(self, since: "Moment") -> float:
        """Seconds since an earlier moment, by the clock that says more: for what is safe only for a while."""
        return max((self.wall - since.wall).total_seconds(), self.counting_s - since.counting_s)


LONG_AGO = Moment(datetime.min.replace(tzinfo=UTC), float("-inf"))
"""A moment that nothing is known of, where an early one is the careful guess."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the wall clock of one machine has kept pace with its counting clock.

    `machine` is as `Clock.machine`. `latest_before`: the latest wall time that the ledger held of anything open when
    the stretch began, None without one. It may lie ahead of `began`, if it was written by a clock that was wrong.
    """

    machine: str
    began: Moment
    latest_before: datetime | None = None

    def goes_on(self, now: Moment, machine: str) -> bool:
        """Whether the wall clock has not been set since the stretch began."""
        if machine != self.machine or now.counting_s < self.began.counting_s:
            return False
        parted_s = (now.wall - self.began.wall).total_seconds() - (now.counting_s - self.began.counting_s)
        return abs(parted_s) <= STEADY_WITHIN_S

    def is_comparable(self, at: datetime) -> bool:
        """Whether a wall time in the ledger was certainly written within this stretch."""
        return at >= self.began.wall and (self.latest_before is None or at > self.latest_before)

    def earliest(self, at: datetime, now: Moment) -> Moment:
        """When that happened at the earliest which the ledger says happened at `at`."""
        if not self.is_comparable(at) or at > now.wall:
            return LONG_AGO
        return Moment(at, self._counting_s(at))

    def latest_s(self, at: datetime, now: Moment) -> float:
        """When that happened at the latest which the ledger says happened at `at`, in counting seconds.

        What was written before the stretch began happened before it began, whatever time was written, and not more than
        WRONG_AT_MOST after that time.
        """
        if self.is_comparable(at):
            return min(now.counting_s, self._counting_s(at))
        shown_by_now = now.wall + timedelta(seconds=STEADY_WITHIN_S)
        if self.latest_before is not None and shown_by_now < at <= self.latest_before:
            # within the stretch no clock has shown that time yet: it was written before
            return self.began.counting_s
        by_then = min(max(at, self.began.wall), at + WRONG_AT_MOST)
        return min(now.counting_s, self._counting_s(by_then))

    def _counting_s(self, at: datetime) -> float:
        return self.began.counting_s + (at - self.began.wall).total_seconds()
