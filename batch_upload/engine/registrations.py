"""What the service says of the registrations that attachments are to be bound to. Writes nothing but `record_look`.

One listing tells the version, the status and the last denial of every registration. The fields of a registration are
asked for only where a denial was not read yet, and the form of a type only where the ledger does not remember it.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import get_close_matches

from batch_upload.engine.binding import place
from batch_upload.engine.context import LaneContext
from batch_upload.engine.listing import IDS_A_CALL, NOT_FOUND, Asking
from batch_upload.engine.retry import CONVENIENCE, NOT_ALLOWED
from batch_upload.engine.rows import with_retry
from batch_upload.errors import AccessFault, Refused, Transient
from batch_upload.escape import quoted
from batch_upload.model import Item
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, REGISTRATIONS
from batch_upload.records import BoundItem
from batch_upload.registration import Denial, FieldContent, Registration, RegistrationField
from batch_upload.token import RETRIES_MAX
from batch_upload.words import denial_words

FIELDS_A_CALL = 5
"""Fields of which one call tells what they hold (botocore 1.43.117, `DescribeRegistrationFieldValues`)."""
FIELDS_NAMED = 5
"""How many fields for attachments a message names."""
BIND_FIELD = "bind-field"
"""Code of a problem of a form: it has no such field, or one that takes no attachment."""
GONE = frozenset({"CLOSED", "DELETED"})
"""Statuses of a registration whose fields can never be changed again."""


@dataclass(frozen=True, slots=True)
class BindProblem:
    """Why an item cannot be bound as the manifest says. `code`: `bind-registration` or `bind-field`."""

    item_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RegistrationLook:
    """What a look at the registrations of some items has found."""

    registrations: Mapping[str, Registration] = field(default_factory=dict)
    """By id. Without those that were not found."""
    stale: Sequence[BoundItem] = ()
    """What was bound in a version that is no longer the current one, and that the manifest still binds there."""
    denials: Sequence[tuple[BoundItem, Denial]] = ()
    """Denials that were read now. Both texts are empty if the reviewer said nothing of the field."""
    problems: Sequence[BindProblem] = ()
    """In the order of the items."""
    read: Mapping[str, Sequence[RegistrationField]] = field(default_factory=dict)
    """The fields of the types of registration that were asked for now."""


async def look_at_registrations(
    asking: Asking,
    items: Sequence[Item],
    bound: Sequence[BoundItem],
    known_definitions: Mapping[str, Sequence[RegistrationField]],
    *,
    notice: Callable[[str], None],
) -> RegistrationLook:
    """Look at the registrations that these items are to be bound to. Without a `bind` nothing is asked.

    `bound`: what is in its field as far as the ledger knows; `known_definitions`: the fields of types that need not be
    asked for. Raises as `Wire.call`. A denial or a form that cannot be read ends nothing: `notice` is told.
    """
    wanted = {item.bind.registration for item in items if item.bind is not None}
    if not wanted:
        return RegistrationLook()
    found = await find_registrations(asking, wanted)
    in_field = _in_field(items, bound)
    stale = [each for each in in_field.values() if _version(found, each) > each.version]
    settled = in_field.keys() - {each.item_id for each in stale}
    left = [item for item in items if item.bind is not None and item.item_id not in settled]
    denials = await _read_denials(asking, [*in_field.values()], found, notice)
    registrations = (found.get(item.bind.registration) for item in left if item.bind is not None)
    types = {each.type for each in registrations if each is not None and each.status not in GONE}
    read = await _read_definitions(asking, types - known_definitions.keys(), notice)
    definitions = {**known_definitions, **read}
    problems = _problems(left, found, definitions)
    if doubtful := _types_with_problems(problems, items, found) - read.keys():  # AWS may have changed the form since
        read |= await _read_definitions(asking, doubtful, notice)
        certain = {kind: fields for kind, fields in definitions.items() if kind not in doubtful}
        problems = _problems(left, found, {**certain, **read})
    return RegistrationLook(found, tuple(stale), tuple(denials), tuple(problems), read)


async def record_look(context: LaneContext, look: RegistrationLook) -> None:
    """Record what a look has found: what is to be bound again, what reviewers said, the forms. Raises as the ledger."""
    ledger, now = context.ledger, context.now()
    if look.stale:
        await ledger.rebind([each.client_token for each in look.stale], at=now)
    for bound, denial in look.denials:
        await ledger.deny(bound.client_token, denial, at=now)
    for message in denial_notices(look):
        context.notice(message, is_urgent=True)
    if look.read:
        await ledger.remember_field_definitions(look.read, at=now)


def denial_notices(look: RegistrationLook) -> list[str]:
    """Return what people should know of denials: what was said of each attachment, which registrations were denied
    without a word about one, and what goes into a new version as it was denied."""
    told = [(bound, denial) for bound, denial in look.denials if denial.reason or denial.feedback]
    notices = [f"{quoted(bound.item_id)} → {bound.bind.words}: {denial_words(denial)}" for bound, denial in told]
    with_words = {bound.bind.registration for bound, _ in told}
    versions = {bound.bind.registration: denial.version for bound, denial in look.denials}
    for registration_id in sorted(versions.keys() - with_words):
        denied = f"{quoted(registration_id)} was denied (version {versions[registration_id]})"
        notices.append(f"{denied}; nothing was said of its attachments")
    read_now = {bound.client_token for bound, _ in look.denials}
    unchanged: dict[str, list[str]] = {}
    for each in look.stale:
        is_denied = each.client_token in read_now or (each.denied_version or 0) >= each.version
        if is_denied:
            unchanged.setdefault(each.bind.registration, []).append(each.item_id)
    for registration_id, ids in unchanged.items():
        names = ", ".join(map(quoted, ids[:FIELDS_NAMED])) + (" …" if len(ids) > FIELDS_NAMED else "")
        notices.append(f"{quoted(registration_id)} has a new version, and gets again what was denied: {names}")
    return notices


async def find_registrations(asking: Asking, wanted: Set[str]) -> dict[str, Registration]:
    """Return those of these registrations that the service finds, by id. Raises as `Wire.call`.

    The pages of a listing may shift while they are read, so what none of them showed is asked for by id.
    """
    found: dict[str, Registration] = {}
    token: str | None = None
    tokens: set[str] = set()
    while not wanted <= found.keys():
        try:
            page = await asking.wire.call(REGISTRATIONS, lambda at=token: asking.service.registrations(at))  # type: ignore[misc]
        except Refused:
            if token is None:
                raise
            break  # a page token that has expired
        found |= {each.registration_id: each for each in page.registrations if each.registration_id in wanted}
        token = page.next_token
        if token is None or token in tokens:
            break
        tokens.add(token)
    missing = sorted(wanted - found.keys())
    for start in range(0, len(missing), IDS_A_CALL):
        found |= await registrations_by_id(asking, missing[start : start + IDS_A_CALL])
    return found


async def registrations_by_id(asking: Asking, ids: Sequence[str]) -> dict[str, Registration]:
    """Return those of 1 to 5 registrations that the service finds, by id. Raises as `Wire.call`.

    One that it does not find refuses the whole call; it is left out, and the others are asked for again.
    """
    try:
        page = await asking.wire.call(REGISTRATIONS, lambda: asking.service.registrations(None, ids=ids))
    except Refused as error:
        if error.code != NOT_FOUND:
            raise
        missing = error.resource_id
    else:
        return {each.registration_id: each for each in page.registrations}
    if len(ids) == 1:
        return {}
    if missing in ids:
        return await registrations_by_id(asking, [each for each in ids if each != missing])
    return {key: one for each in ids for key, one in (await registrations_by_id(asking, [each])).items()}


async def read_fields(
    asking: Asking, registration_id: str, fields: Sequence[str], *, version: int | None = None
) -> dict[str, FieldContent]:
    """Return what these fields of a version hold, the current one if None, by path; five a call.

    A field that holds nothing is left out. Raises as `Wire.call`.
    """
    found: dict[str, FieldContent] = {}
    for start in range(0, len(fields), FIELDS_A_CALL):
        asked = fields[start : start + FIELDS_A_CALL]
        contents = await asking.wire.call(
            FIELD_VALUES,
            lambda asked=asked: asking.service.field_contents(registration_id, asked, version=version),  # type: ignore[misc]
        )
        found |= {each.path: each for each in contents}
    return found


def _in_field(items: Sequence[Item], bound: Sequence[BoundItem]) -> dict[str, BoundItem]:
    """Return, by item id, what is bound as the manifest wants it: the item's very attachment, or that of a retry."""
    by_id = {each.item_id: each for each in bound}
    found: dict[str, BoundItem] = {}
    for item in items:
        each = by_id.get(item.item_id)
        if each is None or each.bind != item.bind:
            continue
        if each.client_token == item.client_token or any(
            each.client_token == with_retry(item, retry).client_token for retry in range(1, RETRIES_MAX + 1)
        ):
            found[item.item_id] = each
    return found


