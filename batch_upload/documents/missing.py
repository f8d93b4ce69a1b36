"""Files that are not there: which other name may have been meant."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from batch_upload.documents.refusals import printable, quoted
from batch_upload.spelling import closest, folded, path_advice

NAMES_READ = 200_000
"""Names of a folder that are compared at most: beyond that a hint is not worth the memory."""


def advice_on_missing(path: str, source: str, *, key: str) -> str:
    """What to do about a file that does not exist; empty where nothing is known to help. Blocking.

    `path` is absolute, `source` is how the file was named, and `key` where: `file`, or `row` for a cell of a table.
    The folder is looked through for a name that differs only in Unicode form, encoding or case.
    """
    return _other_name(path, key=key) or printable(path_advice(source, key=key))


def _other_name(path: str, *, key: str) -> str:
    parent, name = os.path.split(path)
    is_folder = False
    while parent != os.path.dirname(parent) and not os.path.isdir(parent):
        is_folder = True
        parent, name = os.path.split(parent)
    try:
        found = closest(name, _names(parent, os.stat(parent).st_mtime_ns).get(folded(name), ()))
    except (OSError, ValueError):
        return ""
    if found is None:
        return ""
    there = f"there is the folder {quoted(found.name)}" if is_folder else f"there is {quoted(found.name)}"
    ways = "or rename it" if key == "row" else "rename it, or use a `glob`"
    return f"{there}, {found.how}: write its name in the same way, {ways}"


@lru_cache(maxsize=16)
def _names(folder: str, _mtime_ns: int) -> Mapping[str, Sequence[str]]:
    """The names in a folder by how they fold: of a thousand missing files each would else read it anew."""
    names: dict[str, list[str]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in islice(entries, NAMES_READ):
            names[folded(entry.name)].append(entry.name)
    return dict(names)
