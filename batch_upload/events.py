"""What the engine tells of itself while it runs. Observers make of it what people and machines read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from batch_upload.actions import Plan
from batch_upload.model import Capacity, Fault, Known, Lane, OutcomeKind


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The plan stands and the first request for an item may follow. `rate` is in create calls a second.

    `plan` is the part of it that `--only` chose.
    """

    run_id: str
    batch: str
    lane: Lane
    endpoint: str
    plan: Plan
    rate: float
    capacity: Capacity | None
    at: datetime
    deadline_s: float | None = None
    """What is left of the time in which creates may leave, in seconds; None without a deadline."""
    states: Mapping[str, int] = field(default_factory=dict)
    """Every item of the manifest by state, those that `--only` left out, too."""


@dataclass(frozen=True, slots=True)
class Requested:
    """One request on the wire has ended, of any operation. `latency_s` from the first byte to the last."""

    operation: str
    outcome: OutcomeKind
    latency_s: float
    item_id: str | None
    request_id: str | None
    fault: Fault | None
    at: datetime
    rate: float | None = None
    """The pace of its operation after this answer, in calls a second."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A create request is about to leave; its intent is durable. `number` counts the token's attempts from 1."""

    item_id: str
    client_token: str
    number: int
    size_bytes: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ItemChanged:
    """An item has moved on, durably. `ended`: nothing more will be done for it in this run."""

    known: Known
    ended: bool
    created: bool
    """Whether it became known as created just now, by a first answer or a replay."""
    at: datetime
    adopted: bool = False
    """Whether it was found at the service just now, by its identity tag."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request failed in passing and will be tried again after `delay_s` seconds and a new slot."""

    operation: str
    item_id: str | None
    fault: Fault
    delay_s: float
    at: datetime


@dataclass(frozen=True, slots=True)
class LaneStopped:
    """No new create for the rest of the run. `draining`: what was created is still waited for."""

    fault: Fault
    draining: bool
    resume_after: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Resolving:
    """Unknown outcomes are being looked up at the service: `count` of them."""

    count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Looking:
    """The lane is being looked through before anything is sent: listed first, then the tags of what is new are read.

    `attachments`: how many there are, None where that is not known yet. `to_read` is None until the listing has ended.
    `left_s`: seconds that the look still takes, None where that cannot be told.
    """

    attachments: int | None
    listed: int
    to_read: int | None
    read: int
    left_s: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class OrphanSeen:
    """An attachment carries our identity tag, and another one was there first: it stands for nothing."""

    attachment_id: str
    client_token: str
    kept_attachment_id: str
    at: datetime


class PruneOutcome(StrEnum):
    """How pruning ended for an attachment that the manifest no longer lists."""

    DELETED = "deleted"
    GONE = "gone"
    """It was not there any more."""
    KEPT = "kept"
    """It stands: it may not be deleted, or the service would not."""
    OPEN = "open"
    """No answer came: it may be gone or not, and the next run asks again."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """An attachment has been dealt with, durably. `reason` is for people."""

    known: Known
    outcome: PruneOutcome
    reason: str
    at: datetime
    fault: Fault | None = None
    """What the service said, where it would not."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for people that no other event holds. `is_urgent`: a person must act, although the run ends well."""

    message: str
    at: datetime
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event. Counts are of this run; `states` of every item of the manifest."""

    states: Mapping[str, int]
    requests: Mapping[str, int]
    throttled: int
    uploaded: int
    adopted: int
    unchanged: int
    bytes_sent: int
    elapsed_s: float
    at: datetime
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class LanesChosen:
    """The lanes of a run over a manifest with `targets`, in the manifest's order. Comes before the first event of any.

    Without it a lane counts from its first event.
    """

    batch: str
    labels: tuple[str, ...]
    """`Target.label` of each lane that the run is for."""
    total: int
    """Number of lanes without `--target`."""
    at: datetime
    items: tuple[int, ...] = ()
    """Number of items of each lane, in the order of `labels`; empty if it is not known."""


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """The run has taken the lease of its lane (`is_held`), or its hold on it has ended. Ledgers in PostgreSQL only.

    `fence`: how often the lane was taken, this time included. For the log and the metrics: it changes no count.
    """

    fence: int
    is_held: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class LaneEnded:
    """The run of one lane of several has ended, with a result or with an error. The last event of its lane.

    `code` is one of `errors.ExitCode`. `hint` says what to do, or is empty.
    """

    code: int
    reason: str
    hint: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OfLane:
    """An event of one lane of a manifest with `targets`. In such a run every event of a lane is wrapped in this.

    Events of a manifest without `targets` are not wrapped. Neither are those of the run as a whole: `LanesChosen`, a
    `Notice`, and a last `RunEnded` with the sums of all lanes.
    """

    label: str
    """`Target.label`."""
    account: str | None
    """None until it is known: for a lane whose manifest does not name it, until its credentials were asked."""
    region: str
    event: object


Event = (
    RunStarted
    | Requested
    | Sending
    | ItemChanged
    | Retrying
    | LaneStopped
    | Resolving
    | Looking
    | OrphanSeen
    | Pruned
    | Notice
    | LanesChosen
    | OfLane
    | LeaseChanged
    | LaneEnded
    | RunEnded
)


def lane_and_event(event: object) -> tuple[OfLane | None, object]:
    """Return the wrapping of a lane's event, None for any other event, and the event itself."""
    return (event, event.event) if isinstance(event, OfLane) else (None, event)
