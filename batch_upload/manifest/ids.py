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
    """Of the other glob, if it is one."""
    where: str
    """The place of the other entry that has the example, in words."""
    count: int = 0


class Ids:
    """The ids of a manifest, entry by entry. An id that is used twice is a problem.

    Overlapping globs are one problem for each pair, however many files they share.
    """

    def __init__(self, report: AddProblem) -> None:
        self._report = report
        self._first: dict[str, int] = {}
        """By id: the place of the first entry that has it, or minus the number of the glob, from 1. A million fit."""
        self._tables: list[str | None] = [None]
        """The tables that have rows, by the number that is part of a place; the first is the manifest itself."""
        self._globs: list[tuple[Entry, int]] = []
        """Each glob so far, and how many files it matches."""
        self._further: dict[str, list[int]] = {}
        """By id: minus the numbers of further globs that match it."""
        self._overlaps: dict[int, _Overlap] = {}
        """Of the current glob: by the number of the other glob, or 0 for all entries that name one file each."""

    def has(self, item_id: str) -> bool:
        """Tell whether an id was used."""
        return item_id in self._first

    def is_of_current_glob(self, item_id: str) -> bool:
        """Tell whether an id that was used is that of a match of the current glob."""
        return self._first.get(item_id) == -len(self._globs)

    def place_of(self, item_id: str, table: str | None) -> str:
        """Return where an id was used first, in words, as seen from a line of `table`; None: of the manifest."""
        first = self._first[item_id]
        if first >= 0:
            return self._words(first, table)
        glob = self._globs[-first - 1][0]
        where = "" if table is None else " of the manifest"
        return f"of the glob {excerpt(glob.source)} in line {glob.at.line}{where}"

    def begin_glob(self, entry: Entry, count: int) -> None:
        """Take ids for the `count` matches of this glob from now on, until `end_glob`."""
        self._globs.append((entry, count))

    def end_glob(self) -> None:
        """Report what the glob shares with the entries before it."""
        at = self._globs[-1][0].at
        for number, overlap in self._overlaps.items():
            self._report(at, Code.DUPLICATE_ID, self._overlap_message(number, overlap))
        self._overlaps.clear()

    def take_new(self, item_id: str, line: int, table: str | None) -> bool:
        """Use the id of a line of a table if it is free, and return whether it was. Reports nothing."""
        if item_id in self._first:
            return False
        self._first[item_id] = self._place(line, table)
        return True

    def take(self, entry: Entry, item_id: str) -> bool:
        """Use an id. Return whether it was free."""
        is_glob = entry.kind is SourceKind.GLOB
        at = entry.id_at or entry.at
        first = self._first.get(item_id)
        if first is None:
            self._first[item_id] = -len(self._globs) if is_glob else self._place(at.line, entry.at_file)
            return True
        if is_glob:
            further = self._further.setdefault(item_id, [])
            for other in (first, *further):
                number = max(0, -other)
                line = self._globs[number - 1][0].at.line if number else other
                where = f"in line {line}" if number else self._words(other, None)
                self._overlaps.setdefault(number, _Overlap(item_id, line, where)).count += 1
            further.append(-len(self._globs))
            return False
        if first < 0:
            glob = self._globs[-first - 1][0]
            where = f"the glob {excerpt(glob.source)} in line {glob.at.line}"
            message = f"the id {excerpt(item_id)} is that of a file which {where} matches: give this entry another `id`"
        elif entry.item_id is None:
            how = "leave one of the two out, or give one an `id` of its own"
            message = f"{excerpt(item_id)} is listed {self._words(first, entry.at_file)} already: {how}"
        else:
            where = self._words(first, entry.at_file)
            message = f"the id {excerpt(item_id)} is used {where} already: give one of the two another `id`"
        self._report(at, Code.DUPLICATE_ID, message)
        return False

    def _place(self, line: int, table: str | None) -> int:
        """Return a line, and the number of its table above the first 32 bits."""
        if table is None:
            return line
        if self._tables[-1] != table:
            self._tables.append(table)
        return (len(self._tables) - 1) << 32 | line

    def _words(self, place: int, table: str | None) -> str:
        """Return where a place is, as seen from a line of `table`."""
        line, its_table = place & 0xFFFF_FFFF, self._tables[place >> 32]
        where = "" if its_table == table else f" of {excerpt(its_table) if its_table else 'the manifest'}"
        return f"in line {line}{where}"

    def _overlap_message(self, number: int, overlap: _Overlap) -> str:
        entry, count = self._globs[-1]
        files = "file" if overlap.count == 1 else f"{overlap.count:,} files"
        if not number:
            example = f"{excerpt(overlap.example)} {overlap.where}"
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
