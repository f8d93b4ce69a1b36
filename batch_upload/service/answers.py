"""What an answer must be before it is used. Parsing one ends in an answer or in an error of ours, whatever it holds.

botocore's parsers expect what AWS sends. They raise AttributeError, KeyError, TypeError and others for a JSON text that
is no object, for a `__type` that is no text, and for foreign XML. They return an answer without members for a 200 that
is not JSON. Extension point: the session's component `response_parser_factory`.
"""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from aiobotocore.parsers import AioResponseParserFactory
from botocore.parsers import ResponseParserError

from batch_upload.errors import NoAnswer
from batch_upload.model import AttachmentStatus, Capacity

UNREADABLE = "an answer that could not be read"
TITLE_MAX = 100
TEXT_MAX = 1_000
"""Characters of a message that are kept: AWS's own are shorter, and others may quote a whole document."""
LIMIT_NAME = "REGISTRATION_ATTACHMENTS"
_BEGINNING_BYTES = 16 * 1024
_MARK_AND_SPACE = b"\xef\xbb\xbf \t\r\n"
_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>/]", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_REQUEST_ID = "x-amzn-requestid"
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableAnswer(ResponseParserError):  # type: ignore[misc]  # botocore ships no types
    """A successful status without an answer of the service: it is unknown whether the request was carried out."""

    def __init__(self, message: str, response: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status: int = response["status_code"]
        self.request_id: str | None = response["headers"].get(_REQUEST_ID)


class CheckedParserFactory(AioResponseParserFactory):  # type: ignore[misc]
    """Makes parsers that raise UnreadableAnswer for a successful status and nothing for any other."""

    def create_parser(self, protocol_name: str) -> "_CheckedParser":
        return _CheckedParser(super().create_parser(protocol_name), is_json=protocol_name == "json")


class _CheckedParser:
    def __init__(self, parser: Any, *, is_json: bool) -> None:  # noqa: ANN401
        self._parser = parser
        self._is_json = is_json

    async def parse(self, response: Mapping[str, Any], shape: Any) -> Mapping[str, Any]:  # noqa: ANN401
        """Return the answer as botocore parses it. An error that it cannot parse gets the status as its code."""
        status: int = response["status_code"]
        body: bytes = response["body"] or b""
        page = _page_message(status, body)
        if page is not None:
            if status < 300:
                raise UnreadableAnswer(page, response)
            return _error_by_status(response, page)
        if self._is_json and status < 300 and body and body.lstrip(_MARK_AND_SPACE)[:1] != b"{":
            raise UnreadableAnswer("the answer could not be read: it is no JSON object", response)
        # of a modeled error only the members are parsed here, after its code
        is_modeled_error = shape is not None and bool(shape.metadata.get("exception", False))
        try:
            parsed: Mapping[str, Any] = await self._parser.parse(response, shape)
        except Exception as error:
            if status < 300:
                message = f"the answer could not be read ({type(error).__name__})"
                raise UnreadableAnswer(message, response) from error
            return {} if is_modeled_error else _error_by_status(response, UNREADABLE)
        if status >= 300 and not is_modeled_error:
            error_member = parsed.get("Error")
            if not isinstance(error_member, dict) or not isinstance(error_member.get("Code"), str):
                return _error_by_status(response, UNREADABLE)
        return parsed


def _error_by_status(response: Mapping[str, Any], message: str) -> Mapping[str, Any]:
    """Return an error in the form of botocore's parsers."""
    metadata = {
        "HTTPStatusCode": response["status_code"],
        "HTTPHeaders": {name.lower(): value for name, value in response["headers"].items()},
        "RequestId": response["headers"].get(_REQUEST_ID),
    }
    return {"Error": {"Code": str(response["status_code"]), "Message": message}, "ResponseMetadata": metadata}


def _page_message(status: int, body: bytes) -> str | None:
    """Return what to say of a web page, of which only the title is quoted; None for any other body."""
    beginning = body[:_BEGINNING_BYTES].lstrip(_MARK_AND_SPACE)
    if not beginning.startswith(b"<") or _PAGE.search(beginning, 0, 1024) is None:
        return None
    found = _TITLE.search(beginning)
    title = "" if found is None else " ".join(html.unescape(found[1].decode(errors="replace")).split())
    named = f" (`{plain_text(title)[:TITLE_MAX]}`)" if title else ""
    if status < 500:
        return f"the answer is a web page{named}, not AWS's: a proxy or a network's login page stands between"
    known = next((each.phrase for each in HTTPStatus if each == status), "an error of the server")
    return f"{known}, told by a web page{named}"


def plain_text(value: object, *, limit: int = TEXT_MAX) -> str:
    """Return what an answer says, fit to be stored and shown: at most `limit` characters of it, on one line, without
    control characters.

    A lone surrogate, which JSON can hold and UTF-8 cannot, is written as its escape.
    """
    line = " ".join(str(value)[:limit].split())
    shown = line.encode("utf-8", "backslashreplace").decode()
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)


