"""`manifest new` makes manifests, `manifest schema` prints their JSON Schema for editors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli import messages
from batch_upload.cli.examples import epilog
from batch_upload.cli.flags import OUTPUT, Flags, takes, truth_of
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.escape import printable, shell_word
from batch_upload.report.ndjson import problem_line
from batch_upload.words import count_words

if TYPE_CHECKING:
    from batch_upload.app.new_manifest import NewManifest
    from batch_upload.manifest.new import LeftOut, OneByOne
    from batch_upload.model import Manifest

app = typer.Typer(help="make manifests, and help editors with them", no_args_is_help=True)

FOLDERS_SHOWN = 20
"""How many of the folders whose files are listed one by one are named in text."""
NEW_HELP = "write a manifest of a folder's documents, or of a CSV file's rows; asks no service"


@app.command("new", epilog=epilog("manifest new"), help=NEW_HELP, short_help=NEW_HELP)
@takes(("allow_outside",), OUTPUT)
def new(
    source: Annotated[Path, typer.Argument(metavar="DIR or CSV", help="a folder of documents, or a table of them")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output, for this folder")
    ] = None,
    force: Annotated[bool, typer.Option("--force/--no-force", help="replace FILE if there is one")] = False,  # noqa: FBT002
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="NAME", help="default: made of the folder's or file's name")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="a tag of all; may hold `{stem}`, or `{col:NAME}` of a CSV"),
    ] = None,
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="500KB", help="the size that a file may have")
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Write a manifest: see NEW_HELP."""
    output = Output.of(flags)
    options = _Options(source, out, force, batch, tuple(tag or ()), max_size, truth_of(flags, "allow_outside"))
    run_verb("manifest new", None, output, partial(_new, options, output))


@dataclass(frozen=True, slots=True)
class _Options:
    """The flags of `manifest new`. `out` is None for standard output."""

    source: Path
    out: Path | None
    force: bool
    batch: str | None
    tags: Sequence[str]
    max_size: str | None
    allow_outside: bool


def _new(options: _Options, output: Output) -> Ended:
    """Write the manifest, or print every problem and write nothing. Raises UsageError for flags that cannot be."""
    from batch_upload.app.new_manifest import NewManifestOptions, new_manifest  # heavy, like all that follows
    from batch_upload.cli.files import exists_already, is_standard_output, is_there, place_of
    from batch_upload.clock import counting_s
    from batch_upload.errors import ExitCode, ManifestInvalid, UsageError
    from batch_upload.manifest.new import SCHEMA_NAME
    from batch_upload.model import State
    from batch_upload.summary import Summary, exit_of

    started = counting_s()
    if options.out is not None and is_standard_output(options.out):
        options = replace(options, out=None)
    if output.json and options.out is None:
        raise UsageError("`manifest new --json` needs `-o FILE`: standard output is for the summary")
    if options.out is not None and is_there(options.out) and not options.force:
        raise exists_already(options.out)
    place = None if options.out is None else place_of(options.out)
    folder = Path().resolve() if place is None else place.parent
    wanted = NewManifestOptions(
        folder=folder,
        batch=options.batch,
        tags=options.tags,
        max_size_bytes=_max_size_bytes(options.max_size),
        allow_outside=options.allow_outside,
        passed_over=() if place is None else (place, folder / SCHEMA_NAME),
    )
    try:
        made = new_manifest(options.source, wanted)
    except ManifestInvalid as error:
        for problem in error.problems:
            output.event(problem_line(problem))
        if not output.json:
            output.error(messages.problems_text(error.problems))
        refused = Summary(verb="manifest new", exit=exit_of(ExitCode.INVALID), elapsed_s=counting_s() - started)
        return Ended(refused, lines=(printable(error.message),))
    output.say(*_left_out(made.left_out, output), *_one_by_one(made.one_by_one))
    has_schema = _write(made.manifest, options)
    summary = Summary(
        verb="manifest new",
        exit=exit_of(ExitCode.DONE),
        batch=made.manifest.batch,
        items=made.attachments,
        states={State.PENDING.value: made.attachments},
        elapsed_s=counting_s() - started,
    )
    return Ended(summary, lines=_last_lines(options, made, has_schema=has_schema))


