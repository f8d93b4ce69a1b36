"""Why a file cannot be sent: the codes, and messages with what to do about each."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from batch_upload.document import EVERY_EXTENSION
from batch_upload.documents.sniff import other_type_of
from batch_upload.errors import ProblemCode
from batch_upload.escape import printable, quoted
from batch_upload.model import KB, KIB, MAX_SIZE_SERVICE_BYTES
from batch_upload.spelling import closest, composed, folded, path_advice

NAMES_READ = 200_000
"""Names of a folder that are compared at most. For more of them a hint is not worth the memory."""


class RefusalCode(ProblemCode):
    """What is wrong with a file. Codes are only ever added."""

    MISSING = "missing", "the file does not exist, or is a link that leads nowhere"
    UNREADABLE = "unreadable", "the file cannot be opened or read"
    OUTSIDE = "outside", "the file is outside the manifest's folder, perhaps through a symlink"
    FOLDER = "folder", "the path is that of a folder, not of a file"
    NOT_REGULAR = "not-regular", "the path is that of a device, FIFO or socket"
    EMPTY = "empty", "the file has no bytes"
    TOO_LARGE = "too-large", "the file is larger than its `max_size`"
    UNSUPPORTED_TYPE = "unsupported-type", "the content is neither PDF nor PNG nor JPEG, whatever the name says"
    WRONG_EXTENSION = "wrong-extension", "the extension does not go with the content"
    CHANGED_SINCE_PLAN = "changed_since_plan", "the bytes are no longer those that were planned; they were not sent"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that will not be sent. `code` is stable, `message` is for people."""

    code: RefusalCode
    message: str


def size_for_people(size_bytes: int) -> str:
    """Return a size in bytes and in KB, rounded up, so that it never looks smaller than it is."""
    return f"{size_bytes:,} bytes ({-(-size_bytes // KB):,} KB)"


def too_large(shown: str, size_bytes: int, max_size_bytes: int, *, key: str, form: str | None = None) -> Refusal:
    """Return the refusal of a file that has at least `size_bytes`. `key` and `form` are as in `examine`."""
    # the next size that is easy to write: whole 100 KB, then whole MiB
    if size_bytes <= 1_000 * KB:
        enough = f"{-(-size_bytes // (100 * KB)) * 100}KB"
    else:
        enough = f"{-(-size_bytes // (KIB * KIB))}MiB"
    if size_bytes > MAX_SIZE_SERVICE_BYTES:
        advice = f"the service takes no more than {size_for_people(MAX_SIZE_SERVICE_BYTES)}, make it smaller"
    elif form is not None:
        advice = "make it smaller"
    elif key == "file":
        advice = f"make it smaller, or set `max_size: {enough}`"
    else:
        advice = f"make it smaller, or add `--max-size {enough}` (most registration forms take only 500 KB)"
    limit = "its limit is" if form is None else f"the form `{form}` takes no more than"
    message = f"{quoted(shown)} has {size_for_people(size_bytes)}, {limit} {size_for_people(max_size_bytes)}"
    return Refusal(RefusalCode.TOO_LARGE, f"{message}: {advice}")


def of_other_type(shown: str, head: bytes) -> Refusal:
    """Return the refusal of a file that is no PDF, PNG or JPEG. `head` is its first EXPLAINED_BYTES, or all of it."""
    found = other_type_of(head)
    if found is None:
        message = f"{quoted(shown)} is neither PDF nor PNG nor JPEG by its content"
    else:
        suffix = Path(shown).suffix
        is_named_ours = suffix.lower() in EVERY_EXTENSION
        although = f", although it is named `{suffix}`" if is_named_ours else ""
        message = f"{quoted(shown)} is {found[0]}{although}: {found[1]}"
    return Refusal(RefusalCode.UNSUPPORTED_TYPE, message)


def advice_on_missing(path: str, source: str, *, key: str) -> str:
    """Return what to do about a file that does not exist; empty if nothing is known to help. Blocking.

    `path` is absolute, `source` is how the file was named, and `key` where: `file`, or `row` for a cell of a table.
    Looks in the folder for a name that differs only in Unicode form, encoding or case. If the folder is missing, the
    first missing folder of the path is looked for.
    """
    parent, name = os.path.split(path)
    kind = ""
    while parent != os.path.dirname(parent) and not os.path.isdir(parent):
        kind = "the folder "
        parent, name = os.path.split(parent)
    try:
        found = closest(name, _names_by_fold(parent, os.stat(parent).st_mtime_ns).get(folded(name), ()))
    except (OSError, ValueError):
        found = None
    if found is None:
        return printable(path_advice(source, key=key))
    ways = "or rename it" if key == "row" else "rename it, or use a `glob`"
    return f"there is {kind}{quoted(found.name)}, {found.how}: write its name in the same way, {ways}"


def in_other_form(path: str) -> str | None:
    """Return the path of a file whose names differ from these only in Unicode form (NFC, NFD). Blocking.

    Each name that does not exist must have exactly one such name in its folder; None otherwise. `path` is absolute.
    Zip files and disks of a Mac have names in NFD, and people type NFC: both look the same.
    """
    if path.isascii():
        return None
    found = "/"
    for name in path.split("/")[1:]:
        wanted = os.path.join(found, name)
        if not name.isascii() and not os.path.lexists(wanted):
            try:
                names = _names_by_fold(found, os.stat(found).st_mtime_ns).get(folded(name), ())
            except (OSError, ValueError):
                return None
            same = [each for each in names if composed(each) == composed(name)]
            if len(same) != 1:
                return None
            wanted = os.path.join(found, same[0])
        found = wanted
    return found if found != path else None


@lru_cache(maxsize=16)  # or the folder is read again for each of a thousand missing files
def _names_by_fold(folder: str, _mtime_ns: int) -> Mapping[str, Sequence[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in islice(entries, NAMES_READ):
            names[folded(entry.name)].append(entry.name)
    return dict(names)