def unreadable(answer: Mapping[str, Any], message: str) -> NoAnswer:
    """Return the error of an answer that was parsed and cannot be believed."""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return NoAnswer(message, code="UnreadableAnswer", request_id=request_id_of(answer), status=status)


def member(answer: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    """Return a member that every answer has. Raises NoAnswer without it: see the module."""
    value = answer.get(name)
    if value is None:
        raise unreadable(answer, f"the answer has no `{name}`: it could not be read")
    return value


def text_member(answer: Mapping[str, Any], name: str) -> str:
    """Return a member that is text, not empty, and can be stored as UTF-8. Raises NoAnswer otherwise."""
    value = member(answer, name)
    if not isinstance(value, str) or not value or _SURROGATE.search(value):
        raise unreadable(answer, f"`{name}` of the answer is not text: it could not be read")
    return value


def next_token_of(answer: Mapping[str, Any]) -> str | None:
    """Return what asks for the next page; None on the last. Raises NoAnswer if it is not text."""
    return None if answer.get("NextToken") is None else text_member(answer, "NextToken")


class CallerIdentity(NamedTuple):
    """Whose the credentials are, as STS says."""

    account: str
    """12 digits."""
    principal: str | None
    """The ARN of user or role session; None where the answer has none."""


def caller_of(answer: Mapping[str, Any]) -> CallerIdentity:
    """Return what an answer of STS says. Raises NoAnswer unless the account has 12 digits."""
    account = text_member(answer, "Account")
    if not re.fullmatch(r"[0-9]{12}", account):
        raise unreadable(answer, "`Account` of the answer has not 12 digits: it could not be read")
    arn = answer.get("Arn")
    return CallerIdentity(account, arn if isinstance(arn, str) and not _SURROGATE.search(arn) else None)


def tag_values(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the tags of an answer. Raises NoAnswer."""
    tags = {}
    for tag in member(answer, "Tags"):
        value = member(tag, "Value")
        tags[text_member(tag, "Key")] = value if value == "" else text_member(tag, "Value")
    return tags


def capacity_of(answer: Mapping[str, Any]) -> Capacity | None:
    """Return the capacity for attachments, or None if the answer does not have it. Raises NoAnswer."""
    for limit in member(answer, "AccountLimits"):
        if limit.get("Name") == LIMIT_NAME:
            return Capacity(used=int(member(limit, "Used")), maximum=int(member(limit, "Max")))
    return None


def status_of(answer: Mapping[str, Any]) -> AttachmentStatus:
    """Return the status of an attachment. An unknown one is IN_PROGRESS, so that the service is asked again."""
    try:
        return AttachmentStatus(answer.get("AttachmentStatus", ""))
    except ValueError:
        return AttachmentStatus.IN_PROGRESS


def created_at_of(answer: Mapping[str, Any]) -> datetime:
    """Return when an attachment was created, in UTC. Without it, the latest moment: never too old to be ours."""
    value = answer.get("CreatedTimestamp")
    return value.astimezone(UTC) if isinstance(value, datetime) else datetime.max.replace(tzinfo=UTC)


def served_at_of(answer: Mapping[str, Any]) -> datetime | None:
    """Return the `Date` of an answer, in whole seconds (RFC 9110, 5.6.7), or None if it cannot be read."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        served_at = parsedate_to_datetime(str(headers.get("date", "")))
    except (ValueError, OverflowError):
        return None
    return served_at.astimezone(UTC) if served_at.tzinfo is not None else None


def request_id_of(answer: Mapping[str, Any]) -> str | None:
    """Return the id of the request that was answered."""
    found = answer.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
