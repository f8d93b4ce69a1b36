"""The wire: awsJson1_0 and the query protocol on one path, and replies delivered whole or spoilt, as they ask for."""

import asyncio
import json
import math
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from batch_upload.emulator.clock import Clock
from batch_upload.emulator.core import Caller, Delivery, Emulator, Reply
from batch_upload.emulator.faults import ENDLESS_BYTES, FaultRule
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import TOKEN_SERVICE
from batch_upload.emulator.sts import answer_xml, error_xml

JSON_TYPE = "application/x-amz-json-1.0"
QUERY_TYPE = "application/x-www-form-urlencoded"
XML_TYPE = "text/xml"
REQUEST_ID_HEADER = "x-amzn-RequestId"
MAX_REQUEST_BYTES = 64 * 1024 * 1024
STALLED_BUFFER_BYTES = 4096
"""What the kernel may still take of a request that is not read; it doubles this, and has a minimum of its own."""
CHUNK_BYTES = 64 * 1024
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 .*?Credential=([^/\s]+)/\d{8}/([^/\s]+)/[^/\s]+/aws4_request")


class ServiceEndpoint:
    """Serves an emulator at `POST /`. After `stop`, whoever still waits for an answer loses the connection."""

    def __init__(self, emulator: Emulator, clock: Clock) -> None:
        self._emulator = emulator
        self._clock = clock
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Wake up everything that hangs."""
        self._stopping.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a client."""
        self._emulator.record.enter()
        try:
            return await self._handled(request)
        finally:
            self._emulator.record.leave()

    async def _handled(self, request: web.Request) -> web.StreamResponse:
        stall = self._emulator.stall(_target(request) if request.content_type == JSON_TYPE else None)
        if stall is not None:
            return await self._stalled(request, stall)
        body = await request.read()
        if request.content_type == QUERY_TYPE:
            form = dict(parse_qsl(body.decode(errors="replace")))
            operation = _action(form)
            reply = self._emulator.handle(operation, form, _caller(request))
            return await self._delivered(request, reply, _xml(operation, reply))
        if request.content_type != JSON_TYPE:
            return _unsupported(request.content_type)
        reply = self._emulator.handle(_target(request), _members(body), _caller(request))
        return await self._delivered(request, reply, _json(reply))

    async def _delivered(self, request: web.Request, reply: Reply, whole: web.Response) -> web.StreamResponse:
        is_answered = await self._waited(reply.delay_s)
        ahead = timedelta(seconds=self._emulator.settings.clock_ahead_s)
        whole.headers["Date"] = format_datetime(self._clock.now() + ahead, usegmt=True)
        if not is_answered or reply.delivery in (Delivery.CLOSED, Delivery.NEVER):
            return _closed(request)
        match reply.delivery:
            case Delivery.CUT_SHORT:
                return await _cut_short(request, whole)
            case Delivery.TRICKLE:
                return await self._trickled(request, whole, _rule_of(reply).seconds or 0.0)
            case Delivery.ENDLESS:
                return await self._endless(request, whole, _rule_of(reply).size_bytes or ENDLESS_BYTES)
            case Delivery.RAW | Delivery.REDIRECT:
                return _as_ruled(whole, _rule_of(reply))
        return _spoilt(whole, reply.delivery)

    async def _stalled(self, request: web.Request, rule: FaultRule) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER_BYTES)
            if isinstance(transport, asyncio.ReadTransport):
                transport.pause_reading()
        await self._waited(rule.seconds)
        return _closed(request)

    async def _trickled(self, request: web.Request, whole: web.Response, seconds: float) -> web.StreamResponse:
        body = whole.body if isinstance(whole.body, bytes) else b""
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(body)
        try:
            await response.prepare(request)
            for at in range(len(body)):
                if not await self._waited(seconds):
                    return _closed(request)
                await response.write(body[at : at + 1])
        except ConnectionError:  # the client has had enough
            return _closed(request)
        return response

    async def _endless(self, request: web.Request, whole: web.Response, size_bytes: int) -> web.StreamResponse:
        response = web.StreamResponse(headers=whole.headers)
        try:
            await response.prepare(request)
            await response.write(b'{"Padding": "')
            for sent in range(0, size_bytes, CHUNK_BYTES):
                if self._stopping.is_set():
                    break
                await response.write(b"x" * min(CHUNK_BYTES, size_bytes - sent))
        except ConnectionError:  # the client has had enough
            pass
        return _closed(request)

    async def _waited(self, delay_s: float | None) -> bool:
        """Whether the time passed, rather than the emulator stopping before."""
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


def _target(request: web.Request) -> str:
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    # The token service's operations do not exist here: it speaks another protocol.
    is_ours = prefix == service_model().target_prefix and operation not in TOKEN_SERVICE
    return operation if is_ours else f"{prefix}.{operation}"


def _action(form: Mapping[str, str]) -> str:
    action = form.get("Action", "")
    return action if action in TOKEN_SERVICE else f"sts.{action}"


def _members(body: bytes) -> Mapping[str, Any] | None:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _caller(request: web.Request) -> Caller | None:
    found = _CREDENTIAL.match(request.headers.get("Authorization", ""))
    return None if found is None else Caller(access_key=found[1], region=found[2])


def _json(reply: Reply) -> web.Response:
    members = reply.members if reply.code is None else {"__type": reply.code, **reply.members}
    return _response(reply, reply.status, json.dumps(members).encode(), JSON_TYPE)


def _xml(operation: str, reply: Reply) -> web.Response:
    if reply.code is None:
        return _response(reply, reply.status, answer_xml(operation, reply.members, reply.request_id), XML_TYPE)
    status, body = error_xml(reply.code, reply.members["Message"], reply.status, reply.request_id)
    return _response(reply, status, body, XML_TYPE)


def _response(reply: Reply, status: int, body: bytes, content_type: str) -> web.Response:
    headers = {REQUEST_ID_HEADER: reply.request_id}
    if reply.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(reply.retry_after_s))
    return web.Response(status=status, body=body, headers=headers, content_type=content_type)


def _unsupported(content_type: str) -> web.Response:
    body = json.dumps({"__type": "UnsupportedMediaTypeException", "Message": f"{content_type} is not understood here"})
    return web.Response(status=415, body=body.encode(), content_type=JSON_TYPE)


def _spoilt(whole: web.Response, delivery: Delivery) -> web.Response:
    body = whole.body if isinstance(whole.body, bytes) else b""
    match delivery:
        case Delivery.GARBAGE:
            return _ok(whole, b"\x00this is not what you are looking for <")
        case Delivery.TRUNCATED:
            return _ok(whole, body[: len(body) // 2])
        case Delivery.EMPTY:
            return _ok(whole, b"{}")
        case Delivery.UNAVAILABLE:
            whole.body = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
            whole.content_type = "text/html"
    return whole


def _rule_of(reply: Reply) -> FaultRule:
    if reply.rule is None:
        raise ValueError(f"a reply that is delivered as {reply.delivery} needs its rule")
    return reply.rule


def _as_ruled(whole: web.Response, rule: FaultRule) -> web.Response:
    whole.set_status(rule.status or 200)
    whole.body = (rule.body or "").encode(errors="replace")
    whole.headers["Content-Type"] = rule.content_type or JSON_TYPE
    if rule.location is not None:
        whole.headers["Location"] = rule.location
    return whole


def _ok(whole: web.Response, body: bytes) -> web.Response:
    whole.set_status(200)
    whole.body = body
    return whole


def _closed(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    # Never delivered: the connection is gone.
    return web.Response(status=500)


async def _cut_short(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=200, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
