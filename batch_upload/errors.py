"""Every error of this package, drawn as one tree.

An error answers three questions: whose fault it is, whether the same command may simply be run again, and which exit
code it wants. Rooms raise these and nothing else across their borders; a foreign error is mapped where it comes in.

::

    BatchUploadError
    ├── UsageError              the caller's      no     2   a flag that cannot be
    ├── EmptyShard              nobody's          no     0   the shard has no lane: nothing to do, and no fault
    ├── OutputUnwritable        the disk's        no     1   what was asked for cannot be written where it should go
    ├── ManifestInvalid         the caller's      no    21   problems of a manifest or its files
    ├── LedgerFault             the ledger's
    │   ├── LedgerUnusable      the ledger's      no    24   disk full, read-only, damaged, newer, not a ledger
    │   │   ├── LedgerOfAnotherLane the ledger's  no    24   it belongs to another account or Region
    │   │   └── LedgerAway      the database's    yes   10   it does not answer, starts up, or was lost during a run
    │   └── LedgerLocked        nobody's          yes   11   another run holds it
    │       └── LaneLost        nobody's          yes   11   another run has taken the lane over
    ├── LaneFault               the lane's
    │   ├── AccessFault         the lane's        no    22   credentials, permission, wrong account, endpoint
    │   ├── CapacityExhausted   the lane's        yes   13   the day's quota is used up
    │   │   └── AccountFull     the lane's        no    27   the account's quota is used up
    │   └── Disagreement        the lane's        no    25   service and ledger tell different stories
    ├── ItemFault               the item's
    │   ├── Refused             the item's        no    20   the service said no
    │   │   └── UnknownRefusal  the item's        no    20   with a code that it is not known to use
    │   └── ChangedSincePlan    the item's        no    20   the bytes are not the bytes that were planned
    └── Transient               nobody's
        ├── Throttled           nobody's          yes   10   too fast; certainly not done
        ├── NoAnswer            nobody's          yes   10   it is unknown whether it was done
        ├── NotSent             ours              yes   10   the right to send had lapsed; certainly not done
        ├── SchedulerLost       nobody's          yes   10   the scheduler that lanes were handed to is gone
        └── OutOfResources      ours              yes   10   no file descriptor, memory or thread to spare
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from batch_upload.model import Problem
    from batch_upload.summary import Summary


class ExitCode(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    OUR_FAULT = 1
    USAGE = 2
    THERE_IS_WORK = 3
    TRANSIENT = 10
    LOCKED = 11
    DEADLINE = 12
    NO_CAPACITY = 13
    STILL_PROCESSING = 14
    ITEMS_FAILED = 20
    INVALID = 21
    ACCESS = 22
    TOO_MANY_FAILURES = 23
    LEDGER = 24
    DISAGREEMENT = 25
    OUTCOMES_UNKNOWN = 26
    ACCOUNT_FULL = 27
    INTERRUPTED = 130
    TERMINATED = 143


class ProblemCode(StrEnum):
    """Base of the codes of problems and warnings: a stable name for scripts, and its meaning in one line."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class BatchUploadError(Exception):
    """The root. `hint` is a phrase that says what to do about it, or empty."""

    exit_code: ClassVar[ExitCode] = ExitCode.OUR_FAULT

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.summary: Summary | None = None
        """The counts of the run that the error ended."""


class UsageError(BatchUploadError):
    """A flag, variable or argument that is not valid."""

    exit_code = ExitCode.USAGE


class EmptyShard(BatchUploadError):
    """`--shard` chose none of the manifest's lanes. Ends the verb, and is a success."""

    exit_code = ExitCode.DONE


class OutputUnwritable(BatchUploadError):
    """A report, a manifest or an answer cannot be written to its file or stream.

    Exit code 1: 2 means a wrong command line, and 10 to 29 are faults of service, manifest or ledger.
    """


