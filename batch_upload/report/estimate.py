"""How long a run takes: creates at a rate, until the service has finished, and until all is in its field. Pure."""

import math
from collections.abc import Mapping

from batch_upload.model import State

STATUS_DELAY_S = 2.0
"""From the last create to the first look at statuses, and the time a service takes for a small document."""
IDS_A_DESCRIBE = 5
"""Ids that one describe takes (the service's documentation)."""
ATTACHMENTS_A_LISTING = 100
"""Attachments on one page of a listing (botocore 1.43.117, `MaxResults`)."""
DESCRIBES_PER_S = 1.0
"""The documented rate of describes."""
BINDS_PER_S = 1.0
"""The documented rate of PutRegistrationFieldValue."""
ACCEPTED_SHARE = 0.994
"""Of the pace that a law keeps at rest: the rest is throttled, and teaches it (docs/decisions/pacing.md)."""


def describes(attachments: int, lane_size: int) -> int:
    """Return the fewest describes that show the status of so many attachments: by ids, or by listing the whole lane."""
    if attachments <= 0:
        return 0
    by_listing = math.ceil(max(attachments, lane_size) / ATTACHMENTS_A_LISTING)
    return min(math.ceil(attachments / IDS_A_DESCRIBE), by_listing)


def settle_s(attachments: int, lane_size: int = 0) -> float:
    """Return the seconds from the last create until the last of so many attachments is known to be complete.

    `lane_size` is how many attachments the lane then holds, where that is known.
    """
    calls = describes(attachments, lane_size)
    return STATUS_DELAY_S + (calls - 1) / DESCRIBES_PER_S if calls else 0.0


def run_s(
    creates: int,
    watched: int,
    rate_per_s: float,
    *,
    lane_size: int = 0,
    binds: int = 0,
    binds_per_s: float = BINDS_PER_S,
) -> float:
    """Return the seconds for so many creates at this rate, then for all `watched` attachments to settle and for `binds`
    of them to be put into their fields.

    Each is put as soon as it has settled, while others are still sent: the slower of the two decides.
    """
    settled_s = creates / rate_per_s + settle_s(watched, lane_size)
    if not binds:
        return settled_s
    first_s = min(settled_s, STATUS_DELAY_S)  # before that none has settled
    return max(settled_s + 1 / binds_per_s, first_s + binds / binds_per_s) if settled_s else binds / binds_per_s


def work_left(
    states: Mapping[State, int], rate_per_s: float, *, binds: int = 0, binds_per_s: float = BINDS_PER_S
) -> tuple[int, float | None]:
    """Return how many items are still to be sent, and the seconds until all have settled and are in their fields.

    None for the seconds if none is to be sent or put into a field. `states` counts the items of a manifest by state;
    `binds` are those still to be put into a field.
    """
    left = states.get(State.PENDING, 0) + states.get(State.SENDING, 0)
    if not left and not binds:
        return 0, None
    watched = left + states.get(State.PROCESSING, 0) if left else 0
    return left, run_s(left, watched, rate_per_s, binds=binds, binds_per_s=binds_per_s)


def creates_within(seconds: float, rate_per_s: float) -> int:
    """Return how many creates leave before so many seconds are over; the first leaves at once."""
    return math.floor(seconds * rate_per_s) + 1 if seconds > 0 else 0


def useful_workers(rate_per_s: float, latency_s: float) -> int:
    """Return how many creates are in flight at this rate, on average (Little's law): more workers only wait."""
    return max(1, math.ceil(rate_per_s * latency_s))


def steady_rate(learned: float | None, seen: float | None) -> float | None:
    """Return creates a second to expect: the rate learned, unless clearly fewer leave, because we are the limit."""
    if learned is None or (seen is not None and seen < 0.8 * learned):
        return seen
    return ACCEPTED_SHARE * learned
