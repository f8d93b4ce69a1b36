"""The bind step: attachments are put into the fields of registrations as soon as the service has finished with them.

A request is the same whenever it is sent again, so one without an answer is simply repeated. The intent is durable
before the first, the outcome before anything is reported of it. What the service refuses since the version cannot be
changed any more is read back first: an earlier request may have done it before the version was submitted.

A ledger that was lost, copied or restored does not know what was put into fields since. With such a ledger each field
is read before the put, and a value that somebody else has put there is not overwritten.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import anyio

from batch_upload.engine.binding import NO_REGISTRATIONS, place
from batch_upload.engine.context import LaneContext
from batch_upload.engine.create import INTENT_S
from batch_upload.engine.groups import task_group
from batch_upload.engine.lane import StopKind, Withheld
from batch_upload.engine.listing import NOT_FOUND, describe_found
from batch_upload.engine.registrations import read_fields, registrations_by_id
from batch_upload.engine.retry import NOT_ALLOWED, Tries, cut_off, fault_of, outcome_of
from batch_upload.engine.rows import has_failed_binding, is_to_be_bound
from batch_upload.engine.settle import is_old
from batch_upload.errors import AccessFault, LaneFault, OutOfResources, Refused, Transient
from batch_upload.escape import quoted
from batch_upload.model import Fault, Known, Outcome, OutcomeKind
from batch_upload.operations import PUT_FIELD
from batch_upload.ports import BindAttempt
from batch_upload.registration import Bind, Registration

BINDS_AT_ONCE = 4
"""Requests in flight: at one a second, more would only wait for slots."""
SUBMITTED = "REGISTRATION_ALREADY_SUBMITTED"
UNCHANGEABLE = frozenset({SUBMITTED, "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"})
"""Reasons of a refusal that holds until the registration has a new version."""
NOT_READY = "RESOURCE_NOT_ACTIVE"
"""The reason of a refusal while the service has not finished with the attachment."""
REGISTRATION = "registration"
"""What a refusal calls a registration, as against an attachment."""
NO_FIELD = "UNKNOWN_REGISTRATION_FIELD"
FIELD_TAKEN = "FieldTaken"
"""Code of the fault of an item whose field holds what this ledger did not put there."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a refusal means. `version`: of the registration whose field holds the attachment all the same."""

    outcome: Outcome
    version: int | None = None
    is_gone: bool = False
    """Whether the service does not find the attachment, although it is old enough to be found."""


