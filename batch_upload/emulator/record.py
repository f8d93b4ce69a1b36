"""What the emulator has seen: counters for tests and benchmarks, and a bounded log of requests."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOG_LENGTH = 200_000
LogLine = tuple[float, str, str, str | None]
"""Seconds since the start, operation, outcome (accepted, replayed, an error code or a fault's action), ClientToken."""


@dataclass(slots=True)
class Record:
    """`accepted`: carried out, whether or not the answer arrived, replays included. `throttled`: answered so, by a
    rate or by a fault. `max_in_flight`: requests of any operation at the same time."""

    requests: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    replays: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))

    def enter(self) -> None:
        """A request has come in."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self) -> None:
        """Its answer has left, or never will."""
        self.in_flight -= 1

    def carried_out(self, operation: str, *, is_replay: bool) -> None:
        self.accepted[operation] += 1
        self.replays += is_replay

    def answered(self, line: LogLine, *, is_throttled: bool) -> None:
        self.log.append(line)
        if is_throttled:
            self.throttled[line[1]] += 1

    def counts(self) -> Mapping[str, Any]:
        return {
            "requests": dict(self.requests),
            "accepted": dict(self.accepted),
            "throttled": dict(self.throttled),
            "faults": dict(self.faults),
            "replays": self.replays,
            "max_in_flight": self.max_in_flight,
        }
