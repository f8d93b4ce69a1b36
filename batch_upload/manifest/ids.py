"""The ids of a manifest in one lane, which must differ, and what to do about those that do not."""

from dataclasses import dataclass

from batch_upload.manifest.problems import AddProblem, Code, excerpt
from batch_upload.model import Entry, SourceKind
from batch_upload.spelling import yaml_text


@dataclass(slots=True)
class _Overlap:
    """Files that the current glob shares with another glob, or with entries that name one file each."""

    example: str
    line: int
    """Of the other entry that has the example."""
    count: int = 0


class Ids:
    """The ids of a manifest, entry by entry. An id that is used twice is a problem.

    Overlapping globs are one problem for each pair, however many files they share.
    """

    def __init__(self, report: AddProblem) -> None:
        self._report = report
        self._first: dict[str, int] = {}
        """By id: the line of the first entry that has it, or minus the number of the glob, from 1. A million fit."""
        self._globs: list[tuple[Entry, int]] = []
        """Each glob so far, and how many files it matches."""
        self._further: dict[str, list[int]] = {}
        """By id: minus the numbers of further globs that match it."""
        self._overlaps: dict[int, _Overlap] = {}
        """Of the current glob: by the number of the other glob, or 0 for all entries that name one file each."""

    def has(self, item_id: str) -> bool:
        """Tell whether an id was used."""
        return item_id in self._first

    def begin_glob(self, entry: Entry, count: int) -> None:
        """Take ids for the `count` matches of this glob from now on, until `end_glob`."""
        self._globs.append((entry, count))

    def end_glob(self) -> None:
        """Report what the glob shares with the entries before it."""
        at = self._globs[-1][0].at
        for number, overlap in self._overlaps.items():
            self._report(at, Code.DUPLICATE_ID, self._overlap_message(number, overlap))
        self._overlaps.clear()

    def take(self, entry: Entry, item_id: str) -> bool:
        """Use an id. Return whether it was free."""
        is_glob = entry.kind is SourceKind.GLOB
        at = entry.id_at or entry.at
        first = self._first.get(item_id)
        if first is None:
            self._first[item_id] = -len(self._globs) if is_glob else at.line
            return True
        if is_glob:
            further = self._further.setdefault(item_id, [])
            for other in (first, *further):
                number = max(0, -other)
                line = self._globs[number - 1][0].at.line if number else other
                self._overlaps.setdefault(number, _Overlap(item_id, line)).count += 1
            further.append(-len(self._globs))
            return False
        if first < 0:
            glob = self._globs[-first - 1][0]
            where = f"the glob {excerpt(glob.source)} in line {glob.at.line}"
            message = f"the id {excerpt(item_id)} is that of a file which {where} matches: give this entry another `id`"
        elif entry.item_id is None:
            how = "leave one of the two out, or give one an `id` of its own"
            message = f"{excerpt(item_id)} is listed in line {first} already: {how}"
        else:
            message = f"the id {excerpt(item_id)} is used in line {first} already: give one of the two another `id`"
        self._report(at, Code.DUPLICATE_ID, message)
        return False

    def _overlap_message(self, number: int, overlap: _Overlap) -> str:
        entry, count = self._globs[-1]
        files = "file" if overlap.count == 1 else f"{overlap.count:,} files"
        if not number:
            example = f"{excerpt(overlap.example)} in line {overlap.line}"
            shared = f"{files} whose paths are the ids of other entries, such as {example}"
            if overlap.count == 1:
                shared = f"a file whose path is the id of another entry, {example}"
            return f"{excerpt(entry.source)} matches {shared}: give each of them another `id`, or use `exclude`"
        first, first_count = self._globs[number - 1]
        if overlap.count == count == first_count:
            advice = "leave one of the two out"
        elif overlap.count == count:
            advice = "leave this one out, which matches nothing else"
        elif overlap.count == first_count:
            advice = f"leave line {overlap.line} out, which matches nothing else"
        else:
            advice = f"add {_exclude(first)} to this one"
        if count != first_count and overlap.count in (count, first_count):
            wide, narrow = (first, entry) if overlap.count == count else (entry, first)
            place = f"line {wide.at.line}" if wide is first else "this one"
            advice = f"{advice}, or add {_exclude(narrow)} to {place}"
        both = f"{excerpt(first.source)} in line {overlap.line} and {excerpt(entry.source)}"
        return f"{both} match the same {files}, such as {excerpt(overlap.example)}: {advice}"


def _exclude(entry: Entry) -> str:
    """Return what leaves out of another glob all that this one matches."""
    return excerpt(f"exclude: {yaml_text(entry.source)}")
