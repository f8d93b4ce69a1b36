"""The emulator itself, without a wire: a request goes in, a reply comes out, at a time that is handed in.

Checks come in this order: operation and credentials, rate, faults, permission, model, the operation's own rules.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from batch_upload.emulator.context import Call, Caller, EmulatorClock, Members, ServiceContext
from batch_upload.emulator.errors import (
    ErrorResponse,
    access_denied,
    internal_error,
    invalid_fields,
    throttled,
    unrecognized_client,
)
from batch_upload.emulator.faults import FAULT_ERRORS, FaultAction, FaultRule
from batch_upload.emulator.lane_rules import LaneRules
from batch_upload.emulator.model import model_of, service_model
from batch_upload.emulator.names import EVERY_OPERATION, OPERATIONS, Operation, UploadStatus
from batch_upload.emulator.operations import content_of, new_attachment_id, perform
from batch_upload.emulator.registration_control import RegistrationControl
from batch_upload.emulator.registrations import preload
from batch_upload.emulator.request_log import LaneKey, LoggedRequest
from batch_upload.emulator.roles import account_of_key, identity_of
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.emulator.state import Created, Journal, ServiceStore, StatusSet, StoredAttachment

P = ParamSpec("P")
R = TypeVar("R")


class Delivery(StrEnum):
    """How a reply goes over the wire: whole, or broken in one of these ways."""

    WHOLE = "whole"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    CUT_SHORT = "cut_short"
    EMPTY = "empty"
    UNAVAILABLE = "unavailable"
    RAW = "raw"
    REDIRECT = "redirect"
    TRICKLE = "trickle"
    ENDLESS = "endless"
    CLOSED = "closed"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` is None for a success. `delay_s` passes before the reply is delivered; None: until the emulator stops.
    `rule` is the fault that decided the request, with what its delivery needs."""

    request_id: str
    outcome: str
    members: Members = field(default_factory=dict)
    status: int = 200
    code: str | None = None
    delivery: Delivery = Delivery.WHOLE
    delay_s: float | None = 0.0
    retry_after_s: float | None = None
    rule: FaultRule | None = None


_NOT_ANSWERED: Mapping[FaultAction, Delivery] = {
    FaultAction.REDIRECT: Delivery.REDIRECT,
    FaultAction.UNAVAILABLE: Delivery.UNAVAILABLE,
    FaultAction.DROP_BEFORE: Delivery.CLOSED,
    FaultAction.DROP_LATE: Delivery.CLOSED,
    FaultAction.HANG: Delivery.NEVER,
}
"""Faults where the service gives no answer to the request, done or not."""
_BROKEN_ANSWERS: Mapping[FaultAction, Delivery] = {
    FaultAction.DROP_AFTER: Delivery.CLOSED,
    FaultAction.GARBAGE: Delivery.GARBAGE,
    FaultAction.TRUNCATED: Delivery.TRUNCATED,
    FaultAction.CUT_SHORT: Delivery.CUT_SHORT,
    FaultAction.EMPTY_200: Delivery.EMPTY,
    FaultAction.RAW: Delivery.RAW,
    FaultAction.TRICKLE: Delivery.TRICKLE,
    FaultAction.ENDLESS: Delivery.ENDLESS,
}
"""Faults that carry the request out and break its answer."""


