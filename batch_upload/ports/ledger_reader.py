"""What is read of a ledger, as a Protocol."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from batch_upload.document import RememberedDigest
from batch_upload.model import Known, Lane, State
from batch_upload.ports.ledger import NO_BINDS
from batch_upload.records import (
    AttemptRecord,
    BindRecord,
    BoundItem,
    Bucket,
    Comparison,
    LaneHold,
    Mark,
    NumberedAttempt,
    RateRecord,
    RunRecord,
    RunTally,
    Stock,
    StrangerRecord,
    Twin,
    UploadedBy,
)
from batch_upload.registration import Bind, RegistrationField


class LedgerReader(Protocol):
    """A ledger that is only read: while a run writes, after it, and where nothing may be written.

    It reads one lane: the only one that the ledger has, or the one that `of` or `of_target` named. A lane that the
    ledger does not have has no items. Each answer is of one moment; two answers may be of two. Every method raises
    LedgerUnusable if the ledger cannot be read, or if it has several lanes and none was named. Use it as a context
    manager.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """May be called twice. Of a reader that `of` or `of_target` returned, it closes nothing."""
        ...

    def lanes(self) -> Sequence[tuple[str | None, Lane]]:
        """Every lane of the ledger with the label of each target that was pinned to it, the one pinned last behind the
        others; None for one without target."""
        ...

    def of(self, lane: Lane | None) -> "LedgerReader":
        """Return a reader of this lane, None for the only one, over the same connection: as long as this is open."""
        ...

    def of_target(self, label: str, lane: Lane | None = None) -> "LedgerReader":
        """Return a reader of the lane that a target was pinned to, as `of`.

        Before that it reads `lane`, which the target means: the ledger may have it from another target, or from a
        manifest without. If the target was pinned to another lane than `lane`, only `lane()` and `runs()` answer.
        """
        ...

    def moment(self) -> AbstractContextManager[None]:
        """Give all answers within, of the readers of every lane, as of one moment."""
        ...

    def is_overtaken(self) -> bool:
        """Whether this reads a copy of a ledger of an earlier version, which a run has brought up to date since."""
        ...

    def version(self) -> int:
        """A number that changes whenever somebody else has written; it means nothing to another reader."""
        ...

    def holds(self) -> Sequence[LaneHold]:
        """Who holds each lane of a ledger that several hosts share, or held it last; empty for a file."""
        ...

    def lane(self) -> Lane | None:
        """The lane that is read, or None before its first run."""
        ...

    def endpoint(self) -> str | None:
        """Where the lane was last spoken to, or None before its first run."""
        ...

    def listed_at(self) -> datetime | None:
        """When the last listing of the lane began that was read to its end, or None: then the ledger is new here."""
        ...

    def batches(self) -> list[str]:
        """Every batch that has items in the lane, or runs that `runs` returns, by name."""
        ...

    def runs(self, batch: str, limit: int) -> list[RunRecord]:
        """The last runs of a batch, `limit` at most, latest first."""
        ...

    def known(self, batch: str) -> list[Known]:
        """Every token of a batch, current ones and those that were replaced, oldest first."""
        ...

    def known_of(self, batch: str, client_tokens: Sequence[str]) -> list[Known]:
        """What is known of these tokens of a batch, oldest first."""
        ...

    def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> list[Known]:
        """Every token of these ids of a batch, those of one id oldest first."""
        ...

    def uploaders(self, batch: str, item_ids: Sequence[str]) -> dict[str, UploadedBy]:
        """Return who made the attachments of these items of a batch, by attachment id, replaced ones too.

        Attachments that were found at the service are left out: no recorded request made them.
        """
        ...

    def compare(self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS) -> Comparison:
        """As `LedgerWriter.compare`."""
        ...

    def twins(self, contents: Collection[str]) -> Sequence[Twin]:
        """Return what of the lane is at the service with one of these contents, of every batch, oldest first."""
        ...

    def stock(self, batch: str, ids: Iterable[str], wanted: Sequence[State]) -> Stock:
        """Count the items of these ids by state, all of one moment, and return those in the wanted states."""
        ...

    def since(self, client_token: str) -> datetime | None:
        """When an item came to be as it is, or None for a token that is not there."""
        ...

    def attempts(self, client_token: str) -> list[AttemptRecord]:
        """What was tried for a token, oldest first; empty for one that is not there."""
        ...

    def bind_attempts(self, client_token: str) -> list[BindRecord]:
        """Every request to put the token's attachment into a field, oldest first."""
        ...

    def bound(self, batch: str) -> Sequence[BoundItem]:
        """As `LedgerWriter.bound`."""
        ...

    def field_definitions(self, *, after: datetime) -> Mapping[str, Sequence[RegistrationField]]:
        """As `LedgerWriter.field_definitions`."""
        ...

    def attempts_after(self, attempt_id: int, *, again: Collection[int] = ()) -> Iterator[NumberedAttempt]:
        """Every attempt of the lane behind this one, and those of `again`, oldest first; all of them behind 0.

        Of one moment: do not ask for anything else before it is read to its end.
        """
        ...

    def tallies(self, batch: str) -> list[RunTally]:
        """Each run of a batch by the ends of its attempts, oldest run first."""
        ...

    def buckets(self, widths_s: Mapping[str, float]) -> list[Bucket]:
        """The course of these runs: run id → how many seconds a step is long."""
        ...

    def marks(self, batch: str) -> list[Mark]:
        """A mark for each token of a batch, oldest first; a token whose mark is the same as before has not changed."""
        ...

    def attachment_tokens(self) -> dict[str, str | None]:
        """Every attachment id the ledger knows, items' and strangers': its token, None for one without identity tag."""
        ...

    def strangers(self) -> list[StrangerRecord]:
        """The attachments of the lane that no item has, as they were last seen, by age."""
        ...

    def digests(self, paths: Sequence[str]) -> dict[str, RememberedDigest]:
        """What was in the files at these resolved paths when they were last read; those never read are left out."""
        ...

    def rates(self) -> list[RateRecord]:
        """What was learned of the lane's operations."""
        ...
