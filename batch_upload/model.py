"""The values that all packages share. All are frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from batch_upload.form import Form
from batch_upload.registration import Bind, BindState, Denial
from batch_upload.targets import Target

KB = 1_000
KIB = 1_024
MAX_SIZE_DEFAULT_BYTES = 500 * KB
"""The limit of the forms that attachments are for (letters of authorization, 10DLC screenshots)."""
MAX_SIZE_SERVICE_BYTES = 5 * KIB * KIB
"""The service's own limit today: `AttachmentBody` holds at most the base64 of 5 MiB (botocore 1.43.117)."""


class State(StrEnum):
    """The state of an item. `SENDING`: the intent is durable, the outcome is not."""

    PENDING = "pending"
    SENDING = "sending"
    PROCESSING = "processing"
    BINDING = "binding"  # the service has finished with the attachment; it is not in its registration's field yet
    COMPLETE = "complete"
    FAILED = "failed"
    UNKNOWN = "unknown"
    PARKED = "parked"
    INVALID = "invalid"  # cannot be sent as it is now; only reported, never a row of a ledger


LIVE = frozenset({State.PROCESSING, State.BINDING, State.COMPLETE})
"""States in which the attachment exists at the service, as it does if no more than its binding failed (`is_live`)."""
OPEN = frozenset({State.SENDING, State.UNKNOWN})
"""States in which a request may have made an attachment that the ledger does not know."""


class ContentType(StrEnum):
    """The content types that the service takes."""

    PDF = "application/pdf"
    PNG = "image/png"
    JPEG = "image/jpeg"


class SourceKind(StrEnum):
    """How an entry names its documents: the key in the manifest."""

    FILE = "file"
    GLOB = "glob"
    URL = "url"


class AttachmentStatus(StrEnum):
    """The status of an attachment at the service (botocore 1.43.117, `AttachmentStatus`)."""

    IN_PROGRESS = "UPLOAD_IN_PROGRESS"
    COMPLETE = "UPLOAD_COMPLETE"
    FAILED = "UPLOAD_FAILED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """One account and Region: it has rates, a capacity and errors of its own. `account` is 12 digits."""

    account: str
    region: str

    def __str__(self) -> str:
        return f"{self.account}/{self.region}"


# A manifest may have a million of some values. These are tuples, made in a fifth of the time of a frozen dataclass.
class Position(NamedTuple):
    """A place in a file, counted from 1 as editors do. Columns count characters; 0 is a whole line, as of a table."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a manifest, or a file that it names. `code` is stable, `file` as the user would name it."""

    file: str
    at: Position
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.at.line}{f':{self.at.column}' if self.at.column else ''}: {self.message}"


TargetName = tuple[str, Position]
"""A name of targets as an entry has it (`acme`, `acme/us-east-1`, `group:tier1`, `all`), and its position."""