def _one_at_a_time(
    method: Callable[Concatenate["Emulator", P], R],
) -> Callable[Concatenate["Emulator", P], R]:
    @wraps(method)
    def locked(self: "Emulator", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class Emulator:
    """One service with all its accounts and Regions. A test may change it from another thread than serves it.

    The state is read from `journal`, which stays the caller's to close. Raises ConfigurationError if it is damaged.
    """

    def __init__(self, settings: EmulatorSettings, *, clock: EmulatorClock, journal: Journal | None = None) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._started_s = clock.monotonic()
        self._context = ServiceContext(settings=settings, store=ServiceStore(journal), clock=clock)
        self.log = self._context.log
        self._lanes: dict[LaneKey, LaneRules] = {}
        self._late: list[tuple[float, Call]] = []
        self.registrations = RegistrationControl(self._context, self.lock, self._run_late_requests)

    @property
    def settings(self) -> EmulatorSettings:
        return self._context.settings

    @_one_at_a_time
    def handle(self, operation: str, members: Members | None, caller: Caller | None) -> Reply:
        """Answer one request. `members` None: the body was not a JSON object; `caller` None: no credentials."""
        self._run_late_requests()  # they were sent before this one
        lane = None if caller is None else self._lane_of(caller)
        for counters in self.log.counters(lane):
            counters.requests[operation] += 1
        request_id = str(uuid4())
        try:
            reply = self._answer(self._admit(request_id, operation, members, caller))
        except ErrorResponse as error:
            reply = _error_reply(request_id, error)
        token = None if members is None else members.get("ClientToken")
        self._add_to_log(operation, reply.outcome, token if isinstance(token, str) else None, lane)
        if reply.code == throttled().code:
            for counters in self.log.counters(lane):
                counters.throttled[operation] += 1
        latency_s = self.settings.latency_s if lane is None else self._lane(lane).settings.latency_s
        return replace(reply, delay_s=None if reply.delay_s is None else reply.delay_s + latency_s)

    @_one_at_a_time
    def stall(self, operation: str | None, caller: Caller | None) -> FaultRule | None:
        """Return the fault that keeps the body of a request from being read, or None.

        `operation` None: it is not known yet. A request that stalls is counted and logged here, and never handed to
        `handle`. One without credentials does not stall.
        """
        if caller is None:
            return None
        lane = self._lane_of(caller)
        rule = self._lane(lane).faults.next_stall(operation, at_s=self._elapsed_s())
        if rule is not None:
            for counters in self.log.counters(lane):
                counters.requests[operation or EVERY_OPERATION] += 1
                counters.faults[rule.action.value] += 1
            self._add_to_log(operation or EVERY_OPERATION, rule.action.value, None, lane)
        return rule

    @_one_at_a_time
    def change_settings(self, text: str | bytes) -> None:
        """Lay a JSON object of settings over the present ones. A rate that changes begins with a full bucket.

        Fault counters of an account and Region start again if their `faults` or `seed` change. Raises
        ConfigurationError; then nothing has changed.
        """
        after = self.settings.changed(text)
        self._context.settings = after
        for (account, region), lane in self._lanes.items():
            lane.change_settings(after.of_lane(account, region))
            preload(self._context, account, region, lane.settings)

    @_one_at_a_time
    def set_faults(self, rules: Sequence[FaultRule]) -> None:
        """Replace the common fault rules; counting starts again, in every account and Region."""
        self._context.settings = self.settings.model_copy(update={"faults": tuple(rules)})
        for (account, region), lane in self._lanes.items():
            lane.change_settings(self.settings.of_lane(account, region))
            lane.restart_faults()

    @_one_at_a_time
    def set_status(self, attachment_id: str, status: UploadStatus) -> StoredAttachment:
        """Give an attachment this status from now on. Raises KeyError for an unknown id."""
        self._context.store.get(attachment_id)
        self._context.store.record(StatusSet(attachment_id, status))
        return self._context.store.get(attachment_id)

    @_one_at_a_time
    def plant(
        self,
        *,
        region: str,
        tags: Mapping[str, str],
        account: str | None = None,
        created_at: datetime | None = None,
        client_token: str | None = None,
        status: UploadStatus | None = None,
    ) -> StoredAttachment:
        """Make an attachment that no request made, of the default account and of now unless told otherwise."""
        moment = self._clock.now() if created_at is None else created_at
        account = self.settings.account if account is None else account
        processing_s = self.settings.of_lane(account, region).processing_s
        attachment = StoredAttachment(
            attachment_id=new_attachment_id(),
            account=account,
            region=region,
            created_at=moment,
            ready_at=moment + timedelta(seconds=processing_s),
            ends_as=UploadStatus.COMPLETE,
            fingerprint="planted",
            tags=dict(tags),
            client_token=client_token,
            forced=status,
        )
        self._context.store.record(Created(attachment))
        return attachment

    @_one_at_a_time
    def attachments(self) -> list[dict[str, Any]]:
        """Return every attachment, deleted or not, in the order of arrival, as the control plane shows it."""
        self._run_late_requests()
        now = self._clock.now()
        return [attachment.to_json(now) for attachment in self._context.store.all()]

    def body(self, attachment_id: str) -> bytes:
        """Return the document of an attachment. Raises KeyError unless `keeps_bodies` is set."""
        return self._context.bodies[attachment_id]

    @_one_at_a_time
    def stats(self) -> dict[str, Any]:
        """Return the counters, of all requests and by account and Region.

        `attachments` and `registrations` are those that are not deleted.
        """
        self._run_late_requests()
        used = self._context.store.used_by_lane()
        registrations = self._context.store.registrations.used_by_lane()
        lanes = {
            f"{account}/{region}": {
                **self.log.lanes[account, region].to_json(),
                "attachments": used.get((account, region), 0),
                "registrations": registrations.get((account, region), 0),
            }
            for account, region in sorted({*self.log.lanes, *used, *registrations})
        }
        return {
            **self.log.total.to_json(),
            "max_in_flight": self.log.max_in_flight,
            "attachments": sum(used.values()),
            "registrations": sum(registrations.values()),
            "roles": dict(self.log.roles),
            "lanes": lanes,
        }

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._started_s

    def _lane_of(self, caller: Caller) -> LaneKey:
        return account_of_key(self.settings, caller.access_key), caller.region

    def _lane(self, key: LaneKey) -> LaneRules:
        if key not in self._lanes:
            self._lanes[key] = LaneRules(key, self.settings.of_lane(*key))
            preload(self._context, *key, self._lanes[key].settings)
        return self._lanes[key]

    def _admit(self, request_id: str, operation: str, members: Members | None, caller: Caller | None) -> Call:
        """Check what comes before all faults. Raises ErrorResponse."""
        if operation not in OPERATIONS:
            raise ErrorResponse("UnknownOperationException", f"The operation {operation!r} is not known here")
        if caller is None:
            message = "The request carries no SigV4 Authorization"
            raise ErrorResponse("MissingAuthenticationTokenException", message)
        identity = identity_of(self.settings, caller, self._clock.now())
        lane = self._lane((identity.account, caller.region))
        if not lane.settings.is_region_enabled:
            raise unrecognized_client()
        if not lane.admits(operation, at_s=self._elapsed_s()):
            raise throttled()
        decoded = members or {}
        model = model_of(operation)
        if model is not None:
            decoded = model.decode_blobs(operation, decoded)
        is_readable = members is not None
        return Call(request_id, operation, decoded, identity, caller.region, lane.settings, is_readable=is_readable)

    def _answer(self, call: Call) -> Reply:
        token, content = call.members.get("ClientToken"), content_of(call.members)
        rule = self._lane(call.lane).faults.next(call.operation, token, content, at_s=self._elapsed_s())
        if rule is None:
            return self._execute(call)
        action = rule.action
        for counters in self.log.counters(call.lane):
            counters.faults[action.value] += 1
        if action in FAULT_ERRORS:
            reply = replace(_error_reply(call.request_id, FAULT_ERRORS[action]), retry_after_s=rule.seconds)
        elif action in _NOT_ANSWERED:
            if rule.done:
                self._execute(call)
            if action is FaultAction.DROP_LATE:
                self._late.append((self._clock.monotonic() + (rule.seconds or 0.0), call))
            status = 503 if action is FaultAction.UNAVAILABLE else 200
            reply = Reply(call.request_id, outcome="", status=status, delivery=_NOT_ANSWERED[action], rule=rule)
        else:
            is_failure, is_repeat = action is FaultAction.UPLOAD_FAILED, action is FaultAction.REPEAT_PAGE
            reply = self._execute(replace(call, ends_as_failed=is_failure, repeats_page=is_repeat))
            if action is FaultAction.ERROR_AFTER:
                reply = _error_reply(call.request_id, internal_error())
            reply = replace(reply, delivery=_BROKEN_ANSWERS.get(action, Delivery.WHOLE), rule=rule)
        if action in (FaultAction.HANG, FaultAction.SLOW):
            reply = replace(reply, delay_s=rule.seconds)
        # In the log, too, `throttle` looks like a rate.
        return reply if action is FaultAction.THROTTLE else replace(reply, outcome=action.value)

    def _execute(self, call: Call) -> Reply:
        try:
            self._check(call)
            result = perform(self._context, call)
        except ErrorResponse as error:
            return _error_reply(call.request_id, error)
        model = model_of(call.operation)
        if model is not None:
            model.check_answer(call.operation, result.members)
        for counters in self.log.counters(call.lane):
            counters.accepted[call.operation] += 1
            counters.replays += result.is_replay
        return Reply(call.request_id, "replayed" if result.is_replay else "accepted", result.members)

    def _check(self, call: Call) -> None:
        """Check permission and model, in this order. Raises ErrorResponse."""
        needed = {call.operation, EVERY_OPERATION}
        if call.operation in (Operation.CREATE, Operation.CREATE_REGISTRATION) and call.members.get("Tags"):
            needed.add(Operation.TAG)  # tags on a create need the permission to tag, as everywhere in AWS
        if needed & call.settings.deny:
            raise access_denied()
        if not call.is_readable:
            raise ErrorResponse("SerializationException", "The request is not a JSON object")
        model = model_of(call.operation)
        if model is not None:
            errors = model.request_errors(call.operation, call.members)
            if errors:
                raise invalid_fields(errors)

    def _run_late_requests(self) -> None:
        now_s = self._clock.monotonic()
        due = [call for at_s, call in self._late if at_s <= now_s]
        self._late = [(at_s, call) for at_s, call in self._late if at_s > now_s]
        for call in due:
            self._execute(call)

    def _add_to_log(self, operation: str, outcome: str, token: str | None, lane: LaneKey | None) -> None:
        account, region = (None, None) if lane is None else lane
        self.log.entries.append(LoggedRequest(self._elapsed_s(), operation, outcome, token, account, region))


def _error_reply(request_id: str, error: ErrorResponse) -> Reply:
    service_model().check_error(error.code, error.members)
    status = service_model().status_of(error.code)
    return Reply(request_id, error.code, error.members, status=status, code=error.code)
