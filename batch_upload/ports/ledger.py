"""What is written to a ledger, and by which right, as Protocols."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from batch_upload.document import RememberedDigest
from batch_upload.errors import LedgerLocked
from batch_upload.model import Attachment, Fault, Item, Known, Lane, Outcome
from batch_upload.moments import Stretch
from batch_upload.records import (
    BoundItem,
    Comparison,
    Duplicate,
    RateRecord,
    Twin,
)
from batch_upload.registration import Bind, Denial, RegistrationField

ABSENT = "NOT_FOUND"
"""Code of the fault of an item whose attachment the service did not find, a horizon and more after its creation. Unlike
`DELETED`, which the service said, it is looked at again by every run."""
DELETING = "DELETING"
"""Code of the fault of an item whose attachment was asked to be deleted, without a record of what came of that."""


NO_BINDS: Mapping[str, Bind] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LaneMemory:
    """What the ledger remembers of its lane, and how the lane was taken.

    `listed_at`: start of the last listing that was read to its end, or None. `continuous`: whether the ledger's last
    run is the last that took its lock; False for a copy, a restored backup, or a new ledger. `sent_at`: start of the
    last create of any run, or None. `doubted_before`: the ledger does not know what fields hold of attachments that
    were created before this time, the start of the last run that found it not continuous; None if there was none.
    `has_waited`: whether `pin` waited for another process that held the lane. `fence`: how often the lane was taken,
    this time included; None for a file, which has no leases.
    """

    listed_at: datetime | None
    continuous: bool
    sent_at: datetime | None = None
    doubted_before: datetime | None = None
    has_waited: bool = False
    fence: int | None = field(default=None, compare=False)  # each take has another one, whatever is remembered


@dataclass(frozen=True, slots=True)
class Attempt:
    """A durable intent. `number` counts the token's attempts from 1, over all runs."""

    attempt_id: int
    client_token: str
    number: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class BindAttempt:
    """A durable intent to put an attachment into a field."""

    attempt_id: int
    client_token: str
    attachment_id: str
    bind: Bind
    started_at: datetime
    was_sent: bool
    """Whether an earlier attempt was never answered."""
    displaced: Sequence[tuple[str, str]] = ()
    """Batch and id of every current item of the lane that counted as bound to this field until now."""


class Ledger(Protocol):
    """A ledger that is open for writing. Its writers share one writing thread.

    A file is this process's alone until `close`. Of a database each lane is leased: to the writer that is pinned to it,
    until its `release`.

    Every method raises LedgerUnusable where the ledger cannot be read or written.
    """

    async def writer(self, target: str | None = None) -> "LedgerWriter":
        """Return a new writer of one lane. Writers of several lanes may be used at the same time.

        `target` is the manifest's label of the lane, such as `acme/us-east-1`; None for the only lane of a manifest
        without `targets`.
        """
        ...

    async def remember_digests(self, remembered: Mapping[str, RememberedDigest]) -> None:
        """Remember what was in files, by their resolved paths, instead of what was known of these paths."""
        ...

    async def close(self) -> None:
        """Finish what was handed over and give all lanes back: no writer can be used any more. May be called twice."""
        ...

    def hurry(self, after_s: float = 0.0) -> None:
        """Wait at most 10 seconds for a database that does not answer, from now on or `after_s` seconds later: when
        the run is being ended, or at its deadline."""
        ...


