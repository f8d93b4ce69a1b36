"""What `ports.LedgerWriter` has on bindings: the part of `store.LaneWriter` that puts attachments into fields."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from batch_upload.ledger import bindings, doubts, sets
from batch_upload.ledger.driver import Database, Returned, chunks
from batch_upload.model import Item, Known, Outcome
from batch_upload.ports import BindAttempt
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, Denial, RegistrationField


class BindingWriter(ABC):
    """The bindings of one lane, over the reads and writes of the lane's writer."""

    _has_binds = True
    """Whether an item of the lane may have a `bind`, since the lane was taken: no other process changes that then."""

    async def enlist(self, wanted: Iterable[Item], *, at: datetime) -> None:
        items = tuple(wanted)
        self._has_binds = self._has_binds or any(each.bind for each in items)
        await self._write(partial(sets.enlist, items=items, follows_binds=self._has_binds, at=at))

    async def bound(self, batch: str) -> Sequence[BoundItem]:
        return await self._read(partial(bindings.bound_items, batch=batch), nothing=[])

    async def unconfirmed(self, batch: str, *, since: datetime) -> Sequence[BoundItem]:
        return await self._read(partial(doubts.unconfirmed, batch=batch, since=since), nothing=[])

    async def confirm(self, found: Sequence[BoundItem], *, run_id: str, at: datetime) -> None:
        for some in chunks(found):
            await self._write(partial(doubts.confirm, found=some, run_id=run_id, at=at))

    async def is_doubtful(self, client_token: str, *, since: datetime) -> bool:
        return await self._read(partial(doubts.is_doubtful, client_token=client_token, since=since), nothing=False)

    async def rebind(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        await self._write(partial(sets.rebind, client_tokens=tuple(client_tokens), at=at))

    async def intend_bind(self, client_token: str, *, run_id: str, at: datetime) -> BindAttempt:
        return await self._write(partial(bindings.intend_bind, client_token=client_token, run_id=run_id, at=at))

    async def conclude_bind(self, attempt: BindAttempt, outcome: Outcome, *, version: int | None = None) -> Known:
        return await self._write(partial(bindings.conclude_bind, started=attempt, ended=outcome, version=version))

    async def deny(self, client_token: str, denial: Denial, *, at: datetime) -> Known:
        return await self._write(partial(bindings.deny, client_token=client_token, denial=denial, at=at))

    async def fields_of(self, attachment_ids: Collection[str]) -> Mapping[str, Sequence[Bind]]:
        return await self._read(partial(bindings.fields_of, attachment_ids=tuple(attachment_ids)), nothing={})

    async def field_definitions(self, *, after: datetime) -> Mapping[str, Sequence[RegistrationField]]:
        return await self._read(partial(bindings.field_definitions, after=after), nothing={})

    async def remember_field_definitions(
        self, definitions: Mapping[str, Sequence[RegistrationField]], *, at: datetime
    ) -> None:
        remembered = dict(definitions)
        await self._write(partial(bindings.remember_field_definitions, definitions=remembered, at=at))

    @abstractmethod
    async def _write(self, work: Callable[[Database, int], Returned]) -> Returned:
        """Carry out `work` in the lane; durable when it returns."""

    @abstractmethod
    async def _read(self, work: Callable[[Database, int], Returned], *, nothing: Returned) -> Returned:
        """Return what `work` reads, or `nothing` while the ledger has no lane."""
