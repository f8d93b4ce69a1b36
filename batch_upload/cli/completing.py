"""What a shell offers behind TAB, beside verbs and flags: states, and the ids of the manifest that stands on the line.

A shell waits for this at every TAB: nothing heavy is imported, large manifests are left alone, and what goes wrong is
silent. Offered is only what no shell takes for anything but text: bash expands what it is given, zsh evaluates it.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import typer

from batch_upload.errors import BatchUploadError
from batch_upload.model import State

LARGEST_BYTES = 1_000_000
"""About 10,000 entries: read and expanded in a quarter of a second."""
MOST = 200
"""More than that nobody reads."""
_HARMLESS = re.compile(r"[\w@%+=,./-]+")


def item_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ids of the manifest on the line that begin so."""
    matching = (each for each in _ids(_manifest(ctx)) if each.startswith(incomplete))
    return list(islice(matching, MOST))


def states_and_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """The states that go on with a list of states, and the ids of the manifest on the line."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",") if comma else []
    states = [f"{before}{comma}{state}" for state in State if state.startswith(last) and state not in taken]
    return [*(states if set(taken) <= set(State) else []), *item_ids(ctx, incomplete)]


def _manifest(ctx: typer.Context) -> object:
    """The manifest that was typed. Behind a flag that still wants its value, arguments are left as they came."""
    return ctx.params.get("manifest") or next(iter(ctx.args), None)


def _ids(manifest: object) -> Iterator[str]:
    if not isinstance(manifest, str | Path):
        return
    try:
        path = Path(manifest).expanduser()  # a shell asks before it has expanded what was typed
        if path.stat().st_size > LARGEST_BYTES:
            return
        yield from (each for each in _listed(path) if _HARMLESS.fullmatch(each))
    except (BatchUploadError, OSError, RuntimeError):  # RuntimeError: nobody's home
        return


def _listed(path: Path) -> list[str]:
    from batch_upload.manifest.reader import list_manifest  # heavy: only where ids are asked for

    return list_manifest(path, allow_outside=True, take=lambda _, listed: [each.item_id for each in listed])[1]
