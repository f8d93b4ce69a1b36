"""The emulator itself, without a wire: a request goes in, a reply comes out, at a time that is handed in.

Checks come in this order: operation and credentials, rate, faults, permission, model, the operation's own rules.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from batch_upload.emulator.attachment import Attachment, Created, Status, StatusSet
from batch_upload.emulator.clock import Clock
from batch_upload.emulator.creation import new_attachment_id
from batch_upload.emulator.desk import Call, Desk, Members, content_of
from batch_upload.emulator.faults import Action, FaultRule, FaultScript
from batch_upload.emulator.journal import Journal
from batch_upload.emulator.limits import Limiter, limiter
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import CREATE, EVERY_OPERATION, OPERATIONS, TAG, TOKEN_SERVICE
from batch_upload.emulator.operations import perform
from batch_upload.emulator.record import Record
from batch_upload.emulator.refusals import (
    REFUSING,
    Refusal,
    access_denied,
    internal_error,
    misfitting,
    no_credentials,
    not_json,
    throttled,
    unknown_operation,
)
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.emulator.state import State

THROTTLING = "ThrottlingException"


class Delivery(StrEnum):
    """How a reply goes over the wire: whole, or spoilt in one of these ways."""

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
class Caller:
    """Who asks, as the Authorization header says; nobody checks the signature."""

    access_key: str
    region: str


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


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in."""

    request_id: str
    operation: str
    members: Members | None
    caller: Caller
    token: str | None


_SPOILT: Mapping[Action, Delivery] = {
    Action.DROP_AFTER: Delivery.CLOSED,
    Action.GARBAGE: Delivery.GARBAGE,
    Action.TRUNCATED: Delivery.TRUNCATED,
    Action.CUT_SHORT: Delivery.CUT_SHORT,
    Action.EMPTY_200: Delivery.EMPTY,
    Action.RAW: Delivery.RAW,
    Action.TRICKLE: Delivery.TRICKLE,
    Action.ENDLESS: Delivery.ENDLESS,
}
"""Faults that carry the request out and spoil its answer."""


