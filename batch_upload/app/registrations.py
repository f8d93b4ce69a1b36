"""The registrations that a lane's items are bound to: which items they concern, and what is wrong with their `bind`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from batch_upload.app.items import invalid
from batch_upload.app.sendable import Prepared, listed_of_item
from batch_upload.engine.listing import Asking
from batch_upload.engine.plan import Selection, decide
from batch_upload.engine.registrations import BindProblem, RegistrationLook, look_at_registrations
from batch_upload.engine.rows import BatchRows
from batch_upload.errors import AccessFault, ManifestInvalid, Refused
from batch_upload.model import Item, Position, Problem
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, REGISTRATIONS
from batch_upload.records import BoundItem
from batch_upload.registration import RegistrationField

DEFINITIONS_KEPT = timedelta(days=1)
"""How long the ledger is trusted on the fields of a type of registration."""


def definitions_since(now: datetime) -> datetime:
    """Return since when fields must have been read to be trusted."""
    return now - DEFINITIONS_KEPT


def has_bind(prepared: Prepared) -> bool:
    """Return whether any item of a manifest that can be sent has a `bind`."""
    return any(item.bind is not None for item in prepared.items)


def items_to_look_at(prepared: Prepared, selection: Selection, rows: BatchRows) -> list[Item]:
    """Return the items with a `bind` that `--only` chooses. `rows` of these items are needed only with a choice."""
    items = [item for item in prepared.items if item.bind is not None]
    if selection == Selection():
        return items
    return [item for item in items if selection.takes(item.item_id, decide(item, rows).state)]


async def look_at(
    asking: Asking,
    items: Sequence[Item],
    bound: Sequence[BoundItem],
    known_definitions: Mapping[str, Sequence[RegistrationField]],
    *,
    notice: Callable[[str], None],
) -> RegistrationLook:
    """Do the same as `look_at_registrations`, but raise AccessFault where the service refuses to list registrations."""
    try:
        return await look_at_registrations(asking, items, bound, known_definitions, notice=notice)
    except Refused as error:
        raise AccessFault(
            f"the registrations could not be read: {error.message}",
            code=error.code,
            reason=error.reason,
            request_id=error.request_id,
            status=error.status,
            hint="nothing is sent before the fields are checked that attachments are to be put into",
        ) from error


def registration_reads(made: Mapping[str, int]) -> dict[str, int]:
    """Return the calls of a look at registrations by operation. `made`: those of a plan, as far as it made them.

    Without an answer one page of registrations is expected.
    """
    found = {name: made.get(name, 0) for name in (REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES)}
    return {name: count for name, count in found.items() if count} or {REGISTRATIONS: 1}


def without_problems(prepared: Prepared, problems: Sequence[BindProblem]) -> Prepared:
    """Return the same with each item that has a problem among those that cannot be sent, at the place of its `bind`."""
    if not problems:
        return prepared
    by_id = {problem.item_id: problem for problem in problems}
    manifest, unread = str(prepared.manifest.path), []
    for item in prepared.items:
        if (problem := by_id.get(item.item_id)) is not None:
            file, at = prepared.bind_places.get((item.lane_label, item.item_id), (None, Position()))
            found = Problem(file or manifest, at, problem.code, problem.message)
            unread.append((listed_of_item(item, at), found))
    items = tuple(item for item in prepared.items if item.item_id not in by_id)
    both = sorted((*prepared.unread, *unread), key=lambda pair: pair[0].at)
    return replace(prepared, items=items, unread=tuple(both))


def with_all(ready: Sequence[str], prepared: Prepared) -> tuple[str, ...]:
    """Return those of these registrations to which the manifest binds nothing that the run leaves out.

    The run knows of no item with a problem, that `--only` leaves out, or whose file is too young. What an entry with a
    problem binds is not known, so that any registration may lack it.
    """
    left_out = [*(listed for listed, _ in prepared.unread), *prepared.unchosen]
    left_out += [each.listed for each in prepared.young]
    if any(each.is_entry for each in left_out):
        return ()
    lacking = {each.bind.registration for each in left_out if each.bind is not None}
    return tuple(each for each in ready if each not in lacking)


def registrations_invalid(path: Path, problems: Sequence[Problem], *, is_skippable: bool) -> ManifestInvalid:
    """Return the error of problems that only the service tells, and `validate` does not."""
    error = invalid(path, problems)
    error.hint = "correct `bind` in the manifest, or the registration"
    if is_skippable:
        error.hint += "; `--skip-invalid` goes on without what has a problem"
    return error
