"""What `manifest new` does: a folder or a CSV file becomes a manifest that passes `validate` as it is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch_upload.cli import messages
from batch_upload.cli.files import (
    NamedFile,
    exists_already,
    is_standard_output,
    is_there,
    output_file,
    place_of,
    refuse_own_files,
    standard_output,
)
from batch_upload.cli.output import Ended, Output
from batch_upload.cli.own_files import STANDARD_ERROR, STANDARD_OUTPUT, documents
from batch_upload.clock import counting_s
from batch_upload.documents.inspect import inspect
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ExitCode, UsageError
from batch_upload.escape import printable, shell_word
from batch_upload.manifest.codes import Code
from batch_upload.manifest.expand import expand
from batch_upload.manifest.from_csv import entries_of_table, read_table
from batch_upload.manifest.from_folder import LeftOut, OneByOne, entries_of_folder
from batch_upload.manifest.new import SCHEMA_NAME, Judge, Refused, manifest_lines
from batch_upload.manifest.rules import batch_of, size_bytes, wrong_with_word
from batch_upload.manifest.tagging import Wanted, wanted_tags
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, Problem, State
from batch_upload.report.ndjson import problem_line
from batch_upload.summary import Summary, exit_of
from batch_upload.words import count_words

SHOWN = 20
"""So many files that were left out are named; `--json` names all."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `out` is None for standard output."""

    source: Path
    out: Path | None
    force: bool = False
    batch: str | None = None
    tags: Sequence[str] = ()
    max_size: str | None = None
    allow_outside: bool = False


@dataclass(frozen=True, slots=True)
class _Made:
    manifest: Manifest
    attachments: int
    left_out: Sequence[LeftOut] = ()
    one_by_one: Sequence[OneByOne] = ()


