"""What the service holds: attachments, tokens and counts of each account and Region, in memory.

With a journal every change is also a line in a file, written before anybody is told of it.
"""

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from batch_upload.emulator.attachment import Attachment, Change, Created, Forgotten, Status, StatusSet, TagsSet
from batch_upload.emulator.journal import Journal

Place = tuple[datetime, int]
"""Where an attachment stands in a listing: by time of creation, then in the order of arrival."""


@dataclass(slots=True)
class Shelf:
    """The attachments of one account and Region."""

    places: list[Place] = field(default_factory=list)
    ids: dict[Place, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    used: int = 0
    created_on: Counter[date] = field(default_factory=Counter)

    def after(self, place: Place | None) -> Iterator[tuple[Place, str]]:
        """The places and ids that follow `place`, in order; from the first for None."""
        start = 0 if place is None else bisect.bisect_right(self.places, place)
        return ((self.places[index], self.ids[self.places[index]]) for index in range(start, len(self.places)))


class State:
    """All shelves. What the journal holds is done again when the state is made."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._attachments: dict[str, Attachment] = {}
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._places: dict[str, Place] = {}
        self._arrived = 0
        self._journal = journal
        for change in () if journal is None else journal.changes():
            self._apply(change)

    def record(self, change: Change) -> None:
        """Make a change last. What it is about must exist."""
        if self._journal is not None:
            self._journal.append(change)
        self._apply(change)

    def shelf(self, account: str, region: str) -> Shelf:
        return self._shelves.setdefault((account, region), Shelf())

    def everything(self) -> tuple[Attachment, ...]:
        """All attachments, in the order of arrival."""
        return tuple(self._attachments.values())

    def known(self, attachment_id: str) -> Attachment:
        """The attachment of an id. Raises KeyError."""
        return self._attachments[attachment_id]

    def find(self, account: str, region: str, id_or_arn: str) -> Attachment | None:
        """The attachment of this account and Region by its id or its ARN."""
        attachment = self._attachments.get(id_or_arn.rpartition("/")[2])
        if attachment is None or (attachment.account, attachment.region) != (account, region):
            return None
        return attachment if id_or_arn in (attachment.attachment_id, attachment.arn) else None

    def of_token(self, shelf: Shelf, token: str | None, *, memory_s: float | None, now: datetime) -> Attachment | None:
        """What the token made, unless that is longer ago than the service remembers."""
        attachment = None if token is None else self._attachments.get(shelf.tokens.get(token, ""))
        if attachment is None or memory_s is None:
            return attachment
        return attachment if now < attachment.created_at + timedelta(seconds=memory_s) else None

    def _apply(self, change: Change) -> None:
        match change:
            case Created(attachment):
                self._put(attachment)
            case StatusSet(attachment_id, status):
                self._force(attachment_id, status)
            case TagsSet(attachment_id, tags):
                self._retag(attachment_id, tags)
            case Forgotten(attachment_id):
                self._drop(attachment_id)

    def _put(self, attachment: Attachment) -> None:
        shelf = self.shelf(attachment.account, attachment.region)
        self._arrived += 1
        place = (attachment.created_at, self._arrived)
        bisect.insort(shelf.places, place)
        shelf.ids[place] = attachment.attachment_id
        shelf.created_on[attachment.created_at.date()] += 1
        shelf.used += not attachment.is_deleted
        if attachment.client_token is not None:
            shelf.tokens[attachment.client_token] = attachment.attachment_id
        self._places[attachment.attachment_id] = place
        self._attachments[attachment.attachment_id] = attachment

    def _force(self, attachment_id: str, status: Status) -> None:
        before = self._attachments[attachment_id]
        after = replace(before, forced=status)
        self._attachments[attachment_id] = after
        self.shelf(after.account, after.region).used += before.is_deleted - after.is_deleted

    def _retag(self, attachment_id: str, tags: Mapping[str, str]) -> None:
        self._attachments[attachment_id] = replace(self._attachments[attachment_id], tags=dict(tags))

    def _drop(self, attachment_id: str) -> None:
        attachment = self._attachments.pop(attachment_id)
        shelf = self.shelf(attachment.account, attachment.region)
        place = self._places.pop(attachment_id)
        del shelf.ids[place]
        del shelf.places[bisect.bisect_left(shelf.places, place)]
        shelf.used -= not attachment.is_deleted
        if attachment.client_token is not None and shelf.tokens.get(attachment.client_token) == attachment_id:
            del shelf.tokens[attachment.client_token]
