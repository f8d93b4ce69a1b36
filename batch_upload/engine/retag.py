"""Retagging: where only tags changed, the attachment that stands is given other tags, and stands for the new token.

The intent is durable: the new token is enlisted before the first request leaves, so that a token that is current,
pending, and of the very document that another one has uploaded, means tags that may be half changed. The identity tag
goes with the last request, together with all the others: an attachment that carries the new token has the new tags.
Every request may be sent again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from batch_upload.engine.groups import for_each
from batch_upload.engine.lane import StopKind, Withheld
from batch_upload.engine.listing import NOT_FOUND
from batch_upload.engine.outcome import fault_of
from batch_upload.engine.rows import BatchRows
from batch_upload.engine.settle import is_old
from batch_upload.engine.upload import Surroundings, stop_lane
from batch_upload.errors import LaneFault, Refused, Transient
from batch_upload.events import ItemChanged, Notice
from batch_upload.model import Action, Item, Known, State
from batch_upload.operations import TAG, UNTAG
from batch_upload.token import IDENTITY_TAG

AT_ONCE = 4
"""Requests in flight: at one a second each operation, more would only wait for slots."""


@dataclass(frozen=True, slots=True)
class Retag:
    """An item, the attachment that stands for it, and every key that it may carry from us.

    `intent` is the token whose enlisting is the durable intent: where the tags were changed back, that of the change
    that was cut off.
    """

    item: Item
    live: Known
    keys: frozenset[str]
    intent: str

    @property
    def wanted(self) -> dict[str, str]:
        """The tags that it is to carry, the identity tag among them."""
        return carried(self.item.tags, self.item.client_token, identity_tag=self.item.identity_tag)

    @property
    def removed(self) -> list[str]:
        return sorted(self.keys - self.wanted.keys())


@dataclass(slots=True)
class Result:
    """What came of it. `failed` by item id, with the reason as fault; `left` are for the next run."""

    done: list[Known] = field(default_factory=list)
    failed: dict[str, Known] = field(default_factory=dict)
    left: int = 0


def carried(tags: Mapping[str, str], token: str, *, identity_tag: bool) -> dict[str, str]:
    """The tags that an attachment carries at the service."""
    return {**tags, IDENTITY_TAG: token} if identity_tag else dict(tags)


def pairs_of(actions: Iterable[Action]) -> list[tuple[Item, Known]]:
    """The items of these actions, and what stands for each."""
    return [(each.item, each.known) for each in actions if each.item is not None and each.known is not None]


def retags_of(pairs: Iterable[tuple[Item, Known]], knowledge: BatchRows) -> list[Retag]:
    """What is to be done for these items and what stands for them. Pure.

    A run that was cut off may have put any tag on an attachment that its id was ever to have.
    """
    wanted = list(pairs)
    ids = {item.item_id for item, _ in wanted}
    keys: dict[str, set[str]] = {item_id: set() for item_id in ids}
    for row in knowledge.by_token.values():
        if row.item_id in ids:
            keys[row.item_id].update(carried(row.tags, row.client_token, identity_tag=row.identity_tag))
    return [
        Retag(item, live, frozenset(keys[item.item_id] | live.tags.keys()), _intent_of(item, live, knowledge))
        for item, live in wanted
    ]


def _intent_of(item: Item, live: Known, knowledge: BatchRows) -> str:
    current = knowledge.current.get(item.item_id)
    if item.client_token != live.client_token or current is None:
        return item.client_token
    return current.client_token


async def retag(around: Surroundings, retags: Sequence[Retag], result: Result) -> None:
    """Carry them out, as far as the lane lets, and count them in `result`. Cut off anywhere, the next run goes on.

    Raises LedgerUnusable.
    """
    result.left += len(retags)
    begun = [each.item for each in retags if each.item.client_token != each.live.client_token]
    await around.ledger.enlist(begun, at=around.clock.now())

    async def one(each: Retag) -> None:
        await _Retagging(around, each, result).run()

    await for_each(retags, one, at_once=AT_ONCE)


class _Retagging:
    """One of them on its way."""

    def __init__(self, around: Surroundings, each: Retag, result: Result) -> None:
        self._around = around
        self._each = each
        self._result = result

    async def run(self) -> None:
        if self._must_stop():
            return
        try:
            await self._change()
        except Withheld:
            return
        except Refused as error:
            await self._fail(error)
        except Transient as error:
            name = self._each.item.item_id
            self._around.observer.notify(Notice(f"the tags of `{name}` are not changed: {error.message}", self._now()))
        except LaneFault as error:
            stop_lane(self._around, error)

    def _must_stop(self) -> bool:
        """Whether nothing new may be begun. A full lane takes other tags all the same."""
        stop = self._around.lane.stop
        return stop is not None and stop.kind is not StopKind.CAPACITY

    async def _change(self) -> None:
        service, arn = self._around.service, self._each.live.attachment_arn or ""
        if removed := self._each.removed:
            await self._around.wire.call(UNTAG, lambda: service.untag(arn, removed))
        if wanted := self._each.wanted:
            await self._around.wire.call(TAG, lambda: service.tag(arn, wanted))
        item, live = self._each.item, self._each.live
        with anyio.CancelScope(shield=True):  # what was answered is recorded
            known = await self._around.ledger.retagged(
                live.client_token, item.client_token, identity_tag=item.identity_tag, at=self._now()
            )
        self._result.left -= 1
        self._result.done.append(known)
        self._tell(known)

    async def _fail(self, error: Refused) -> None:
        """Record that the service refused the tags: the intent has failed, and the attachment stays as it was.

        An attachment that is not found has failed, too. A new one may not be there yet, and is left for the next run.
        """
        live = self._each.live
        if error.code == NOT_FOUND:
            if not is_old(live, now=self._now(), horizon_s=self._around.horizon_s):
                name = self._each.item.item_id
                self._around.observer.notify(
                    Notice(f"the tags of `{name}` are not changed: not found yet", self._now())
                )
                return
            await self._around.ledger.not_found([live.client_token], at=self._now())
        if self._each.intent != live.client_token:
            await self._around.ledger.fail(self._each.intent, fault_of(error), at=self._now())
        failed = live._replace(state=State.FAILED, fault=fault_of(error))
        self._result.left -= 1
        self._result.failed[self._each.item.item_id] = failed
        self._tell(failed)

    def _tell(self, known: Known) -> None:
        ended = known.state is not State.PROCESSING
        self._around.observer.notify(ItemChanged(known, ended=ended, created=False, at=self._now()))

    def _now(self) -> datetime:
        return self._around.clock.now()
