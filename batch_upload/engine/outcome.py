"""From the errors that the service room raises to the outcomes that the ledger keeps. Pure."""

from datetime import UTC, datetime, time, timedelta

from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    OutOfResources,
    Refused,
    ServiceError,
    Throttled,
    Transient,
)
from batch_upload.model import Fault, Outcome, OutcomeKind, Receipt


def kind_of(error: ServiceError | None) -> OutcomeKind:
    """What an answer means; None is a success."""
    match error:
        case None:
            return OutcomeKind.ACCEPTED
        case Throttled():
            return OutcomeKind.THROTTLED
        case OutOfResources(may_have_left=False):
            return OutcomeKind.WITHDRAWN
        case Transient():
            return OutcomeKind.UNKNOWN
        case CapacityExhausted():
            return OutcomeKind.NO_CAPACITY
        case AccessFault():
            return OutcomeKind.DENIED
        case _:
            return OutcomeKind.REFUSED


def fault_of(error: ServiceError) -> Fault:
    """An error as it is kept and shown."""
    refused = error if isinstance(error, Refused) else None
    return Fault(
        code=error.code or type(error).__name__,
        message=error.message,
        reason=error.reason,
        fields=refused.fields if refused else (),
        resource_id=refused.resource_id if refused else None,
    )


def success(receipt: Receipt, *, at: datetime) -> Outcome:
    """The outcome of an attempt that the service answered with an attachment."""
    return Outcome(OutcomeKind.ACCEPTED, at, receipt=receipt, request_id=receipt.request_id)


def failure(error: ServiceError, *, at: datetime) -> Outcome:
    """The outcome of an attempt that ended with this error."""
    return Outcome(
        kind_of(error),
        at,
        fault=fault_of(error),
        request_id=error.request_id,
        status=error.status,
        resume_after=resume_after(error, at) if isinstance(error, CapacityExhausted) else None,
    )


def resume_after(error: CapacityExhausted, now: datetime) -> datetime | None:
    """When a full lane may be tried again: the next UTC midnight for the day's quota, None for the account's."""
    if isinstance(error, AccountFull):
        return None
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=UTC)
