"""The ledger for those who only look (`ports.LedgerReader`), on any database."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Self

from batch_upload.document import RememberedDigest
from batch_upload.ledger import attachments, history, items, memory, runs, sets
from batch_upload.ledger.driver import Database, Returned
from batch_upload.model import Known, Lane, RateRecord, State
from batch_upload.records import (
    AttemptRecord,
    Bucket,
    Comparison,
    Mark,
    NumberedAttempt,
    RunRecord,
    RunTally,
    Stock,
    StrangerRecord,
)


class Reader:
    """`ports.LedgerReader` of one lane; without one, of the only lane that the ledger has."""

    def __init__(
        self,
        db: Database,
        *,
        shown: str,
        wanted: Lane | None,
        is_overtaken: Callable[[], bool],
        close: Callable[[], None],
    ) -> None:
        self._db = db
        self._shown = shown
        self._wanted = wanted
        self._is_overtaken = is_overtaken
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._close()

    def is_overtaken(self) -> bool:
        return self._is_overtaken()

    def version(self) -> int:
        with self._moment():
            return self._db.change_number()

    def lane(self) -> Lane | None:
        with self._moment():
            found = runs.chosen_lane(self._db, self._wanted, shown=self._shown)
            return None if found is None else found[1]

    def endpoint(self) -> str | None:
        return self._read(runs.endpoint_of, nothing=None)

    def listed_at(self) -> datetime | None:
        return self._read(runs.listed_at, nothing=None)

    def runs(self, batch: str, limit: int) -> list[RunRecord]:
        with self._moment():
            found = runs.chosen_lane(self._db, self._wanted, shown=self._shown)
            return runs.runs_of(self._db, None if found is None else found[0], batch, limit)

    def known(self, batch: str) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_batch(db, lane_id, batch), nothing=[])

    def known_of(self, batch: str, client_tokens: Sequence[str]) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_tokens(db, lane_id, batch, client_tokens), nothing=[])

    def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> list[Known]:
        return self._read(lambda db, lane_id: items.known_of_ids(db, lane_id, batch, item_ids), nothing=[])

    def compare(self, batch: str, tokens: Mapping[str, str]) -> Comparison:
        nothing = Comparison(dict.fromkeys(tokens, False))
        return self._read(lambda db, lane_id: sets.compare(db, lane_id, batch, tokens), nothing=nothing)

    def stock(self, batch: str, ids: Iterable[str], wanted: Sequence[State]) -> Stock:
        listed = dict.fromkeys(ids)
        nothing = Stock(+Counter({State.PENDING: len(listed)}), ())
        return self._read(lambda db, lane_id: sets.stock(db, lane_id, batch, listed, wanted), nothing=nothing)

    def since(self, client_token: str) -> datetime | None:
        return self._read(lambda db, lane_id: items.changed_at(db, lane_id, client_token), nothing=None)

    def attempts(self, client_token: str) -> list[AttemptRecord]:
        return self._read(lambda db, lane_id: history.attempts_of(db, lane_id, client_token), nothing=[])

    def attempts_after(self, attempt_id: int, *, again: Collection[int] = ()) -> Iterator[NumberedAttempt]:
        with self._moment():
            found = runs.chosen_lane(self._db, self._wanted, shown=self._shown)
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
        with self._moment():
            return memory.digests(self._db, paths)

    def rates(self) -> list[RateRecord]:
        return self._read(memory.rates, nothing=[])

    def _read(self, query: Callable[[Database, int], Returned], *, nothing: Returned) -> Returned:
        """Return what a query finds in the lane, or `nothing` while the ledger does not have the lane."""
        with self._moment():
            found = runs.chosen_lane(self._db, self._wanted, shown=self._shown)
            return nothing if found is None else query(self._db, found[0])

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """Read what is within at one moment. Raises LedgerUnusable for an error of the database."""
        try:
            with self._db.transaction():
                yield
        except self._db.FAILURES as error:
            raise self._db.unusable(error) from error
