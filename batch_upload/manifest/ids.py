"""Which entry takes which id, and what is reported where two entries want the same."""

from dataclasses import dataclass, field

from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import Problems, quoted
from batch_upload.model import Entry, SourceKind


@dataclass(slots=True)
class _Shared:
    """Files that the glob at work matches as well as another glob, or as entries of their own. `line`: of the first."""

    example: str
    line: int
    count: int = 0


@dataclass(slots=True)
class Ids:
    """The ids of a manifest, taken entry by entry. An id that is taken twice is added to `problems`.

    Overlapping globs are one problem for each pair, however many files they share.
    """

    problems: Problems
    _takers: dict[str, int] = field(default_factory=dict)
    """By id: the line of the entry that took it first, or minus the number of the glob, from 1. A million fit."""
    _globs: list[tuple[Entry, int]] = field(default_factory=list)
    """Each glob so far, and how many files it matches."""
    _further: dict[str, list[int]] = field(default_factory=dict)
    """By id: globs that wanted it, too."""
    _shared: dict[int, _Shared] = field(default_factory=dict)
    """What the glob at work shares: by the number of the other glob, or 0 for all entries with a file of their own."""

    def begin_glob(self, entry: Entry, count: int) -> None:
        """From now on ids are taken by the matches of this glob, so many, until `end_glob`."""
        self._globs.append((entry, count))

    def end_glob(self) -> None:
        """Report what the glob shares with the entries before it."""
        entry, count = self._globs[-1]
        for number, shared in self._shared.items():
            message = self._overlap(entry, count, number, shared) if number else _has_entries(entry, shared)
            self.problems.add(entry.at, Code.DUPLICATE_ID, message)
        self._shared.clear()

    def take(self, entry: Entry, item_id: str) -> bool:
        """Whether the id is free, which it is not any more."""
        is_glob = entry.kind is SourceKind.GLOB
        at = entry.id_at or entry.at
        first = self._takers.get(item_id)
        if first is None:
            self._takers[item_id] = -len(self._globs) if is_glob else at.line
            return True
        if is_glob:
            self._share(item_id, first)
        else:
            self.problems.add(at, Code.DUPLICATE_ID, self._taken_already(entry, item_id, first))
        return False

    def _share(self, item_id: str, first: int) -> None:
        others = self._further.setdefault(item_id, [])
        for taker in (first, *others):
            number = max(0, -taker)
            line = self._globs[number - 1][0].at.line if number else taker
            self._shared.setdefault(number, _Shared(item_id, line)).count += 1
        others.append(-len(self._globs))

    def _taken_already(self, entry: Entry, item_id: str, first: int) -> str:
        if first < 0:
            glob = self._globs[-first - 1][0]
            where = f"the glob {quoted(glob.source)} in line {glob.at.line}"
            if entry.source == item_id:
                return f"{where} matches {quoted(item_id)} already: leave this entry out, or narrow the pattern"
            return f"the id {quoted(item_id)} is that of a file which {where} matches: give this entry another `id`"
        if entry.item_id is None:
            how = "leave one of the two out, or give one an `id` of its own"
            return f"{quoted(item_id)} is listed in line {first} already: {how}"
        return f"the id {quoted(item_id)} is used in line {first} already: give one of the two another `id`"

    def _overlap(self, entry: Entry, count: int, number: int, shared: _Shared) -> str:
        first, first_count = self._globs[number - 1]
        both = f"{quoted(first.source)} in line {shared.line} and {quoted(entry.source)}"
        if shared.count == count == first_count:
            advice = "leave one of the two out"
        elif shared.count == count:
            advice = "leave this one out, which matches nothing else"
        elif shared.count == first_count:
            advice = f"leave line {shared.line} out, which matches nothing else"
        else:
            advice = "narrow one of the patterns"
        return f"{both} match the same {_files(shared.count)}, such as {quoted(shared.example)}: {advice}"


def _has_entries(entry: Entry, shared: _Shared) -> str:
    example = f"such as {quoted(shared.example)} in line {shared.line}"
    if shared.count == 1:
        return (
            f"{quoted(entry.source)} matches a file that has an entry of its own, {quoted(shared.example)} in line "
            f"{shared.line}: leave that entry out, or narrow the pattern"
        )
    return (
        f"{quoted(entry.source)} matches {_files(shared.count)} that have entries of their own, {example}: "
        "leave those entries out, or narrow the pattern"
    )


def _files(count: int) -> str:
    return "file" if count == 1 else f"{count:,} files"
