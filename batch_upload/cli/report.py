"""`report`: write the ledger as a table, a page or a manifest."""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from batch_upload.cli import messages
from batch_upload.cli.files import (
    STANDARD_ERROR,
    STANDARD_OUTPUT,
    documents,
    is_standard_output,
    output_file,
    refuse_own_files,
    resolved_path,
    run_files,
    standard_output,
)
from batch_upload.cli.flags import LEDGER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS, Flags, ManifestOrLedgerArgument, options_of
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, manifest_named, verb
from batch_upload.errors import UsageError
from batch_upload.ledger_address import ledger_address
from batch_upload.model import State
from batch_upload.report.summary_text import Invocation
from batch_upload.words import count_words

if TYPE_CHECKING:
    from batch_upload.app.report import Report
    from batch_upload.report.completion import ReportRow


class Format(StrEnum):
    """A form of the report."""

    CSV = "csv"
    CSV_EXCEL = "csv-excel"
    XLSX = "xlsx"
    JSONL = "jsonl"
    HTML = "html"
    MANIFEST = "manifest"


FORMAT_OF_SUFFIX = {".xlsx": Format.XLSX, ".jsonl": Format.JSONL, ".html": Format.HTML}
"""What `-o FILE` is without `--format`; with any other suffix it is CSV."""
TABLE_FORMATS = "`csv`, `csv-excel`, `xlsx` and `jsonl`"


