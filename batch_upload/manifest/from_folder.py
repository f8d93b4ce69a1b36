"""A folder's documents as entries: a glob for each folder and extension, so that what is added later is found too."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.matches import is_leftover
from batch_upload.manifest.new import Judge, Refused
from batch_upload.manifest.problems import quoted
from batch_upload.model import Entry, Position, SourceKind

_MAGIC = re.compile(r"([*?\[])")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is in the folder and not in the manifest. `path` is relative to the manifest."""

    path: str
    why: Refused


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Files that are listed one by one, since a pattern would match what cannot be uploaded, too."""

    pattern: str
    """The pattern that would have stood for them."""
    because: Sequence[str]
    """The paths of those that cannot be uploaded."""


@dataclass(slots=True)
class FromFolder:
    """What was found. `documents` is how many attachments the entries mean."""

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    one_by_one: list[OneByOne] = field(default_factory=list)
    documents: int = 0


def entries_of_folder(source: Path, *, beside: Path, judge: Judge, without: Sequence[Path] = ()) -> FromFolder:
    """Walk a folder and all below it, as `**` does: not what is hidden or a leftover, and no links to folders.

    `beside` is where the manifest goes: both are real paths. A glob stands for a folder's files of one extension where
    all of them can be uploaded; where one cannot, the others are listed singly, under the ids that the glob would give.
    `without` are files that are passed over in silence.
    """
    found = FromFolder()
    for folder, names in _folders(source, beside, found):
        for suffix in sorted({Path(name).suffix for name in names}):
            group = [name for name in names if Path(name).suffix == suffix and (folder / name) not in without]
            _take_group(found, folder, suffix, group, beside, judge)
    return found


def _folders(source: Path, beside: Path, found: FromFolder) -> Iterator[tuple[Path, list[str]]]:
    """Each folder and the names of its files, both in the order of code points."""

    def unreadable(error: OSError) -> None:
        path = _relative(Path(error.filename), beside)
        why = f"{quoted(path)} cannot be read: {(error.strerror or str(error)).lower()}"
        found.left_out.append(LeftOut(path, Refused(Code.FOLDER_UNREADABLE, why)))

    for folder, folders, names in os.walk(source, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):
                path = _relative(Path(folder, name), beside)
                found.left_out.append(LeftOut(path, Refused("folder", f"{quoted(path)} is a link to a folder")))
        yield Path(folder), sorted(name for name in names if not name.startswith(".") and not is_leftover(name))


def _take_group(found: FromFolder, folder: Path, suffix: str, names: Sequence[str], beside: Path, judge: Judge) -> None:
    good, bad = [], []
    for name in names:
        path = _relative(folder / name, beside)
        why = _wrong_with_name(path) or judge(folder / name, path)
        if why is None:
            good.append(path)
        else:
            bad.append(LeftOut(path, why))
    found.documents += len(good)
    found.left_out.extend(bad)
    if not good:
        return
    pattern = _MAGIC.sub(r"[\1]", _relative(folder, beside))
    glob = f"*{suffix}" if pattern == "." else f"{pattern}/*{suffix}"
    if not bad:
        found.entries.append(Entry(SourceKind.GLOB, glob, Position()))
        return
    found.one_by_one.append(OneByOne(glob, [each.path for each in bad]))
    found.entries.extend(Entry(SourceKind.FILE, path, Position(), item_id=path) for path in good)


def _wrong_with_name(path: str) -> Refused | None:
    wrong = rules.wrong_with_name(path)
    return Refused(wrong[0].value, wrong[1]) if wrong else None


def _relative(path: Path, beside: Path) -> str:
    return Path(os.path.relpath(path, beside)).as_posix()
