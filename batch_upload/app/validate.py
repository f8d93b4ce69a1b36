"""`validate`: find every problem and warning of a manifest and its files. Reads no ledger and makes no request."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.items import check
from batch_upload.document import YoungFile
from batch_upload.errors import ManifestInvalid
from batch_upload.model import Problem
from batch_upload.settings import RunOptions


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