@verb("report", ("only", "batch"), LEDGER_FLAGS, TARGET_FLAGS, ("allow_outside",), OUTPUT_FLAGS)
def report_command(
    manifest: ManifestOrLedgerArgument,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="ANOTHER", help="more of them, for one table of all")
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="csv, csv-excel, xlsx, jsonl, html (a page), or a manifest to run"
            " (default: xlsx, jsonl or html for a file that is named so, else csv)",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output")] = None,
    everything: Annotated[  # noqa: FBT002
        bool, typer.Option("--all/--no-all", help="everything that was ever sent, and what became of it")
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """write the ledger for others: a row for each item, a page for people, or a manifest of some"""
    from batch_upload.app.ledger_view import summary_of_views  # heavy, like all that follows: only when there is work
    from batch_upload.app.report import report_sync
    from batch_upload.clock import counting_s

    started = counting_s()
    named = (ledger_address(each) for each in more or ())
    paths = [manifest, *(manifest_named(each) if isinstance(each, Path) else each for each in named)]
    out = None if out is not None and is_standard_output(out) else out
    if form is None:
        form = FORMAT_OF_SUFFIX.get("" if out is None else out.suffix.lower(), Format.CSV)
    refuse_form(form, out, is_of_several=len(paths) > 1, everything=everything)
    if output.json and out is None:
        raise UsageError("`report --json` needs `-o FILE`: standard output is for the summary")
    made = report_sync(paths, options_of(flags), everything=everything)
    found = made.lanes[0]
    if out is not None:
        listed = [item for lane in made.lanes for item in lane.rows.listed]
        ledgers = dict.fromkeys(lane.settings.ledger for lane in made.lanes)
        own = (*(each for path in paths for ledger in ledgers for each in run_files(path, ledger)), *documents(listed))
        refuse_own_files("-o", out, (*own, STANDARD_OUTPUT, STANDARD_ERROR))

    with standard_output() if out is None else output_file(out) as stream:
        match form:
            case Format.MANIFEST:
                count = write_rerun_manifest(made, Path() if out is None else resolved_path(out).parent, stream)
            case Format.HTML:
                count = write_page(made, invocation_of(manifest, flags, found.settings), stream)
            case _:
                count = write_table(made, form, stream)
    written = f"{count_words(count, 'row' if everything else 'item')} written to"
    is_counted = [states.total() for states in made.lane_states] == [len(lane.rows) for lane in made.lanes]
    summary = summary_of_views(made.lanes, "report", started=started, states=made.lane_states if is_counted else None)
    for ledger in dict.fromkeys(lane.settings.ledger for lane in made.lanes if lane.is_ledger_alone):
        output.say(messages.ledger_alone_text(ledger))
    return Ended(summary, lines=(f"{written} {'standard output' if out is None else f'`{out}`'}",))


def refuse_form(form: Format, out: Path | None, *, is_of_several: bool, everything: bool) -> None:
    """Raise UsageError for a form that several manifests, `--all` or standard output do not go with."""
    if form in (Format.HTML, Format.MANIFEST):
        if is_of_several:
            raise UsageError(f"`--format {form}` takes one manifest", hint=f"{TABLE_FORMATS} take several")
        if everything:
            raise UsageError(f"`--all` does not go with `--format {form}`", hint=f"it goes with {TABLE_FORMATS}")
    if form is Format.XLSX and out is None:
        raise UsageError("`--format xlsx` needs `-o FILE`: it is no text")


def write_table(made: "Report", form: Format, stream: TextIO) -> int:
    """Write a row for each item; return their number."""
    from batch_upload.report.completion import OF_EVERYTHING, write_csv, write_jsonl

    rows, columns = report_rows(made), OF_EVERYTHING if made.everything else ()
    if form is Format.XLSX:
        from batch_upload.report.workbook import write_workbook

        return write_workbook(rows, stream.buffer, more=columns)
    if form is Format.JSONL:
        return write_jsonl(rows, stream, more=columns)
    return write_csv(rows, stream, more=columns, is_marked=form is Format.CSV_EXCEL)


def report_rows(made: "Report") -> "Iterator[ReportRow]":
    """Return the rows of a report as they are written."""
    from batch_upload.report.completion import report_row, row_of_invalid
    from batch_upload.report.ndjson import lane_ref

    lanes = {id(found): lane_ref(found.target, found.lane) for found in made.lanes}
    for each in made.rows():
        uploader = each.uploader
        row = replace(
            report_row(each.item, each.known, each.in_manifest, lane=lanes[id(each.found)]),
            uploaded_by=None if uploader is None else uploader.principal,
            run_id=None if uploader is None else uploader.run_id,
            batch=each.found.manifest.batch,
            fate=each.fate.value,
        )
        yield row if each.problem is None else row_of_invalid(row, each.problem)


def write_page(made: "Report", invocation: Invocation, stream: TextIO) -> int:
    """Write the page of a manifest; return the number of its items."""
    from batch_upload.watch.still_page import still_page_of_manifest

    page, chunks = still_page_of_manifest(made.lanes, invocation)
    stream.writelines(chunks)
    return len(page.board)


def write_rerun_manifest(made: "Report", folder: Path, stream: TextIO) -> int:
    """Write a manifest of the chosen items, which lies in `folder`; return their number. Raises UsageError for none."""
    from batch_upload.app.ledger_alone import manifest_needed
    from batch_upload.report.rerun_manifest import write_manifest

    if made.lanes[0].is_ledger_alone:
        raise manifest_needed(made.lanes[0].settings.ledger, "--format manifest")
    # what an entry with a problem means is not known: a manifest of it could upload something else
    wanted = (each for each in made.chosen() if each.problem is None or each.problem not in each.found.entry_problems)
    found, items = made.lanes[0], [each.item for each in wanted if each.item is not None]
    states = found.settings.only_states
    if not items and states and not found.settings.only_ids:
        names = " or ".join(sorted(f"`{state.value}`" for state in states))
        none = "nothing has failed" if states == {State.FAILED} else f"no item is {names}"
        raise UsageError(f"{none}, so there is nothing to write")
    is_part = found.manifest.part_of is not None or bool(
        found.settings.only_states or found.settings.only_ids or not found.settings.lanes.is_all
    )
    return write_manifest(
        stream, manifest=found.manifest, items=items, ledger=found.settings.ledger, folder=folder, is_part=is_part
    )
