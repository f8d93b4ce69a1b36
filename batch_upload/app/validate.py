"""`validate`: find every problem and warning of a manifest and its files. Reads no ledger and makes no request."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.items import invalid, look_into_files
from batch_upload.app.looks import Sound
from batch_upload.document import YoungFile
from batch_upload.documents.look import Recent
from batch_upload.errors import ManifestInvalid
from batch_upload.manifest.problems import Invalid, in_file_order
from batch_upload.model import Manifest, Problem
from batch_upload.settings import RunOptions
from batch_upload.targets import ALL_LANES, LaneChoice


@dataclass(frozen=True, slots=True)
class Validation:
    """What is wrong with a manifest. With problems its batch and items are known only if `skip_invalid` is set, and if
    none of them is the manifest's own."""

    batch: str | None = None
    items: int = 0
    """How many attachments the manifest lists, those for several lanes once for each, and the invalid ones."""
    lanes: int = 0
    """How many lanes of the manifest's `targets` were chosen; 0 for a manifest without."""
    problems: tuple[Problem, ...] = ()
    """In the order of the file. As long as there is one, `upload` sends nothing, or with `skip_invalid` the others."""
    warnings: tuple[Problem, ...] = ()
    invalid: int = 0
    """With `skip_invalid`: how many of the items cannot be sent."""
    young: tuple[YoungFile, ...] = ()
    """Matches of globs that are too young for a run: they are not among the items, and were not looked into."""


async def validate(manifest: str | Path, options: RunOptions | None = None) -> Validation:
    """Read a manifest and all its files, and return every problem and warning.

    Of the options `allow_outside`, `targets`, `shard`, `strict` and `skip_invalid` count.

    A manifest with problems is a result, not an error; UsageError is raised for one that cannot be read, or that does
    not have these `targets`. The files are read in a thread; if the task is cancelled, that thread reads on to its end.
    """
    work = partial(validate_sync, Path(manifest), options or RunOptions())
    return await to_thread.run_sync(work, abandon_on_cancel=True)


def validate_sync(manifest: Path, options: RunOptions) -> Validation:
    """As `validate`. Blocking: not for the thread of an event loop."""
    try:
        checked = check(
            manifest,
            allow_outside=options.allow_outside,
            lanes=options.lanes,
            skip_invalid=options.skip_invalid,
            is_strict=options.strict,
        )
    except ManifestInvalid as error:
        return Validation(problems=tuple(error.problems))
    lanes = len(options.lanes.of(checked.manifest.targets)) if checked.manifest.targets else 0
    items = checked.count + checked.invalid
    return Validation(
        checked.manifest.batch,
        items,
        lanes,
        checked.problems,
        warnings=checked.warnings,
        invalid=checked.invalid,
        young=checked.young,
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest whose files were all read, and how many of its attachments can be sent."""

    manifest: Manifest
    count: int
    warnings: tuple[Problem, ...] = ()
    invalid: int = 0
    """How many cannot be sent; only with `skip_invalid`."""
    problems: tuple[Problem, ...] = ()
    """Why, in the manifest's order."""
    young: tuple[YoungFile, ...] = ()


def check(
    path: Path,
    *,
    allow_outside: bool,
    lanes: LaneChoice = ALL_LANES,
    skip_invalid: bool = False,
    is_strict: bool = False,
) -> Checked:
    """Read a manifest and all its files, and hold only its ids, which must differ. `lanes` chooses some.

    Raises ManifestInvalid, with `skip_invalid` only for a problem of the manifest itself, and UsageError as
    `list_manifest`.
    """
    of_entries = Invalid()

    def count(found: Iterator[Sound]) -> list[tuple[str | None, str]] | int:
        if skip_invalid:  # any of them may be taken back
            return [(listed.lane_label, listed.item_id) for listed, _ in found]
        return sum(1 for _ in found)

    looked = look_into_files(
        path,
        count,
        allow_outside=allow_outside,
        is_strict=is_strict,
        lanes=lanes,
        fresh=Recent(),
        of_entries=of_entries,
    )
    made, problems = looked.made, looked.all_problems
    if problems and (isinstance(made, int) or of_entries.of_manifest(looked.problems)):
        raise invalid(path, problems)
    if isinstance(made, int):
        return Checked(looked.manifest, made, looked.warnings, young=looked.young)
    valid = sum(key not in of_entries.withdrawn for key in made)
    invalid_count = len(of_entries.refused) + len(looked.refused) + len(made) - valid
    ordered = tuple(in_file_order(problems, str(path)))
    return Checked(looked.manifest, valid, looked.warnings, invalid_count, ordered, looked.young)