class BindStep:
    """Binds what is handed over to it, until it is closed and everything has ended. Used once."""

    def __init__(self, context: LaneContext, registrations: Mapping[str, Registration] = NO_REGISTRATIONS) -> None:
        self._context = context
        self._registrations = registrations  # as they were before the run
        self._waiting: deque[Known] = deque()
        self._refused: deque[Known] = deque()  # by an earlier run
        self._changed = anyio.Event()
        self._is_closed = False
        self._scope = anyio.CancelScope()
        self._is_proven = False
        self._doubted_before: datetime | None = None
        self._can_read_fields = True
        self.registrations: set[str] = set()
        """In whose fields something was put in this run."""

    def doubt_before(self, at: datetime | None) -> None:
        """Read the fields of attachments from before `at` (`LaneMemory.doubted_before`)."""
        self._doubted_before = at

    def add(self, known: Known) -> None:
        """Bind this item's attachment if that is what is left of it.

        What an earlier run was refused comes last: with `--max-failures` it would otherwise end each run before
        anything else was bound, for as long as a review takes.
        """
        if is_to_be_bound(known):
            (self._refused if has_failed_binding(known) else self._waiting).append(known)
            self._changed.set()

    def close(self) -> None:
        """Nothing more is added."""
        self._is_closed = True
        self._changed.set()

    def end(self) -> None:
        """Give up what is in flight, and begin nothing else."""
        self._scope.cancel()

    async def run(self) -> None:
        """Return when everything was bound, or left because the run is stopping. Raises LedgerFault."""
        limit = anyio.Semaphore(BINDS_AT_ONCE)

        async def one(known: Known) -> None:
            try:
                await self._bind(known)
            finally:
                limit.release()

        with self._scope:
            async with task_group() as group:
                while self._waiting or self._refused or not self._is_closed:
                    known = self._next()
                    if known is None:
                        self._changed = anyio.Event()
                        await self._changed.wait()
                    elif self._is_proven:
                        await limit.acquire()
                        group.start_soon(one, known)
                    else:  # a permission that is missing costs one call
                        await self._bind(known)

    def _next(self) -> Known | None:
        """Return what is bound next; None if that must still be added."""
        if self._waiting:
            return self._waiting.popleft()
        if self._refused and (self._is_closed or not self._context.failures.has_limit):
            return self._refused.popleft()
        return None

    async def _bind(self, known: Known) -> None:
        """Bring one item as far as the service lets. What is left is left to the next run."""
        context = self._context

        async def once() -> None:
            await self._attempt(known)

        try:
            if await self._is_in_doubt(known) and await self._is_settled_by_field(known):
                return
            tries = Tries()
            while True:
                try:
                    return await context.wire.retried(PUT_FIELD, once, tries, item_id=known.item_id)
                except OutOfResources:
                    await context.wire.wait_for_resources(to_create=False)
        except Withheld:
            return
        except Transient as error:
            context.notice(f"{quoted(known.item_id)} is not bound yet: {error.message}")
        except LaneFault as error:
            context.stop_for(error)

    async def _attempt(self, known: Known) -> None:
        """Make one attempt, from its slot to its recorded outcome. Raises Withheld, and what the request is tried again
        for or what stops the lane."""
        context, service, ledger = self._context, self._context.service, self._context.ledger
        self._check_stop()
        slot = await context.wire.slot(PUT_FIELD)
        try:
            self._check_stop()
            asked_s = context.clock.monotonic()
            attempt = await ledger.intend_bind(known.client_token, run_id=context.run_id, at=context.now())
        except BaseException:
            slot.unanswered()
            raise
        try:
            if context.clock.monotonic() - asked_s > INTENT_S:
                slot.unanswered()
                slot = await context.wire.slot(PUT_FIELD)
            self._check_stop()  # a stop may have come while the intent was written
        except (Withheld, anyio.get_cancelled_exc_class()):
            slot.unanswered()
            await self._record(attempt, Outcome(OutcomeKind.WITHDRAWN, context.now()))
            raise
        try:
            answer = await context.wire.send(
                PUT_FIELD, slot, lambda: service.put_field(attempt.bind, attempt.attachment_id), item_id=known.item_id
            )
        except anyio.get_cancelled_exc_class():
            await self._record(attempt, cut_off(context.now()))
            raise
        self._is_proven = self._is_proven or answer.error is None or isinstance(answer.error, Refused)
        if isinstance(answer.error, Refused):
            await self._conclude_refusal(known, attempt, answer.error)
            return
        receipt, outcome = answer.value, answer.outcome
        if receipt is not None:
            outcome = replace(outcome, request_id=receipt.request_id)
        after = await self._record(attempt, outcome, version=None if receipt is None else receipt.version)
        if answer.error is not None:
            raise answer.error
        self._report_bound(after)
        for batch, item_id in attempt.displaced:
            context.notice(
                f"{quoted(known.item_id)} is in {place(attempt.bind)} now, in place of {quoted(item_id)} of the batch"
                f" {quoted(batch)}: bind only one of them"
            )

    def _check_stop(self) -> None:
        """Raise Withheld if the run is stopping. A lane that is full takes values of fields all the same."""
        stop = self._context.lane.stop
        if stop is not None and stop.kind is not StopKind.CAPACITY:
            raise Withheld

    async def _record(self, attempt: BindAttempt, outcome: Outcome, *, version: int | None = None) -> Known:
        return await self._context.recorded(self._context.ledger.conclude_bind(attempt, outcome, version=version))

    def _report_bound(self, known: Known) -> None:
        if known.bound_to is not None:
            self.registrations.add(known.bound_to.registration)
        self._context.tell(known)

    # what fields hold before anything is put into them

    async def _is_in_doubt(self, known: Known) -> bool:
        """Return whether the field may hold something that the ledger does not know of."""
        if known.fault is not None and known.fault.code == FIELD_TAKEN:
            return True
        sent_at, doubted = known.first_sent_at, self._doubted_before
        if doubted is None:  # a ledger of an earlier program, which noted no time
            return known.attempts == 0 and known.bound_version is None  # found at the service
        if sent_at is not None and sent_at >= doubted:
            return False
        return await self._context.ledger.is_doubtful(known.client_token, since=doubted)

    async def _is_settled_by_field(self, known: Known) -> bool:
        """Read the field, and return whether the item is settled by what it holds, so that no put is needed.

        It is settled if the field holds the attachment (recorded as bound), or one that this ledger did not put there
        (recorded as failed). It is not if the field cannot be read. Raises as `Wire.call`.
        """
        context, bind, wanted = self._context, known.bind, known.attachment_id
        if bind is None or wanted is None or not self._can_read_fields:
            return False
        self._check_stop()
        found, held, reason = await self._read_field(bind)
        if reason:
            others = "" if self._can_read_fields else ", and neither can what other fields hold"
            context.notice(f"what {place(bind)} holds could not be read{others}: {reason}")
        if found is None:
            return False
        if held == wanted:
            outcome, version = Outcome(OutcomeKind.ACCEPTED, context.now()), found.version
        elif held is None or found.is_under_review or found.is_denied or await self._has_put(held, bind):
            return False  # a version that cannot be changed is refused by the service, with the reason
        else:
            fault = Fault(FIELD_TAKEN, taken(bind, held))
            outcome, version = Outcome(OutcomeKind.REFUSED, context.now(), fault=fault), None
        attempt = await context.ledger.intend_bind(known.client_token, run_id=context.run_id, at=context.now())
        after = await self._record(attempt, outcome, version=version)
        if version is None:
            context.tell(after)
        else:
            self._report_bound(after)
        return True

    async def _has_put(self, attachment_id: str, bind: Bind) -> bool:
        """Return whether a request of this ledger put this attachment into the field."""
        return bind in (await self._context.ledger.fields_of([attachment_id])).get(attachment_id, ())

    # what is refused

    async def _conclude_refusal(self, known: Known, attempt: BindAttempt, error: Refused) -> None:
        """Find out what a refusal means, and record and report that."""
        context, name = self._context, quoted(known.item_id)
        try:
            ruling = await self._ruling(known, attempt, error)
        except (Withheld, Transient, LaneFault, anyio.get_cancelled_exc_class()) as unread:
            # what the field holds is not known: the next run asks again
            await self._record(attempt, replace(outcome_of(error, context.now()), kind=OutcomeKind.UNKNOWN))
            if not isinstance(unread, Transient):
                raise
            context.notice(f"{name} was not bound, and what its field holds could not be read: {unread.message}")
            return
        after = await self._record(attempt, ruling.outcome, version=ruling.version)
        if ruling.is_gone:
            missing = context.ledger.not_found([known.client_token], at=context.now())
            for row in await context.recorded(missing):
                context.tell(row)
        elif ruling.outcome.kind is OutcomeKind.ACCEPTED:
            self._report_bound(after)
        elif ruling.outcome.kind is OutcomeKind.REFUSED:
            context.tell(after)
        else:
            context.notice(
                f"{name} is not bound yet: the service does not have the attachment ready; the next run tries"
            )

    async def _ruling(self, known: Known, attempt: BindAttempt, error: Refused) -> Ruling:
        """Say what a refusal means. Raises as `Wire.call`, but not for a permission that is missing."""
        context, refused = self._context, outcome_of(error, self._context.now())
        may_be_new = not is_old(known, now=context.now(), horizon_s=context.horizon_s)
        # the kind of what passes by itself: answered, and certainly not done
        not_yet = replace(refused, kind=OutcomeKind.THROTTLED)
        if error.reason == NOT_READY and error.resource_type != REGISTRATION:
            return Ruling(not_yet) if may_be_new else Ruling(refused)
        if error.code == NOT_FOUND:
            if await self._finds_attachment(attempt, error):
                said = f"registration `{attempt.bind.registration}` does not exist in this account and Region"
                return Ruling(_saying(refused, error, said))
            return Ruling(not_yet) if may_be_new else Ruling(not_yet, is_gone=True)
        if error.reason == NO_FIELD:
            said = f"`{attempt.bind.registration}` has no field `{attempt.bind.field}`"
            return Ruling(_saying(refused, error, said))
        if error.reason not in UNCHANGEABLE:
            return Ruling(refused)
        registration, held, _ = await self._read_field(attempt.bind, is_under_review=error.reason == SUBMITTED)
        if registration is not None and held == attempt.attachment_id:
            return Ruling(Outcome(OutcomeKind.ACCEPTED, context.now()), registration.version)
        return Ruling(_saying(refused, error, unchangeable(attempt, registration, error)))

    async def _finds_attachment(self, attempt: BindAttempt, error: Refused) -> bool:
        """Return whether the service finds the attachment, so that it is the registration that it does not find."""
        if error.resource_type is not None:
            return error.resource_type == REGISTRATION
        missing = error.resource_id or ""  # an id or an ARN, or nothing
        if attempt.bind.registration in missing or attempt.attachment_id in missing:
            return attempt.bind.registration in missing
        return bool(await describe_found(self._context, [attempt.attachment_id]))

    async def _read_field(
        self, bind: Bind, *, is_under_review: bool | None = None
    ) -> tuple[Registration | None, str | None, str]:
        """Return the registration, the attachment in the field of its current version, and why they cannot be read.

        The registration is the one that was read before the run, unless `is_under_review` is known and says otherwise:
        it has changed since, and is asked for again. Both are None if they cannot be read. Raises as `Wire.call`.
        """
        context = self._context
        try:
            found = self._registrations.get(bind.registration)
            if found is None or is_under_review not in (None, found.is_under_review):
                found = (await registrations_by_id(context, [bind.registration])).get(bind.registration)
            if found is None:
                return None, None, ""
            contents = await read_fields(context, bind.registration, [bind.field], version=found.version)
        except (Refused, AccessFault) as error:
            if isinstance(error, AccessFault):
                if error.code not in NOT_ALLOWED:
                    raise
                self._can_read_fields = False
            return None, None, error.message
        content = contents.get(bind.field)
        return found, None if content is None else content.attachment_id, ""


