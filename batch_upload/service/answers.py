"""What an answer must be before it is believed. Whatever it holds, parsing it ends in an answer or in an error of ours.

botocore's parsers expect what AWS sends: of a JSON text that is no object, of a `__type` that is no text, or of XML of
somebody else they raise AttributeError, KeyError, TypeError and others; of a 200 that is not JSON they make an answer
without members. Extension point: the session's component `response_parser_factory`.
"""

import html
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiobotocore.parsers import AioResponseParserFactory
from botocore.parsers import ResponseParserError

UNREADABLE = "an answer that could not be read"
TITLE_MAX = 100
TEXT_MAX = 1_000
"""Characters of a message that are kept: AWS's own are shorter, and others may quote a whole document."""
_BEGINNING_BYTES = 16 * 1024
_BLANK = b"\xef\xbb\xbf \t\r\n"
_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>/]", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_REQUEST_ID = "x-amzn-requestid"


class UnreadableAnswer(ResponseParserError):  # type: ignore[misc]  # botocore ships no types
    """A successful status with something else than an answer of the service: nobody knows whether it was done."""

    def __init__(self, message: str, *, status: int, request_id: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class CheckedParserFactory(AioResponseParserFactory):  # type: ignore[misc]
    """Makes parsers that raise UnreadableAnswer for a successful status and nothing for any other."""

    def create_parser(self, protocol_name: str) -> "_CheckedParser":
        return _CheckedParser(super().create_parser(protocol_name), is_json=protocol_name == "json")


class _CheckedParser:
    def __init__(self, parser: Any, *, is_json: bool) -> None:  # noqa: ANN401
        self._parser = parser
        self._is_json = is_json

    async def parse(self, response: Mapping[str, Any], shape: Any) -> Mapping[str, Any]:  # noqa: ANN401
        """The answer as botocore parses it; an error that it cannot parse has the status for its code."""
        status: int = response["status_code"]
        body: bytes = response["body"] or b""
        page = _page_words(status, body)
        if page is not None:
            if status < 300:
                raise _unreadable(response, page)
            return _error_by_status(response, page)
        if self._is_json and status < 300 and body and body.lstrip(_BLANK)[:1] != b"{":
            raise _unreadable(response, "the answer could not be read: it is no JSON object")
        try:
            parsed: Mapping[str, Any] = await self._parser.parse(response, shape)
        except Exception as error:
            if status < 300:
                raise _unreadable(response, f"the answer could not be read ({type(error).__name__})") from error
            return {} if _is_modeled(shape) else _error_by_status(response, UNREADABLE)
        if status >= 300 and not _is_modeled(shape) and not _has_error(parsed):
            return _error_by_status(response, UNREADABLE)
        return parsed


def _is_modeled(shape: Any) -> bool:  # noqa: ANN401
    """Whether only the members of an error are parsed, whose code was read before."""
    return shape is not None and bool(shape.metadata.get("exception", False))


def _has_error(parsed: Mapping[str, Any]) -> bool:
    error = parsed.get("Error")
    return isinstance(error, dict) and isinstance(error.get("Code"), str)


def _unreadable(response: Mapping[str, Any], message: str) -> UnreadableAnswer:
    request_id = response["headers"].get(_REQUEST_ID)
    return UnreadableAnswer(message, status=response["status_code"], request_id=request_id)


def _error_by_status(response: Mapping[str, Any], message: str) -> Mapping[str, Any]:
    """An error as botocore's parsers give it."""
    metadata = {
        "HTTPStatusCode": response["status_code"],
        "HTTPHeaders": {name.lower(): value for name, value in response["headers"].items()},
        "RequestId": response["headers"].get(_REQUEST_ID),
    }
    return {"Error": {"Code": str(response["status_code"]), "Message": message}, "ResponseMetadata": metadata}


def _page_words(status: int, body: bytes) -> str | None:
    """What to say of a body that is a web page, of which only the title is quoted; None for any other body."""
    beginning = body[:_BEGINNING_BYTES].lstrip(_BLANK)
    if not beginning.startswith(b"<") or _PAGE.search(beginning, 0, 1024) is None:
        return None
    found = _TITLE.search(beginning)
    title = "" if found is None else " ".join(html.unescape(found[1].decode(errors="replace")).split())
    named = f" (`{plain_text(title)[:TITLE_MAX]}`)" if title else ""
    if status >= 500:
        return f"{_phrase(status)}, told by a web page{named}"
    return f"the answer is a web page{named}, not AWS's: a proxy or a network's login page stands between"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an error of the server"


def plain_text(value: object) -> str:
    """What an answer says, fit to be kept and shown: cut, on one line, without control characters or lone surrogates.

    A lone surrogate, which JSON can hold and UTF-8 cannot, is written as its escape.
    """
    line = " ".join(str(value)[:TEXT_MAX].split())
    shown = line.encode("utf-8", "backslashreplace").decode()
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)