def _version(found: Mapping[str, Registration], bound: BoundItem) -> int:
    registration = found.get(bound.bind.registration)
    return 0 if registration is None else registration.version


async def _read_denials(
    asking: Asking, bound: Sequence[BoundItem], found: Mapping[str, Registration], notice: Callable[[str], None]
) -> list[tuple[BoundItem, Denial]]:
    """Read what reviewers said of attachments, of denials that the ledger does not have yet."""
    unread: dict[tuple[str, int], list[BoundItem]] = {}
    for each in bound:
        registration = found.get(each.bind.registration)
        denied = None if registration is None else registration.denied_version
        if denied is not None and denied >= each.version and denied != each.denied_version:
            unread.setdefault((each.bind.registration, denied), []).append(each)
    denials: list[tuple[BoundItem, Denial]] = []
    for (registration_id, version), denied_items in unread.items():
        fields = [each.bind.field for each in denied_items]
        try:
            contents = await read_fields(asking, registration_id, fields, version=version)
        except (Refused, Transient, AccessFault) as error:
            if isinstance(error, AccessFault) and error.code not in NOT_ALLOWED:
                raise
            notice(f"the denial of `{registration_id}` (version {version}) could not be read: {error.message}")
            if isinstance(error, AccessFault):
                break  # the permission is missing for all of them
            continue
        denials += [(each, _denial(each, version, contents.get(each.bind.field))) for each in denied_items]
    return denials