class Entry(NamedTuple):
    """An element of the manifest's `attachments`, as written. What it does not give is None: a default applies."""

    kind: SourceKind
    source: str
    at: Position  # of the source's value
    item_id: str | None = None
    id_at: Position | None = None
    tags: Mapping[str, str] = MappingProxyType({})
    tags_at: Mapping[str, Position] = MappingProxyType({})
    """The position of each tag's key."""
    generation: int | None = None
    max_size_bytes: int | None = None
    targets: tuple[TargetName, ...] | None = None
    """Its `target`; empty if that has a problem."""
    exclude: tuple[str, ...] = ()
    optional: bool = False
    min_age_s: float | None = None
    patterns: tuple[str, ...] = ()  # of a glob whose templates are filled in: what its braces stand for
    form: str | None = None  # its name, which need not exist
    form_at: Position | None = None
    bind: Bind | None = None
    bind_at: Position | None = None
    problem: Problem | None = None  # then nothing of it is sent; the source is empty if that is not known
    at_file: str | None = None  # the table that its positions are in, as the user would name it; None: the manifest


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read without a problem. `path` is as the user named it, `folder` is resolved."""

    path: Path
    folder: Path
    batch: str
    entries: tuple[Entry, ...]
    """Empty where they were handed out one by one (`manifest/reader.py`)."""
    ledger: str | None = None
    part_of: str | None = None
    """The manifest of which this one lists only a part, relative to `folder`; None for a whole one."""
    target: Target = field(default_factory=Target)
    targets: tuple[Target, ...] = ()
    """Every lane of `targets`, in the manifest's order; empty for a manifest with `target`, or with neither."""
    are_targets_whole: bool = True
    """False while a manifest is read whose `targets` have a problem: `targets` then lacks some of them."""
    targets_file: str | None = None
    """The file that `targets.from` names, relative to `folder`; None without it."""
    tables: tuple[str, ...] = ()  # of its entries, relative to `folder`; known once all entries were read
    default_targets: tuple[TargetName, ...] | None = None
    """`defaults.target`; empty if that has a problem."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """`defaults.tags`, which an entry's own tags override."""
    tags_at: Mapping[str, Position] = field(default_factory=dict)
    max_size_bytes: int = MAX_SIZE_DEFAULT_BYTES
    has_max_size: bool = False
    """Whether `defaults` gives `max_size`, so that it overrides the size of `form`."""
    form: Form | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)
    """Its own forms by name. One with a problem has the demands without a problem."""
    generation: int = 1
    identity_tag: bool = True
    exclude: tuple[str, ...] = ()  # `defaults.exclude`, to which a glob's own is added
    min_age_s: float = 0.0
    looks_inside: bool = True  # false with `check: bytes`


class Listed(NamedTuple):
    """One attachment to create, after globs, defaults and templates, before its file was read."""

    batch: str
    item_id: str
    source: str
    """As written: the path or glob match relative to the manifest's folder, with `/`, or the URL."""
    folder: Path | None
    """The manifest's, for a file; None for a URL."""
    tags: Mapping[str, str]
    """The item's own merged tags, rendered; without the identity tag. Shared between items that have the same."""
    generation: int
    max_size_bytes: int
    identity_tag: bool
    at: Position
    lane_label: str | None = None
    """`Target.label` of its lane; None in a manifest without `targets`. An entry is listed for each of its lanes."""
    is_match: bool = False  # a glob found it: then it is no problem if it vanishes
    form: Form | None = None
    is_entry: bool = False  # it stands for an entry whose attachments are not known, with its position as the id
    at_file: str | None = None  # the table that `at` is a place of; None: the manifest
    bind: Bind | None = None
    bind_at: Position | None = None  # the position of its `bind`; None for a row of a table, whose `at` it is

    @property
    def path(self) -> Path | None:
        """The absolute path of the file, neither resolved nor opened yet. None for a URL."""
        return None if self.folder is None else self.folder / self.source


