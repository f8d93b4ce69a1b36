"""`report`: the items of manifests as their ledgers have them. Makes no request."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from anyio import to_thread

from batch_upload.app.choice import unknown_only
from batch_upload.app.exits import STATE_OF_STATUS
from batch_upload.app.lanes import lane_reader
from batch_upload.app.ledger_alone import refuse_batch
from batch_upload.app.ledger_view import ROWS_A_QUERY, LedgerView, view_lanes, view_ledger
from batch_upload.errors import UsageError
from batch_upload.escape import shell_word
from batch_upload.ledger import is_ledger_file
from batch_upload.ledger_address import LedgerAddress, PostgresUrl, named_address
from batch_upload.model import OPEN, AttachmentStatus, Item, Known, Listed, Problem, State
from batch_upload.ports import ABSENT, DELETING, LedgerReader
from batch_upload.records import UploadedBy
from batch_upload.settings import RunOptions
from batch_upload.targets import id_with_lane


class Fate(StrEnum):
    """What became of what was sent for an item."""

    CURRENT = "current"
    """It is at AWS for the item as it is now; without the manifest, as the ledger has it last."""
    REPLACED = "replaced"
    """It is at AWS, and another document, generation or set of tags has taken its place."""
    ORPHANED = "orphaned"
    """It is at AWS, and the manifest no longer lists it."""
    DUPLICATE = "duplicate"
    """It is at AWS with the token of an item that has another attachment."""
    DELETED = "deleted"
    DELETING = "deleting"
    """AWS was asked to delete it, and the answer is not recorded."""
    MISSING = "missing"
    """AWS no longer finds it."""
    FAILED = "failed"
    """AWS refused it, or could not process it."""
    OPEN = "open"
    """A request was sent, and what it made is not known."""
    NOT_SENT = "not sent"


class InManifest(StrEnum):
    """How a reported row relates to the manifest."""

    LISTED = "listed"
    """It is the row of an item of the manifest."""
    REPLACED = "replaced"
    """Another document, generation or set of tags has taken its place."""
    NO_LONGER_LISTED = "no longer listed"
    """The manifest does not list its id, or no glob matches its file any more."""
    DUPLICATE = "duplicate"
    """It carries the token of an item that has another attachment."""


@dataclass(frozen=True, slots=True)
class ReportedItem:
    """An item and its row in the ledger. `item` is None for what only the ledger has, `known` for what it lacks."""

    item: Item | Listed | None
    """With the content of its file if the ledger has no row and the file can be read."""
    known: Known | None
    in_manifest: InManifest | None
    """None if that is not known, since the manifest was not read."""
    found: LedgerView
    """The lane that it is of."""
    uploader: UploadedBy | None = None
    """Who made its attachment; None without one, and if it was found at the service."""
    problem: Problem | None = None
    """Why it cannot be sent, if nothing of it was sent yet: then its state is `invalid`."""

    @property
    def fate(self) -> Fate:
        """What became of what was sent."""
        known, code = self.known, None
        if known is None:
            return Fate.NOT_SENT
        if known.fault is not None:
            code = known.fault.code
        if self.in_manifest is InManifest.DUPLICATE and known.attachment_status is not AttachmentStatus.DELETED:
            return Fate.DUPLICATE
        if code in FATES_OF_FAULTS:
            return FATES_OF_FAULTS[code]
        if known.attachment_status is AttachmentStatus.DELETED:
            return Fate.DELETED
        if known.state is State.FAILED and not known.is_live:
            return Fate.FAILED
        if known.state in OPEN:
            return Fate.OPEN
        if known.attachment_id is None:
            return Fate.NOT_SENT
        if self.in_manifest is InManifest.NO_LONGER_LISTED:
            return Fate.ORPHANED
        return Fate.CURRENT if known.current else Fate.REPLACED


FATES_OF_FAULTS: Mapping[str | None, Fate] = {
    AttachmentStatus.DELETED.value: Fate.DELETED,
    DELETING: Fate.DELETING,
    ABSENT: Fate.MISSING,
}
"""The fate of an attachment, by the code of the fault in its row."""


async def report(
    manifest: str | LedgerAddress, options: RunOptions | None = None, *, everything: bool = False
) -> list[ReportedItem]:
    """Return each item of a manifest, or of a ledger in its place, with its row in the ledger, in the manifest's order.

    `only_states` and `only_ids` choose. `everything`: then also whatever else was sent for the batch. The ledger is
    read in a thread. Raises UsageError for an id of which there is nothing to report, ManifestInvalid, LedgerUnusable.
    """

    def read() -> list[ReportedItem]:
        return list(report_sync([named_address(manifest)], options or RunOptions(), everything=everything).rows())

    return await to_thread.run_sync(read, abandon_on_cancel=True)


def report_sync(paths: Sequence[LedgerAddress], options: RunOptions, *, everything: bool) -> "Report":
    """Return a report of one manifest or several that reads its rows from the ledgers as it is iterated over.

    Blocking. Raises as `report`, and UsageError for one ledger that is named for several manifests.
    """
    if len(paths) > 1 and options.ledger is not None:
        raise UsageError("`--ledger` is for one manifest", hint="name the ledgers in place of the manifests")
    lanes: list[LedgerView] = []
    for path in paths:
        if isinstance(path, PostgresUrl) or is_ledger_file(path):
            lanes += view_ledger(path, options)
        else:
            refuse_batch(path, options)
            lanes += view_lanes(path, options)
    if may_need_files(options):
        lanes = [found.looked_into() for found in lanes]
    what = "ledger" if lanes[0].is_ledger_alone else "manifest"
    listed = [item for found in lanes for item in found.rows.listed]
    names = {item.item_id for item in listed} | {id_with_lane(item.lane_label, item.item_id) for item in listed}
    unlisted = sorted(options.only_ids - names)
    known: set[str] = set()
    for found in lanes if unlisted else ():
        with lane_reader(found.settings.ledger, found.target) as reader:
            if reader is not None:
                rows = reader.known_of_ids(found.manifest.batch, sorted(found.settings.only_ids))
                known.update(*((row.item_id, id_with_lane(found.target.label, row.item_id)) for row in rows))
    named = " ".join(shell_word(str(path)) for path in paths)
    for item_id in unlisted:
        if item_id not in known:
            raise unknown_only(item_id, [item.item_id for item in listed], what=what)
        if not everything:
            raise UsageError(
                f"the manifest no longer lists `{item_id}`",
                hint=f"`batch-upload report {named} --all --only {shell_word(item_id)}` writes it",
            )
    return Report(lanes, everything=everything)


def may_need_files(options: RunOptions) -> bool:
    """Return whether `--only` may choose an item of which nothing was sent: its file says whether it can be."""
    states = options.only_states
    return not states or bool(options.only_ids) or State.PENDING in states or State.INVALID in states


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one manifest or several, lane by lane. Blocking: not for the thread of an event loop."""

    lanes: Sequence[LedgerView]
    everything: bool
    lane_states: list[Counter[State]] = field(default_factory=list)
    """For each lane the items of the manifest by state, complete at the end of `chosen` or `rows`."""

    @property
    def states(self) -> Counter[State]:
        """The items of all lanes by state."""
        return sum(self.lane_states, Counter())

    def chosen(self) -> Iterator[ReportedItem]:
        """Yield the items that `--only` chooses, all without it."""
        for found in self.lanes:
            yield from self._chosen_of(found)

    def rows(self) -> Iterator[ReportedItem]:
        """Yield the chosen items, those that the ledger does not know with what is in their files.

        With `everything`, yield after those of each lane whatever else was sent there for the batch.
        """
        for found in self.lanes:
            with lane_reader(found.settings.ledger, found.target) as reader:
                rows = self._rows_of(found)
                while some := list(islice(rows, ROWS_A_QUERY)):
                    yield from some if reader is None else with_uploaders(reader, found.manifest.batch, some)

    def _rows_of(self, found: LedgerView) -> Iterator[ReportedItem]:
        written: set[str] = set()
        for each in self._chosen_of(found):
            if each.known is not None:
                written.add(each.known.client_token)
                yield each
            elif isinstance(each.item, Listed):
                yield replace(each, item=found.items.get(each.item.item_id, each.item))
        if self.everything:
            yield from sent_besides(found, written)

    def _chosen_of(self, found: LedgerView) -> Iterator[ReportedItem]:
        states = Counter[State]()
        self.lane_states.append(states)
        told: set[str] = set()
        for place, (listed, shown) in enumerate(found.rows.shown()):
            known = shown
            if listed.item_id in found.problems:  # of an id that is used twice only the first can have the row
                known = None if listed.item_id in told else shown
                told.add(listed.item_id)
            state = found.state_of(listed, known)
            states[state] += 1
            if found.selection.takes(listed.item_id, state):
                how = InManifest.LISTED if found.is_listed(place) else InManifest.NO_LONGER_LISTED
                problem = found.problems.get(listed.item_id) if state is State.INVALID else None
                yield ReportedItem(listed, known, None if found.is_ledger_alone else how, found, problem=problem)