class _WrongRowsError(Exception):
    """What was read cannot become a manifest."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = sorted(problems, key=lambda problem: problem.at)


def made(wish: Wish, output: Output) -> Ended:
    """Write the manifest, or tell every problem and write nothing. Raises UsageError for what cannot be asked for."""
    started = counting_s()
    if wish.out is not None and is_standard_output(wish.out):
        wish = replace(wish, out=None)
    if output.json and wish.out is None:
        raise UsageError("`manifest new --json` needs `-o FILE`: standard output is for the summary")
    if wish.out is not None and is_there(wish.out) and not wish.force:
        raise exists_already(wish.out)
    try:
        new = _of_folder(wish) if wish.source.is_dir() else _of_csv(wish)
    except _WrongRowsError as error:
        return _refused(wish, output, error.problems, started=started)
    output.say(*_left_out(new.left_out, output), *_one_by_one(new.one_by_one))
    has_schema = _write(new.manifest, wish)
    summary = Summary(
        verb="manifest new",
        exit=exit_of(ExitCode.DONE),
        batch=new.manifest.batch,
        items=new.attachments,
        states={State.PENDING.value: new.attachments},
        elapsed_s=counting_s() - started,
    )
    return Ended(summary, lines=_told(wish, new, has_schema=has_schema))


def _of_folder(wish: Wish) -> _Made:
    wanted, limit, beside = wanted_tags(wish.tags), _max_size_bytes(wish), _beside(wish)
    if wanted.by_row:
        raise UsageError("`{col:NAME}` takes from a column, and a folder has none", hint="`{stem}` or `{parent}`")
    source = wish.source.resolve()
    if not source.is_relative_to(beside) and not wish.allow_outside:
        raise UsageError(
            f"`{wish.source}` is outside the folder that the manifest goes to, nothing was written",
            hint=f"`-o {wish.source.parent / 'NAME.yaml'}` puts it beside, or use `--allow-outside`",
        )
    passed_over = [] if wish.out is None else [place_of(wish.out), beside / SCHEMA_NAME]
    found = entries_of_folder(source, beside=beside, judge=_judge(wish, limit, key="folder"), without=passed_over)
    if not found.entries:
        raise UsageError(
            f"there is no PDF, PNG or JPEG that can be uploaded in `{wish.source}`",
            hint="\n".join(_left_out_lines(found.left_out)),
        )
    manifest = _manifest(wish, source.name, found.entries, wanted, limit)
    _demand_none(expand(manifest, allow_outside=wish.allow_outside)[1])
    return _Made(manifest, found.documents, found.left_out, found.one_by_one)


def _of_csv(wish: Wish) -> _Made:
    wanted, limit = wanted_tags(wish.tags), _max_size_bytes(wish)
    table = read_table(_content(wish.source), str(wish.source))
    if isinstance(table, Problem):
        raise _WrongRowsError([table])
    wanted = wanted.for_columns([name for name in table.columns if name])
    rows = entries_of_table(
        table,
        name=str(wish.source),
        folder=wish.source.resolve().parent,
        beside=_beside(wish),
        wanted=wanted,
        tag_columns=not wanted.by_row,
        judge=_judge(wish, limit, key="row"),
    )
    manifest = _manifest(wish, wish.source.stem, rows.entries, wanted, limit)
    # templates and ids that stand twice, beside what is wrong with single rows
    _demand_none([*rows.problems, *expand(manifest, allow_outside=wish.allow_outside)[1]])
    return _Made(manifest, len(rows.entries))


def _demand_none(problems: Sequence[Problem]) -> None:
    if problems:
        raise _WrongRowsError(problems)


def _manifest(wish: Wish, name: str, entries: Sequence[Entry], wanted: Wanted, limit: int) -> Manifest:
    return Manifest(
        path=wish.source,
        folder=_beside(wish),
        batch=_batch(wish, name),
        entries=tuple(entries),
        tags=wanted.shared,
        max_size_bytes=limit,
    )


def _judge(wish: Wish, limit: int, *, key: str) -> Judge:
    root = None if wish.allow_outside else _beside(wish)

    def judge(path: Path, source: str) -> Refused | None:
        found = inspect(path, max_size_bytes=limit, root=root, source=source, key=key)
        return Refused(found.code, found.message) if isinstance(found, Refusal) else None

    return judge


def _content(source: Path) -> bytes:
    if source.exists() and not source.is_file():
        raise UsageError(f"`{source}` is neither a folder nor a file")
    try:
        return source.read_bytes()
    except OSError as error:
        raise UsageError(f"`{source}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def _beside(wish: Wish) -> Path:
    """The real path of the folder that the manifest goes to: its paths are named from there."""
    return Path().resolve() if wish.out is None else place_of(wish.out).parent


def _batch(wish: Wish, name: str) -> str:
    batch = batch_of(name) if wish.batch is None else wish.batch
    if batch is None:
        raise UsageError(f"no name for the batch can be made of `{name}`", hint="`--batch NAME` gives it one")
    wrong = wrong_with_word(Code.BATCH, batch)
    if wrong is not None:
        raise UsageError(wrong[1])
    return batch


def _max_size_bytes(wish: Wish) -> int:
    if wish.max_size is None:
        return MAX_SIZE_DEFAULT_BYTES
    found = size_bytes(wish.max_size)
    if found is None:
        raise UsageError(f"`--max-size {wish.max_size}` is not a size such as `500KB` or `1MiB`, at most `5MiB`")
    return found


def _write(manifest: Manifest, wish: Wish) -> bool:
    """Write the manifest; whether its schema was put beside it, since there was none."""
    lines = (f"{line}\n" for line in manifest_lines(manifest))
    if wish.out is None:
        with standard_output() as stream:
            stream.writelines(lines)
        return False
    refuse_own_files("-o", wish.out, _sources(wish, manifest))
    with output_file(wish.out, replace=wish.force) as stream:
        stream.writelines(lines)
    if not is_there(wish.out):
        return False  # a pipe or a device
    return _put_schema_beside(wish.out)


def _sources(wish: Wish, manifest: Manifest) -> Iterator[NamedFile]:
    """What the manifest was made of, and the documents that it will list."""
    yield NamedFile("what the manifest is made of", wish.source)
    yield from documents(expand(manifest, allow_outside=wish.allow_outside)[0])
    yield from (STANDARD_OUTPUT, STANDARD_ERROR)


def _put_schema_beside(manifest: Path) -> bool:
    from batch_upload.manifest.schema import schema_text  # pydantic takes its time

    beside = place_of(manifest).with_name(SCHEMA_NAME)
    if beside.exists():
        return False
    with output_file(beside, replace=False) as stream:
        stream.write(schema_text())
    return True


def _refused(wish: Wish, output: Output, problems: Sequence[Problem], *, started: float) -> Ended:
    for problem in problems:
        output.event(problem_line(problem))
    if not output.json:
        output.error(messages.problems_text(problems))
    summary = Summary(verb="manifest new", exit=exit_of(ExitCode.INVALID), elapsed_s=counting_s() - started)
    told = f"{count_words(len(problems), 'problem')} in `{wish.source}`, nothing was written"
    return Ended(summary, lines=(printable(told),))


def _told(wish: Wish, new: _Made, *, has_schema: bool) -> tuple[str, ...]:
    count = count_words(new.attachments, "attachment")
    if wish.out is None:
        return (f"{count}; paths are named from this folder, so keep the manifest here",)
    lines = [printable(f"{count} in `{wish.out}`, batch `{new.manifest.batch}`")]
    if has_schema:
        lines.append(f"`{SCHEMA_NAME}` beside it is for editors, which complete and check the manifest by it")
    outside = " --allow-outside" if wish.allow_outside else ""
    return (*lines, "next:", f"  batch-upload plan {shell_word(str(wish.out))}{outside}")


def _left_out(left_out: Sequence[LeftOut], output: Output) -> list[str]:
    for each in left_out:
        told = {"file": printable(each.path), "code": each.why.code, "message": each.why.message}
        output.event({"event": "left_out", "schema_version": 1, **told})
    return _left_out_lines(left_out)


def _one_by_one(groups: Sequence[OneByOne]) -> list[str]:
    """What a list in the place of a pattern means for what is added later."""
    lines = []
    for each in groups[:SHOWN]:
        folder, _, ending = f"./{each.pattern}".rpartition("/")
        where = "here" if folder == "." else f"in `{folder.removeprefix('./')}`"
        kind = f"{ending.removeprefix('*.').upper()}s"
        more = f" and {count_words(len(each.because) - 1, 'other')}" if len(each.because) > 1 else ""
        because = f"`{Path(each.because[0]).name}`{more} cannot be uploaded, and `{each.pattern}` would match it"
        lines.append(printable(f"{kind} added {where} later will not be found, because {because}"))
    more_lines = len(groups) - SHOWN
    lines += [f"the same of {count_words(more_lines, 'folder')} more"] if more_lines > 0 else []
    advice = "to find them, move away what cannot be uploaded, and make the manifest again with `--force`"
    return [*lines, advice] if lines else []


def _left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    lines = [printable(f"left out: {each.why.message}") for each in left_out[:SHOWN]]
    more = len(left_out) - SHOWN
    return [*lines, f"left out: {count_words(more, 'file')} more"] if more > 0 else lines
