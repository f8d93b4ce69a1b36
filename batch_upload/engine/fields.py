"""What fields of registrations hold now, held against what the ledger knows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from batch_upload.engine.context import LaneContext
from batch_upload.engine.listing import NOT_FOUND, Asking
from batch_upload.engine.registrations import find_registrations, read_fields
from batch_upload.errors import Refused
from batch_upload.model import Item, Known
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, BindState


@dataclass(frozen=True, slots=True)
class Misplaced:
    """An attachment that the ledger has as bound, and that is not in its field."""

    bound: BoundItem
    holds: str | None = None
    """The attachment that the field holds instead; None if it holds none, or was not asked."""
    new_version: int | None = None
    """The current version of the registration if it is newer than the one that the attachment was put into: the next
    run puts it into that, too."""
    is_displaced: bool = False
    """Whether the ledger has a later request that put another attachment there: the next run puts this one back."""


async def find_misplaced(
    asking: Asking, bound: Sequence[BoundItem], displaced: Sequence[BoundItem] = ()
) -> list[Misplaced]:
    """Return which of these attachments are not in the fields of the current versions, in the order given.

    `displaced` are those of `displaced_items`. Nothing is asked if there are none. Raises as `Wire.call`.
    """
    bound, known = [*bound, *displaced], {each.client_token for each in displaced}
    if not bound:
        return []
    registrations = await find_registrations(asking, {each.bind.registration for each in bound})
    held: dict[Bind, str | None] = {}
    for registration_id, registration in registrations.items():
        fields = [
            each.bind.field
            for each in bound
            if each.bind.registration == registration_id and each.version >= registration.version
        ]
        contents = await read_fields(asking, registration_id, fields, version=registration.version)
        held |= {Bind(registration_id, path): content.attachment_id for path, content in contents.items()}
    misplaced: list[Misplaced] = []
    for each in bound:
        found = registrations.get(each.bind.registration)
        if found is not None and found.version > each.version:
            misplaced.append(Misplaced(each, new_version=found.version))
        elif held.get(each.bind) != each.attachment_id:
            is_displaced = each.client_token in known
            misplaced.append(Misplaced(each, held.get(each.bind), is_displaced=is_displaced))
    return misplaced


def displaced_items(items: Iterable[Item], current: Mapping[str, Known]) -> list[BoundItem]:
    """Return the items in whose fields another attachment was put since, as they were bound. `current`: rows by id."""
    found = []
    for item in items:
        row = current.get(item.item_id)
        if row is None or row.bind is None or row.bind != item.bind or row.bind_state is not BindState.REPLACED:
            continue
        if row.attachment_id is not None:
            denied_version = None if row.denial is None else row.denial.version
            version = row.bound_version or 0
            found.append(BoundItem(row.item_id, row.client_token, row.attachment_id, row.bind, version, denied_version))
    return found


async def rebind_misplaced(context: LaneContext, bound: Sequence[BoundItem]) -> list[BoundItem]:
    """Record which of these attachments are not in their fields, so that they are bound again. Return them.

    Raises as `Wire.call` and as the ledger.
    """
    misplaced = [each.bound for each in await find_misplaced(context, bound)]
    if misplaced:
        await context.ledger.rebind([each.client_token for each in misplaced], at=context.now())
    return misplaced


async def attachments_in(asking: Asking, binds: Collection[Bind]) -> dict[Bind, str]:
    """Return which attachment each of these fields of current versions holds; those that hold none are left out.

    Fields of a registration that is not found hold none. Raises as `Wire.call`.
    """
    by_registration: dict[str, list[str]] = {}
    for bind in sorted(set(binds)):
        by_registration.setdefault(bind.registration, []).append(bind.field)
    held: dict[Bind, str] = {}
    for registration_id, fields in by_registration.items():
        try:
            contents = await read_fields(asking, registration_id, fields)
        except Refused as error:
            if error.code != NOT_FOUND:
                raise
            continue
        held |= {
            Bind(registration_id, path): content.attachment_id
            for path, content in contents.items()
            if content.attachment_id is not None
        }
    return held
