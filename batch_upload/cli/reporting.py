"""What `report` does."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TextIO

from batch_upload.cli.files import is_standard_output, output_file, place_of, refuse_own_files, standard_output
from batch_upload.cli.flags import Flags
from batch_upload.cli.formats import Format
from batch_upload.cli.output import Ended, Output
from batch_upload.cli.own_files import STANDARD_ERROR, STANDARD_OUTPUT, documents, run_files
from batch_upload.cli.prepare import item_of
from batch_upload.cli.recorded import Recorded, recorded, summary_of
from batch_upload.clock import counting_s
from batch_upload.documents.inspect import inspect
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import UsageError
from batch_upload.model import Known, Listed, State
from batch_upload.report.completion import ReportRow, row_of, write_csv, write_jsonl
from batch_upload.report.rerun_manifest import write_manifest
from batch_upload.report.words import count_words


def reported(path: Path, flags: Flags, output: Output, *, form: Format, out: Path | None) -> Ended:
    """Write the report. Raises UsageError and OutputUnwritable as `output_file`, OSError as standard output fails."""
    started = counting_s()
    if out is not None and is_standard_output(out):
        out = None
    if output.json and out is None:
        raise UsageError("`report --json` needs `-o FILE`: standard output is for the summary")
    found = recorded(path, flags)
    if out is not None:
        own = run_files(found.manifest.path, found.settings.ledger), documents(found.rows.listed)
        refuse_own_files("-o", out, (*chain(*own), STANDARD_OUTPUT, STANDARD_ERROR))
    writer = _writer(form, found, out, flags)
    with standard_output() if out is None else output_file(out) as stream:
        count = writer(stream)
    where = "standard output" if out is None else f"`{out}`"
    return Ended(
        summary_of(found, "report", started=started), lines=(f"{count_words(count, 'item')} written to {where}",)
    )


def _page_writer(found: Recorded, flags: Flags) -> Callable[[TextIO], int]:
    from batch_upload.cli.paging import still_page

    page, chunks = still_page(found, flags)

    def write(stream: TextIO) -> int:
        stream.writelines(chunks)
        return len(page.board)

    return write


def _writer(form: Format, found: Recorded, out: Path | None, flags: Flags) -> Callable[[TextIO], int]:
    folder = Path() if out is None else place_of(out).parent
    match form:
        case Format.CSV:
            return lambda stream: write_csv(_rows(found), stream)
        case Format.JSONL:
            return lambda stream: write_jsonl(_rows(found), stream)
        case Format.HTML:
            return _page_writer(found, flags)
        case Format.MANIFEST:
            return partial(_write_manifest, found, folder)


def _write_manifest(found: Recorded, folder: Path, stream: TextIO) -> int:
    items = [item for item, _ in found.chosen()]
    states = found.settings.only_states
    if not items and states and not found.settings.only_ids:
        names = " or ".join(sorted(f"`{state.value}`" for state in states))
        none = "nothing has failed" if states == {State.FAILED} else f"no item is {names}"
        raise UsageError(f"{none}, so there is nothing to write")
    is_part = found.manifest.part_of is not None or bool(found.settings.only_states or found.settings.only_ids)
    return write_manifest(
        stream, manifest=found.manifest, items=items, ledger=found.settings.ledger, folder=folder, is_part=is_part
    )


def _rows(found: Recorded) -> Iterator[ReportRow]:
    for listed, known in found.chosen():
        yield _row(found, listed, known)


def _row(found: Recorded, listed: Listed, known: Known | None) -> ReportRow:
    """What the ledger never heard of is looked into now, as far as its file can be read."""
    if known is not None:
        return row_of(listed, known)
    if listed.path is None:
        return row_of(item_of(listed, None), None)
    root = None if found.settings.allow_outside else found.manifest.folder
    document = inspect(listed.path, max_size_bytes=listed.max_size_bytes, root=root, source=listed.source)
    return row_of(listed if isinstance(document, Refusal) else item_of(listed, document), None)