def _max_size_bytes(text: str | None) -> int:
    from batch_upload.errors import UsageError
    from batch_upload.manifest.rules import size_bytes
    from batch_upload.model import MAX_SIZE_DEFAULT_BYTES

    found = MAX_SIZE_DEFAULT_BYTES if text is None else size_bytes(text)
    if found is None:
        raise UsageError(f"`--max-size {text}` is not a size such as `500KB` or `1MiB`, at most `5MiB`")
    return found


def _write(manifest: "Manifest", options: _Options) -> bool:
    """Write the manifest, and its schema beside it if there is none. Return whether the schema was written."""
    from batch_upload.cli.files import (
        NamedFile,
        is_there,
        output_file,
        place_of,
        refuse_own_files,
        standard_output,
    )
    from batch_upload.cli.own_files import STANDARD_ERROR, STANDARD_OUTPUT, documents
    from batch_upload.manifest.expand import expand
    from batch_upload.manifest.new import SCHEMA_NAME, manifest_lines

    lines = (f"{line}\n" for line in manifest_lines(manifest))
    if options.out is None:
        with standard_output() as stream:
            stream.writelines(lines)
        return False
    listed = documents(expand(manifest, allow_outside=options.allow_outside)[0])
    made_of = NamedFile("what the manifest is made of", options.source)
    refuse_own_files("-o", options.out, (made_of, *listed, STANDARD_OUTPUT, STANDARD_ERROR))
    with output_file(options.out, replace=options.force) as stream:
        stream.writelines(lines)
    beside = place_of(options.out).with_name(SCHEMA_NAME)
    if not is_there(options.out) or beside.exists():  # a pipe or a device is no place to put a schema beside
        return False
    from batch_upload.manifest.schema import schema_text  # pydantic takes its time

    with output_file(beside, replace=False) as stream:
        stream.write(schema_text())
    return True


def _last_lines(options: _Options, made: "NewManifest", *, has_schema: bool) -> tuple[str, ...]:
    from batch_upload.manifest.new import SCHEMA_NAME

    count = count_words(made.attachments, "attachment")
    if options.out is None:
        return (f"{count}; paths are named from this folder, so keep the manifest here",)
    lines = [printable(f"{count} in `{options.out}`, batch `{made.manifest.batch}`")]
    if has_schema:
        lines.append(f"`{SCHEMA_NAME}` beside it is for editors, which complete and check the manifest by it")
    outside = " --allow-outside" if options.allow_outside else ""
    return (*lines, "next:", f"  batch-upload plan {shell_word(str(options.out))}{outside}")


def _left_out(left_out: Sequence["LeftOut"], output: Output) -> list[str]:
    from batch_upload.app.new_manifest import left_out_lines

    for each in left_out:
        line = {"file": printable(each.path), "code": each.code, "message": each.message}
        output.event({"event": "left_out", "schema_version": 1, **line})
    return left_out_lines(left_out)


def _one_by_one(groups: Sequence["OneByOne"]) -> list[str]:
    """Say what a list in the place of a pattern means for files that are added later."""
    lines = []
    for each in groups[:FOLDERS_SHOWN]:
        folder, _, ending = f"./{each.pattern}".rpartition("/")
        where = "here" if folder == "." else f"in `{folder.removeprefix('./')}`"
        kind = f"{ending.removeprefix('*.').upper()}s"
        more = f" and {count_words(len(each.because) - 1, 'other')}" if len(each.because) > 1 else ""
        because = f"`{Path(each.because[0]).name}`{more} cannot be uploaded, and `{each.pattern}` would match it"
        lines.append(printable(f"{kind} added {where} later will not be found, because {because}"))
    more_lines = len(groups) - FOLDERS_SHOWN
    lines += [f"the same of {count_words(more_lines, 'folder')} more"] if more_lines > 0 else []
    advice = "to find them, move away what cannot be uploaded, and make the manifest again with `--force`"
    return [*lines, advice] if lines else []


@app.command("schema", epilog=epilog("manifest schema"))
@takes(("json", "quiet"))
def schema(*, flags: Flags) -> None:
    """print the JSON Schema of a manifest"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.files import standard_output
        from batch_upload.errors import ExitCode
        from batch_upload.manifest.schema import manifest_schema, schema_text
        from batch_upload.summary import Summary, exit_of

        if output.json:
            output.event({"event": "schema", "schema_version": 1, "schema": manifest_schema()})
        else:
            with standard_output() as stream:
                stream.write(schema_text())
        return Ended(Summary(verb="manifest schema", exit=exit_of(ExitCode.DONE)), lines=())

    run_verb("manifest schema", None, output, body)
