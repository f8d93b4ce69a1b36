"""DescribeRegistrationAttachments: a few attachments by id, or one page of all of them.

A service of many machines may show an attachment later than it was created, shift its pages, and forget its page
tokens. The settings say how far this one goes.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from batch_upload.emulator.attachment import Attachment, Status
from batch_upload.emulator.desk import Call, Desk, Members
from batch_upload.emulator.refusals import Refusal, invalid, not_found
from batch_upload.emulator.settings import Paging
from batch_upload.emulator.state import Place

Opened = TypeVar("Opened")

LONGEST_PAGE = 100


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a page token holds: when it was given, and after what the next page begins.

    `place` is None for the beginning of the listing, and where pages are counted by `offset` instead.
    """

    given_at: datetime
    place: Place | None = None
    offset: int = 0

    def sealed(self) -> str:
        place = None if self.place is None else [self.place[0].isoformat(), self.place[1]]
        return sealed("place", [place, self.offset, self.given_at.isoformat()])

    @staticmethod
    def opened(token: str) -> "_Mark":
        return opened("place", token, _Mark._read)

    @staticmethod
    def _read(value: Any) -> "_Mark":  # noqa: ANN401 - any JSON value may come
        place, offset, given_at = value
        return _Mark(
            given_at=_moment(given_at),
            place=None if place is None else (_moment(place[0]), int(place[1])),
            offset=int(offset),
        )


def describe(desk: Desk, call: Call) -> Members:
    """Carry out one DescribeRegistrationAttachments."""
    ids = call.members.get("RegistrationAttachmentIds")
    if not ids:
        return _page(desk, call)
    if any(call.members.get(name) is not None for name in ("Filters", "NextToken", "MaxResults")):
        message = "RegistrationAttachmentIds excludes Filters, NextToken and MaxResults"
        raise invalid("PARAMETERS_CANNOT_BE_USED_TOGETHER", message)
    return {"RegistrationAttachments": [desk.information(_by_id(desk, call, wanted)) for wanted in ids]}


def found(desk: Desk, call: Call, id_or_arn: str) -> Attachment:
    """The attachment of the caller's account and Region. Raises Refusal."""
    attachment = desk.state.find(call.account, call.region, id_or_arn)
    if attachment is None:
        raise not_found(id_or_arn)
    return attachment


def is_younger(desk: Desk, attachment: Attachment, seconds: float) -> bool:
    """Whether an attachment was created less than so many seconds ago."""
    return desk.clock.now() < attachment.created_at + timedelta(seconds=seconds)


def sealed(kind: str, value: object) -> str:
    """A NextToken: opaque to clients, who must not compute one."""
    return base64.urlsafe_b64encode(json.dumps([kind, value]).encode()).decode()


def opened(kind: str, token: str, read: Callable[[Any], Opened]) -> Opened:
    """What `sealed` put into a NextToken. Raises Refusal for one of another operation, or of nobody's making."""
    try:
        sealed_kind, value = json.loads(base64.urlsafe_b64decode(token))
        if sealed_kind != kind:
            raise _bad_next_token()
        return read(value)
    except (binascii.Error, ValueError, TypeError, KeyError, IndexError) as error:
        raise _bad_next_token() from error


def _by_id(desk: Desk, call: Call, id_or_arn: str) -> Attachment:
    attachment = found(desk, call, id_or_arn)
    lag_s = desk.settings.describe_lag_s
    if lag_s and is_younger(desk, attachment, lag_s):
        raise not_found(id_or_arn)
    return attachment


def _page(desk: Desk, call: Call) -> Members:
    size = min(call.members.get("MaxResults") or LONGEST_PAGE, desk.settings.page_size)
    asked, now = call.members.get("NextToken"), desk.clock.now()
    mark = _Mark(now) if asked is None else _Mark.opened(asked)
    life_s = desk.settings.next_token_life_s
    if asked is not None and life_s is not None and now > mark.given_at + timedelta(seconds=life_s):
        raise invalid("INVALID_NEXT_TOKEN", "The NextToken has expired")
    page: list[Members] = []
    last = mark.place
    for place, attachment in _listed(desk, call, mark):
        if len(page) == size:
            following = _next_mark(desk, mark, last, len(page), now)
            return {"RegistrationAttachments": page, "NextToken": _repeated(call, following)}
        page.append(desk.information(attachment))
        last = place
    if call.repeats_page:
        return {"RegistrationAttachments": page, "NextToken": _repeated(call, mark)}
    return {"RegistrationAttachments": page}


def _listed(desk: Desk, call: Call, mark: _Mark) -> Iterator[tuple[Place, Attachment]]:
    """What a listing shows now behind a mark, in order."""
    wanted, now, lag_s = _wanted_statuses(call.members), desk.clock.now(), desk.settings.listing_lag_s
    to_skip = mark.offset
    for place, attachment_id in desk.state.shelf(call.account, call.region).after(mark.place):
        attachment = desk.state.known(attachment_id)
        if attachment.status(now) not in wanted or (lag_s and is_younger(desk, attachment, lag_s)):
            continue
        if to_skip:
            to_skip -= 1
            continue
        yield place, attachment


def _next_mark(desk: Desk, mark: _Mark, last: Place | None, count: int, now: datetime) -> _Mark:
    if desk.settings.paging is Paging.OFFSET:
        return _Mark(now, offset=mark.offset + count)
    return _Mark(now, place=last)


def _repeated(call: Call, following: _Mark) -> str:
    """The token of the next page; under the fault that repeats pages, the one that was asked with."""
    asked: str | None = call.members.get("NextToken")
    return asked if call.repeats_page and asked is not None else following.sealed()


def _wanted_statuses(members: Members) -> frozenset[Status]:
    wanted = frozenset(Status)
    for status_filter in members.get("Filters") or ():
        try:
            wanted &= {Status(value) for value in status_filter["Values"]}
        except ValueError as error:
            raise invalid("INVALID_FILTER_VALUES", f"Filters: {error}") from error
    return wanted


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment


def _bad_next_token() -> Refusal:
    return invalid("INVALID_NEXT_TOKEN", "The NextToken is not one of this operation's")
