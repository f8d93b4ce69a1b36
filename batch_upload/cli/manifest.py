"""`manifest new` makes manifests, `manifest schema` prints their JSON Schema, `manifest forms` lists built-in forms."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli import messages
from batch_upload.cli.completion import names_of_fields, names_of_forms
from batch_upload.cli.files import (
    STANDARD_ERROR,
    STANDARD_OUTPUT,
    NamedFile,
    documents,
    exists_already,
    is_standard_output,
    output_file,
    refuse_own_files,
    resolved_path,
    standard_output,
    would_replace,
)
from batch_upload.cli.flags import OUTPUT_FLAGS, Flags, truth_of
from batch_upload.cli.help import epilog
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode, ManifestInvalid, UsageError
from batch_upload.escape import printable, shell_word
from batch_upload.form import Form
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Problem, State
from batch_upload.report.ndjson import made_line, problem_line
from batch_upload.spelling import size_text
from batch_upload.summary import EVENT_SCHEMA_VERSION, Summary, exit_of
from batch_upload.targets import Target
from batch_upload.words import aligned_lines, count_words, indented

if TYPE_CHECKING:
    from batch_upload.app.new_manifest import NewManifest, NewManifestOptions
    from batch_upload.manifest.new import OneByOne

manifest_app = typer.Typer(help="make manifests, and help editors with them", no_args_is_help=True)

FOLDERS_SHOWN = 20
"""How many of the folders whose files are listed one by one are named in text."""


@verb("manifest new", ("allow_outside", "skip_invalid"), OUTPUT_FLAGS)
def new_command(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="DIR or TABLE", help="a folder of documents, or a table of them; `-` reads one"),
    ] = None,
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
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="NAME",
            help="the form of all (`manifest forms` lists them); its size is the default of --max-size",
            autocompletion=names_of_forms,
        ),
    ] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="REGION", help="of the manifest's `target`")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="of the manifest's `target`")] = None,
    role_arn: Annotated[
        str | None, typer.Option("--role-arn", metavar="ARN", help="of the manifest's `target`, or of all its targets")
    ] = None,
    target_column: Annotated[
        str | None,
        typer.Option(
            "--target-column",
            metavar="NAME",
            help="the column of a CSV that names targets; columns `account` and `region` are read too",
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option("--targets", metavar="FILE", help="a file that has the targets of `--target-column`"),
    ] = None,
    files_from: Annotated[
        Path | None,
        typer.Option("--files-from", metavar="FILE", help="a list of files instead, one a line; `-`: standard input"),
    ] = None,
    is_null: Annotated[  # noqa: FBT002
        bool, typer.Option("--null/--no-null", "-0", help="`--files-from` has a NUL behind each name: `find -print0`")
    ] = False,
    file_column: Annotated[
        str | None,
        typer.Option(
            "--file-column", metavar="NAME", help="the column that has the files, or `Letters/{col:NAME}.pdf`"
        ),
    ] = None,
    bind: Annotated[
        str | None,
        typer.Option(
            "--bind",
            metavar="FIELD",
            help="put each row's attachment into this field of its registration",
            autocompletion=names_of_fields,
        ),
    ] = None,
    bind_column: Annotated[
        str | None,
        typer.Option("--bind-column", metavar="NAME", help="has the registrations; default: `Registration`"),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option("--sheet", metavar="NAME", help="of a workbook; default: the first")
    ] = None,
    clean_tags: Annotated[
        str | None,
        typer.Option("--clean-tags", metavar="C", help="write C for characters that tags may not have, such as `_`"),
    ] = None,
    rows: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--rows/--no-rows", help="an entry for each row, instead of one that names the table"),
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """write a manifest of a folder's documents, or of a table's rows; asks no service"""
    from batch_upload.app.exits import exit_with_invalid
    from batch_upload.app.new_manifest import (  # heavy, like all that follows
        NewManifestOptions,
        left_out_lines,
        manifest_of_list,
        new_manifest,
    )
    from batch_upload.manifest.from_table import wanted_bind
    from batch_upload.manifest.new import SCHEMA_NAME
    from batch_upload.manifest.rules import size_bytes

    allow_outside = truth_of(flags, "allow_outside")
    made_of = only_source(source, files_from, is_null=is_null)
    if out is not None and is_standard_output(out):
        out = None
    if output.json and out is None:
        raise UsageError("`manifest new --json` needs `-o FILE`: standard output is for the summary")
    if out is not None and would_replace(out) and not force:
        raise exists_already(out)
    of_form = None if form is None else built_in_form(form)
    limit_bytes = (of_form and of_form.max_size_bytes) or MAX_SIZE_DEFAULT_BYTES
    max_size_bytes = limit_bytes if max_size is None else size_bytes(max_size)
    if max_size_bytes is None:
        raise UsageError(f"`--max-size {max_size}` is not a size such as `500KB` or `1MiB`, at most `5MiB`")
    place = None if out is None else resolved_path(out)
    folder = Path().resolve() if place is None else place.parent
    is_input = files_from is None and str(source) == "-"
    if str(made_of) == "-":
        batch = _batch_of_input(batch, out)
    options = NewManifestOptions(
        folder=folder,
        batch=batch,
        tags=tuple(tag or ()),
        max_size_bytes=max_size_bytes,
        form=of_form,
        allow_outside=allow_outside,
        target=Target(region=region, account=account, role_arn=role_arn),
        target_column=target_column,
        targets_file=targets,
        file_column=file_column,
        bind=wanted_bind(bind, bind_column, form=form, max_size_bytes=None if max_size is None else max_size_bytes),
        sheet=sheet,
        clean_tags=clean_tags,
        rows=rows,
        skip_invalid=truth_of(flags, "skip_invalid"),
        stdin=sys.stdin.buffer if is_input else None,
        passed_over=() if place is None else (place, folder / SCHEMA_NAME),
    )
    try:
        is_list = files_from is not None
        made = manifest_of_list(made_of, options, is_null=is_null) if is_list else new_manifest(made_of, options)
    except ManifestInvalid as error:
        return _invalid(error, output)
    _problems(made.problems, output)
    for each in made.left_out:
        line = {"file": printable(each.path), "code": each.code, "message": each.message}
        output.event({"event": "left_out", "schema_version": EVENT_SCHEMA_VERSION, **line})
    output.say(*left_out_lines(made.left_out), *excluded_lines(made), *one_by_one_lines(made.one_by_one))
    output.say(*(printable(note) for note in made.notes))
    lines = write_new_manifest(made, out, made_of, options, force=force)
    states = {State.PENDING.value: made.attachments, State.INVALID.value: made.invalid}
    summary = Summary(
        verb="manifest new",
        exit=exit_with_invalid(exit_of(ExitCode.DONE), made.invalid),
        batch=made.manifest.batch,
        items=made.attachments + made.invalid,
        states={name: count for name, count in states.items() if count or name == State.PENDING.value},
    )
    return Ended(summary, lines=tuple(lines))


def only_source(source: Path | None, files_from: Path | None, *, is_null: bool) -> Path:
    """Return what the manifest is made of. Raises UsageError for none, for two, and for `--null` without a list."""
    made_of = source if files_from is None else files_from
    if made_of is None or (source is not None and files_from is not None):
        raise UsageError("name a folder, a table, or a list of files with `--files-from`: one of them")
    if is_null and files_from is None:
        raise UsageError("`--null` goes with `--files-from` only")
    return made_of


def _invalid(error: ManifestInvalid, output: Output) -> Ended:
    """Print every problem of what a manifest was to be made of."""
    _problems(error.problems, output)
    lines = (printable(error.message), *messages.hint_lines(error.hint))
    return Ended(Summary(verb="manifest new", exit=exit_of(error.exit_code)), lines=lines)


def _problems(problems: Sequence[Problem], output: Output) -> None:
    for problem in problems:
        output.event(problem_line(problem))
    if problems and not output.json:
        output.error(messages.problems_text(problems))


def _batch_of_input(batch: str | None, out: Path | None) -> str:
    """Return the batch of what comes from standard input, which has no name: made of that of the manifest."""
    from batch_upload.manifest.rules import batch_of  # heavy

    found = batch if batch is not None or out is None else batch_of(out.stem)
    if found is None:
        raise UsageError("what comes from standard input has no name: `--batch NAME` gives the batch one")
    return found


def write_new_manifest(
    made: "NewManifest", out: Path | None, source: Path, options: "NewManifestOptions", *, force: bool
) -> list[str]:
    """Write the manifest to `out`, None for standard output, and its schema beside it if there is none.

    Return what was written, and what to do next. Raises UsageError if `out` is a file that the manifest is made of.
    """
    from batch_upload.manifest.expand import expand
    from batch_upload.manifest.new import SCHEMA_NAME, manifest_lines

    lines = (f"{line}\n" for line in manifest_lines(made.manifest, targets_file=made.targets_file, table=made.table))
    count = count_words(made.attachments, "attachment")
    if out is None:
        with standard_output() as stream:
            stream.writelines(lines)
        return [f"{count}; paths are named from this folder, so keep the manifest here"]
    listed = documents(expand(made.manifest, allow_outside=options.allow_outside)[0])
    made_of = () if options.stdin is not None else (NamedFile("what the manifest is made of", source),)
    refuse_own_files("-o", out, (*made_of, *listed, STANDARD_OUTPUT, STANDARD_ERROR))
    schema = resolved_path(out).with_name(SCHEMA_NAME)
    # no schema beside a pipe or a device
    has_schema = (would_replace(out) or not out.exists()) and not schema.exists()
    with output_file(out, replace=force) as stream:
        stream.writelines(lines)
        if has_schema:  # within: a manifest is replaced only if its schema can be written, too
            from batch_upload.manifest.schema import schema_text  # imports pydantic

            stream.flush()
            with output_file(schema, replace=False) as beside:
                beside.write(schema_text())
    written = [printable(f"{count} in `{out}`, batch `{made.manifest.batch}`")]
    if has_schema:
        written.append(f"`{SCHEMA_NAME}` beside it is for editors, which complete and check the manifest by it")
    flags = " --allow-outside" if options.allow_outside else ""
    if made.invalid:
        rows = f"{count_words(made.invalid, 'row')} cannot be sent"
        if made.table is None:
            written.append(f"{rows}, and {'is' if made.invalid == 1 else 'are'} not in it")
        else:
            written.append(f"{rows} until corrected in the table or the folder: `--skip-invalid` sends the others")
            flags += " --skip-invalid"
    return [*written, "next:", f"  batch-upload plan {shell_word(str(out))}{flags}"]


def excluded_lines(made: "NewManifest") -> list[str]:
    """Return which globs exclude files that cannot be uploaded, and what to do once they can."""
    entries = [each for each in made.manifest.entries if each.exclude]
    lines = []
    for each in entries[:FOLDERS_SHOWN]:
        files = count_words(len(each.exclude), "file")
        lines.append(printable(f"`exclude` of `{each.source}` names {files} that cannot be uploaded"))
    more_lines = len(entries) - FOLDERS_SHOWN
    lines += [f"the same of {count_words(more_lines, 'pattern')} more"] if more_lines > 0 else []
    advice = "files added later are found; delete a name from `exclude` once its file can be uploaded"
    return [*lines, advice] if lines else []


def one_by_one_lines(groups: "Sequence[OneByOne]") -> list[str]:
    """Return what a list instead of a pattern means for files that are added later, a line for each folder."""
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


@verb("manifest schema", ("json", "quiet"))
def schema_command(*, flags: Flags, output: Output) -> Ended:
    """print the JSON Schema of a manifest"""
    from batch_upload.manifest.schema import manifest_schema, schema_text  # imports pydantic

    if output.json:
        output.event({"event": "schema", "schema_version": EVENT_SCHEMA_VERSION, "schema": manifest_schema()})
    else:
        with standard_output() as stream:
            stream.write(schema_text())
    return Ended(Summary(verb="manifest schema", exit=exit_of(ExitCode.DONE)), lines=())


@verb("manifest forms", ("json", "quiet"))
def forms_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="only this form, with its source", autocompletion=names_of_forms),
    ] = None,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """list the built-in forms: what registration forms take, for `form` in a manifest"""
    from batch_upload.manifest.forms import BUILT_IN

    forms = tuple(BUILT_IN.values()) if name is None else (built_in_form(name),)
    for each in forms:
        output.event(form_line(each))
    if name is None:
        rows = [("form", "types", "at most", "pixels", "for")]
        rows += [(each.name, each.types_text, _size_of(each), each.pixels_text, each.about) for each in forms]
        output.answer([*aligned_lines(rows), "", "`batch-upload manifest forms NAME` shows the source of one"])
    else:
        output.answer(form_lines(forms[0]))
    return Ended(Summary(verb="manifest forms", exit=exit_of(ExitCode.DONE)), lines=())


def built_in_form(name: str) -> Form:
    """Return the built-in form of this name. Raises UsageError if there is none."""
    from batch_upload.manifest.forms import BUILT_IN, unknown_form

    if name not in BUILT_IN:
        raise UsageError(unknown_form(name, BUILT_IN))
    return BUILT_IN[name]


def form_line(form: Form) -> dict[str, object]:
    """Return the line of `--json` for a form."""
    return made_line(
        "form",
        name=form.name,
        types=sorted(each.name.lower() for each in form.types or ()),
        max_size_bytes=form.max_size_bytes,
        pixels=None if form.pixels is None else {"width": form.pixels[0], "height": form.pixels[1]},
        about=form.about,
        source=form.source,
        date=form.date,
    )


def form_lines(form: Form) -> list[str]:
    """Return what a form takes, where that was read, and how a manifest names it."""
    rows = (
        ("for", form.about),
        ("types", form.types_text),
        ("at most", f"{_size_of(form)} ({form.max_size_bytes:,} bytes)" if form.max_size_bytes else ""),
        ("pixels", form.pixels_text or "any"),
        ("source", f"{form.source}, read on {form.date}"),
        ("use", f"`form: {form.name}` in an entry, or in `defaults`"),
    )
    return [form.name, *indented(aligned_lines(rows))]


def _size_of(form: Form) -> str:
    return size_text(form.max_size_bytes) if form.max_size_bytes else ""


_COMMANDS = {"new": new_command, "schema": schema_command, "forms": forms_command}
for _name, _command in _COMMANDS.items():
    manifest_app.command(_name, short_help=_command.__doc__, epilog=epilog(f"manifest {_name}"))(_command)
