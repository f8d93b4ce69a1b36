"""What a shell completes after TAB besides verbs and flags: states, and the ids of the manifest on the line.

A shell waits for this at every TAB: nothing heavy is imported, large manifests are skipped, and errors are silent. Only
harmless text is offered: bash expands what it is given, zsh evaluates it.
"""

import re
from itertools import islice
from pathlib import Path

import typer

from batch_upload.errors import BatchUploadError
from batch_upload.model import State

LARGEST_BYTES = 1_000_000
"""About 10,000 entries: read and expanded in a quarter of a second."""
MOST = 200
"""The most ids that are offered."""
_HARMLESS_ID = re.compile(r"[\w@%+=,./-]+")


def item_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of the manifest on the line that begin so."""
    # behind a flag that still wants its value, arguments are left as they came
    manifest = ctx.params.get("manifest") or next(iter(ctx.args), None)
    if not isinstance(manifest, str | Path):
        return []
    try:
        path = Path(manifest).expanduser()  # a shell asks before it has expanded what was typed
        if path.stat().st_size > LARGEST_BYTES:
            return []
        from batch_upload.manifest.reader import list_manifest  # heavy: only if ids are asked for

        _, ids, _ = list_manifest(path, allow_outside=True, take=lambda _, listed: [each.item_id for each in listed])
    except (BatchUploadError, OSError, RuntimeError):  # RuntimeError: an unknown user's home
        return []
    return list(islice((each for each in ids if _HARMLESS_ID.fullmatch(each) and each.startswith(incomplete)), MOST))


def states_and_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the states that continue a list of states, and the ids of the manifest on the line."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",") if comma else []
    states = [f"{before}{comma}{state}" for state in State if state.startswith(last) and state not in taken]
    return [*(states if set(taken) <= set(State) else []), *item_ids(ctx, incomplete)]
