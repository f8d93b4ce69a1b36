"""`report`: the ledger for others."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, options_of, takes
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.errors import UsageError

if TYPE_CHECKING:
    from batch_upload.app.report import Report
    from batch_upload.report.completion import ReportRow


class Format(StrEnum):
    """A form of the report."""

    CSV = "csv"
    JSONL = "jsonl"
    HTML = "html"
    MANIFEST = "manifest"


@takes(("only",), LEDGER, ("allow_outside",), OUTPUT)
def report(
    manifest: ManifestArgument,
    form: Annotated[
        Format, typer.Option("--format", help="csv, jsonl, html (a page), or a manifest to run")
    ] = Format.CSV,
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output")] = None,
    everything: Annotated[  # noqa: FBT002
        bool, typer.Option("--all/--no-all", help="also what was replaced, is no longer listed, or was deleted")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """write the ledger for others: a row for each item, a page for people, or a manifest of some"""
    output = Output.of(flags)
    body = partial(_report, manifest, flags, output, form=form, out=out, everything=everything)
    run_verb("report", manifest, output, body)


def _report(path: Path, flags: Flags, output: Output, *, form: Format, out: Path | None, everything: bool) -> Ended:
    from dataclasses import replace
    from itertools import chain

    from batch_upload.app.ledger_view import summary_of_view  # heavy, like all that follows: only when there is work
    from batch_upload.app.report import report_sync
    from batch_upload.cli.files import is_standard_output, output_file, refuse_own_files, standard_output
    from batch_upload.cli.own_files import STANDARD_ERROR, STANDARD_OUTPUT, documents, run_files
    from batch_upload.clock import counting_s
    from batch_upload.words import count_words

    started = counting_s()
    if everything and form not in (Format.CSV, Format.JSONL):
        raise UsageError(f"`--all` does not go with `--format {form}`", hint="it goes with `csv` and `jsonl`")
    if out is not None and is_standard_output(out):
        out = None
    if output.json and out is None:
        raise UsageError("`report --json` needs `-o FILE`: standard output is for the summary")
    made = report_sync(path, options_of(flags), everything=everything)
    found = made.found
    if out is not None:
        own = run_files(found.manifest.path, found.settings.ledger), documents(found.rows.listed)
        refuse_own_files("-o", out, (*chain(*own), STANDARD_OUTPUT, STANDARD_ERROR))
    writer = _writer(form, made, out, flags)
    with standard_output() if out is None else output_file(out) as stream:
        count = writer(stream)
    where = "standard output" if out is None else f"`{out}`"
    written = count_words(count, "row" if everything else "item")
    summary = summary_of_view(found, "report", started=started)
    if made.states.total() == summary.items:
        summary = replace(summary, states={state.value: count for state, count in made.states.items()})
    return Ended(summary, lines=(f"{written} written to {where}",))


def _writer(form: Format, made: "Report", out: Path | None, flags: Flags) -> Callable[[TextIO], int]:
    """Return what writes the report to a stream and returns the number of its rows."""
    from batch_upload.cli.files import place_of
    from batch_upload.report.completion import IN_MANIFEST, write_csv, write_jsonl

    more = (IN_MANIFEST,) if made.everything else ()
    match form:
        case Format.CSV:
            return lambda stream: write_csv(_rows(made), stream, more=more)
        case Format.JSONL:
            return lambda stream: write_jsonl(_rows(made), stream, more=more)
        case Format.HTML:
            return _page_writer(made, flags)
        case Format.MANIFEST:
            return partial(_write_manifest, made, Path() if out is None else place_of(out).parent)


def _rows(made: "Report") -> "Iterator[ReportRow]":
    from batch_upload.report.completion import report_row

    return (report_row(each.item, each.known, each.in_manifest) for each in made.rows())


def _page_writer(made: "Report", flags: Flags) -> Callable[[TextIO], int]:
    from batch_upload.watch.page import still_page

    page, chunks = still_page(made.found, Repeated.of(flags, made.found.settings).flags)

    def write(stream: TextIO) -> int:
        stream.writelines(chunks)
        return len(page.board)

    return write


def _write_manifest(made: "Report", folder: Path, stream: TextIO) -> int:
    from batch_upload.model import State
    from batch_upload.report.rerun_manifest import write_manifest

    found, items = made.found, [each.item for each in made.chosen() if each.item is not None]
    states = found.settings.only_states
    if not items and states and not found.settings.only_ids:
        names = " or ".join(sorted(f"`{state.value}`" for state in states))
        none = "nothing has failed" if states == {State.FAILED} else f"no item is {names}"
        raise UsageError(f"{none}, so there is nothing to write")
    is_part = found.manifest.part_of is not None or bool(found.settings.only_states or found.settings.only_ids)
    return write_manifest(
        stream, manifest=found.manifest, items=items, ledger=found.settings.ledger, folder=folder, is_part=is_part
    )