class Emulator:
    """One service with all its accounts and Regions. Not for several threads at once.

    The state is read from `journal`, which stays the caller's to close. Raises UsageError where it cannot be.
    """

    def __init__(self, settings: EmulatorSettings, *, clock: Clock, journal: Journal | None = None) -> None:
        self.record = Record()
        self._clock = clock
        self._started_s = clock.monotonic()
        self._desk = Desk(settings=settings, state=State(journal), clock=clock)
        self._faults = FaultScript(settings.faults, seed=settings.seed)
        self._limiters: dict[tuple[str, str, str], Limiter | None] = {}
        self._late: list[tuple[float, Asked]] = []

    @property
    def settings(self) -> EmulatorSettings:
        return self._desk.settings

    def handle(self, operation: str, members: Members | None, caller: Caller | None) -> Reply:
        """Answer one request. `members` None: the body was not a JSON object; `caller` None: no credentials."""
        self._do_what_is_late()
        self.record.requests[operation] += 1
        request_id, token = str(uuid4()), _token_of(members)
        try:
            asked = Asked(request_id, operation, members, self._admitted(operation, caller), token)
        except Refusal as refusal:
            return self._logged(operation, token, _refused(request_id, refusal))
        return self._logged(operation, token, self._answer(asked))

    def stall(self, operation: str | None) -> FaultRule | None:
        """The fault that keeps the body of a request from being read, or None. `operation` None: it is not known yet.

        A request that stalls is counted and logged here, and never handed to `handle`.
        """
        rule = self._faults.next_stall(operation)
        if rule is not None:
            name = operation or EVERY_OPERATION
            self.record.requests[name] += 1
            self.record.faults[rule.action.value] += 1
            at_s = self._clock.monotonic() - self._started_s
            self.record.answered((at_s, name, rule.action.value, None), is_throttled=False)
        return rule

    def change_settings(self, text: str | bytes) -> None:
        """Lay a JSON object of settings over the present ones. A rate that changes begins with a full bucket.

        Fault counters start anew where `faults` or `seed` are among them. Raises UsageError; then nothing has changed.
        """
        before, after = self.settings, self.settings.changed(text)
        self._desk.settings = after
        changed = {name for name in OPERATIONS if before.rate_of(name) != after.rate_of(name)}
        self._limiters = {key: bucket for key, bucket in self._limiters.items() if key[2] not in changed}
        if (before.faults, before.seed) != (after.faults, after.seed):
            self.set_faults(after.faults)

    def set_faults(self, rules: Sequence[FaultRule]) -> None:
        """Put these rules in the place of those before; counting starts anew."""
        self._desk.settings = replace(self.settings, faults=tuple(rules))
        self._faults = FaultScript(rules, seed=self.settings.seed)

    def set_status(self, attachment_id: str, status: Status) -> Attachment:
        """Make an attachment be in this status from now on. Raises KeyError for an id that is not known."""
        self._desk.state.known(attachment_id)
        self._desk.state.record(StatusSet(attachment_id, status))
        return self._desk.state.known(attachment_id)

    def plant(
        self,
        *,
        region: str,
        tags: Mapping[str, str],
        account: str | None = None,
        created_at: datetime | None = None,
        client_token: str | None = None,
        status: Status | None = None,
    ) -> Attachment:
        """Make an attachment that no request of this emulator made, of the default account and of now unless told."""
        moment = self._clock.now() if created_at is None else created_at
        attachment = Attachment(
            attachment_id=new_attachment_id(),
            account=self.settings.account if account is None else account,
            region=region,
            created_at=moment,
            ready_at=moment + timedelta(seconds=self.settings.processing_s),
            ends_as=Status.COMPLETE,
            fingerprint="planted",
            tags=dict(tags),
            client_token=client_token,
            forced=status,
        )
        self._desk.state.record(Created(attachment))
        return attachment

    def attachments(self) -> list[dict[str, Any]]:
        """Everything that is held, deleted or not, in the order of arrival, as tests want to see it."""
        self._do_what_is_late()
        now = self._clock.now()
        return [described(attachment, now) for attachment in self._desk.state.everything()]

    def body(self, attachment_id: str) -> bytes:
        """The document of an attachment. Raises KeyError unless the settings keep bodies."""
        return self._desk.bodies[attachment_id]

    def stats(self) -> dict[str, Any]:
        """The counters; `attachments` are those that are not deleted."""
        self._do_what_is_late()
        held = sum(not attachment.is_deleted for attachment in self._desk.state.everything())
        mismatches = self._desk.token_mismatches
        return {**self.record.counts(), "token_mismatches": mismatches, "attachments": held}

    def _admitted(self, operation: str, caller: Caller | None) -> Caller:
        if operation not in OPERATIONS:
            raise unknown_operation(operation)
        if caller is None:
            raise no_credentials()
        if not self._is_within_rate(operation, caller):
            raise throttled()
        return caller

    def _is_within_rate(self, operation: str, caller: Caller) -> bool:
        at_s = self._clock.monotonic() - self._started_s
        key = (self._desk.account_of(caller.access_key), caller.region, operation)
        if key not in self._limiters:
            rate = self.settings.rate_of(operation)
            self._limiters[key] = None if rate is None else limiter(rate, at_s=at_s)
        bucket = self._limiters[key]
        return bucket is None or bucket.take(at_s)

    def _answer(self, asked: Asked) -> Reply:
        asked = replace(asked, members=_decoded(asked))
        content = b"" if asked.members is None else content_of(asked.members)
        rule = self._faults.next(asked.operation, asked.token, content)
        if rule is None:
            return self._carried_out(asked)
        self.record.faults[rule.action.value] += 1
        reply = self._faulty(asked, rule)
        return reply if rule.action is Action.THROTTLE else replace(reply, outcome=rule.action.value)

    def _faulty(self, asked: Asked, rule: FaultRule) -> Reply:
        action = rule.action
        if action in REFUSING:
            return replace(_refused(asked.request_id, REFUSING[action]()), retry_after_s=rule.seconds)
        if action in _SPOILT:
            return replace(self._carried_out(asked), delivery=_SPOILT[action], rule=rule)
        return _SPECIAL[action](self, asked, rule)

    def _redirected(self, asked: Asked, rule: FaultRule) -> Reply:
        return Reply(asked.request_id, outcome="", delivery=Delivery.REDIRECT, rule=rule)

    def _unavailable(self, asked: Asked, _rule: FaultRule) -> Reply:
        return Reply(asked.request_id, outcome="", status=503, delivery=Delivery.UNAVAILABLE)

    def _dropped(self, asked: Asked, _rule: FaultRule) -> Reply:
        return Reply(asked.request_id, outcome="", delivery=Delivery.CLOSED)

    def _dropped_and_done_late(self, asked: Asked, rule: FaultRule) -> Reply:
        self._late.append((self._clock.monotonic() + (rule.seconds or 0.0), asked))
        return self._dropped(asked, rule)

    def _failed_after(self, asked: Asked, _rule: FaultRule) -> Reply:
        self._carried_out(asked)
        return _refused(asked.request_id, internal_error())

    def _hanging(self, asked: Asked, rule: FaultRule) -> Reply:
        if rule.done:
            self._carried_out(asked)
        return Reply(asked.request_id, outcome="", delivery=Delivery.NEVER, delay_s=rule.seconds)

    def _slow(self, asked: Asked, rule: FaultRule) -> Reply:
        return replace(self._carried_out(asked), delay_s=rule.seconds)

    def _ending_as_failed(self, asked: Asked, _rule: FaultRule) -> Reply:
        return self._carried_out(asked, ends_as_failed=True)

    def _repeating_page(self, asked: Asked, _rule: FaultRule) -> Reply:
        return self._carried_out(asked, repeats_page=True)

    def _carried_out(self, asked: Asked, *, ends_as_failed: bool = False, repeats_page: bool = False) -> Reply:
        try:
            call = replace(self._checked(asked), ends_as_failed=ends_as_failed, repeats_page=repeats_page)
            done = perform(self._desk, call)
        except Refusal as refusal:
            return _refused(asked.request_id, refusal)
        if asked.operation not in TOKEN_SERVICE:
            service_model().check_answer(asked.operation, done.members)
        self.record.carried_out(asked.operation, is_replay=done.is_replay)
        return Reply(asked.request_id, "replayed" if done.is_replay else "accepted", done.members)

    def _checked(self, asked: Asked) -> Call:
        if asked.members is None:
            raise access_denied() if self._is_denied(asked.operation, {}) else not_json()
        if self._is_denied(asked.operation, asked.members):
            raise access_denied()
        if asked.operation not in TOKEN_SERVICE:
            misfits = service_model().request_misfits(asked.operation, asked.members)
            if misfits:
                raise misfitting(misfits)
        account = self._desk.account_of(asked.caller.access_key)
        return Call(asked.operation, asked.members, account, asked.caller.region, asked.caller.access_key)

    def _is_denied(self, operation: str, members: Members) -> bool:
        # Tags on a create need the permission to tag, as everywhere in AWS.
        needed = {operation, TAG} if operation == CREATE and members.get("Tags") else {operation}
        return EVERY_OPERATION in self.settings.deny or bool(needed & self.settings.deny)

    def _do_what_is_late(self) -> None:
        now_s = self._clock.monotonic()
        due = [asked for at_s, asked in self._late if at_s <= now_s]
        self._late = [(at_s, asked) for at_s, asked in self._late if at_s > now_s]
        for asked in due:
            self._carried_out(asked)

    def _logged(self, operation: str, token: str | None, reply: Reply) -> Reply:
        at_s = self._clock.monotonic() - self._started_s
        self.record.answered((at_s, operation, reply.outcome, token), is_throttled=reply.code == THROTTLING)
        delay_s = None if reply.delay_s is None else reply.delay_s + self.settings.latency_s
        return replace(reply, delay_s=delay_s)


