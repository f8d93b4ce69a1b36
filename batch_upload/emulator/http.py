"""The wire: awsJson1_0 and the query protocol on one path, and replies delivered whole or as their fault says."""

import asyncio
import json
import math
import re
import socket
from collections.abc import Iterable, Mapping
from datetime import timedelta
from email.utils import format_datetime
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

from batch_upload.emulator.context import Caller, EmulatorClock
from batch_upload.emulator.core import Delivery, Emulator, Reply
from batch_upload.emulator.faults import ENDLESS_BYTES, FaultRule
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import ORGANIZATIONS_OPERATIONS, ORGANIZATIONS_TARGET, STS_OPERATIONS

JSON_TYPE = "application/x-amz-json-1.0"
ORGANIZATIONS_TYPE = "application/x-amz-json-1.1"
FORM_TYPE = "application/x-www-form-urlencoded"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
STALLED_BUFFER_BYTES = 4096
"""What the kernel may still take of a request that is not read; it doubles this, and has a minimum of its own."""
PIECE_BYTES = 64 * 1024
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 .*?Credential=([^/\s]+)/\d{8}/([^/\s]+)/[^/\s]+/aws4_request")
_STS_CODES: Mapping[str, str] = {
    "ThrottlingException": "Throttling",
    "AccessDeniedException": "AccessDenied",
    "ExpiredTokenException": "ExpiredToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnknownOperationException": "InvalidAction",
    "InternalServerException": "InternalFailure",
    "ValidationException": "ValidationError",
}
_STS_STATUSES: Mapping[str, int] = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InvalidClientTokenId": 403,
    "InvalidAction": 400,
}

_ORGANIZATIONS_CODES: Mapping[str, str] = {
    "ThrottlingException": "TooManyRequestsException",
    "InternalServerException": "ServiceException",
    "ValidationException": "InvalidInputException",
}


def json_answer(operation: str, reply: Reply) -> tuple[int, str, bytes]:
    """Return status, media type and body of a reply in JSON, with the codes of the service that has the operation."""
    is_listing, members = operation in ORGANIZATIONS_OPERATIONS, dict(reply.members)
    if reply.code is not None:
        code = _ORGANIZATIONS_CODES.get(reply.code, reply.code) if is_listing else reply.code
        if code == "InvalidInputException":
            is_page = members.get("Reason") == "INVALID_NEXT_TOKEN"
            reason = "INVALID_NEXT_TOKEN" if is_page else "INVALID_PATTERN"
            members = {"Message": members["Message"], "Reason": reason}
        members = {"__type": code, **members}
    return reply.status, ORGANIZATIONS_TYPE if is_listing else JSON_TYPE, json.dumps(members).encode()


def sts_answer(operation: str, reply: Reply) -> tuple[int, str, bytes]:
    """Return status, media type and body of a reply as STS writes it: XML, with codes unlike those of JSON services."""
    if reply.code is None:
        status, tag = reply.status, f"{operation}Response"
        content: Mapping[str, Any] = {
            f"{operation}Result": reply.members,
            "ResponseMetadata": {"RequestId": reply.request_id},
        }
    else:
        code = _STS_CODES.get(reply.code, reply.code)
        status, tag = _STS_STATUSES.get(code, reply.status), "ErrorResponse"
        blamed = "Receiver" if reply.status >= 500 else "Sender"
        error = {"Type": blamed, "Code": code, "Message": reply.members["Message"]}
        content = {"Error": error, "RequestId": reply.request_id}
    return status, "text/xml", f'<{tag} xmlns="{STS_NAMESPACE}">{_xml(content)}</{tag}>'.encode()


def _xml(members: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_xml(value) if isinstance(value, Mapping) else escape(str(value))}</{name}>"
        for name, value in members.items()
    )


