"""The ledger for those who only look (`ports.LedgerReader`), on any database."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Self

from batch_upload.document import RememberedDigest
from batch_upload.ledger import attachments, bindings, history, items, memory, runs, sets
from batch_upload.ledger.driver import Database, Returned
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


class Source:
    """A connection that all views of a ledger read through, at one moment if they like."""

    def __init__(
        self, db: Database, *, shown: str, is_overtaken: Callable[[], bool], close: Callable[[], None]
    ) -> None:
        self.db = db
        self.shown = shown
        self.is_overtaken = is_overtaken
        self.close = close
        self._is_in_moment = False

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Read what is within at one moment, or at that of the caller. Other errors of the caller pass as they are."""
        with ExitStack() as stack:
            if not self._is_in_moment:
                with self._translated():
                    stack.enter_context(self._transaction())
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read what is within at one moment. Raises LedgerUnusable for an error of the database."""
        with self.moment(), self._translated():
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.db.FAILURES as error:
            raise self.db.unusable(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.db.transaction():
            self._is_in_moment = True
            try:
                yield
            finally:
                self._is_in_moment = False


class Reader:
    """`ports.LedgerReader` of one lane, or of a target's (`label`, and the lane it means, if that is known).

    Without either it is of the only lane that the ledger has. It closes the source if it `owns` it: a view does not.
    """

    def __init__(
        self, source: Source, *, wanted: Lane | None = None, label: str | None = None, owns: bool = False
    ) -> None:
        self._source = source
        self._db = source.db
        self._wanted = wanted
        self._label = label
        self._owns = owns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._owns:
            self._source.close()

    def of(self, lane: Lane | None) -> "Reader":
        return Reader(self._source, wanted=lane)

    def of_target(self, label: str, lane: Lane | None = None) -> "Reader":
        return Reader(self._source, wanted=lane, label=label)

    def moment(self) -> AbstractContextManager[None]:
        return self._source.moment()

    def lanes(self) -> list[tuple[str | None, Lane]]:
        with self._source.reading():
            return runs.labelled_lanes(self._db)

    def is_overtaken(self) -> bool:
        return self._source.is_overtaken()

    def version(self) -> int:
        with self._source.reading():
            return self._db.change_number()

    def holds(self) -> list[LaneHold]:
        with self._source.reading():
            return self._db.holds()

    def lane(self) -> Lane | None:
        with self._source.reading():
            found = self._pinned() or self._chosen()
            return None if found is None else found[1]

    def endpoint(self) -> str | None:
        return self._read(runs.endpoint_of, nothing=None)

    def listed_at(self) -> datetime | None:
        return self._read(runs.listed_at, nothing=None)

    def batches(self) -> list[str]:
        with self._source.reading():
            found = self._chosen()
            of_items = [] if found is None else items.batches_of(self._db, found[0])
            of_runs = runs.batches_of(self._db, None if found is None else found[0], self._label)
            return sorted({*of_items, *of_runs})

    def runs(self, batch: str, limit: int) -> list[RunRecord]:
        with self._source.reading():
            found = self._chosen()
            return runs.runs_of(self._db, None if found is None else found[0], self._label, batch, limit)

    def known(self, batch: str) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_batch(db, lane_id, batch), nothing=[])

    def known_of(self, batch: str, client_tokens: Sequence[str]) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_tokens(db, lane_id, batch, client_tokens), nothing=[])

    def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_ids(db, lane_id, batch, item_ids), nothing=[])

    def uploaders(self, batch: str, item_ids: Sequence[str]) -> dict[str, UploadedBy]:
        return self._read(lambda db, lane_id: history.uploaders_of(db, lane_id, batch, item_ids), nothing={})

    def compare(self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS) -> Comparison:
        nothing = Comparison(dict.fromkeys(tokens, False))
        return self._read(lambda db, lane_id: sets.compare(db, lane_id, batch, tokens, binds), nothing=nothing)

    def twins(self, contents: Collection[str]) -> list[Twin]:
        return self._read(lambda db, lane_id: sets.twins(db, lane_id, contents), nothing=[])

    def stock(self, batch: str, ids: Iterable[str], wanted: Sequence[State]) -> Stock:
        listed = dict.fromkeys(ids)
        nothing = Stock(+Counter({State.PENDING: len(listed)}), ())
        return self._read(lambda db, lane_id: sets.stock(db, lane_id, batch, listed, wanted), nothing=nothing)

    def since(self, client_token: str) -> datetime | None:
        return self._read(lambda db, lane_id: items.changed_at(db, lane_id, client_token), nothing=None)

    def attempts(self, client_token: str) -> list[AttemptRecord]:
        return self._read(lambda db, lane_id: history.attempts_of(db, lane_id, client_token), nothing=[])

    def bind_attempts(self, client_token: str) -> list[BindRecord]:
        return self._read(lambda db, lane_id: bindings.bind_attempts_of(db, lane_id, client_token), nothing=[])

    def bound(self, batch: str) -> list[BoundItem]:
        return self._read(lambda db, lane_id: bindings.bound_items(db, lane_id, batch), nothing=[])

    def field_definitions(self, *, after: datetime) -> dict[str, list[RegistrationField]]:
        return self._read(lambda db, lane_id: bindings.field_definitions(db, lane_id, after=after), nothing={})

    def attempts_after(self, attempt_id: int, *, again: Collection[int] = ()) -> Iterator[NumberedAttempt]:
        with self._source.reading():
            found = self._chosen()
            if found is not None:
                yield from history.attempts_after(self._db, found[0], attempt_id, again=again)

    def tallies(self, batch: str) -> list[RunTally]:
        return self._read(lambda db, lane_id: history.tallies(db, lane_id, batch), nothing=[])

    def buckets(self, widths_s: Mapping[str, float]) -> list[Bucket]:
        return self._read(lambda db, lane_id: history.buckets(db, lane_id, widths_s), nothing=[])

    def marks(self, batch: str) -> list[Mark]:
        return self._read(lambda db, lane_id: history.marks(db, lane_id, batch), nothing=[])

    def attachment_tokens(self) -> dict[str, str | None]:
        return self._read(attachments.attachment_tokens, nothing={})

    def strangers(self) -> list[StrangerRecord]:
        return self._read(attachments.strangers, nothing=[])

    def digests(self, paths: Sequence[str]) -> dict[str, RememberedDigest]:
        with self._source.reading():
            return memory.digests(self._db, paths)

    def rates(self) -> list[RateRecord]:
        return self._read(memory.rates, nothing=[])

    def _read(self, query: Callable[[Database, int], Returned], *, nothing: Returned) -> Returned:
        """Return what a query finds in the lane, or `nothing` while the ledger does not have the lane."""
        with self._source.reading():
            found = self._chosen()
            return nothing if found is None else query(self._db, found[0])

    def _chosen(self) -> tuple[int, Lane] | None:
        """Return the lane that is read, with its number; None while the ledger does not have it."""
        if self._label is None:
            return runs.chosen_lane(self._db, self._wanted, shown=self._source.shown)
        pinned = self._pinned()
        if self._wanted is None:
            return pinned
        if pinned is not None and pinned[1] != self._wanted:
            return None  # what another lane holds is not the target's
        return pinned or runs.chosen_lane(self._db, self._wanted, shown=self._source.shown)

    def _pinned(self) -> tuple[int, Lane] | None:
        return None if self._label is None else runs.lane_of_target(self._db, self._label)
