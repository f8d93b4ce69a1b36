"""What answers prove about a rate limiter: pure bookkeeping for the modes of the learned rate.

The theory is in docs/decisions/pacing.md. Its heart: at a throttle a token bucket holds less than one token, so the
calls that it accepts between two throttles count its rate, within one call. Times are seconds of a monotonic clock.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from batch_upload.pacing.schedule import SentCall

ROUND_TRIP_WEIGHT = 1 / 8
"""Weight of a new round trip in the average, as in TCP (RFC 6298, alpha)."""
ROUND_TRIP_OUTLIER = 8.0
"""A round trip of more than this many averages is a suspended machine, not the network."""


class InFlight:
    """The calls in flight, and the average of their round trips and of how far these deviate, in seconds."""

    __slots__ = ("_calls", "jitter_s", "round_trip_s")

    def __init__(self) -> None:
        self._calls: dict[int, SentCall] = {}
        self.round_trip_s = 0.0
        self.jitter_s = 0.0

    def add(self, ticket: int, call: SentCall) -> None:
        """Count a call that left."""
        self._calls[ticket] = call

    def answered(self, ticket: int, now: float) -> SentCall:
        """Remove a call that was answered now, and learn from its round trip."""
        call = self._calls.pop(ticket)
        took_s = now - call.at
        if not self.round_trip_s:
            self.round_trip_s = took_s
            return call
        deviation_s = min(took_s, ROUND_TRIP_OUTLIER * self.round_trip_s) - self.round_trip_s
        self.jitter_s += ROUND_TRIP_WEIGHT * (abs(deviation_s) - self.jitter_s)
        self.round_trip_s += ROUND_TRIP_WEIGHT * deviation_s
        return call

    def is_earliest(self, call: SentCall) -> bool:
        """Return whether no call that left before `call` is in flight."""
        return all(call.at <= other.at for other in self._calls.values())

    def __len__(self) -> int:
        """How many calls are in flight."""
        return len(self._calls)

    def lost(self, ticket: int) -> None:
        """Remove a call that was never answered."""
        del self._calls[ticket]

    def expected(self, rate: float) -> float:
        """Return how many calls are in flight at this rate, by Little's law."""
        return rate * self.round_trip_s


@dataclass(frozen=True, slots=True)
class BracketMark:
    """A throttle, and how many calls had been accepted before it, and refused in crowds.

    `gap_s`: seconds since the last of the accepted calls left, 0 if not known.
    """

    at: float
    accepted: int
    refused: int
    gap_s: float


