"""`manifest new`: make a manifest of a folder or a CSV file that passes `validate` as it is written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_upload.documents.inspect import inspect
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.escape import printable
from batch_upload.form import Form, limiting_form
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.from_csv import Table, entries_of_table, read_table
from batch_upload.manifest.new import Judge, LeftOut, OneByOne, Rejection, WantedTags, entries_of_folder, wanted_tags
from batch_upload.manifest.new_targets import RowTargets
from batch_upload.manifest.problems import Code, Problems
from batch_upload.manifest.rules import TARGET_TEMPLATE_NAMES, batch_of, wrong_with_template, wrong_with_word
from batch_upload.manifest.source import SIZE_LIMIT_BYTES
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, Problem
from batch_upload.settings import STANDARD_INPUT
from batch_upload.targets import Target
from batch_upload.words import count_words

LIST_LIMIT_BYTES = SIZE_LIMIT_BYTES
"""A list of files may be as long as a manifest."""
LEFT_OUT_SHOWN = 20
"""How many of the files that were left out are named in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewManifestOptions:
    """How to make a manifest. `folder` is the real path of the folder that it goes to: its paths start there."""

    folder: Path
    batch: str | None = None
    """Made of the name of the source if None."""
    tags: Sequence[str] = ()
    """`KEY=VALUE`, with templates."""
    max_size_bytes: int = MAX_SIZE_DEFAULT_BYTES
    """Overrides the size of `form`."""
    form: Form | None = None
    """The built-in form of all attachments."""
    allow_outside: bool = False
    target: Target = field(default_factory=Target)
    """The manifest's `target`: Region, account and role."""
    target_column: str | None = None
    """The column of a CSV file that names the target of each row. Then `target` has what all targets share."""
    targets_file: Path | None = None
    """A file of targets, which the manifest names; without it the CSV file has their accounts."""
    passed_over: Sequence[Path] = ()
    """Real paths of files in the folder to skip: the manifest itself and its schema."""


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest that was made, and how many attachments it lists."""

    manifest: Manifest
    attachments: int
    left_out: Sequence[LeftOut] = ()
    one_by_one: Sequence[OneByOne] = ()
    targets_file: str | None = None
    """The file that has the targets of the manifest, relative to its folder."""


def new_manifest(source: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of a folder's documents, or of a CSV file's rows. Blocking; writes nothing.

    Raises UsageError for invalid options, and ManifestInvalid with every problem of the source.
    """
    _check_target(source, options)
    return manifest_of_folder(source, options) if source.is_dir() else manifest_of_csv(source, options)


def _check_target(source: Path, options: NewManifestOptions) -> None:
    target = options.target
    given = {Code.REGION: target.region, Code.ACCOUNT: target.account, Code.ROLE_ARN: target.role_arn}
    if options.target_column is None:
        if options.targets_file is not None:
            raise UsageError("`--targets` needs `--target-column`, which says where each row goes")
        for code, text in given.items():
            if text is not None and (wrong := wrong_with_word(code, text)):
                raise UsageError(wrong[1])
        return
    if source.is_dir():
        raise UsageError("`--target-column` names a column, and a folder has none")
    if target.account is not None:
        raise UsageError("`--account` is for one target: with `--target-column` each has its own in the table")
    if options.targets_file is not None and (target.region is not None or target.role_arn is not None):
        raise UsageError("`--region` and `--role-arn` cannot be used with `--targets`, whose file has them")
    if target.region is not None and (wrong := wrong_with_word(Code.REGION, target.region)):
        raise UsageError(wrong[1])
    if target.role_arn is not None and (message := wrong_with_template(target.role_arn, TARGET_TEMPLATE_NAMES)):
        raise UsageError(f"`--role-arn`: {message}")


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for each file that was left out, LEFT_OUT_SHOWN at most, and the number of the others."""
    lines = [printable(f"left out: {each.message}") for each in left_out[:LEFT_OUT_SHOWN]]
    more = len(left_out) - LEFT_OUT_SHOWN
    return [*lines, f"left out: {count_words(more, 'file')} more"] if more > 0 else lines


def manifest_of_folder(named: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of the documents in a folder. Raises as `new_manifest`."""
    wanted, source = wanted_tags(options.tags), named.resolve()
    if wanted.by_row:
        raise UsageError("`{col:NAME}` takes from a column, and a folder has none", hint="`{stem}` or `{parent}`")
    if not source.is_relative_to(options.folder) and not options.allow_outside:
        raise UsageError(
            f"`{named}` is outside the folder that the manifest goes to, nothing was written",
            hint=f"`-o {named.parent / 'NAME.yaml'}` puts it beside, or use `--allow-outside`",
        )
    judge = _judge(options, key="folder")
    found = entries_of_folder(source, manifest_folder=options.folder, judge=judge, without=options.passed_over)
    if not found.entries:
        hint = "\n".join(left_out_lines(found.left_out))
        raise UsageError(f"there is no PDF, PNG or JPEG that can be uploaded in `{named}`", hint=hint)
    manifest, _ = _checked_manifest(named, source.name, found.entries, wanted, options, ())
    return NewManifest(manifest, found.documents, found.left_out, found.one_by_one)


