"""`report`: the items of a manifest as the ledger has them, for others to read. Contacts no service."""

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from anyio import to_thread

from batch_upload.app.items import look_into, unknown_only
from batch_upload.app.ledger_view import LedgerView, view_ledger
from batch_upload.documents.refusals import Refusal
from batch_upload.engine.rows import state_of_row
from batch_upload.errors import UsageError
from batch_upload.escape import shell_word
from batch_upload.ledger import find_reader
from batch_upload.model import OPEN, Attachment, AttachmentStatus, Item, Known, Listed, State
from batch_upload.settings import RunOptions

STATE_OF_STATUS = {
    AttachmentStatus.IN_PROGRESS: State.PROCESSING,
    AttachmentStatus.COMPLETE: State.COMPLETE,
    AttachmentStatus.FAILED: State.FAILED,
    AttachmentStatus.DELETED: State.FAILED,
}
"""The state that an attachment without an item is reported in, by its status at the service."""


class InManifest(StrEnum):
    """What the manifest says of a reported row."""

    LISTED = "listed"
    """It is reported of an item of the manifest."""
    REPLACED = "replaced"
    """Another document, generation or set of tags has taken its place."""
    NO_LONGER_LISTED = "no longer listed"
    """The manifest does not list its id, or no glob matches its file any more."""
    DUPLICATE = "duplicate"
    """It carries the token of an item that has another attachment."""


@dataclass(frozen=True, slots=True)
class ReportedItem:
    """An item and its row in the ledger. `item` is None for what only the ledger has, `known` for what it has not."""

    item: Item | Listed | None
    """With what is in its file where the ledger has no row and the file can be read."""
    known: Known | None
    in_manifest: InManifest


async def report(
    manifest: str | Path, options: RunOptions | None = None, *, everything: bool = False
) -> list[ReportedItem]:
    """Return each item of a manifest with its row in the ledger, in the manifest's order.

    `only_states` and `only_ids` choose. `everything`: then also whatever else was created for the batch. The ledger is
    read in a thread. Raises UsageError for an id of which there is nothing to report, ManifestInvalid, LedgerUnusable.
    """

    def read() -> list[ReportedItem]:
        return list(report_sync(Path(manifest), options or RunOptions(), everything=everything).rows())

    return await to_thread.run_sync(read, abandon_on_cancel=True)


def report_sync(path: Path, options: RunOptions, *, everything: bool) -> "Report":
    """Return a report that reads its rows from the ledger as it is gone through. Blocking. Raises as `report`."""
    found = view_ledger(path, options)
    _check_ids(found, everything=everything)
    return Report(found, everything=everything)


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported of a manifest. Blocking: not for the thread of an event loop."""

    found: LedgerView
    everything: bool
    states: Counter[State] = field(default_factory=Counter)
    """Counts the items of the manifest by state, complete once `chosen` or `rows` was gone through."""

    def chosen(self) -> Iterator[ReportedItem]:
        """Yield the items that `--only` chooses, all without it. No file is opened."""
        for place, (listed, known) in enumerate(self.found.rows.shown()):
            state = state_of_row(known)
            self.states[state] += 1
            if self.found.selection.takes(listed.item_id, state):
                is_listed = self.found.is_listed(place)
                yield ReportedItem(listed, known, InManifest.LISTED if is_listed else InManifest.NO_LONGER_LISTED)

    def rows(self) -> Iterator[ReportedItem]:
        """Yield the chosen items, those that the ledger does not know with a look into their files.

        With `everything`, yield then whatever else was created for the batch.
        """
        written: set[str] = set()
        for each in self.chosen():
            if each.known is not None:
                written.add(each.known.client_token)
                yield each
            elif isinstance(each.item, Listed):
                item = look_into(each.item, self.found.settings, self.found.manifest.folder)
                yield each if isinstance(item, Refusal) else replace(each, item=item)
        if self.everything:
            yield from self._others(written)

    def _others(self, written: Set[str]) -> Iterator[ReportedItem]:
        reader = find_reader(self.found.settings.ledger)
        if reader is None:
            return
        with reader:
            known, strangers = reader.known(self.found.manifest.batch), reader.strangers()
        ids = {item.item_id for item in self.found.rows.listed}
        takes = self.found.selection.takes
        for row in known:
            is_created = row.attachment_id is not None or row.state in OPEN
            if is_created and row.client_token not in written and takes(row.item_id, row.state):
                is_unlisted = row.current and row.item_id not in ids
                yield ReportedItem(None, row, InManifest.NO_LONGER_LISTED if is_unlisted else InManifest.REPLACED)
        by_token = {row.client_token: row for row in known if row.attachment_id is not None}
        for each in strangers:
            owner = by_token.get(each.identity_tag or "")
            if owner is not None and takes(owner.item_id, STATE_OF_STATUS[each.attachment.status]):
                yield ReportedItem(None, _second_of(owner, each.attachment), InManifest.DUPLICATE)


def _second_of(owner: Known, attachment: Attachment) -> Known:
    """Return a row for an attachment that carries the token of another. The request that made it is not known."""
    return owner._replace(
        state=STATE_OF_STATUS[attachment.status],
        attachment_id=attachment.attachment_id,
        attachment_arn=attachment.attachment_arn,
        attachment_status=attachment.status,
        fault=None,
        attempts=0,
        request_id=None,
        first_sent_at=None,
        completed_at=None,
    )


def _check_ids(found: LedgerView, *, everything: bool) -> None:
    """Raise UsageError where `--only` names an id of which there is nothing to report."""
    strange = sorted(found.settings.only_ids - {item.item_id for item in found.rows.listed})
    if not strange:
        return
    reader = find_reader(found.settings.ledger)
    known: set[str] = set()
    if reader is not None:
        with reader:
            known = {row.item_id for row in reader.known_of_ids(found.manifest.batch, strange)}
    for item_id in strange:
        if item_id not in known:
            raise unknown_only(item_id, [item.item_id for item in found.rows.listed])
        if not everything:
            raise UsageError(
                f"the manifest no longer lists `{item_id}`",
                hint=f"`batch-upload report {found.manifest.path} --all --only {shell_word(item_id)}` writes it",
            )