_SPECIAL: Mapping[Action, Callable[[Emulator, Asked, FaultRule], Reply]] = {
    Action.REDIRECT: Emulator._redirected,
    Action.UNAVAILABLE: Emulator._unavailable,
    Action.DROP_BEFORE: Emulator._dropped,
    Action.DROP_LATE: Emulator._dropped_and_done_late,
    Action.ERROR_AFTER: Emulator._failed_after,
    Action.HANG: Emulator._hanging,
    Action.SLOW: Emulator._slow,
    Action.UPLOAD_FAILED: Emulator._ending_as_failed,
    Action.REPEAT_PAGE: Emulator._repeating_page,
}


def described(attachment: Attachment, now: datetime) -> dict[str, Any]:
    """One attachment with everything that is known of it, as JSON can hold it."""
    return {
        "id": attachment.attachment_id,
        "arn": attachment.arn,
        "account": attachment.account,
        "region": attachment.region,
        "status": attachment.status(now).value,
        "created_at": attachment.created_at.isoformat(),
        "sha256": attachment.sha256,
        "size": attachment.size_bytes,
        "content_type": attachment.content_type,
        "url": attachment.url,
        "tags": dict(attachment.tags),
        "client_token": attachment.client_token,
    }


def _refused(request_id: str, refusal: Refusal) -> Reply:
    service_model().check_error(refusal.code, refusal.members)
    return Reply(request_id, refusal.code, refusal.members, status=refusal.status, code=refusal.code)


def _token_of(members: Members | None) -> str | None:
    token = None if members is None else members.get("ClientToken")
    return token if isinstance(token, str) else None


def _decoded(asked: Asked) -> Members | None:
    if asked.members is None or asked.operation in TOKEN_SERVICE:
        return asked.members
    return service_model().decoded(asked.operation, asked.members)