class Bracket:
    """The last throttles and what they prove: N accepted in T between two of them, so (N − 1)/T < rate < (N + 1)/T.

    The upper bound holds only if the bucket was never full between them. Clear the bracket wherever it may have been:
    that keeps the throttles for the lower bound, which holds all the same.

    The last call accepted before a throttle bounds the rate, too: there the bucket held no less than nothing. So N + 1
    tokens came in no less than T and the gap before the first throttle, and N − 1 in no more than T without the gap
    before the second.
    """

    __slots__ = ("_empty", "_marks", "accepted", "refused")

    GAPS = 4
    """Gaps between throttles that are looked back on while the rate settles (docs/decisions/pacing.md)."""

    def __init__(self) -> None:
        self._marks: deque[BracketMark] = deque(maxlen=self.GAPS + 1)
        self._empty: deque[BracketMark] = deque(maxlen=self.GAPS + 1)
        self.accepted = 0
        self.refused = 0

    def mark(self, now: float, gap_s: float = 0.0) -> None:
        """Record that the bucket is empty now, `gap_s` after the last call that it accepted, 0 if that is not known."""
        mark = BracketMark(now, self.accepted, self.refused, gap_s)
        self._marks.append(mark)
        self._empty.append(mark)

    def clear(self) -> None:
        """Forget all throttles for the upper bound, because the bucket may have been full since."""
        self._marks.clear()

    def reopen(self) -> None:
        """Let the last throttle bound the rate from above again after `clear`: the bucket was not full since."""
        if not self._marks and self._empty:
            self._marks.append(self._empty[-1])

    def accepted_between(self) -> int:
        """Return the calls accepted between the first and the last of the throttles that bound the rate."""
        return self._marks[-1].accepted - self._marks[0].accepted if self._marks else 0

    def middle_rate(self) -> float:
        """Return the middle of what these throttles prove. It is unbiased, and within about 2.5 of their calls."""
        first, last = self._marks[0], self._marks[-1]
        return (last.accepted - first.accepted) / max(1e-9, last.at - first.at)

    def last_gap(self) -> tuple[int, float]:
        """Return the calls accepted and the seconds between the last two throttles, or (0, 0) without two."""
        if len(self._marks) < 2:
            return 0, 0.0
        before, mark = self._marks[-2], self._marks[-1]
        return mark.accepted - before.accepted, mark.at - before.at

    def last_accepted(self) -> int:
        """Return the calls accepted between the last two throttles, whether or not the bucket was full meanwhile."""
        return self._empty[-1].accepted - self._empty[-2].accepted if len(self._empty) > 1 else 0

    def lowest_rate(self, slack: float) -> float:
        """Return the lowest rate that the last gaps leave possible. It holds wherever the bucket was full meanwhile."""
        if not self._empty:
            return 0.0
        mark = self._empty[-1]
        return max(
            (
                (mark.accepted - before.accepted - slack) / (mark.at - mark.gap_s - before.at)
                for before in self._empty
                if mark.at - mark.gap_s > before.at
            ),
            default=0.0,
        )

    def highest_rate(self, slack: float, *, gaps: int) -> float:
        """Return the highest rate that the last gaps leave possible. `slack`: calls that may be miscounted."""
        mark = self._marks[-1]
        return min(
            (mark.accepted - before.accepted + mark.refused - before.refused + slack)
            / (mark.at - before.at + before.gap_s)
            for before in list(self._marks)[-1 - gaps : -1]
            if mark.at > before.at
        )


class BurstLog:
    """When the accepted calls of a slow start left. Once the rate is known, they show the burst. Begins closed."""

    __slots__ = ("_ended_at", "_is_open", "_sent_at")

    def __init__(self) -> None:
        self._sent_at: list[float] = []
        self._ended_at = 0.0
        self._is_open = False

    def __len__(self) -> int:
        return len(self._sent_at)

    def open(self) -> None:
        """Record accepted calls from now on."""
        self._is_open = True

    def add(self, sent_at: float) -> None:
        """Record when an accepted call left, if the log is open."""
        if self._is_open:
            self._sent_at.append(sent_at)

    def close(self, sent_at: float) -> None:
        """Close the log: the first throttled call left at `sent_at`."""
        self._ended_at, self._is_open = sent_at, False

    def clear(self) -> None:
        """Forget the calls, because the burst is known."""
        self._sent_at.clear()

    def burst(self, rate: float) -> float:
        """Return the most tokens that were used on top of `rate` until the throttle, or 0 if no call was accepted."""
        count, end = len(self._sent_at), self._ended_at
        return max((count - i - rate * (end - at) for i, at in enumerate(self._sent_at)), default=0.0)

    def least_burst(self, rate: float) -> float:
        """Return the most tokens that accepted calls used on top of `rate`, until the last of them, or 0 without any.

        It is more than `burst`, by what the bucket gained until the throttle: with few calls that tells 1 from 2.
        """
        least = used = 0.0
        for before, at in pairwise([-inf, *sorted(self._sent_at)]):
            used = max(0.0, used - rate * (at - before)) + 1
            least = max(least, used)
        return least

    def used_up(self, rate: float) -> float:
        """Return the tokens that were used on top of `rate` since the first call."""
        return len(self._sent_at) - rate * (self._ended_at - self._sent_at[0]) if self._sent_at else 0.0


