"""The retag step: where only tags changed, the attachment is given other tags, and counts for the new token.

The intent is durable: the new token is enlisted before the first request leaves, so that a token that is current,
pending, and of the very document that another one has uploaded, means tags that may be half changed. The identity tag
goes with the last request, together with all the others: an attachment that carries the new token has the new tags.
Every request may be sent again. A refusal is recorded with the intent, which has failed then.
"""

from collections.abc import Sequence

from batch_upload.actions import Action
from batch_upload.engine.binding import must_follow
from batch_upload.engine.context import LaneContext
from batch_upload.engine.groups import for_each
from batch_upload.engine.lane import StopKind, Withheld
from batch_upload.engine.listing import NOT_FOUND
from batch_upload.engine.retry import fault_of
from batch_upload.engine.rows import BatchRows, tags_at_service
from batch_upload.engine.settle import Settler, is_old
from batch_upload.errors import LaneFault, Refused, Transient
from batch_upload.model import Item, Known, State
from batch_upload.operations import TAG, UNTAG

AT_ONCE = 4
"""Requests in flight: at one a second each operation, more would only wait for slots."""


class RetagStep:
    """Changes tags. What becomes processing again, or still is, is handed to the settler."""

    def __init__(self, context: LaneContext, settler: Settler) -> None:
        self._context = context
        self._settler = settler

    async def run(self, actions: Sequence[Action]) -> None:
        """Change the tags of these items, as far as the lane lets. Cut off anywhere, the next run goes on.

        Raises LedgerUnusable.
        """
        pairs = [(each.item, each.known) for each in actions if each.item is not None and each.known is not None]
        if not pairs:
            return
        ledger = self._context.ledger
        begun = [item for item, live in pairs if item.client_token != live.client_token]
        await ledger.enlist(begun, at=self._context.now())
        ids = [item.item_id for item, _ in pairs]
        rows = BatchRows.of(await ledger.known_of_ids(pairs[0][0].batch, ids))
        # a run that was cut off may have put any tag on the attachment that its id was ever to have
        keys: dict[str, set[str]] = {item_id: set() for item_id in ids}
        for row in rows.by_token.values():
            keys[row.item_id].update(tags_at_service(row.tags, row.client_token, identity_tag=row.identity_tag))

        async def change(pair: tuple[Item, Known]) -> None:
            item, live = pair
            current = rows.current.get(item.item_id)
            # where the tags are changed back, the intent is that of the change that was cut off
            is_back = item.client_token == live.client_token and current is not None
            intent = current.client_token if is_back and current is not None else item.client_token
            await self._change(item, live, keys[item.item_id] | live.tags.keys(), intent)

        await for_each(pairs, change, at_once=AT_ONCE)

    async def _change(self, item: Item, live: Known, keys: set[str], intent: str) -> None:
        """Take off the tags among `keys` that go, and put on all others. `intent`: the token that has failed if not."""
        context, service, arn = self._context, self._context.service, live.attachment_arn or ""
        stop = context.lane.stop
        if stop is not None and stop.kind is not StopKind.CAPACITY:  # a full lane takes other tags all the same
            return
        wanted = tags_at_service(item.tags, item.client_token, identity_tag=item.identity_tag)
        removed = sorted(keys - wanted.keys())
        try:
            if removed:
                await context.wire.call(UNTAG, lambda: service.untag(arn, removed))
            if wanted:
                await context.wire.call(TAG, lambda: service.tag(arn, wanted))
            recorded = context.ledger.retagged(
                live.client_token, item.client_token, identity_tag=item.identity_tag, at=context.now()
            )
            known = await context.recorded(recorded)
            if must_follow(item, known):  # tags were changed back: the token was not enlisted before
                await context.ledger.enlist([item], at=context.now())
                rows = await context.ledger.known_of_ids(item.batch, [item.item_id])
                known = next(row for row in rows if row.client_token == item.client_token)
            context.tell(known)
            self._settler.watch(known)
        except Withheld:
            return
        except Refused as error:
            await self._fail(live, intent, error)
        except Transient as error:
            context.notice(f"the tags of `{item.item_id}` are not changed: {error.message}")
        except LaneFault as error:
            context.stop_for(error)

    async def _fail(self, live: Known, intent: str, error: Refused) -> None:
        """Record that the service refused the tags; the attachment stays as it was.

        An attachment that is not found has failed, too. A new one may not be there yet, and is left for the next run.
        """
        context = self._context
        if error.code == NOT_FOUND:
            if not is_old(live, now=context.now(), horizon_s=context.horizon_s):
                context.notice(f"the tags of `{live.item_id}` are not changed: not found yet")
                return
            await context.ledger.not_found([live.client_token], at=context.now())
        fault = fault_of(error)
        await context.ledger.fail(intent, fault, at=context.now())
        context.tell(live._replace(state=State.FAILED, fault=fault))
