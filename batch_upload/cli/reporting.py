"""What `report` does."""

from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TextIO

from batch_upload.app.items import item_of, unknown_only
from batch_upload.cli.files import is_standard_output, output_file, place_of, refuse_own_files, standard_output
from batch_upload.cli.flags import Flags
from batch_upload.cli.formats import Format
from batch_upload.cli.output import Ended, Output
from batch_upload.cli.own_files import STANDARD_ERROR, STANDARD_OUTPUT, documents, run_files
from batch_upload.cli.recorded import Recorded, recorded, summary_of
from batch_upload.clock import counting_s
from batch_upload.documents.inspect import inspect
from batch_upload.documents.refusals import Refusal
from batch_upload.engine.plan import OPEN
from batch_upload.engine.states import state_of_row
from batch_upload.errors import UsageError
from batch_upload.escape import shell_word
from batch_upload.ledger.reading import find_reader
from batch_upload.model import Attachment, AttachmentStatus, Known, Listed, State
from batch_upload.report.completion import (
    IN_MANIFEST,
    InManifest,
    ReportRow,
    row_of,
    row_of_known,
    write_csv,
    write_jsonl,
)
from batch_upload.report.rerun_manifest import write_manifest
from batch_upload.words import count_words


def reported(path: Path, flags: Flags, output: Output, *, form: Format, out: Path | None, everything: bool) -> Ended:
    """Write the report; `everything` as by `--all`.

    Raises UsageError and OutputUnwritable as `output_file`, OSError as standard output fails.
    """
    started = counting_s()
    if everything and form not in (Format.CSV, Format.JSONL):
        raise UsageError(f"`--all` does not go with `--format {form}`", hint="it goes with `csv` and `jsonl`")
    if out is not None and is_standard_output(out):
        out = None
    if output.json and out is None:
        raise UsageError("`report --json` needs `-o FILE`: standard output is for the summary")
    found = recorded(path, flags)
    _check_ids(found, everything=everything)
    if out is not None:
        own = run_files(found.manifest.path, found.settings.ledger), documents(found.rows.listed)
        refuse_own_files("-o", out, (*chain(*own), STANDARD_OUTPUT, STANDARD_ERROR))
    report = _Report(found, everything=everything)
    writer = _writer(form, report, out, flags)
    with standard_output() if out is None else output_file(out) as stream:
        count = writer(stream)
    where = "standard output" if out is None else f"`{out}`"
    written = count_words(count, "row" if everything else "item")
    summary = summary_of(found, "report", started=started)
    if report.states.total() == summary.items:
        summary = replace(summary, states={state.value: count for state, count in report.states.items()})
    return Ended(summary, lines=(f"{written} written to {where}",))


@dataclass(frozen=True, slots=True)
class _Report:
    """What is written, from the ledger alone. `states` counts the items of the manifest once all were gone through."""

    found: Recorded
    everything: bool
    states: Counter[State] = field(default_factory=Counter)

    def chosen(self) -> Iterator[tuple[Listed, Known | None, InManifest]]:
        """Yield the items that `--only` chooses; all without it."""
        for place, (listed, known) in enumerate(self.found.rows.shown()):
            state = state_of_row(known)
            self.states[state] += 1
            if self.found.selection.takes(listed.item_id, state):
                is_listed = self.found.is_listed(place)
                yield listed, known, InManifest.LISTED if is_listed else InManifest.NO_LONGER_LISTED

    def rows(self) -> Iterator[ReportRow]:
        """Yield a row for each chosen item, then, with `--all`, for whatever else was created for the batch."""
        written: set[str] = set()
        for listed, known, in_manifest in self.chosen():
            if known is not None:
                written.add(known.client_token)
            yield replace(_row(self.found, listed, known), in_manifest=in_manifest)
        if self.everything:
            yield from self._others(written)

    def _others(self, written: Set[str]) -> Iterator[ReportRow]:
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
                yield row_of_known(row, InManifest.NO_LONGER_LISTED if is_unlisted else InManifest.REPLACED)
        by_token = {row.client_token: row for row in known if row.attachment_id is not None}
        for each in strangers:
            owner = by_token.get(each.identity_tag or "")
            if owner is not None and takes(owner.item_id, _STATES[each.attachment.status]):
                yield row_of_known(_second_of(owner, each.attachment), InManifest.DUPLICATE)


_STATES = {
    AttachmentStatus.IN_PROGRESS: State.PROCESSING,
    AttachmentStatus.COMPLETE: State.COMPLETE,
    AttachmentStatus.FAILED: State.FAILED,
    AttachmentStatus.DELETED: State.FAILED,
}


def _second_of(owner: Known, attachment: Attachment) -> Known:
    """An attachment that carries the token of another one. Nothing is known of the request that made it."""
    return replace(
        owner,
        state=_STATES[attachment.status],
        attachment_id=attachment.attachment_id,
        attachment_arn=attachment.attachment_arn,
        attachment_status=attachment.status,
        fault=None,
        attempts=0,
        request_id=None,
        first_sent_at=None,
        completed_at=None,
    )


def _check_ids(found: Recorded, *, everything: bool) -> None:
    """Raise UsageError where `--only` names an id of which there is nothing to write."""
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


def _page_writer(found: Recorded, flags: Flags) -> Callable[[TextIO], int]:
    from batch_upload.cli.paging import still_page

    page, chunks = still_page(found, flags)

    def write(stream: TextIO) -> int:
        stream.writelines(chunks)
        return len(page.board)

    return write


def _writer(form: Format, report: _Report, out: Path | None, flags: Flags) -> Callable[[TextIO], int]:
    folder = Path() if out is None else place_of(out).parent
    more = (IN_MANIFEST,) if report.everything else ()
    match form:
        case Format.CSV:
            return lambda stream: write_csv(report.rows(), stream, more=more)
        case Format.JSONL:
            return lambda stream: write_jsonl(report.rows(), stream, more=more)
        case Format.HTML:
            return _page_writer(report.found, flags)
        case Format.MANIFEST:
            return partial(_write_manifest, report, folder)


def _write_manifest(report: _Report, folder: Path, stream: TextIO) -> int:
    found, items = report.found, [item for item, _, _ in report.chosen()]
    states = found.settings.only_states
    if not items and states and not found.settings.only_ids:
        names = " or ".join(sorted(f"`{state.value}`" for state in states))
        none = "nothing has failed" if states == {State.FAILED} else f"no item is {names}"
        raise UsageError(f"{none}, so there is nothing to write")
    is_part = found.manifest.part_of is not None or bool(found.settings.only_states or found.settings.only_ids)
    return write_manifest(
        stream, manifest=found.manifest, items=items, ledger=found.settings.ledger, folder=folder, is_part=is_part
    )


def _row(found: Recorded, listed: Listed, known: Known | None) -> ReportRow:
    """What the ledger never heard of is looked into now, as far as its file can be read."""
    if known is not None:
        return row_of(listed, known)
    if listed.path is None:
        return row_of(item_of(listed, None), None)
    root = None if found.settings.allow_outside else found.manifest.folder
    document = inspect(listed.path, max_size_bytes=listed.max_size_bytes, root=root, source=listed.source)
    return row_of(listed if isinstance(document, Refusal) else item_of(listed, document), None)
