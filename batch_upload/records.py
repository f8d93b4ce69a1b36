"""What a ledger tells of what happened, as values for those who read it. All frozen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from batch_upload.model import Attachment, Known, Lane, OutcomeKind, State
from batch_upload.registration import Bind


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. Without an end (`ended_at`, `exit_code`, `summary`) its process died, or it is under way."""

    run_id: str
    verb: str
    batch: str
    began_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    summary: dict[str, Any] | None
    principal: str | None = None
    """The ARN of the credentials, as STS named it; None if it was not reached, and in runs of earlier programs."""
    os_user: str | None = None
    """The user of the operating system; a number where it has no name."""
    host: str | None = None
    program: str | None = None
    """The version of the program; None where it was not recorded."""


@dataclass(frozen=True, slots=True)
class UploadedBy:
    """Who made an attachment: the run whose request the service accepted, with the members of its `RunRecord`."""

    run_id: str
    principal: str | None
    os_user: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class RunTally:
    """The attempts of one run that ended in one way. `kind` is None for those without an end.

    `last_at` is when the last of them ended, or began where none has ended.
    """

    run_id: str
    kind: OutcomeKind | None
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """The attempts of one run that ended in one way, within the step `number` (from 0) since the run began."""

    run_id: str
    number: int
    kind: OutcomeKind
    count: int


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt. Without an end (`ended_at`, `kind`) its process died, or it is under way."""

    number: int
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    kind: OutcomeKind | None
    code: str | None
    reason: str | None
    message: str | None
    request_id: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class NumberedAttempt(AttemptRecord):
    """One attempt with its place in the ledger: later ones have higher `attempt_id`s."""

    attempt_id: int
    client_token: str


@dataclass(frozen=True, slots=True)
class TokenHistory:
    """What the ledger holds of one ClientToken."""

    known: Known
    retry: int
    """Which retry after UPLOAD_FAILED the token is of; 0 for the item's own."""
    since: datetime | None
    """When it came to its state."""
    attempts: Sequence[AttemptRecord]
    """Oldest first."""
    uploader: UploadedBy | None = None
    """Who made its attachment; None without one, and if it was found at the service."""
    binds: Sequence["BindRecord"] = ()
    """The requests to put its attachment into a field, oldest first."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether a token has changed since it was last read: compare for equality."""

    client_token: str
    changed_at: str
    state: str
    current: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the ledger has of the items of a manifest that is not simply complete."""

    unfinished: Mapping[str, bool] = field(default_factory=dict)
    """Ids of the manifest that are not complete under their token alone; whether the ledger has any token of them."""
    unlisted: Mapping[str, int] = field(default_factory=dict)
    """By id that the manifest does not list: how many of its tokens have an attachment at the service, or may."""
    parked: tuple[str, ...] = ()
    """Ids that the manifest does not list and that are parked."""


class BoundItem(NamedTuple):
    """An item whose attachment is in its field, as far as the ledger knows."""

    item_id: str
    client_token: str
    attachment_id: str
    bind: Bind
    version: int
    """Of the registration: the one in whose field it was put."""
    denied_version: int | None
    """The last version of which a review was recorded with the item (`Known.denial`)."""


@dataclass(frozen=True, slots=True)
class BindRecord:
    """One request to put an item's attachment into a field. Without an end (`ended_at`, `kind`) its process died, or it
    is under way."""

    run_id: str
    bind: Bind
    attachment_id: str
    started_at: datetime
    ended_at: datetime | None
    kind: OutcomeKind | None
    version: int | None
    """Of the registration, if the service accepted it."""
    code: str | None
    reason: str | None
    message: str | None
    request_id: str | None
    status: int | None


class Twin(NamedTuple):
    """An attachment at the service with the bytes of an item, under another id or of another batch."""

    content: str
    item_id: str
    batch: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Stock:
    """The items of a manifest by state, and those in the states that were asked for, oldest first."""

    states: Counter[State]
    found: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class StrangerRecord:
    """An attachment of the lane that no item has. `identity_tag` is None where it carries none."""

    attachment: Attachment
    identity_tag: str | None
    seen_at: datetime


class LaneHold(NamedTuple):
    """Who holds a lane of a ledger that several hosts share, or held it last. Times are of the database's clock."""

    lane: Lane
    run_id: str | None
    host: str | None
    pid: int | None
    since: datetime | None
    until: datetime | None
    """When the lease lapses unless it is renewed; None once it was given back."""
    is_held: bool
    """Whether the lease had not lapsed when it was read."""
    fence: int
    """How often the lane was taken, by runs that found it free and by those that took it over."""


class Certificate(NamedTuple):
    """A certificate that verified."""

    issuer: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """What a database and its server say of themselves."""

    version: str
    number: int
    """The version as `server_version_num` has it: 150014."""
    answer_s: float
    """How long a question took."""
    tls: str | None
    """The protocol of this connection; None without TLS."""
    certificate: Certificate | None
    settings: Mapping[str, str]
    is_standby: bool
    standbys: int
    schema: int
    """The version of the schema; 0 for a database without a ledger."""
    newest_schema: int
    needed: int
    """The oldest version of a server that will do, as `number` is."""
    role: str
    may_migrate: bool
    missing_rights: Sequence[str]
    """What a run needs and the role has not: `INSERT on item`."""
    excess_rights: Sequence[str]
    """By what the role could change what happened."""
    clock_off_s: float
    """How far the server's clock is ahead of this machine's; right to half of `answer_s`."""
    has_pooler: bool
    connections: int
    connections_max: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An attachment that carries the token of an item which has another attachment, `kept_id`."""

    attachment_id: str
    client_token: str
    kept_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class RateRecord:
    """What a pacer learned of one operation of the lane. `learned` has the law's own numbers by name."""

    operation: str
    learned: Mapping[str, float]
    learned_at: datetime
