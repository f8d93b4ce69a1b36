"""What a shell completes after TAB besides verbs and flags: states, forms, fields, and the manifest's ids and targets.

A shell waits for this at every TAB: nothing heavy is imported, large manifests are skipped, and errors are silent. Only
harmless text is offered: bash expands what it is given, zsh evaluates it.
"""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import typer

from batch_upload.errors import BatchUploadError
from batch_upload.model import Listed, State
from batch_upload.targets import GROUP_PREFIX

LARGEST_BYTES = 1_000_000
"""About 10,000 entries: read and expanded in a quarter of a second."""
MOST = 200
"""The most ids that are offered."""
_HARMLESS = re.compile(rf"(?:{GROUP_PREFIX})?[\w@%+=,./-]+")


def item_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of the manifest on the line that begin so."""

    def ids(path: Path) -> Iterable[str]:
        from batch_upload.manifest.reader import list_manifest  # heavy: only if ids are asked for

        def take(_: object, listed: Iterable[Listed]) -> Iterable[str]:
            return dict.fromkeys(each.item_id for each in listed)  # once, however many lanes have it

        return list_manifest(path, allow_outside=True, take=take)[1]

    return _of_manifest(ctx, incomplete, ids)


def names_of_targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the targets of the manifest on the line, and their groups, whose names begin with the text."""

    def names(path: Path) -> Iterable[str]:
        from batch_upload.manifest.reader import targets_named_in  # heavy: only if targets are asked for

        targets = targets_named_in(path)
        groups = sorted({f"{GROUP_PREFIX}{group}" for each in targets for group in each.groups})
        bare = dict.fromkeys(each.name or "" for each in targets)
        return (*bare, *(each.label or "" for each in targets), *groups)

    return _of_manifest(ctx, incomplete, names)


def names_of_forms(incomplete: str) -> list[str]:
    """Return the built-in forms whose names begin so."""
    from batch_upload.manifest.forms import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(incomplete)]


def names_of_fields(incomplete: str) -> list[str]:
    """Return the fields of registrations whose forms are known and whose paths begin so."""
    from batch_upload.manifest.forms import FORM_OF_FIELD

    return [path for path in FORM_OF_FIELD if path.startswith(incomplete)]


def _of_manifest(ctx: typer.Context, incomplete: str, read: Callable[[Path], Iterable[str]]) -> list[str]:
    # behind a flag that still wants its value, arguments are left as they came
    manifest = ctx.params.get("manifest") or next(iter(ctx.args), None)
    if not isinstance(manifest, str | Path):
        return []
    try:
        path = Path(manifest).expanduser()  # a shell asks before it has expanded what was typed
        if path.stat().st_size > LARGEST_BYTES:
            return []
        found = read(path)
    except (BatchUploadError, OSError, RuntimeError):  # RuntimeError: an unknown user's home
        return []
    return list(islice((each for each in found if _HARMLESS.fullmatch(each) and each.startswith(incomplete)), MOST))


def states_and_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the states that continue a list of states, and the ids of the manifest on the line."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",") if comma else []
    states = [f"{before}{comma}{state}" for state in State if state.startswith(last) and state not in taken]
    return [*(states if set(taken) <= set(State) else []), *item_ids(ctx, incomplete)]