def unchangeable(attempt: BindAttempt, registration: Registration | None, error: Refused) -> str:
    """Return why the version cannot be changed, and when the binding can go on."""
    name = attempt.bind.registration
    version = f"`{name}`" if registration is None else f"version {registration.version} of `{name}`"
    status = "" if registration is None else f" ({registration.status})"
    is_reviewed = error.reason == SUBMITTED
    if registration is not None:
        is_reviewed = registration.is_under_review
    field = place(attempt.bind)
    if is_reviewed:
        return (
            f"{version} is under review{status}, so {field} cannot be changed now; once it is decided and a new version"
            " is made, the same command goes on"
        )
    how = "denied" if registration is not None and registration.is_denied else f"decided{status}"
    return (
        f"{version} was {how}, so {field} cannot be changed; make a new version in the console or with"
        f" `aws pinpoint-sms-voice-v2 create-registration-version --registration-id {name}`, then run the same command"
        " again"
    )


def taken(bind: Bind, held: str) -> str:
    """Return why nothing was put into a field that holds something else, and what to do."""
    return (
        f"{place(bind)} holds `{held}`, which this ledger did not put there, so nothing was put in its place; if it is"
        " to be replaced, delete the value in the console or with `aws pinpoint-sms-voice-v2"
        f" delete-registration-field-value --registration-id {bind.registration} --field-path {bind.field}`, then run"
        " the same command again"
    )


def _saying(outcome: Outcome, error: Refused, message: str) -> Outcome:
    """Return a refusal with another message."""
    return replace(outcome, fault=replace(fault_of(error), message=message))