class Episode:
    """The last throttle that cut the rate, and the answers of the calls that were in flight when it was heard.

    Tickets before `first_ticket` left before the cut; `accepted` and `refused` count their answers. Those that left
    after the throttled call find the bucket empty, so they are accepted at the bucket's own rate. `is_counting`: this
    rate may still be estimated. `least`: a lower bound of it. `throttles_in_a_row`: cuts without an accepted call
    between them.
    """

    __slots__ = (
        "_accepted_behind",
        "_last_at",
        "_last_ticket",
        "_paused_s",
        "_refused_behind",
        "_sent_at",
        "_sent_in_pause",
        "_ticket",
        "accepted",
        "began_at",
        "first_ticket",
        "is_counting",
        "least",
        "refused",
        "throttles_in_a_row",
    )

    ENOUGH = 5
    """Accepted calls that make an estimate: within a fifth."""
    MANY = 20
    """Accepted calls that make an estimate without a safety margin."""
    MARGIN_OF_FEW = 0.97
    """Part of an estimate from few calls that is used."""
    SHORTEST_JITTERS = 4.0
    """Jitters that the calls of an estimate must be apart."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self.first_ticket = 0
        self.is_counting = False
        self.least = 0.0
        self.throttles_in_a_row = 0
        self.accepted = 0
        self.refused = 0
        self._ticket, self._sent_at = 0, 0.0
        self._last_ticket, self._last_at = 0, 0.0
        self._accepted_behind = self._refused_behind = 0
        self._paused_s, self._sent_in_pause = 0.0, 0

    def begin(self, now: float, ticket: int, sent_at: float, first_ticket: int) -> None:
        """Begin the next episode: the call with this ticket, which left after the last cut, was throttled."""
        self.began_at, self.first_ticket = now, first_ticket
        self._ticket, self._sent_at = ticket, sent_at
        self._last_ticket, self._last_at = ticket, sent_at
        self._accepted_behind = self._refused_behind = 0
        self._paused_s, self._sent_in_pause = 0.0, 0
        self.throttles_in_a_row += 1

    def add(self, ticket: int, sent_at: float, *, accepted: bool) -> None:
        """Count the answer of a call that left before the cut."""
        self.accepted += accepted
        self.refused += not accepted
        if ticket > self._ticket:
            self._accepted_behind += accepted
            self._refused_behind += not accepted
            if ticket > self._last_ticket:
                self._last_ticket, self._last_at = ticket, sent_at

    def count(self, *, least: float) -> None:
        """Let the rate be estimated from the answers that follow."""
        self.is_counting, self.least = True, least

    def end(self) -> tuple[int, int]:
        """Stop counting. Return how many calls that left before the cut were accepted and throttled, the first time."""
        counts = self.accepted, self.refused
        self.accepted = self.refused = 0
        self.is_counting = False
        return counts

    def estimate(self, in_flight: InFlight) -> tuple[int, float]:
        """Return how many calls behind the throttled one were accepted, and the rate at which they left.

        The rate is that of all calls which left behind it, times the part that was accepted: jitter changes when an
        answer comes, but hardly which calls the bucket had a token for. Careful if they are few. Return (0, 0) while
        they are too few, or left too close together for the jitter.
        """
        count, seconds = self._accepted_behind, self._last_at - self._sent_at
        shortest_s = self.SHORTEST_JITTERS * in_flight.jitter_s
        if not self.is_counting or count < self.ENOUGH or seconds < max(shortest_s, 1e-9):
            return 0, 0.0
        part = count / (count + self._refused_behind)
        rate = part * (self._last_ticket - self._ticket) / seconds
        return count, rate if count >= self.MANY else self.MARGIN_OF_FEW * rate

    def resume(self, now: float, next_ticket: int) -> None:
        """Note that calls leave at an estimated rate from now on, unless they already did."""
        if not self._paused_s:
            self._paused_s, self._sent_in_pause = now - self.began_at, next_ticket - self.first_ticket

    def most_unsent(self, rate: float) -> float:
        """Return how many calls `rate` allowed until the first estimate that were not sent."""
        return rate * self._paused_s - self._sent_in_pause

    def unsent(self, now: float, rate: float, next_ticket: int) -> float:
        """Return how many calls `rate` allowed since the cut that were not sent: the bucket kept their tokens."""
        return max(0.0, rate * (now - self.began_at) - (next_ticket - self.first_ticket))