class ManifestInvalid(BatchUploadError):
    """The manifest or its files have problems; nothing was sent. `problems` holds all of them, in file order."""

    exit_code = ExitCode.INVALID

    def __init__(self, message: str, *, problems: Sequence["Problem"], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class LedgerFault(BatchUploadError):
    """This run cannot write to its ledger, or to one lane of it: nothing more may be sent there."""


class LedgerUnusable(LedgerFault):
    """The ledger cannot be read or written, so nothing more may be sent."""

    exit_code = ExitCode.LEDGER


class LedgerOfAnotherLane(LedgerUnusable):
    """The ledger belongs to another account or Region."""


class LedgerAway(LedgerUnusable):
    """The database of the ledger cannot be reached now, or has lost what it had committed. Nothing more may be sent."""

    exit_code = ExitCode.TRANSIENT


class LedgerLocked(LedgerFault):
    """Another run holds the ledger or a lane of it. `pid`, `host` and `since` are as its holder wrote them, or None."""

    exit_code = ExitCode.LOCKED

    def __init__(
        self, message: str, *, pid: int | None, host: str | None, since: datetime | None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid
        self.host = host
        self.since = since


class LaneLost(LedgerLocked):
    """Another run has taken the lane over, since this one had not renewed its lease in time."""


class ServiceError(BatchUploadError):
    """An answer of the service that is no success, or none. The code and request id are as they came, or None."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.reason = reason
        self.request_id = request_id
        self.status = status


class LaneFault(ServiceError):
    """A fault of the account and Region: the first one stops the lane."""


class AccessFault(LaneFault):
    """Credentials, permission, wrong account, or an endpoint that was not allowed."""

    exit_code = ExitCode.ACCESS


class CapacityExhausted(LaneFault):
    """The day's quota is used up: there is room again after midnight UTC."""

    exit_code = ExitCode.NO_CAPACITY


class AccountFull(CapacityExhausted):
    """The account's quota is used up: only a person can make room, by raising it or by deleting."""

    exit_code = ExitCode.ACCOUNT_FULL


OLD_COPY = "the ledger is an old copy, or another copy of it is in use"
"""The message of a run that refuses its ledger until `reconcile` was run."""


class Disagreement(LaneFault):
    """The service has attachments that the ledger cannot explain, as with an old copy of a ledger."""

    exit_code = ExitCode.DISAGREEMENT


class ItemFault(ServiceError):
    """A fault of one item: it fails, the others go on."""

    exit_code = ExitCode.ITEMS_FAILED


class Refused(ItemFault):
    """The service said no to this item. `fields` are (name, message) as the service gave them.

    `resource_id` and `resource_type` say what is in conflict or not found: an id or ARN, and `registration` or
    `registration-attachment`. None if the service does not say it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        fields: Sequence[tuple[str, str]] = (),
        resource_id: str | None = None,
        resource_type: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, code=code, reason=reason, request_id=request_id, status=status, hint=hint)
        self.fields = tuple(fields)
        self.resource_id = resource_id
        self.resource_type = resource_type


class UnknownRefusal(Refused):
    """Refused with an unknown code. If every create is refused so, it is the lane's fault."""


class ChangedSincePlan(ItemFault):
    """The file's bytes are no longer those that were planned; they were not sent."""


class Transient(ServiceError):
    """A fault that passes: the same request with the same token may be tried again."""

    exit_code = ExitCode.TRANSIENT


class Throttled(Transient):
    """Too fast; certainly nothing was done. `retry_after_s` is what the service asked for, in seconds, or None."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, reason=reason, request_id=request_id, status=status)
        self.retry_after_s = retry_after_s


class NoAnswer(Transient):
    """No answer that could be read: whether the request was carried out is unknown."""


class NotSent(Transient):
    """The request did not leave, since the right to send to the lane had lapsed (`LedgerWriter.may_send_until`)."""


class SchedulerLost(Transient):
    """The scheduler of another engine that lanes were handed to cannot be reached, or has forgotten them."""


class OutOfResources(Transient):
    """This process or machine has no file descriptor, memory or thread to spare. Nothing is wrong with the item.

    `may_have_left`: whether a request may have left already, so that its outcome is unknown.
    """

    def __init__(self, message: str, *, may_have_left: bool = False, hint: str = "") -> None:
        super().__init__(message, code="OutOfResources", hint=hint)
        self.may_have_left = may_have_left


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then those that led to it, nearest first and each once: a library can make circles of them."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        each = rest.pop(0)
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            rest += each.__cause__, each.__context__