def with_uploaders(reader: LedgerReader, batch: str, rows: Sequence[ReportedItem]) -> Iterator[ReportedItem]:
    """Yield the rows of a lane with who made their attachments."""
    ids = {row.known.item_id for row in rows if row.known is not None and row.known.attachment_id is not None}
    found = reader.uploaders(batch, sorted(ids)) if ids else {}
    for row in rows:
        uploader = None if row.known is None else found.get(row.known.attachment_id or "")
        yield row if uploader is None else replace(row, uploader=uploader)


def sent_besides(found: LedgerView, written: Set[str]) -> Iterator[ReportedItem]:
    """Yield what was sent in a lane for the batch under other tokens than those that are `written`."""
    with lane_reader(found.settings.ledger, found.target) as reader:
        if reader is None:
            return
        known, strangers = reader.known(found.manifest.batch), reader.strangers()
    ids = {item.item_id for item in found.rows.listed}
    takes = found.selection.takes
    for row in known:
        was_sent = row.attachment_id is not None or row.attempts > 0
        if was_sent and row.client_token not in written and takes(row.item_id, row.state):
            is_unlisted = row.current and row.item_id not in ids
            how = InManifest.NO_LONGER_LISTED if is_unlisted else InManifest.REPLACED
            yield ReportedItem(None, row, how, found)
    by_token = {row.client_token: row for row in known if row.attachment_id is not None}
    for stranger in strangers:
        owner, state = by_token.get(stranger.identity_tag or ""), STATE_OF_STATUS[stranger.attachment.status]
        if owner is not None and takes(owner.item_id, state):
            # the request that made a second attachment with the same token is not known
            second = owner._replace(
                state=state,
                attachment_id=stranger.attachment.attachment_id,
                attachment_arn=stranger.attachment.attachment_arn,
                attachment_status=stranger.attachment.status,
                fault=None,
                bind=None,
                bind_state=None,
                bound_version=None,
                denial=None,
                attempts=0,
                request_id=None,
                first_sent_at=None,
                completed_at=None,
            )
            yield ReportedItem(None, second, InManifest.DUPLICATE, found)
