"""What fields of registrations hold now, held against what the ledger knows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from batch_upload.engine.context import LaneContext
from batch_upload.engine.listing import NOT_FOUND, Asking
from batch_upload.engine.registrations import find_registrations, read_fields
from batch_upload.errors import Refused
from batch_upload.records import BoundItem
from batch_upload.registration import Bind


@dataclass(frozen=True, slots=True)
class Misplaced:
    """An attachment that the ledger has as bound, and that is not in its field."""

    bound: BoundItem
    holds: str | None = None
    """The attachment that the field holds instead; None if it holds none, or was not asked."""
    new_version: int | None = None
    """The current version of the registration if it is newer than the one that the attachment was put into: the next
    run puts it into that, too."""


async def find_misplaced(asking: Asking, bound: Sequence[BoundItem]) -> list[Misplaced]:
    """Return which of these attachments are not in the fields of the current versions, in the order given.

    Nothing is asked if there are none. Raises as `Wire.call`.
    """
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
            misplaced.append(Misplaced(each, held.get(each.bind)))
    return misplaced


async def rebind_misplaced(context: LaneContext, bound: Sequence[BoundItem]) -> int:
    """Record which of these attachments are not in their fields, so that they are bound again. Return how many.

    Raises as `Wire.call` and as the ledger.
    """
    misplaced = await find_misplaced(context, bound)
    if misplaced:
        await context.ledger.rebind([each.bound.client_token for each in misplaced], at=context.now())
    return len(misplaced)


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
