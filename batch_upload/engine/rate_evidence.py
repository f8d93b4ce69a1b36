"""What answers say about a limiter: pure bookkeeping for the law in `rate_learned.py`.

The theory is in docs/decisions/pacing.md. Its heart: at a throttle a token bucket holds less than one token, so the
calls that it accepts between two throttles count its rate, within one call.
"""

from collections import deque
from dataclasses import dataclass

SMOOTHING = 1 / 8
"""Weight of a new round trip, as TCP has it (RFC 6298, alpha)."""
OUTLIER = 8.0
"""A round trip of more than so many usual ones is a suspended machine, not the network."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A call on its way. `pressed`: it left at the law's pace and not at ours."""

    at: float
    rate: float
    pressed: bool


class Flight:
    """The calls on their way, and how long they usually take."""

    __slots__ = ("_calls", "jitter_s", "round_trip_s")

    def __init__(self) -> None:
        self._calls: dict[int, Sent] = {}
        self.round_trip_s = 0.0
        self.jitter_s = 0.0

    def leave(self, ticket: int, call: Sent) -> None:
        self._calls[ticket] = call

    def land(self, ticket: int, now: float) -> Sent:
        """The call was answered: learn from how long it took."""
        call = self._calls.pop(ticket)
        took_s = now - call.at
        if not self.round_trip_s:
            self.round_trip_s = took_s
            return call
        off_s = min(took_s, OUTLIER * self.round_trip_s) - self.round_trip_s
        self.jitter_s += SMOOTHING * (abs(off_s) - self.jitter_s)
        self.round_trip_s += SMOOTHING * off_s
        return call

    def lose(self, ticket: int) -> None:
        """The call was never answered."""
        del self._calls[ticket]

    def at_once(self, rate: float) -> float:
        """How many calls are on their way at that rate (Little)."""
        return rate * self.round_trip_s


@dataclass(frozen=True, slots=True)
class Mark:
    """A throttle, and how many calls were accepted and refused in crowds before it."""

    at: float
    accepted: int
    refused: int


class Bracket:
    """The last throttles, and what they prove: N accepted in T between two of them, so (N − 1)/T < rate < (N + 1)/T.

    The upper side holds if the bucket was never full between them, so marks are cleared wherever it may have been.
    """

    __slots__ = ("_marks", "accepted", "refused")

    GAPS = 4
    """Gaps between throttles that are looked back on while the rate settles."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=self.GAPS + 1)
        self.accepted = 0
        self.refused = 0

    def mark(self, now: float) -> None:
        """The bucket was empty now."""
        self._marks.append(Mark(now, self.accepted, self.refused))

    def clear(self) -> None:
        """The bucket may have been full since."""
        self._marks.clear()

    def last(self) -> tuple[int, float]:
        """Calls accepted, and the seconds, between the last two throttles; (0, 0) if there are none."""
        if len(self._marks) < 2:
            return 0, 0.0
        before, mark = self._marks[-2], self._marks[-1]
        return mark.accepted - before.accepted, mark.at - before.at

    def most(self, slack: float, *, gaps: int) -> float:
        """The highest rate that the last gaps leave possible. `slack` is how many calls may be miscounted."""
        mark = self._marks[-1]
        return min(
            (mark.accepted - before.accepted + mark.refused - before.refused + slack) / (mark.at - before.at)
            for before in list(self._marks)[-1 - gaps : -1]
            if mark.at > before.at
        )


class Aftermath:
    """The answers of calls that were under way when a throttle was heard: they find the bucket empty.

    What is accepted among them comes at the bucket's own rate. Begins closed.
    """

    __slots__ = ("_accepted_before", "_at", "open")

    ENOUGH = 5
    """Accepted calls that make an estimate: within a fifth."""
    TOO_LONG = 4.0
    """Round trips after which the count is no longer of calls that were under way."""

    def __init__(self) -> None:
        self.open = False
        self._at = 0.0
        self._accepted_before = 0

    def begin(self, now: float, accepted: int) -> None:
        self.open, self._at, self._accepted_before = True, now, accepted

    def estimate(self, now: float, accepted: int, flight: Flight) -> tuple[int, float]:
        """Calls accepted so far, and the rate they came at: unbiased where they are many, careful where few.

        (0, 0) while they are too few, or too close together for the jitter.
        """
        count, seconds = accepted - self._accepted_before, now - self._at
        if count < self.ENOUGH or not 4 * flight.jitter_s <= seconds <= self.TOO_LONG * flight.round_trip_s:
            return 0, 0.0
        rate = count / seconds
        return count, 0.97 * rate if count < 20 else rate + 0.5 / seconds + rate * flight.jitter_s / seconds


class Opening:
    """When the accepted calls of a search left. Once the rate is known, they tell the burst."""

    __slots__ = ("_ended_at", "_sent_at")

    def __init__(self) -> None:
        self._sent_at: list[float] = []
        self._ended_at = 0.0

    def __len__(self) -> int:
        return len(self._sent_at)

    def add(self, sent_at: float) -> None:
        self._sent_at.append(sent_at)

    def end(self, sent_at: float) -> None:
        """The first call that was throttled left then."""
        self._ended_at = sent_at

    def burst(self, rate: float) -> float:
        """The most tokens that were used up on top of `rate`, 0 where nothing was accepted."""
        count, end = len(self._sent_at), self._ended_at
        return max((count - i - rate * (end - at) for i, at in enumerate(self._sent_at)), default=0.0)

    def used_up(self, rate: float) -> float:
        """The tokens used up on top of `rate` since the first call."""
        return len(self._sent_at) - rate * (self._ended_at - self._sent_at[0]) if self._sent_at else 0.0
