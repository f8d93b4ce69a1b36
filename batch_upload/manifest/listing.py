"""From a manifest's path to its attachments, one by one: the quick way where it leads, else the careful one."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from batch_upload.errors import ManifestInvalid
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.problems import quoted
from batch_upload.manifest.quick import QuickReader
from batch_upload.manifest.reader import read_as_far_as_possible
from batch_upload.manifest.shapes import UnusualError
from batch_upload.manifest.source import opened
from batch_upload.model import Entry, Listed, Manifest, Problem

T = TypeVar("T")


def list_manifest(
    path: Path, *, allow_outside: bool, take: Callable[[Manifest, Iterator[Listed]], T]
) -> tuple[Manifest, T, tuple[Problem, ...]]:
    """Hand the attachments of a manifest to `take`, and give the manifest, what `take` made, and every problem.

    `take` is called again, from the first attachment on, where the quick way comes upon something that it does not
    know: what it made of the first call is then of no use. With a problem the attachments are those that have none.
    Entries are not kept in the manifest. Raises ManifestInvalid where nothing can be made of it, and UsageError where
    it cannot be read.
    """
    try:
        return _quickly(path, allow_outside=allow_outside, take=take)
    except UnusualError:
        return _carefully(path, allow_outside=allow_outside, take=take)


def ledger_named_in(path: Path) -> str | None:
    """The `ledger` of a manifest. Reads only the head of a usual one. None also where it cannot be understood.

    Raises UsageError where the manifest cannot be read.
    """
    try:
        with opened(path) as file:
            return QuickReader(file, path).manifest.ledger
    except UnusualError:
        manifest, _ = read_as_far_as_possible(path)
        return None if manifest is None else manifest.ledger


def list_manifest_once(
    path: Path, *, allow_outside: bool, take: Callable[[Manifest, Iterator[Listed]], T]
) -> tuple[Manifest, T, tuple[Problem, ...]]:
    """The same for a `take` that is dear, and keeps nothing that would make the second time cheaper.

    Which way leads to the end is found out first, at the price of reading the manifest once more. `take` is called
    again only where the manifest, or a folder of a glob, is changed meanwhile.
    """
    try:
        _quickly(path, allow_outside=allow_outside, take=_to_the_end)
    except UnusualError:
        return _carefully(path, allow_outside=allow_outside, take=take)
    return list_manifest(path, allow_outside=allow_outside, take=take)


def _to_the_end(_manifest: Manifest, listed: Iterator[Listed]) -> None:
    for _ in listed:
        pass


def _quickly(
    path: Path, *, allow_outside: bool, take: Callable[[Manifest, Iterator[Listed]], T]
) -> tuple[Manifest, T, tuple[Problem, ...]]:
    with opened(path) as file:
        reader = QuickReader(file, path)
        work = Expansion(reader.manifest, allow_outside=allow_outside)
        return reader.manifest, take(reader.manifest, _without_problem(reader.entries(), work)), ()


def _without_problem(entries: Iterable[Entry], work: Expansion) -> Iterator[Listed]:
    for entry in entries:
        yield from work.of(entry)
        if work.problems:
            raise UnusualError


def _carefully(
    path: Path, *, allow_outside: bool, take: Callable[[Manifest, Iterator[Listed]], T]
) -> tuple[Manifest, T, tuple[Problem, ...]]:
    manifest, problems = read_as_far_as_possible(path)
    if manifest is None:
        raise ManifestInvalid(f"{quoted(str(path))} cannot be understood", problems=problems)
    work = Expansion(manifest, allow_outside=allow_outside)
    taken = take(manifest, (item for entry in manifest.entries for item in work.of(entry)))
    return manifest, taken, (*problems, *work.problems.in_order())
