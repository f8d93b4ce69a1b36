"""The token service's protocol: a form goes in, XML comes out. Its codes differ from those of JSON services."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_CODES: Mapping[str, str] = {
    "ThrottlingException": "Throttling",
    "AccessDeniedException": "AccessDenied",
    "ExpiredTokenException": "ExpiredToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnknownOperationException": "InvalidAction",
    "InternalServerException": "InternalFailure",
    "ValidationException": "ValidationError",
}
_SENDERS_FAULT = 403
_STATUSES: Mapping[str, int] = {
    "AccessDenied": _SENDERS_FAULT,
    "ExpiredToken": _SENDERS_FAULT,
    "InvalidClientTokenId": _SENDERS_FAULT,
    "InvalidAction": 400,
}


def answer_xml(operation: str, members: Mapping[str, Any], request_id: str) -> bytes:
    """The answer to an operation whose members are text, or structures of such."""
    return (
        f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>{_elements(members)}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def _elements(members: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_element(value)}</{name}>" for name, value in members.items())


def _element(value: object) -> str:
    return _elements(value) if isinstance(value, Mapping) else escape(str(value))


def error_xml(code: str, message: str, status: int, request_id: str) -> tuple[int, bytes]:
    """The status and body of an error, with the code as this protocol writes it."""
    named = _CODES.get(code, code)
    blamed = "Receiver" if status >= 500 else "Sender"
    body = (
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{blamed}</Type><Code>{escape(named)}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
    return _STATUSES.get(named, status), body