class ServiceEndpoint:
    """Serves an emulator at `POST /`. After `stop`, clients that still wait for an answer lose the connection."""

    def __init__(self, emulator: Emulator, clock: EmulatorClock) -> None:
        self._emulator = emulator
        self._clock = clock
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Wake up everything that hangs."""
        self._stopping.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a client."""
        with self._emulator.log.request_in_flight():
            operation = _json_operation(request) if request.content_type in (JSON_TYPE, ORGANIZATIONS_TYPE) else None
            caller = _caller(request)
            rule = self._emulator.stall(operation, caller)
            if rule is not None:
                return await self._stall(request, rule)
            body = await request.read()
            if operation is not None:
                reply = self._emulator.handle(operation, _json_object(body), caller)
                return await self._deliver(request, reply, *json_answer(operation, reply))
            if request.content_type == FORM_TYPE:
                form = dict(parse_qsl(body.decode(errors="replace")))
                action = form.get("Action", "")
                operation = action if action in STS_OPERATIONS else f"sts.{action}"
                reply = self._emulator.handle(operation, form, caller)
                return await self._deliver(request, reply, *sts_answer(operation, reply))
            message = f"{request.content_type} is not understood here"
            body = json.dumps({"__type": "UnsupportedMediaTypeException", "Message": message}).encode()
            return web.Response(status=415, body=body, content_type=JSON_TYPE)

    async def _stall(self, request: web.Request, rule: FaultRule) -> web.StreamResponse:
        """Never read the body of a request."""
        # With a small buffer in the kernel the client's writing stalls, too, even with a small document.
        transport = request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER_BYTES)
            if isinstance(transport, asyncio.ReadTransport):
                transport.pause_reading()
        await self._wait(rule.seconds)
        return _close(request)

    async def _deliver(
        self, request: web.Request, reply: Reply, status: int, content_type: str, body: bytes
    ) -> web.StreamResponse:
        is_due = await self._wait(reply.delay_s)
        if not is_due or reply.delivery in (Delivery.CLOSED, Delivery.NEVER):
            return _close(request)
        moment = self._clock.now() + timedelta(seconds=self._emulator.settings.clock_ahead_s)
        headers = {
            "x-amzn-RequestId": reply.request_id,
            "Content-Type": content_type,
            "Date": format_datetime(moment, usegmt=True),
        }
        if reply.retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(reply.retry_after_s))
        if reply.rule is None:
            return web.Response(status=status, headers=headers, body=body)
        match reply.delivery:
            case Delivery.CUT_SHORT:
                response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
                await self._stream(request, response, [body[: len(body) // 2]])
                return _close(request)
            case Delivery.TRICKLE:
                response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
                pieces = (body[at : at + 1] for at in range(len(body)))
                return await self._stream(request, response, pieces, pause_s=reply.rule.seconds or 0.0)
            case Delivery.ENDLESS:
                size_bytes = reply.rule.size_bytes or ENDLESS_BYTES
                sizes = (min(PIECE_BYTES, size_bytes - sent) for sent in range(0, size_bytes, PIECE_BYTES))
                endless = chain([b'{"Padding": "'], (b"x" * size for size in sizes))
                await self._stream(request, web.StreamResponse(headers=headers), endless)
                return _close(request)
        status, headers["Content-Type"], body = _altered(reply, reply.rule, status, content_type, body)
        if reply.rule.location is not None:
            headers["Location"] = reply.rule.location
        return web.Response(status=status, headers=headers, body=body)

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, pieces: Iterable[bytes], *, pause_s: float = 0.0
    ) -> web.StreamResponse:
        """Send the pieces with a pause before each, as long as the client takes them and the emulator runs."""
        try:
            await response.prepare(request)
            for piece in pieces:
                if not await self._wait(pause_s) or self._stopping.is_set():
                    return _close(request)
                await response.write(piece)
        except ConnectionError:
            return _close(request)
        return response

    async def _wait(self, delay_s: float | None) -> bool:
        """Return whether the time passed, rather than the emulator stopping before. None: wait until it stops."""
        if delay_s == 0:
            return True
        stopping = asyncio.ensure_future(self._stopping.wait())
        waits = [stopping] if delay_s is None else [stopping, asyncio.ensure_future(self._clock.sleep(delay_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return not self._stopping.is_set()


def _json_operation(request: web.Request) -> str:
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if prefix == ORGANIZATIONS_TARGET:
        return operation if operation in ORGANIZATIONS_OPERATIONS else f"{prefix}.{operation}"
    # The operations of STS do not exist here: it speaks another protocol.
    is_known = prefix == service_model().target_prefix and operation not in STS_OPERATIONS | ORGANIZATIONS_OPERATIONS
    return operation if is_known else f"{prefix}.{operation}"


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _caller(request: web.Request) -> Caller | None:
    found = _CREDENTIAL.match(request.headers.get("Authorization", ""))
    if found is None:
        return None
    return Caller(access_key=found[1], region=found[2], session_token=request.headers.get("X-Amz-Security-Token"))


def _altered(reply: Reply, rule: FaultRule, status: int, content_type: str, body: bytes) -> tuple[int, str, bytes]:
    """Return what a fault makes of an answer that stays one answer of a known length."""
    match reply.delivery:
        case Delivery.GARBAGE:
            return 200, content_type, b"\x00this is not what you are looking for <"
        case Delivery.TRUNCATED:
            return 200, content_type, body[: len(body) // 2]
        case Delivery.EMPTY:
            return 200, content_type, b"{}"
        case Delivery.UNAVAILABLE:
            return status, "text/html", b"<html><body><h1>503 Service Unavailable</h1></body></html>"
        case Delivery.RAW | Delivery.REDIRECT:
            return rule.status or 200, rule.content_type or JSON_TYPE, (rule.body or "").encode(errors="replace")
    return status, content_type, body


def _close(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=500)  # never delivered: the connection is gone
