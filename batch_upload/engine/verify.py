"""Verifying: compare the ledger with what the service lists. Nothing is changed, here or there."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from batch_upload.engine.fields import Misplaced
from batch_upload.engine.groups import for_each
from batch_upload.engine.identity import READERS, carriers, tags_of
from batch_upload.engine.listing import Asking, Listing, Progress, describe_found, still_there
from batch_upload.engine.rows import BatchRows, carried_tries, is_absent, is_half_retagged, row_of, tags_at_service
from batch_upload.engine.settle import is_old
from batch_upload.model import OPEN, Attachment, AttachmentStatus, Item, Known, State
from batch_upload.token import IDENTITY_TAG

NOTHING_READ: Mapping[str, Mapping[str, str] | None] = MappingProxyType({})
"""No tags of any attachment."""


class FindingKind(StrEnum):
    """Where service and ledger differ, or where the one or the other has not finished."""

    MISSING = "missing"
    """The ledger says it stands, the service does not know it."""
    NOT_YET = "not_yet"
    """The ledger says it stands, the service does not find it, and it was created less than a horizon ago."""
    FAILED = "failed"
    """The ledger says it stands, the service failed it."""
    DELETED = "deleted"
    """The ledger says it stands, the service says it was deleted."""
    UNRECORDED = "unrecorded"
    """The service holds it with the token of an item, the ledger does not know it."""
    DUPLICATE = "duplicate"
    """It carries the token of an item that has another attachment."""
    UNKNOWN = "unknown"
    """Sent, and no way to prove whether it was made."""
    OPEN = "open"
    """Sent, its outcome is not in the ledger yet: `upload` and `reconcile` take it up."""
    IN_PROGRESS = "in_progress"
    """Created, the service is still at work on it."""
    IDENTITY = "identity"
    """It carries another identity tag than the ledger says, or none."""
    TAGS = "tags"
    """A tag that was sent with it is gone, or has another value."""
    NOT_BOUND = "not_bound"
    """The ledger says that it is in a field of a registration, and the field holds another attachment, or none."""
    NEW_VERSION = "new_version"
    """It is in a field of an earlier version of its registration: the next `upload` binds it again."""
    DISPLACED = "displaced"
    """Another item's attachment was put into its field since: the next `upload` puts it back."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A tag whose value the ledger and the service differ on; None where the one or the other has no such tag."""

    key: str
    ledger: str | None
    service: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `attachment_id`, `status` and `attachment_arn` are the service's, None where it has nothing to say.

    `differences` are of IDENTITY and TAGS alone, `misplaced` of NOT_BOUND, NEW_VERSION and DISPLACED.
    """

    kind: FindingKind
    item_id: str
    client_token: str
    attachment_id: str | None = None
    status: AttachmentStatus | None = None
    attachment_arn: str | None = None
    differences: tuple[Difference, ...] = ()
    misplaced: Misplaced | None = None


@dataclass(frozen=True, slots=True)
class LaneComparison:
    """How ledger and lane compare.

    `listed` counts the attachments at the service, `strangers` those of them that no item has. `agreeing` counts the
    attachments of which both say the same, `finished` those that the ledger still waits for and the service is done
    with, `tags_compared` those of the ledger whose tags were read.
    """

    findings: tuple[Finding, ...]
    listed: int
    strangers: int
    agreeing: int
    finished: int
    tags_compared: int = 0

    @property
    def counts(self) -> Counter[FindingKind]:
        """Findings by kind."""
        return Counter(finding.kind for finding in self.findings)

    @staticmethod
    def of_all(lanes: Sequence["LaneComparison"]) -> "LaneComparison":
        """Return the findings and sums of several lanes; of none, a comparison without anything."""
        return LaneComparison(
            tuple(finding for lane in lanes for finding in lane.findings),
            listed=sum(lane.listed for lane in lanes),
            strangers=sum(lane.strangers for lane in lanes),
            agreeing=sum(lane.agreeing for lane in lanes),
            finished=sum(lane.finished for lane in lanes),
            tags_compared=sum(lane.tags_compared for lane in lanes),
        )


def standing(items: Sequence[Item], batch_rows: BatchRows) -> list[Known]:
    """Return the rows to compare with what the service holds: the manifest's items', and every other current one."""
    rows = {row.client_token: row for row in (row_of(item, batch_rows) for item in items) if row is not None}
    rows.update((row.client_token, row) for row in batch_rows.current.values())
    return list(rows.values())


def unlisted(rows: Sequence[Known], listing: Listing) -> list[str]:
    """Return the attachments that the ledger says stand, and that a listing does not hold."""
    listed = {attachment.attachment_id for attachment in listing.attachments}
    wanted = (row.attachment_id for row in rows if row.is_live)
    return [attachment_id for attachment_id in wanted if attachment_id is not None and attachment_id not in listed]


async def with_latecomers(context: Asking, listing: Listing, ids: Sequence[str]) -> Listing:
    """Return the listing, and those of these attachments that the service knows all the same.

    Pages are of several moments: what is made or moved while they are turned may stand on none.
    """
    found = await describe_found(context, ids)
    return replace(listing, attachments=(*listing.attachments, *found)) if found else listing


def young_of(rows: Iterable[Known], *, now: datetime, horizon_s: float) -> frozenset[str]:
    """Return the tokens of these rows whose attachments are so new that not to find them says nothing."""
    return frozenset(row.client_token for row in rows if not is_old(row, now=now, horizon_s=horizon_s))


async def read_tags(
    context: Asking, attachments: Sequence[Attachment], progress: Progress
) -> dict[str, Mapping[str, str] | None]:
    """Read the tags of these attachments, by id; None where the service does not find them. Writes nothing."""
    tags: dict[str, Mapping[str, str] | None] = {}

    async def read(attachment: Attachment) -> None:
        tags[attachment.attachment_id] = await tags_of(context, attachment.attachment_arn)
        progress.one_read(attachment)

    progress.begin_reading(len(attachments))
    await for_each(attachments, read, at_once=READERS)
    return tags


def tokens_with(
    known: Mapping[str, str | None], tags: Mapping[str, Mapping[str, str] | None], rows: Iterable[Known]
) -> dict[str, str | None]:
    """Return the token of every attachment by id: what its tags say, or what the ledger knows, `known`.

    An attachment that the ledger has for one of `rows` keeps the token of that, whatever its tags say.
    """
    read = {attachment_id: (found or {}).get(IDENTITY_TAG) for attachment_id, found in tags.items()}
    ours = {row.attachment_id: row.client_token for row in rows if row.attachment_id is not None}
    return {**known, **read, **ours}


def compare_with_lane(
    items: Sequence[Item],
    batch_rows: BatchRows,
    listing: Listing,
    tokens: Mapping[str, str | None],
    *,
    young: Collection[str] = (),
    tags: Mapping[str, Mapping[str, str] | None] = NOTHING_READ,
    misplaced: Sequence[Misplaced] = (),
) -> LaneComparison:
    """Hold what the ledger knows of a batch against a listing. Pure.

    `tokens` are of every attachment that is there, `young` those whose attachments may not be there yet, `tags` are
    what was read of attachments, by id, `misplaced` is what `find_misplaced` has found. Findings come in the order of
    the manifest, then of the ledger.
    """
    by_id = {attachment.attachment_id: attachment for attachment in listing.attachments}
    by_token = carriers(listing, tokens)
    rows = standing(items, batch_rows)
    ids = {token: row.item_id for token, row in batch_rows.by_token.items()}
    ids |= {each.client_token: each.item_id for each in (*items, *carried_tries(items, by_token, batch_rows))}
    findings = [finding for row in rows for finding in _of_row(row, by_id, by_token, young)]
    for token, item_id in ids.items():
        findings.extend(_of_carriers(item_id, token, by_token.get(token, ()), batch_rows.by_token.get(token)))
    there = still_there(listing).attachments
    ours = {each.attachment_id: each for each in there if each.attachment_id in tags}
    compared = [row for row in batch_rows.by_token.values() if row.is_live and row.attachment_id in ours]
    differing = [
        finding
        for row in compared
        for finding in _of_tags(
            row, ours[row.attachment_id or ""], tags, batch_rows, is_young=row.client_token in young
        )
    ]
    differing += [_of_misplaced(each) for each in misplaced]
    wrong = {finding.attachment_id for finding in differing}
    places = {item.item_id: place for place, item in enumerate(items)}
    complete = {each.attachment_id for each in listing.attachments if each.status is AttachmentStatus.COMPLETE}
    done = [row for row in rows if row.attachment_id in complete]
    return LaneComparison(
        findings=tuple(sorted((*findings, *differing), key=lambda each: places.get(each.item_id, len(places)))),
        listed=len(there),
        strangers=sum(tokens.get(each.attachment_id) not in ids for each in there),
        agreeing=sum(
            row.is_live and row.state is not State.PROCESSING and row.attachment_id not in wrong for row in done
        ),
        finished=sum(row.state is State.PROCESSING for row in done),
        tags_compared=len(compared),
    )


def _of_tags(
    row: Known,
    attachment: Attachment,
    tags: Mapping[str, Mapping[str, str] | None],
    batch_rows: BatchRows,
    *,
    is_young: bool,
) -> Iterator[Finding]:
    """Return the findings on the tags of an attachment. Tags that this tool never sent are the user's own.

    While tags are being changed, the old or the new ones may be there, and neither is a finding.
    """
    if is_half_retagged(row, batch_rows.current.get(row.item_id)):
        return
    found = tags[attachment.attachment_id] or {}
    if not found and is_young:
        yield _finding(FindingKind.NOT_YET, row.item_id, row.client_token, attachment)
        return
    wanted = tags_at_service(row.tags, row.client_token, identity_tag=row.identity_tag)
    differences = [Difference(key, value, found.get(key)) for key, value in wanted.items() if found.get(key) != value]
    if IDENTITY_TAG not in wanted and found.get(IDENTITY_TAG, row.client_token) != row.client_token:
        differences.append(Difference(IDENTITY_TAG, None, found[IDENTITY_TAG]))
    for kind, is_of_kind in ((FindingKind.IDENTITY, True), (FindingKind.TAGS, False)):
        chosen = tuple(each for each in differences if (each.key == IDENTITY_TAG) is is_of_kind)
        if chosen:
            yield replace(_finding(kind, row.item_id, row.client_token, attachment), differences=chosen)


_SAID = {
    AttachmentStatus.DELETED: FindingKind.DELETED,
    AttachmentStatus.FAILED: FindingKind.FAILED,
    AttachmentStatus.IN_PROGRESS: FindingKind.IN_PROGRESS,
}


def _of_row(
    row: Known,
    by_id: Mapping[str, Attachment],
    by_token: Mapping[str, Sequence[Attachment]],
    young: Collection[str],
) -> Iterator[Finding]:
    """What is to be said of an item by its own row."""
    if row.state is State.UNKNOWN:
        yield Finding(FindingKind.UNKNOWN, row.item_id, row.client_token)
    elif row.state is State.SENDING:
        found = next(iter(by_token.get(row.client_token, ())), None)
        yield _finding(FindingKind.OPEN, row.item_id, row.client_token, found)
    elif row.is_live and row.attachment_id is not None:
        attachment = by_id.get(row.attachment_id)
        if attachment is None:
            kind = FindingKind.NOT_YET if row.client_token in young else FindingKind.MISSING
            yield Finding(kind, row.item_id, row.client_token, row.attachment_id)
        elif attachment.status in _SAID:
            yield _finding(_SAID[attachment.status], row.item_id, row.client_token, attachment)


def _of_carriers(item_id: str, token: str, found: Sequence[Attachment], row: Known | None) -> Iterator[Finding]:
    """What is to be said of the attachments that carry a token, oldest first."""
    if not found:
        return
    kept = recorded(found, row)
    if kept is None and row is not None and row.state in OPEN:
        kept = found[0]
    if kept is None:
        kept = found[0]
        yield _finding(FindingKind.UNRECORDED, item_id, token, kept)
    for other in found:
        if other is not kept:
            yield _finding(FindingKind.DUPLICATE, item_id, token, other)


def recorded(found: Sequence[Attachment], row: Known | None) -> Attachment | None:
    """Return which of the attachments that carry a token the ledger has for it, as live or as the failure it is."""
    if row is None or row.attachment_id is None:
        return None
    own = next((each for each in found if each.attachment_id == row.attachment_id), None)
    if own is None or (not row.is_live and (is_absent(row) or row.attachment_status is not own.status)):
        return None
    return own


def _of_misplaced(misplaced: Misplaced) -> Finding:
    kind = FindingKind.NOT_BOUND
    if misplaced.new_version is not None:
        kind = FindingKind.NEW_VERSION
    elif misplaced.is_displaced:
        kind = FindingKind.DISPLACED
    bound = misplaced.bound
    return Finding(kind, bound.item_id, bound.client_token, bound.attachment_id, misplaced=misplaced)


def _finding(kind: FindingKind, item_id: str, token: str, attachment: Attachment | None) -> Finding:
    if attachment is None:
        return Finding(kind, item_id, token)
    return Finding(kind, item_id, token, attachment.attachment_id, attachment.status, attachment.attachment_arn)
