"""What the service holds: attachments, registrations, tokens and counts of each account and Region.

All is in memory. With a journal every change is also a line in a file, written before it is answered.
"""

import bisect
import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from batch_upload.emulator.errors import ATTACHMENT_RESOURCE, ConfigurationError, EmulatorError
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.registration_state import RegistrationSaved, RegistrationTable


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """One attachment; its document is gone. `forced` is a status that no longer follows from the time."""

    attachment_id: str
    account: str
    region: str
    created_at: datetime
    ready_at: datetime
    ends_as: UploadStatus
    fingerprint: str
    """Of the parameters it was created with, to tell a replay from a token that was used for something else."""
    tags: Mapping[str, str]
    client_token: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    url: str | None = None
    forced: UploadStatus | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:sms-voice:{self.region}:{self.account}:{ATTACHMENT_RESOURCE}/{self.attachment_id}"

    @property
    def is_deleted(self) -> bool:
        return self.forced is UploadStatus.DELETED

    def status(self, now: datetime) -> UploadStatus:
        """Return the status at a time. While it follows from the time it is not stored: a restart does not delay it."""
        if self.forced is not None:
            return self.forced
        return UploadStatus.IN_PROGRESS if now < self.ready_at else self.ends_as

    def is_younger(self, age_s: float, now: datetime) -> bool:
        return now < self.created_at + timedelta(seconds=age_s)

    def to_json(self, now: datetime) -> dict[str, Any]:
        """Return everything that is known of it, as the control plane shows it."""
        return {
            "id": self.attachment_id,
            "arn": self.arn,
            "account": self.account,
            "region": self.region,
            "status": self.status(now).value,
            "created_at": self.created_at.isoformat(),
            "sha256": self.sha256,
            "size": self.size_bytes,
            "content_type": self.content_type,
            "url": self.url,
            "tags": dict(self.tags),
            "client_token": self.client_token,
        }


@dataclass(frozen=True, slots=True)
class Created:
    attachment: StoredAttachment
    change: Literal["created"] = "created"


