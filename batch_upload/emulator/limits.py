"""Rate limits: what the service lets through, in three shapes, as functions of a time that is handed in."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from pydantic import ConfigDict

NEARLY_S = 1e-6
"""A token that is whole but for the rounding of floating point counts as whole."""


class RateMode(StrEnum):
    """How refusals are decided. `BUCKET`: a token bucket whose refusals are free. `CHARGE_REFUSED`: a refusal costs
    a token too, down to an empty bucket. `WINDOW`: fixed windows of one second, counted from the start."""

    BUCKET = "bucket"
    CHARGE_REFUSED = "charge_refused"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Rate:
    """`steps` are (seconds after the start, requests a second from then on), in order of time."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    per_second: float
    burst: int = 1
    mode: RateMode = RateMode.BUCKET
    steps: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.per_second < 0 or any(at_s < 0 or rate < 0 for at_s, rate in self.steps):
            raise ValueError("a rate and the time of a step must not be negative")
        if self.burst < 1:
            raise ValueError("a burst must be at least 1")
        if self.mode is RateMode.WINDOW and self.burst != 1:
            raise ValueError("fixed windows have no burst")
        if list(self.steps) != sorted(self.steps):
            raise ValueError("steps must be in order of time")

    def supply(self, until_s: float) -> float:
        """How many requests the rate has provided for, from the start until `until_s` seconds after it."""
        return sum(rate * (min(ends_s, until_s) - begins_s) for begins_s, ends_s, rate in self._pieces(until_s))

    def _pieces(self, until_s: float) -> Iterator[tuple[float, float, float]]:
        begins = ((0.0, self.per_second), *self.steps)
        ends = (*(at_s for at_s, _ in self.steps), math.inf)
        for (begins_s, rate), ends_s in zip(begins, ends, strict=True):
            if begins_s < until_s:
                yield begins_s, ends_s, rate


class Limiter(Protocol):
    """Lets requests through or not."""

    def take(self, at_s: float) -> bool:
        """Whether a request that comes `at_s` seconds after the start may pass. Times must not go back."""
        ...


class TokenBucket:
    """Full when it is made; holds at most the burst; a request takes a whole token."""

    def __init__(self, rate: Rate, *, at_s: float) -> None:
        self._rate = rate
        self._level = float(rate.burst)
        self._supplied = rate.supply(at_s)

    def take(self, at_s: float) -> bool:
        supplied = self._rate.supply(at_s)
        self._level = min(float(self._rate.burst), self._level + supplied - self._supplied)
        self._supplied = supplied
        if self._level >= 1 - NEARLY_S:
            self._level = max(0.0, self._level - 1)
            return True
        if self._rate.mode is RateMode.CHARGE_REFUSED:
            self._level = 0.0
        return False


class FixedWindows:
    """Each second has what the rate supplies in it, in whole requests; fractions are carried to a later second."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._window = -1
        self._left = 0

    def take(self, at_s: float) -> bool:
        window = math.floor(at_s)
        if window != self._window:
            self._window, self._left = window, self._whole(window + 1) - self._whole(window)
        self._left -= 1
        return self._left >= 0

    def _whole(self, until_s: float) -> int:
        return math.floor(self._rate.supply(until_s) + NEARLY_S)


def limiter(rate: Rate, *, at_s: float) -> Limiter:
    """A limiter that begins its work `at_s` seconds after the start."""
    return FixedWindows(rate) if rate.mode is RateMode.WINDOW else TokenBucket(rate, at_s=at_s)
