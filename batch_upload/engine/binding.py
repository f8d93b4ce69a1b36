"""Whether an item's attachment is in the field that the manifest names, and how a plan says what is left. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from batch_upload.actions import Action, ActionKind
from batch_upload.engine.rows import has_failed_binding, is_to_be_bound
from batch_upload.model import Item, Known, State
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, BindState, Registration

NO_REGISTRATIONS: Mapping[str, Registration] = MappingProxyType({})
"""Registrations by id, of a run or plan that has not asked for any."""
_PUTS = frozenset({ActionKind.CREATE, ActionKind.REPLACE, ActionKind.BIND})


def binds_of(items: Iterable[Item]) -> dict[str, Bind]:
    """Return what each item with a `bind` is to be bound to, by item id, as a ledger compares them."""
    return {item.item_id: item.bind for item in items if item.bind is not None}


def is_bound(item: Item, known: Known) -> bool:
    """Return whether the attachment is where the item wants it, as far as the ledger knows. Also without a `bind`."""
    return item.bind is None or known.bound_to == item.bind


def must_bind(item: Item, known: Known) -> bool:
    """Return whether the attachment, which the service has finished with, is to be put into the item's field now."""
    return (known.state is State.COMPLETE or is_to_be_bound(known)) and not is_bound(item, known)


def must_follow(item: Item, known: Known) -> bool:
    """Return whether the ledger must be told what the item is to be bound to, since it says something else."""
    return known.bind != item.bind or (item.bind is not None and known.bind_state is BindState.REPLACED)


def place(bind: Bind) -> str:
    """Return a field as messages name it."""
    return f"`{bind.field}` of `{bind.registration}`"


def then_bound(item: Item) -> str:
    """Return what is added to the reason of an item that is first created; empty without a `bind`."""
    return "" if item.bind is None else f", then bound to {place(item.bind)}"


def whereabouts(item: Item, known: Known) -> str:
    """Return where the attachment of an item stays that needs no request, to be added to a reason; may be empty."""
    if item.bind is None:
        if known.bound_to is not None:
            return f"; it stays in {place(known.bound_to)}, to which the manifest no longer binds it"
        return f"; no longer to be bound to {place(known.bind)}" if known.bind is not None else ""
    return f"; it stays in {place(item.bind)}" if is_bound(item, known) else then_bound(item)


def bind_reason(bind: Bind, known: Known, registrations: Mapping[str, Registration]) -> str:
    """Return why the attachment of a row is to be put into a field. `registrations` are those that were asked for."""
    where, before = place(bind), known.bind
    if before is None:
        return f"uploaded, to be put into {where}"
    if before != bind:
        if known.bound_to is not None:
            # which may be by the same plan, if two attachments change their fields
            return f"uploaded, to be put into {where}; it stays in {place(before)}, too, until another takes its place"
        return f"uploaded, to be put into {where}; was to be put into {place(before)} before"
    if has_failed_binding(known):
        code = "refused" if known.fault is None else known.fault.reason or known.fault.code
        return f"binding to {where} failed before ({code}), tried again"
    if known.bind_state is BindState.REPLACED:
        return f"to be put into {where} again, in place of a later attachment"
    if known.bind_state is BindState.SENT:
        return f"request to put it into {where} was not answered, sent again"
    if known.bound_version is None:
        return f"uploaded, to be put into {where}"
    registration = registrations.get(bind.registration)
    if registration is None or registration.version <= known.bound_version:
        return (
            f"to be put into {where} again: it was bound in version {known.bound_version}, and is not in the field now"
        )
    denied = "" if known.standing_denial is None else ", where a reviewer denied it"
    return (
        f"its registration has a new version ({registration.version}), bound in {known.bound_version}{denied};"
        f" put into {where}"
    )


def with_obstacle(action: Action, registrations: Mapping[str, Registration]) -> Action:
    """Return a decision whose reason also says why the service will probably not change the field now."""
    item = action.item
    if item is None or item.bind is None or action.kind not in _PUTS:
        return action
    registration = registrations.get(item.bind.registration)
    if registration is None or not (registration.is_under_review or registration.is_denied):
        return action
    why = f"version {registration.version} was denied: it takes no attachment before there is a new version"
    if registration.is_under_review:
        why = f"under review, {registration.status}: it takes no attachment before that is decided"
    return replace(action, reason=f"{action.reason} ({why})")


def rows_after_rebind(rows: Sequence[Known], stale: Sequence[BoundItem]) -> list[Known]:
    """Return the rows as `LedgerWriter.rebind` leaves them, for a plan of a ledger that is not written."""
    tokens = {each.client_token for each in stale}
    return [
        row._replace(state=State.BINDING, bind_state=BindState.WANTED) if row.client_token in tokens else row
        for row in rows
    ]
