"""The wire between aiobotocore and the emulator in virtual time: latency, lost and late requests, spoilt answers.

It takes the place of aiobotocore's HTTP session (`AioConfig(http_session_cls=…)`), so that everything above it is real.
The limits of time and size are that session's, so `trickle`, `endless` and `stall` make no sense here.
"""

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from random import Random
from typing import Any, Self
from urllib.parse import parse_qsl

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from batch_upload.emulator.context import Caller
from batch_upload.emulator.core import Delivery, Emulator, Reply
from batch_upload.emulator.http import sts_answer
from batch_upload.emulator.names import STS_OPERATIONS
from batch_upload.operations import CREATE
from batch_upload.service.http import refuse_redirect
from tests.support.virtual_time import Life, SimulatedClock, Timeline, Trace

JSON_TYPE = "application/x-amz-json-1.0"
WAY_MAX_S = 2.0
"""The longest way of a request that is not late on purpose: less than a replay is allowed for its way."""
_CREDENTIAL = re.compile(r"Credential=([^/\s]+)/\d{8}/([^/\s]+)/")


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network is. `late_share` of the creates lose their connection and arrive later: never so late that the
    service could have forgotten what another request with the token made, nor that what it makes is listed later than
    a horizon after it left."""

    way_s: float = 0.02
    jitter_s: float = 0.0
    late_share: float = 0.0
    horizon_s: float = 300.0
    listing_lag_s: float = 0.0


@dataclass(slots=True)
class ServiceClock:
    """Implements the emulator's clock. `at_s` is set while something is done that arrived before now."""

    timeline: Timeline
    at_s: float | None = None

    def now(self) -> datetime:
        return SimulatedClock(Timeline(self.monotonic())).now()

    def monotonic(self) -> float:
        return self.timeline.now_s if self.at_s is None else self.at_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the service sees it."""

    operation: str
    members: Mapping[str, Any] | None
    caller: Caller | None
    is_form: bool

    @property
    def token(self) -> str | None:
        return None if self.members is None or self.operation != CREATE else self.members.get("ClientToken")


@dataclass(slots=True)
class Seen:
    """What the service saw of the creates, arrived or not. `bodies`: digests of everything ever sent under a token."""

    bodies: dict[str, set[str]] = field(default_factory=dict)
    done_at_s: dict[str, list[float]] = field(default_factory=dict)
    creates: int = 0


class SimulatedNetwork:
    """One service, reached over one network. Outlives the processes that use it."""

    def __init__(self, emulator: Emulator, clock: ServiceClock, *, chance: Random, trace: Trace) -> None:
        self.weather = Weather()
        self.seen = Seen()
        self.life = Life()
        self._emulator = emulator
        self._clock = clock
        self._chance = chance
        self._trace = trace
        self._under_way: dict[int, tuple[float, Message]] = {}
        self._late: list[tuple[float, Message]] = []

    def cut(self) -> None:
        """The process at the other end has died: of what is under way, half arrives all the same."""
        self._late += [each for each in self._under_way.values() if self._chance.random() < 0.5]
        self._under_way.clear()

    def suspend(self) -> None:
        """The machine falls asleep: what is under way is lost, and half of it arrives all the same. To be called before
        time passes."""
        self.cut()

    def deliver_late(self) -> None:
        """Let the service do what arrived meanwhile and nobody waits for."""
        now_s = self._clock.timeline.now_s
        due = sorted((each for each in self._late if each[0] <= now_s), key=lambda each: each[0])
        self._late = [each for each in self._late if each[0] > now_s]
        for at_s, message in due:
            self._clock.at_s = at_s
            self._handled(message, "late")
        self._clock.at_s = None

    def land(self, operation: str) -> None:
        """Let the service do now what is still on its way of this operation, and nobody waits for."""
        for _, message in sorted((each for each in self._late if each[1].operation == operation), key=lambda at: at[0]):
            self._handled(message, "late")
        self._late = [each for each in self._late if each[1].operation != operation]

    async def exchange(self, request: AWSPreparedRequest, *, read_timeout_s: float) -> AioAWSResponse:
        """Send one request, and give what comes back, or raise what the SDK's own session would."""
        message = message_of(request)
        self._depart(message)
        late_s = self._lateness_s(message)
        if late_s is not None:
            self._late.append((self._clock.timeline.now_s + late_s, message))
            raise ConnectionClosedError(endpoint_url=request.url)
        if not await self._travelled(message):
            raise ConnectionClosedError(endpoint_url=request.url)
        if not self.life.step():
            return await _never()
        reply, date = self._handled(message, "arrives"), self._date()
        if not self.life.step():
            return await _never()
        await self._waited(reply, request, read_timeout_s)
        return _response(request.url, message, reply, request, date)

    def _depart(self, message: Message) -> None:
        self._trace.note(f"leaves {message.operation} {message.token}")
        if message.token is not None and message.members is not None:
            sent = json.dumps(message.members, sort_keys=True).encode()
            self.seen.bodies.setdefault(message.token, set()).add(hashlib.sha256(sent).hexdigest())
            self.seen.creates += 1

    def _lateness_s(self, message: Message) -> float | None:
        if message.token is None or self._chance.random() >= self.weather.late_share:
            return None
        now_s, horizon_s = self._clock.timeline.now_s, self.weather.horizon_s
        done = self.seen.done_at_s.setdefault(message.token, [])
        forgotten = [at_s + horizon_s for at_s in done if at_s + horizon_s > now_s]
        latest_s = now_s + horizon_s - self.weather.listing_lag_s
        late_s = self._chance.random() * 0.98 * (min([latest_s, *forgotten]) - now_s)
        done.append(now_s + late_s)
        return late_s

    async def _travelled(self, message: Message) -> bool:
        """Whether a request has arrived, once it must have."""
        way_s = self._way_s()
        self._under_way[id(message)] = (self._clock.timeline.now_s + way_s, message)
        try:
            await asyncio.sleep(way_s)
        except asyncio.CancelledError:
            on_its_way = self._under_way.pop(id(message), None)
            if on_its_way is not None and not self.life.dead and self._chance.random() < 0.5:
                self._late.append(on_its_way)
            raise
        return self._under_way.pop(id(message), None) is not None

    def _way_s(self) -> float:
        jitter_s = self._chance.expovariate(1 / self.weather.jitter_s) if self.weather.jitter_s else 0.0
        return min(WAY_MAX_S, self.weather.way_s + jitter_s)

    def _handled(self, message: Message, how: str) -> Reply:
        if self._clock.at_s is None:
            self.deliver_late()
        reply = self._emulator.handle(message.operation, message.members, message.caller)
        self._trace.note(f"{how} {message.operation} {message.token} {reply.outcome} {reply.delivery}")
        if message.token is not None:
            self.seen.done_at_s.setdefault(message.token, []).append(self._clock.monotonic())
        return reply

    def _date(self) -> str:
        return format_datetime(self._clock.now().replace(microsecond=0), usegmt=True)

    async def _waited(self, reply: Reply, request: AWSPreparedRequest, read_timeout_s: float) -> None:
        delay_s = math.inf if reply.delay_s is None else reply.delay_s + self._way_s()
        if delay_s >= read_timeout_s:
            await asyncio.sleep(read_timeout_s)
            raise ReadTimeoutError(endpoint_url=request.url)
        await asyncio.sleep(delay_s)