class Item(NamedTuple):
    """One attachment to create. A URL has no folder, digest, size or type."""

    batch: str
    item_id: str
    source: str
    client_token: str
    tags: Mapping[str, str]
    """Shared between items that have the same."""
    digest: bytes | None = None
    """The SHA-256 of the document; None for a URL, whose bytes only the service reads."""
    generation: int = 1
    identity_tag: bool = True
    folder: Path | None = None
    size_bytes: int | None = None
    content_type: ContentType | None = None
    max_size_bytes: int = MAX_SIZE_DEFAULT_BYTES
    lane_label: str | None = None
    """`Target.label` of its lane; None in a manifest without `targets`."""
    bind: Bind | None = None
    """Where the attachment is to be put; no part of the token."""

    @property
    def content(self) -> str:
        """What is uploaded, as it is hashed and kept: `sha256:<hex>` or `url:<the URL>`."""
        return f"url:{self.source}" if self.digest is None else f"sha256:{self.digest.hex()}"

    @property
    def sha256(self) -> str | None:
        """The digest in lower-case hex."""
        return None if self.digest is None else self.digest.hex()

    @property
    def path(self) -> Path | None:
        """The absolute path of the document, not resolved: links are followed when it is opened. None for a URL."""
        return None if self.folder is None else self.folder / self.source


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an item is in its state, as it is stored and shown. `code` is the service's or one of ours."""

    code: str
    message: str
    reason: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    resource_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of the service to a create."""

    attachment_id: str
    attachment_arn: str
    status: AttachmentStatus
    created_at: datetime
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment as the service lists it: without tags, name, hash or size."""

    attachment_id: str
    attachment_arn: str
    status: AttachmentStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AttachmentPage:
    """A page of a listing. `next_token` is None on the last. `served_at`: the `Date` of the answer, or None."""

    attachments: tuple[Attachment, ...]
    next_token: str | None = None
    served_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """REGISTRATION_ATTACHMENTS of the account and Region."""

    used: int
    maximum: int

    @property
    def left(self) -> int:
        return max(0, self.maximum - self.used)


class OutcomeKind(StrEnum):
    """The outcome of one attempt. `UNKNOWN`: no readable answer. `WITHDRAWN`: an intent of which nothing was sent."""

    ACCEPTED = "accepted"
    THROTTLED = "throttled"
    REFUSED = "refused"
    NO_CAPACITY = "no_capacity"
    DENIED = "denied"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt. `receipt` only with ACCEPTED, `fault` with everything else."""

    kind: OutcomeKind
    at: datetime
    receipt: Receipt | None = None
    fault: Fault | None = None
    request_id: str | None = None
    status: int | None = None
    resume_after: datetime | None = None
    """With NO_CAPACITY: when the lane may be tried again, or None until capacity is seen."""


class Known(NamedTuple):
    """What the ledger knows of one ClientToken. A tuple, since a ledger may hold a million."""

    item_id: str
    client_token: str
    state: State
    content: str
    tags: Mapping[str, str]
    generation: int
    current: bool = True
    """Whether it is the token of its id now; False once another has replaced it."""
    identity_tag: bool = True
    """As of the first intent: what is sent again is what was sent."""
    source: str = ""
    size_bytes: int | None = None
    content_type: ContentType | None = None
    attachment_id: str | None = None
    attachment_arn: str | None = None
    attachment_status: AttachmentStatus | None = None
    attachment_created_at: datetime | None = None
    fault: Fault | None = None
    attempts: int = 0
    request_id: str | None = None
    """Of the last attempt that had one."""
    unknown_since: datetime | None = None
    """Start of the first attempt of unknown outcome since the last proof of absence: where the horizon begins."""
    last_open_at: datetime | None = None
    """Start of the last such attempt: a listing proves absence only one horizon after it."""
    resume_after: datetime | None = None
    first_sent_at: datetime | None = None
    completed_at: datetime | None = None
    bind: Bind | None = None
    """Where the attachment is to be put, or is, as the manifest said last."""
    bind_state: BindState | None = None
    bound_version: int | None = None
    """Of the registration: the version in whose field the attachment was put last."""
    denial: Denial | None = None
    """What the last review said that was read and that denied the version with this attachment."""

    @property
    def is_live(self) -> bool:
        """Whether the attachment exists at the service: also if no more than its binding has failed."""
        return self.state in LIVE or (self.state is State.FAILED and self.bind_state is BindState.REFUSED)

    @property
    def bound_to(self) -> Bind | None:
        """The field that holds the attachment, as far as the ledger knows."""
        return self.bind if self.bind_state is BindState.BOUND else None

    @property
    def standing_denial(self) -> Denial | None:
        """The denial to report: a reviewer gave a reason, and the attachment is in no later version's field since."""
        denial = self.denial
        if denial is None or not (denial.reason or denial.feedback) or denial.version < (self.bound_version or 0):
            return None
        return denial