class LedgerWriter(Protocol):
    """What is known to have happened in one lane. Every change is durable when it returns: it survives a power cut.

    Before `pin` it is of the lane that its target was pinned to last, or of the ledger's only lane without a target.
    Where there is none, nothing is known, and only `pin` and `record_end` write.

    Made by `Ledger.writer`, and usable until `Ledger.close`. All raise LedgerUnusable when the ledger cannot be read or
    written; after the first such error of a write every later write of any lane raises it too, without trying, so that
    nothing is sent that could not be recorded. Once another process has taken the lane over, every write raises
    LaneLost and changes nothing. Times are aware UTC. Tokens that are not in the ledger raise KeyError: that is our
    fault.
    """

    @property
    def stretch(self) -> Stretch:
        """Since when the wall clock has gone steadily on this machine, as far as this ledger tells: what its times are
        worth. It begins anew when `pin` or `intend` finds that the clock was set, or that the ledger is a copy."""
        ...

    def may_send_until(self) -> float:
        """Return until when requests may leave to the lane, in `Clock.monotonic` seconds; infinity before `pin`, and
        for a file, whose lock does not lapse.

        Beyond it another process may have taken the lane over. It moves on with every write, and every 10 seconds
        without one, as long as the database answers. Raises LaneLost if the lane was taken over, and LedgerUnusable if
        nothing can be written any more.
        """
        ...

    def on_wait(self, tell: Callable[[LedgerLocked], None]) -> None:
        """Call `tell` once if `pin` begins to wait for a lane, with who holds it."""
        ...

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        """Work on this lane of the ledger from now on. First call of a run. `endpoint` is recorded for people.

        With a target: the ledger is given the lane if it does not have it, and remembers that the target is this lane.
        Raises LedgerOfAnotherLane if it remembers another one, or if another target is at work on this lane.
        Without a target: a new ledger is given the lane. Raises LedgerOfAnotherLane if the ledger has other lanes only.
        Raises LedgerLocked if another process holds the lane, also after the time that `open_ledger` was given to wait.
        """
        ...

    def act_as(self, principal: str | None) -> None:
        """Record the ARN of these credentials with each run that begins from now on; None if STS did not name it.

        It is kept here, and not given to `begin_run`, since `record_end` needs it too, also after a failed `pin`.
        """
        ...

    async def release(self) -> None:
        """Give the lane back, so that another process may take it at once. No write follows. May be called twice."""
        ...

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        """Record the start of a run. On a ledger that is not continuous it counts as its last only after `listed`."""
        ...

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        """Record how a run ended. `summary` is kept as JSON."""
        ...

    async def record_end(
        self,
        run_id: str,
        *,
        verb: str,
        batch: str,
        began_at: datetime,
        exit_code: int,
        summary: Mapping[str, Any],
        at: datetime,
    ) -> None:
        """Record the end of a run, whether `begin_run` came before or not. May be called before `pin`."""
        ...

    async def failing_since(self) -> datetime | None:
        """Return when a run last got an answer of the service, if a run has ended with `transient` (10) since.

        The start of the first run where none ever got one; None where no run has ended with `transient`. Of the runs
        of this lane, or of this target as long as it has reached none.
        """
        ...

    async def known(self, batch: str) -> Sequence[Known]:
        """Every token of a batch, current ones and those that were replaced, oldest first."""
        ...

    async def compare(self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS) -> Comparison:
        """Compare all items of a manifest, their tokens by id, with the current and replaced tokens of a batch.

        `binds`: what each item with a `bind` is to be bound to, by id. An item of which the ledger has another one, or
        one where it is to have none, is unfinished.
        """
        ...

    async def unfinished(
        self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS
    ) -> Mapping[str, bool]:
        """Return `Comparison.unfinished` for some items, their tokens by id."""
        ...

    async def twins(self, contents: Collection[str]) -> Sequence[Twin]:
        """Return what of the lane is at the service with one of these contents, of every batch, oldest first."""
        ...

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        """Every token of these ids of a batch, those of one id oldest first."""
        ...

    async def standing_count(self) -> int:
        """How many attachments of the lane stand at the service as far as the ledger knows: all but deleted ones."""
        ...

    async def open_intents(self) -> Sequence[Known]:
        """Every token, of any batch, current or not, whose state is `sending`."""
        ...

    async def enlist(self, items: Iterable[Item], *, at: datetime) -> None:
        """Make each item's token the current one of its id: a new one as `pending`, a known one as it is.

        The stored identity tag of a token follows the item as long as it was never attempted. Its `bind` always follows
        the item: if that changes, a token whose attachment is UPLOAD_COMPLETE becomes `binding`, or `complete` without
        a `bind`; also one whose binding had failed. A token whose attachment was not found stays `failed`.
        """
        ...

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        """Record that a request with this token is about to leave: state `sending`.

        Sets `unknown_since` where it was None, `last_open_at` always, and `first_sent_at` at the first.
        """
        ...

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        """Record what became of an attempt, and return the item as it is now. It is recorded even if the caller is
        cancelled while it waits.

        ACCEPTED: `processing`, `complete` or `failed` as the receipt's status says; the unknown is over. UNKNOWN: stays
        `sending`. Every other kind puts `unknown_since` and `last_open_at` back to what they were before the attempt;
        the item stays `sending` if that leaves it unknown, and becomes otherwise: REFUSED `failed`, NO_CAPACITY
        `parked`, the others `pending`. Raises Disagreement if the receipt's attachment belongs to another token.
        """
        ...

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        """`failed` for a reason of ours, without an attempt. An item that is `sending` stays so."""
        ...

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        """`parked`, all of them; those that are not `pending`, `failed` or `parked` stay as they are."""
        ...

    async def observe(self, seen: Sequence[Attachment], *, at: datetime) -> Sequence[Known]:
        """Record the statuses of attachments. Return the items they belong to as they are now, in the same order; what
        no item has is left out.

        UPLOAD_COMPLETE: `complete`, or `binding` with a `bind` that it is not bound to. UPLOAD_FAILED: `failed`, code
        UPLOAD_FAILED. DELETED: `failed`, code DELETED.
        """
        ...

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        """Record that the service does not find the attachments of these tokens: `failed`, code NOT_FOUND. Gives the
        items as they are now.

        They keep attachment and status, so that `observe` takes it back once one is found. One that is neither
        `processing` nor `complete` stays as it is.
        """
        ...

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        """Record that this attachment is what the token made: its identity tag was read at the service."""
        ...

    async def retagged(self, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
        """Record that what one token made carries the tags of another, and stands for that now, which is current.

        The one that made it is `pending` without an attachment then. With the same token twice it is made current.
        Raises Disagreement where the other has an attachment of its own.
        """
        ...

    async def begin_deletion(self, client_token: str, *, run_id: str, at: datetime) -> Known:
        """Record that the attachment of a token is about to be deleted: from now on it counts as deleted.

        So an attachment that may be gone never counts as uploaded, whatever the outcome. May be repeated.
        """
        ...

    async def end_deletion(self, client_token: str, *, is_gone: bool, at: datetime) -> Known:
        """Record what became of it. Not gone, it stands as it stood before."""
        ...

    async def bound(self, batch: str) -> Sequence[BoundItem]:
        """Every current token of a batch whose attachment is in its field."""
        ...

    async def unconfirmed(self, batch: str, *, since: datetime) -> Sequence[BoundItem]:
        """Of `bound`, what was neither put into its field since then nor found there (`confirm`)."""
        ...

    async def confirm(self, found: Sequence[BoundItem], *, run_id: str, at: datetime) -> None:
        """Record that attachments were found in the fields that they are bound to."""
        ...

    async def is_doubtful(self, client_token: str, *, since: datetime) -> bool:
        """Whether the token's attachment was neither created since then, nor put into the field of its `bind`, nor
        found there: what the field holds is not known."""
        ...

    async def rebind(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        """`binding` again, of those that are `complete` and bound: the field does not hold their attachments now."""
        ...

    async def intend_bind(self, client_token: str, *, run_id: str, at: datetime) -> BindAttempt:
        """Record that a request is about to leave that puts the token's attachment into the field of its `bind`.

        The item is `binding`, or `failed` with its binding refused: then it is `binding` again.
        """
        ...

    async def conclude_bind(self, attempt: BindAttempt, outcome: Outcome, *, version: int | None = None) -> Known:
        """Record what became of it, and return the item as it is now. It is recorded even if the caller is cancelled.

        ACCEPTED, with the `version` of the registration: `complete`, and what else of the lane was bound to this field
        is replaced. REFUSED: `failed`, with the fault; the attachment stays. UNKNOWN: stays `binding`, bind state
        `sent`. Every other kind: `binding`, and `sent` only if an earlier attempt was never answered. An item whose
        `bind` is another one by now stays as it is.
        """
        ...

    async def deny(self, client_token: str, denial: Denial, *, at: datetime) -> Known:
        """Record what a review said of the attachment in its field. The state stays."""
        ...

    async def fields_of(self, attachment_ids: Collection[str]) -> Mapping[str, Sequence[Bind]]:
        """Return, by attachment id, every field that the lane's requests put it into, accepted or never answered."""
        ...

    async def field_definitions(self, *, after: datetime) -> Mapping[str, Sequence[RegistrationField]]:
        """Return the fields of each type of registration that were remembered after this time."""
        ...

    async def remember_field_definitions(
        self, definitions: Mapping[str, Sequence[RegistrationField]], *, at: datetime
    ) -> None:
        """Remember the fields of these types of registration instead of what was known of them."""
        ...

    async def absent(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        """Record proof that these tokens made nothing: `pending`, and the unknown is over."""
        ...

    async def undecided(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        """`unknown`: sent, and no way to prove either. Keeps `unknown_since`."""
        ...

    async def attachment_tokens(self) -> Mapping[str, str | None]:
        """Every attachment id the ledger knows, items' and strangers': its token, None for one without identity tag."""
        ...

    async def remember(self, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
        """Remember attachments that no item of the ledger has, with the identity tag that was read, so that no tag is
        read twice. Again for the same id: the later wins.

        None is for one that certainly carries no identity tag: it was a horizon old when its tags were read.
        """
        ...

    async def duplicates(self) -> Sequence[Duplicate]:
        """Every remembered attachment that carries the token of an item with another attachment, which is `processing`
        or `complete`. Whether it is still at the service only a listing tells."""
        ...

    async def listed(self, *, at: datetime) -> None:
        """Record that a listing which began at `at` was read to its end."""
        ...

    async def rates(self) -> Sequence[RateRecord]:
        """What was learned of the lane's operations, one of each at most."""
        ...

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        """Remember these instead of what was known of their operations."""
        ...