def manifest_of_csv(source: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of the rows of a CSV file. Raises as `new_manifest`."""
    wanted = wanted_tags(options.tags)
    if source.exists() and not source.is_file():
        raise UsageError(f"`{source}` is neither a folder nor a file")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UsageError(f"`{source}` cannot be read: {(error.strerror or str(error)).lower()}") from error
    table = read_table(content, str(source))
    if isinstance(table, Problem):
        raise _not_written(source, [table])
    wanted = wanted.for_columns([name for name in table.columns if name])
    targets = None
    if options.target_column is not None:
        file = options.targets_file
        named = None if file is None else Path(os.path.relpath(file.resolve(), options.folder)).as_posix()
        target = options.target
        targets = RowTargets(options.target_column, options.folder, named, target.region, target.role_arn)
    rows = entries_of_table(
        table,
        name=str(source),
        folder=source.resolve().parent,
        manifest_folder=options.folder,
        wanted=wanted,
        tag_columns=not wanted.by_row,
        judge=_judge(options, key="row"),
        targets=targets,
    )
    manifest, count = _checked_manifest(source, source.stem, rows.entries, wanted, options, rows.problems, targets)
    return NewManifest(manifest, count, targets_file=targets.file if targets is not None else None)


def manifest_of_list(named: Path, options: NewManifestOptions, *, is_null: bool) -> NewManifest:
    """Make a manifest of the files that a list names, STANDARD_INPUT or a file: one a line, with `is_null` one a NUL.

    Paths start at the working directory. Raises as `new_manifest`.
    """
    wanted, separator = wanted_tags(options.tags), b"\0" if is_null else b"\n"
    if wanted.by_row or options.target_column is not None:
        raise UsageError("a list of files has no columns", hint="`{stem}` and `{parent}` are of each file")
    content = read_list(named)
    if len(content) > LIST_LIMIT_BYTES:
        raise UsageError(f"the list `{named}` has more than {LIST_LIMIT_BYTES} bytes", hint="split it")
    names = [os.fsdecode(name if is_null else name.removesuffix(b"\r")) for name in content.split(separator)]
    rows = entries_of_table(
        Table(["file"], [(line, [os.path.normpath(name)]) for line, name in enumerate(names, 1) if name]),
        name=str(named),
        folder=Path().resolve(),
        manifest_folder=options.folder,
        wanted=wanted,
        tag_columns=False,
        judge=_judge(options, key="line"),
    )
    if not rows.entries and not rows.problems:
        raise UsageError(f"the list `{named}` names no file")
    manifest, count = _checked_manifest(named, named.stem, rows.entries, wanted, options, rows.problems)
    return NewManifest(manifest, count)


def read_list(named: Path) -> bytes:
    """Return a list of files, LIST_LIMIT_BYTES and one more at most. Raises UsageError if it cannot be read."""
    is_piped = named == STANDARD_INPUT
    try:
        with open(0 if is_piped else named, "rb", closefd=not is_piped) as file:
            return file.read(LIST_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"`{named}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def _judge(options: NewManifestOptions, *, key: str) -> Judge:
    root = None if options.allow_outside else options.folder
    limit_bytes = options.max_size_bytes
    limiting = limiting_form(options.form, limit_bytes)

    def judge(path: Path, source: str) -> Rejection | None:
        found = inspect(path, max_size_bytes=limit_bytes, root=root, source=source, key=key, form=limiting)
        return (found.code, found.message) if isinstance(found, Refusal) else None

    return judge


def _checked_manifest(
    source: Path,
    name: str,
    entries: Sequence[Entry],
    wanted: WantedTags,
    options: NewManifestOptions,
    problems: Sequence[Problem],
    targets: RowTargets | None = None,
) -> tuple[Manifest, int]:
    """Return a manifest without a problem, and how many attachments it lists.

    Raises ManifestInvalid with `problems` and those of all entries together.
    """
    batch = batch_of(name) if options.batch is None else options.batch
    if batch is None:
        raise UsageError(f"no name for the batch can be made of `{name}`", hint="`--batch NAME` gives it one")
    wrong = wrong_with_word(Code.BATCH, batch)
    if wrong is not None:
        raise UsageError(wrong[1])
    found = Problems(str(source))
    resolved = None if targets is None else targets.resolved(found, allow_outside=options.allow_outside)
    if resolved is not None and (problems or found):  # a row with a problem may be the one that says what its target is
        resolved = replace(resolved, is_whole=False)
    manifest = Manifest(
        path=source,
        folder=options.folder,
        batch=batch,
        entries=tuple(entries),
        tags=wanted.shared,
        max_size_bytes=options.max_size_bytes,
        has_max_size=True,
        form=options.form,
        target=options.target if targets is None else Target(),
        targets=() if resolved is None else resolved.lanes,
    )
    expansion = Expansion(manifest, found, allow_outside=options.allow_outside, targets=resolved)
    count = sum(1 for entry in entries for _ in expansion.of(entry))
    if problems or found:
        raise _not_written(source, [*problems, *found.in_order()])
    return manifest, count


def _not_written(source: Path, problems: Sequence[Problem]) -> ManifestInvalid:
    ordered = sorted(problems, key=lambda problem: problem.at)
    words = f"{count_words(len(ordered), 'problem')} in `{source}`, nothing was written"
    return ManifestInvalid(words, problems=ordered)