def _denial(bound: BoundItem, version: int, content: FieldContent | None) -> Denial:
    """Return what was said of a field, if it held this attachment in the version that was denied."""
    if content is None or content.attachment_id not in (None, bound.attachment_id):
        return Denial(version, "", "")
    return Denial(version, content.denied_reason or "", content.feedback or "")


async def _read_definitions(
    asking: Asking, types: Set[str], notice: Callable[[str], None]
) -> dict[str, tuple[RegistrationField, ...]]:
    """Return the fields of these types of registration. A form that cannot be read is left out, and not checked."""
    read: dict[str, tuple[RegistrationField, ...]] = {}
    for each in sorted(types):
        fields: list[RegistrationField] = []
        token: str | None = None
        tokens: set[str] = set()
        try:
            while True:
                page = await asking.wire.call(
                    FIELD_DEFINITIONS,
                    lambda kind=each, at=token: asking.service.field_definitions(kind, at),  # type: ignore[misc]
                    policy=CONVENIENCE,
                )
                fields += page.fields
                token = page.next_token
                if token is None or token in tokens:
                    break
                tokens.add(token)
        except (Refused, Transient) as error:
            notice(f"the fields of a {each} could not be read, and are not checked: {error.message}")
            continue
        read[each] = tuple(dict.fromkeys(fields))
    return read


def _problems(
    items: Sequence[Item], found: Mapping[str, Registration], definitions: Mapping[str, Sequence[RegistrationField]]
) -> list[BindProblem]:
    return [problem for item in items if (problem := _problem(item, found, definitions)) is not None]


def _types_with_problems(
    problems: Sequence[BindProblem], items: Sequence[Item], found: Mapping[str, Registration]
) -> set[str]:
    """Return the types of registration whose form is the reason of a problem."""
    binds = {item.item_id: item.bind for item in items if item.bind is not None}
    return {found[binds[each.item_id].registration].type for each in problems if each.code == BIND_FIELD}


def _problem(
    item: Item, found: Mapping[str, Registration], definitions: Mapping[str, Sequence[RegistrationField]]
) -> BindProblem | None:
    """Return why an item cannot be bound, or None. A registration under review is no problem: it will be decided."""
    if item.bind is None:
        return None
    registration = found.get(item.bind.registration)
    if registration is None:
        message = f"registration `{item.bind.registration}` does not exist in this account and Region"
        return BindProblem(item.item_id, "bind-registration", message)
    if registration.status in GONE:
        was = "was deleted" if registration.status == "DELETED" else "is closed"
        message = f"registration `{item.bind.registration}` {was}: nothing can be put into its fields any more"
        return BindProblem(item.item_id, "bind-registration", message)
    fields = definitions.get(registration.type)
    if fields is None:
        return None
    defined = next((each for each in fields if each.path == item.bind.field), None)
    if defined is not None and defined.takes_attachment:
        return None
    takers = [each.path for each in fields if each.takes_attachment]
    if defined is not None:
        kind = defined.kind.lower()
        message = f"{place(item.bind)} takes no attachment ({kind} field of a {registration.type}){_instead(takers)}"
        return BindProblem(item.item_id, BIND_FIELD, message)
    message = f"`{registration.registration_id}` is a {registration.type}, which has no field `{item.bind.field}`"
    close = _closest_field(item.bind.field, takers)
    meant = f": did you mean `{close}`?" if close is not None else _instead(takers)
    return BindProblem(item.item_id, BIND_FIELD, message + meant)


def _closest_field(wanted: str, paths: Sequence[str]) -> str | None:
    """Return the path that was probably meant. Case and the part before the last dot are often left out or wrong."""
    folded = {path.lower(): path for path in paths}
    close = get_close_matches(wanted.lower(), folded, n=1, cutoff=0.7)
    if close:
        return folded[close[0]]
    by_name = {path.lower().rpartition(".")[2]: path for path in paths}
    close = get_close_matches(wanted.lower().rpartition(".")[2], by_name, n=1, cutoff=0.8)
    return by_name[close[0]] if close else None


def _instead(paths: Sequence[str]) -> str:
    """Return which fields take attachments, as the end of a message."""
    if not paths:
        return "; no field of it takes one"
    named = ", ".join(f"`{each}`" for each in paths[:FIELDS_NAMED])
    rest = len(paths) - FIELDS_NAMED
    return f"; attachments go into {named}" + (f" and {rest} more" if rest > 0 else "")
