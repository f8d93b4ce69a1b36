"""What the emulator has seen, as a whole and by account and Region."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LOG_LENGTH = 200_000

LaneKey = tuple[str, str]
"""An account and a Region."""


class LoggedRequest(NamedTuple):
    """One request. `account` and `region` are None if it carried no credentials.

    `outcome`: accepted, replayed, an error code or a fault's action.
    """

    at_s: float
    """Seconds since the start."""
    operation: str
    outcome: str
    token: str | None
    account: str | None
    region: str | None


@dataclass(slots=True)
class RequestCounters:
    """Counts by operation, of all requests or of those to one account and Region.

    `accepted`: carried out, whether or not the answer arrived, replays included. `throttled`: answered so, by a rate
    or by a fault. `faults` by the name of their action.
    """

    requests: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    replays: int = 0
    token_mismatches: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests),
            "accepted": dict(self.accepted),
            "throttled": dict(self.throttled),
            "faults": dict(self.faults),
            "replays": self.replays,
            "token_mismatches": self.token_mismatches,
        }


class RequestLog:
    """Counters for tests and benchmarks, and a bounded log.

    `max_in_flight`: requests of any operation at the same time. `roles`: how often each role was assumed, by its ARN.
    """

    def __init__(self) -> None:
        self.total = RequestCounters()
        self.lanes: defaultdict[LaneKey, RequestCounters] = defaultdict(RequestCounters)
        self.roles: Counter[str] = Counter()
        self.entries: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self.max_in_flight = 0
        self.in_flight = 0

    def counters(self, lane: LaneKey | None) -> tuple[RequestCounters, ...]:
        """Return the counters that a request to this lane belongs to; None: it names none."""
        return (self.total,) if lane is None else (self.total, self.lanes[lane])

    @contextmanager
    def request_in_flight(self) -> Iterator[None]:
        """Count a request from its arrival until its answer has left, or never will."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
