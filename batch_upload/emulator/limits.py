"""The limits of the service, and its rates: what it lets through, in three shapes, at a time that is handed in.

The sources are the service's quotas as AWS documents them and, for pages and documents, botocore's model of it.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from batch_upload.emulator.names import OPERATIONS, STS_OPERATIONS, Operation

LONGEST_PAGE = 100
MAX_TAGS = 50
"""On one resource. The list's bound of 200 in the model is the request's."""
MAX_DOCUMENT_BYTES = 5 * 1024 * 1024
ATTACHMENTS_PER_ACCOUNT = 25
"""In each Region."""
REGISTRATIONS_PER_ACCOUNT = 25
"""In each Region, as AWS documents it."""

_ROUNDING_S = 1e-6
"""A token that is whole but for the rounding of floating point counts as whole."""

NotNegative = Annotated[float, Field(ge=0)]
STRICT_JSON = ConfigDict(extra="forbid", use_attribute_docstrings=True)
"""How settings are read from JSON: a key that does not exist is an error."""


class RateMode(StrEnum):
    """How refusals are decided."""

    BUCKET = "bucket"
    """A token bucket whose refusals are free."""
    CHARGE_REFUSED = "charge_refused"
    """A token bucket where a refusal costs a token too, down to an empty bucket."""
    WINDOW = "window"
    """Fixed windows of one second, counted from the start of the emulator."""


@dataclass(frozen=True, slots=True, config=STRICT_JSON)
class Rate:
    """How many requests an operation takes in each account and Region."""

    per_second: NotNegative
    """requests a second"""
    burst: int = Field(default=1, ge=1)
    """what a full bucket holds; 1 with `window`"""
    mode: RateMode = RateMode.BUCKET
    """`bucket`, `charge_refused` (a refusal costs a token too) or `window` (fixed windows of one second)"""
    steps: tuple[tuple[NotNegative, NotNegative], ...] = ()
    """`[seconds after the start, requests a second from then on]`, in order of time"""

    def __post_init__(self) -> None:
        if self.mode is RateMode.WINDOW and self.burst != 1:
            raise ValueError("fixed windows have no burst")
        if list(self.steps) != sorted(self.steps):
            raise ValueError("steps must be in order of time")

    def supply(self, until_s: float) -> float:
        """Return how many requests the rate has provided for until `until_s` seconds after the start."""
        begins = ((0.0, self.per_second), *self.steps)
        ends = (*(at_s for at_s, _ in self.steps), math.inf)
        return sum(
            per_second * (min(ends_s, until_s) - begins_s)
            for (begins_s, per_second), ends_s in zip(begins, ends, strict=True)
            if begins_s < until_s
        )


DEFAULT_RATES: Mapping[str, Rate] = {
    **dict.fromkeys(OPERATIONS, Rate(1)),
    **dict.fromkeys(STS_OPERATIONS, Rate(100, burst=100)),
    Operation.LIST_TAGS: Rate(10),
}
"""Of an account and Region. AWS documents no burst (1), no rate of STS (100 and a burst of 100, which is out of the
way), and none of Organizations, whose users report throttling from a few requests a second (1)."""


class TokenBucket:
    """Full when it is made; holds at most the burst; a request takes a whole token."""

    def __init__(self, rate: Rate, *, at_s: float) -> None:
        self._rate = rate
        self._level = float(rate.burst)
        self._supplied = rate.supply(at_s)

    def take(self, at_s: float) -> bool:
        """Return whether a request that comes `at_s` seconds after the start may pass. Times must not go back."""
        supplied = self._rate.supply(at_s)
        self._level = min(float(self._rate.burst), self._level + supplied - self._supplied)
        self._supplied = supplied
        if self._level >= 1 - _ROUNDING_S:
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
        """Return whether a request that comes `at_s` seconds after the start may pass. Times must not go back."""
        window = math.floor(at_s)
        if window != self._window:
            before, after = (math.floor(self._rate.supply(edge_s) + _ROUNDING_S) for edge_s in (window, window + 1))
            self._window, self._left = window, after - before
        self._left -= 1
        return self._left >= 0


def limiter(rate: Rate, *, at_s: float) -> TokenBucket | FixedWindows:
    """Return a limiter that begins its work `at_s` seconds after the start."""
    return FixedWindows(rate) if rate.mode is RateMode.WINDOW else TokenBucket(rate, at_s=at_s)