@dataclass(frozen=True, slots=True)
class StatusSet:
    attachment_id: str
    status: UploadStatus
    change: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class TagsSet:
    attachment_id: str
    tags: Mapping[str, str]
    change: Literal["tags"] = "tags"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The attachment is as if it had never been."""

    attachment_id: str
    change: Literal["forgotten"] = "forgotten"


Change = Created | StatusSet | TagsSet | Forgotten | RegistrationSaved
_CHANGE: TypeAdapter[Change] = TypeAdapter(Annotated[Change, Field(discriminator="change")])
JOURNAL_HEADER = b'{"emulator_journal": 1}\n'


class Journal:
    """The state on disk: one JSON line for each change, appended and never rewritten.

    A line is handed to the operating system before the change is answered, so it survives the death of this process.
    A power cut may cost the last lines: this is a rehearsal, not a service. A last line that was torn is cut off. The
    file is 0600, belongs to one emulator at a time, and holds digests, never documents.

    Opens or makes the file and holds it until `close`. Raises ConfigurationError where it cannot be opened, is held by
    another emulator, or is not a journal: then it stays as it was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"the emulator's state `{path}` cannot be opened: {error.strerror}") from error
        self._is_open = True
        try:
            self._size_bytes = self._prepare()
        except ConfigurationError:
            self.close()
            raise

    def changes(self) -> Iterator[Change]:
        """Yield what was recorded before, in order. Raises ConfigurationError at a line that makes no sense."""
        with self._path.open("rb") as lines:
            lines.readline()
            for number, line in enumerate(lines, start=2):
                try:
                    yield _CHANGE.validate_json(line)
                except ValidationError as error:
                    message = f"the emulator's state `{self._path}` is damaged in line {number}"
                    raise ConfigurationError(message) from error

    def append(self, change: Change) -> None:
        """Record a change. Raises EmulatorError if it cannot be written; then nothing of it is in the file."""
        line = _CHANGE.dump_json(change) + b"\n"
        try:
            self._write(line)
        except OSError as error:
            os.ftruncate(self._file, self._size_bytes)  # half a line would damage the file for the next change
            raise EmulatorError(f"the emulator's state `{self._path}` cannot be written: {error}") from error
        self._size_bytes += len(line)

    def close(self) -> None:
        """Release the file. May be called twice."""
        if self._is_open:
            self._is_open = False
            os.close(self._file)

    def _prepare(self) -> int:
        """Lock the file, write or check the header, cut off a torn last line, and return the size in bytes."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"the emulator's state `{self._path}` is in use by another emulator") from error
        header = os.pread(self._file, len(JOURNAL_HEADER), 0)
        if header != JOURNAL_HEADER:
            if not JOURNAL_HEADER.startswith(header):
                raise ConfigurationError(f"`{self._path}` is not a state of the emulator")
            os.ftruncate(self._file, 0)
            self._write(JOURNAL_HEADER)
        end, last_newline = os.fstat(self._file).st_size, -1
        while last_newline < 0:
            start = max(0, end - 65_536)
            last_newline = os.pread(self._file, end - start, start).rfind(b"\n")
            end = start
        size_bytes = start + last_newline + 1
        os.ftruncate(self._file, size_bytes)
        return size_bytes

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


ListingPosition = tuple[datetime, int]
"""Where an attachment comes in a listing: by time of creation, then in the order of arrival."""


@dataclass(slots=True)
class LaneAttachments:
    """The attachments of one account and Region."""

    listing: list[tuple[datetime, int, str]] = field(default_factory=list)
    """Time of creation, order of arrival and id, sorted."""
    ids_by_token: dict[str, str] = field(default_factory=dict)
    used: int = 0
    created_on: Counter[date] = field(default_factory=Counter)

    def after(self, position: ListingPosition | None) -> Iterator[tuple[ListingPosition, str]]:
        """Yield the positions and ids that follow `position`, in order; from the first for None."""
        start = 0 if position is None else bisect.bisect_right(self.listing, position, key=itemgetter(0, 1))
        for index in range(start, len(self.listing)):
            created_at, arrived, attachment_id = self.listing[index]
            yield (created_at, arrived), attachment_id


class ServiceStore:
    """All lanes. The changes in the journal are applied when the store is made."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._attachments: dict[str, StoredAttachment] = {}
        self._lanes: dict[tuple[str, str], LaneAttachments] = {}
        self._arrived = 0
        self.registrations = RegistrationTable()
        self._journal = journal
        for change in () if journal is None else journal.changes():
            self._apply(change)

    def record(self, change: Change) -> None:
        """Make a change last. What it is about must exist."""
        if self._journal is not None:
            self._journal.append(change)
        self._apply(change)

    def lane(self, account: str, region: str) -> LaneAttachments:
        return self._lanes.setdefault((account, region), LaneAttachments())

    def all(self) -> tuple[StoredAttachment, ...]:
        """Return all attachments, in the order of arrival."""
        return tuple(self._attachments.values())

    def used_by_lane(self) -> dict[tuple[str, str], int]:
        """Return how many attachments that are not deleted each account and Region holds."""
        return {key: lane.used for key, lane in self._lanes.items()}

    def get(self, attachment_id: str) -> StoredAttachment:
        """Return the attachment of an id. Raises KeyError."""
        return self._attachments[attachment_id]

    def find(self, account: str, region: str, id_or_arn: str) -> StoredAttachment | None:
        """Return the attachment of this account and Region by its id or its ARN."""
        attachment = self._attachments.get(id_or_arn.rpartition("/")[2])
        if attachment is None or (attachment.account, attachment.region) != (account, region):
            return None
        return attachment if id_or_arn in (attachment.attachment_id, attachment.arn) else None

    def _apply(self, change: Change) -> None:
        match change:
            case Created(attachment):
                self._insert(attachment)
            case StatusSet(attachment_id, status):
                before = self._attachments[attachment_id]
                after = replace(before, forced=status)
                self._attachments[attachment_id] = after
                self.lane(after.account, after.region).used += before.is_deleted - after.is_deleted
            case TagsSet(attachment_id, tags):
                self._attachments[attachment_id] = replace(self._attachments[attachment_id], tags=dict(tags))
            case Forgotten(attachment_id):
                self._remove(attachment_id)
            case RegistrationSaved(registration):
                self.registrations.put(registration)

    def _insert(self, attachment: StoredAttachment) -> None:
        lane = self.lane(attachment.account, attachment.region)
        self._arrived += 1
        bisect.insort(lane.listing, (attachment.created_at, self._arrived, attachment.attachment_id))
        lane.created_on[attachment.created_at.date()] += 1
        lane.used += not attachment.is_deleted
        if attachment.client_token is not None:
            lane.ids_by_token[attachment.client_token] = attachment.attachment_id
        self._attachments[attachment.attachment_id] = attachment

    def _remove(self, attachment_id: str) -> None:
        attachment = self._attachments.pop(attachment_id)
        lane = self.lane(attachment.account, attachment.region)
        index = bisect.bisect_left(lane.listing, attachment.created_at, key=itemgetter(0))
        while lane.listing[index][2] != attachment_id:
            index += 1
        del lane.listing[index]
        lane.used -= not attachment.is_deleted
        if attachment.client_token is not None and lane.ids_by_token.get(attachment.client_token) == attachment_id:
            del lane.ids_by_token[attachment.client_token]