class SimulatedSession:
    """What aiobotocore sends through, in the place of its own session. Used with `functools.partial` for the network;
    the arguments are those that aiobotocore gives."""

    def __init__(
        self,
        network: SimulatedNetwork,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - aiobotocore's own signature
        proxies: Mapping[str, str] | None = None,
        timeout: tuple[float, float] = (60.0, 60.0),
        max_pool_connections: int = 10,
        socket_options: object = None,
        client_cert: object = None,
        proxies_config: object = None,
        connector_args: object = None,
    ) -> None:
        self._network = network
        self._read_timeout_s = timeout[1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        return await self._network.exchange(request, read_timeout_s=self._read_timeout_s)

    async def close(self) -> None:
        """Nothing is open."""


class _Body:
    """The body of an answer, or what reading it raises."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


def message_of(request: AWSPreparedRequest) -> Message:
    """Read a request as the emulator's wire does."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    body = request.body if isinstance(request.body, bytes) else _text(request.body).encode()
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    token = headers.get("x-amz-security-token")
    caller = None if found is None else Caller(access_key=found[1], region=found[2], session_token=token)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(body.decode()))
        return Message(form["Action"], form, caller, is_form=True)
    return Message(headers["x-amz-target"].partition(".")[2], json.loads(body), caller, is_form=False)


def _text(value: Any) -> str:  # noqa: ANN401
    return value.decode() if isinstance(value, bytes) else str(value or "")


async def _never() -> AioAWSResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


def _response(url: str, message: Message, reply: Reply, request: AWSPreparedRequest, date: str) -> AioAWSResponse:
    match reply.delivery:
        case Delivery.CLOSED | Delivery.NEVER:
            raise ConnectionClosedError(endpoint_url=url, request=request)
        case Delivery.CUT_SHORT:
            raise ConnectionClosedError(endpoint_url=url, request=request, error=aiohttp.ClientPayloadError())
        case Delivery.TRICKLE | Delivery.ENDLESS:
            raise AssertionError(f"{reply.delivery} makes no sense in virtual time")
    if reply.rule is not None and reply.delivery in (Delivery.RAW, Delivery.REDIRECT):
        status, body = reply.rule.status or 200, (reply.rule.body or "").encode()
        refuse_redirect(status, reply.rule.location)
        return AioAWSResponse(url, status, {"x-amzn-requestid": reply.request_id}, _Body(body))
    status, body = _whole(message, reply)
    content_type = "text/xml" if message.is_form else JSON_TYPE
    headers = {"x-amzn-requestid": reply.request_id, "content-type": content_type, "date": date}
    if reply.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(reply.retry_after_s))
    match reply.delivery:
        case Delivery.GARBAGE:
            status, body = 200, b"\x00this is not what you are looking for <"
        case Delivery.TRUNCATED:
            status, body = 200, body[: len(body) // 2]
        case Delivery.EMPTY:
            status, body = 200, b"{}"
        case Delivery.UNAVAILABLE:
            body, headers["content-type"] = b"<html><body><h1>503</h1></body></html>", "text/html"
    return AioAWSResponse(url, status, headers, _Body(body))


def _whole(message: Message, reply: Reply) -> tuple[int, bytes]:
    if message.operation in STS_OPERATIONS:
        status, _, body = sts_answer(message.operation, reply)
        return status, body
    members = reply.members if reply.code is None else {"__type": reply.code, **reply.members}
    return reply.status, json.dumps(members).encode()
