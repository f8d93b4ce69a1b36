"""What a mode of the learned rate decides, and the state that all modes share. Pure."""

from dataclasses import dataclass, field
from math import inf, log
from typing import Protocol

from batch_upload.pacing.evidence import Bracket, BurstLog, Episode, InFlight
from batch_upload.pacing.schedule import SentCall, SlotSchedule


@dataclass(slots=True)
class RateState:
    """The rate, and the evidence that it rests on.

    `rate` and `ceiling`: calls a second. `burst`: calls that the limiter admits at once, as far as known.
    `evidence`: accepted calls at full pace since the last throttle, or since the present test began.
    `expected`: calls that are to be accepted in all, infinite if not known. `is_single`: the limiter was seen to admit
    one call at a time. `refused`: the slowest pace that such a limiter refused in a search, 0 if not known.
    `last_accepted_at`: when the latest of the accepted calls left.
    """

    rate: float
    ceiling: float
    burst: float
    evidence: float
    expected: float = inf
    is_single: bool = False
    refused: float = 0.0
    last_accepted_at: float = -inf
    schedule: SlotSchedule = field(default_factory=SlotSchedule)
    in_flight: InFlight = field(default_factory=InFlight)
    bracket: Bracket = field(default_factory=Bracket)
    burst_log: BurstLog = field(default_factory=BurstLog)
    episode: Episode = field(default_factory=Episode)

    @property
    def left(self) -> float:
        """Calls that are still to be accepted, infinite if not known."""
        return max(0.0, self.expected - self.bracket.accepted)

    @property
    def jitter_slots(self) -> float:
        """The jitter of the round trip, in slots of the present rate."""
        return self.rate * self.in_flight.jitter_s

    @property
    def slack(self) -> float:
        """Calls between two throttles that may be miscounted: one, and what jitter moves at each end."""
        return 1 + 2 * self.jitter_slots

    def with_margin(self, rate: float) -> float:
        """Return the pace at which a limiter of this rate that admits one call at a time costs the least time.

        With exponential jitter of s slots and a margin of m slots, exp(-m/s)/2 of all calls come too early, and each
        of these costs a slot. So m + exp(-m/s)/2 is least at m = s ln(1/2s).
        """
        jitter = rate * self.in_flight.jitter_s
        return rate / (1 + jitter * log(1 / (2 * jitter))) if 0 < jitter < 1 / 2 else rate

    def speed_up(self, rate: float) -> None:
        """Raise the rate, at most to the ceiling, and let the next slot come earlier by what its length shrinks."""
        slot_s = 1 / self.rate
        self.rate = min(rate, self.ceiling)
        self.schedule.next_at -= slot_s - 1 / self.rate

    def learn_burst(self) -> None:
        """Take the burst from the log of the slow start, if there is one: the rate is known well enough now."""
        if len(self.burst_log):
            self.burst = max(1.0, self.burst_log.burst(self.rate))


class Mode(Protocol):
    """One way to change the rate. Both methods return the mode that decides next, which may be the same."""

    @property
    def settled_rate(self) -> float | None:
        """The rate to remember, in calls a second. None before the first throttle: a burst looks like a rate."""
        ...

    @property
    def is_single(self) -> bool:
        """Whether the limiter is taken to admit one call at a time."""
        ...

    def accepted(self, call: SentCall, now: float) -> "Mode":
        """Raise the rate, because a call that left at full pace after the last cut was accepted."""
        ...

    def throttled(self, call: SentCall, now: float) -> "Mode":
        """Cut the rate, because a call that left after the last cut was throttled. The new episode has begun."""
        ...
