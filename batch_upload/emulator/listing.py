"""DescribeRegistrationAttachments: a few attachments by id, or one page of all of them. What all listings share.

A service of many machines may show an attachment later than it was created, shift its pages, and forget its page
tokens. The settings say how far this one goes.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from batch_upload.emulator.context import Call, Members, ServiceContext
from batch_upload.emulator.errors import resource_not_found, validation_error
from batch_upload.emulator.limits import LONGEST_PAGE
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.settings import Paging
from batch_upload.emulator.state import ListingPosition, StoredAttachment

Decoded = TypeVar("Decoded")


class PageToken(NamedTuple):
    """When a page token was given, and after what the next page begins.

    `position` is None for the beginning of the listing, and if pages are counted by `offset` instead.
    """

    given_at: datetime
    position: ListingPosition | None = None
    offset: int = 0

    def encode(self, kind: str = "place") -> str:
        position = None if self.position is None else [self.position[0].isoformat(), self.position[1]]
        return encode_next_token(kind, [position, self.offset, self.given_at.isoformat()])

    @classmethod
    def from_json(cls, value: Any) -> "PageToken":  # noqa: ANN401 - any JSON value may come
        """Raise ValueError or TypeError for what `encode` cannot have made."""
        position, offset, given_at = value
        return cls(
            given_at=_aware(given_at),
            position=None if position is None else (_aware(position[0]), int(position[1])),
            offset=int(offset),
        )


def describe(context: ServiceContext, call: Call) -> Members:
    """Carry out one DescribeRegistrationAttachments."""
    ids = ids_asked_for(call, "RegistrationAttachmentIds")
    if not ids:
        return _describe_page(context, call)
    described: list[Members] = []
    for id_or_arn in ids:
        attachment = context.attachment(call, id_or_arn)
        if context.is_hidden(attachment, call.settings.describe_lag_s):
            raise resource_not_found(id_or_arn)
        described.append(context.description(attachment))
    return {"RegistrationAttachments": described}


def ids_asked_for(call: Call, name: str) -> Sequence[str]:
    """Return the ids that a call names; none if it asks for a page. Raises ErrorResponse if it does both."""
    ids: Sequence[str] = call.members.get(name) or ()
    if ids and any(call.members.get(other) is not None for other in ("Filters", "NextToken", "MaxResults")):
        message = f"{name} excludes Filters, NextToken and MaxResults"
        raise validation_error("PARAMETERS_CANNOT_BE_USED_TOGETHER", message)
    return ids


def page_size(call: Call) -> int:
    """Return how much a page of the answer to a call holds at most."""
    return min(call.members.get("MaxResults") or LONGEST_PAGE, call.settings.page_size)


def page_start(call: Call, kind: str, now: datetime) -> PageToken:
    """Return where a page begins. Raises ErrorResponse for a NextToken of another `kind`, or that has expired."""
    given: str | None = call.members.get("NextToken")
    start = PageToken(now) if given is None else decode_next_token(kind, given, PageToken.from_json)
    life_s = call.settings.next_token_life_s
    if life_s is not None and (now - start.given_at).total_seconds() > life_s:
        raise validation_error("INVALID_NEXT_TOKEN", "The NextToken has expired")
    return start


def encode_next_token(kind: str, value: object) -> str:
    """Return a NextToken: opaque to clients, who must not compute one."""
    return base64.urlsafe_b64encode(json.dumps([kind, value]).encode()).decode()


def decode_next_token(kind: str, token: str, read: Callable[[Any], Decoded]) -> Decoded:
    """Return what `encode_next_token` put into a token. Raises ErrorResponse for one of another operation or origin."""
    invalid_token = validation_error("INVALID_NEXT_TOKEN", "The NextToken is not one of this operation's")
    try:
        token_kind, value = json.loads(base64.urlsafe_b64decode(token))
        if token_kind == kind:
            return read(value)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise invalid_token from error
    raise invalid_token


def _describe_page(context: ServiceContext, call: Call) -> Members:
    settings, now = call.settings, context.clock.now()
    size, given = page_size(call), call.members.get("NextToken")
    start = page_start(call, "place", now)
    page: list[Members] = []
    last, end = start.position, None
    for position, attachment in _visible(context, call, start):
        if len(page) == size:
            by_offset = settings.paging is Paging.OFFSET
            end = PageToken(now, offset=start.offset + size) if by_offset else PageToken(now, position=last)
            break
        page.append(context.description(attachment))
        last = position
    if call.repeats_page:
        # The first page has no token to repeat: it leads to the second, or to itself where it is the last.
        return {"RegistrationAttachments": page, "NextToken": given or (end or start).encode()}
    return {"RegistrationAttachments": page, **({} if end is None else {"NextToken": end.encode()})}


def _visible(
    context: ServiceContext, call: Call, start: PageToken
) -> Iterator[tuple[ListingPosition, StoredAttachment]]:
    """Yield what a listing shows now from a page token on, in order."""
    statuses: frozenset[str] = frozenset(UploadStatus)
    for status_filter in call.members.get("Filters") or ():
        for value in status_filter["Values"]:
            if value not in frozenset(UploadStatus):
                raise validation_error("INVALID_FILTER_VALUES", f"Filters: {value!r} is not a valid Status")
        statuses &= frozenset(status_filter["Values"])
    now, to_skip = context.clock.now(), start.offset
    for position, attachment_id in context.store.lane(call.account, call.region).after(start.position):
        attachment = context.store.get(attachment_id)
        if attachment.status(now) not in statuses or context.is_hidden(attachment, call.settings.listing_lag_s):
            continue
        # An offset counts what is visible now, so that pages shift when attachments come or go.
        if to_skip:
            to_skip -= 1
            continue
        yield position, attachment


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment
