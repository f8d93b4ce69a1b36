"""From a manifest's path to items, or to every problem in the way. Nothing is sent, no ledger is touched."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from batch_upload.cli.messages import problems_headline
from batch_upload.documents.inspect import inspect, read_body
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ChangedSincePlan, ManifestInvalid
from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_as_far_as_possible
from batch_upload.model import Document, Item, Listed, Manifest, Problem
from batch_upload.ports import Body
from batch_upload.settings import Flags, Settings, resolve, truth_of
from batch_upload.token import client_token

READERS = 4
"""Files that are looked into at once: hashing releases the interpreter's lock, and disks like a queue."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest whose every file was looked into."""

    manifest: Manifest
    items: tuple[Item, ...]


def prepare(path: Path, *, allow_outside: bool) -> Prepared:
    """Read a manifest and all its files. Raises ManifestInvalid with all problems of both, in the manifest's order."""
    manifest, listed, problems = _listed(path, allow_outside=allow_outside)
    root = None if allow_outside else manifest.folder
    items: list[Item] = []
    for each, found in zip(listed, _inspected(listed, root), strict=True):
        if isinstance(found, Refusal):
            problems.append(Problem(str(path), each.at, found.code, found.message))
        else:
            items.append(item_of(each, found))
    if problems:
        raise invalid(path, problems)
    return Prepared(manifest, tuple(items))


def ready(path: Path, flags: Flags) -> tuple[Prepared, Settings]:
    """The manifest with all its files looked into, and the settings. Raises ManifestInvalid and UsageError."""
    prepared = prepare(path, allow_outside=truth_of(flags, "allow_outside"))
    settings = resolve(flags, manifest=path, ledger=prepared.manifest.ledger, target=prepared.manifest.target)
    return prepared, settings


def list_items(path: Path, *, allow_outside: bool) -> tuple[Manifest, tuple[Listed, ...]]:
    """Read a manifest and expand it, without a look into its files. Raises ManifestInvalid with all its problems."""
    manifest, listed, problems = _listed(path, allow_outside=allow_outside)
    if problems:
        raise invalid(path, problems)
    return manifest, listed


def _listed(path: Path, *, allow_outside: bool) -> tuple[Manifest, tuple[Listed, ...], list[Problem]]:
    manifest, problems = read_as_far_as_possible(path)
    if manifest is None:
        raise invalid(path, problems)
    listed, others = expand(manifest, allow_outside=allow_outside)
    return manifest, listed, [*problems, *others]


def invalid(path: Path, problems: Sequence[Problem]) -> ManifestInvalid:
    """The error of these problems, sorted as they stand in the file."""
    ordered = sorted(problems, key=lambda problem: problem.at)
    return ManifestInvalid(
        problems_headline(ordered, str(path)),
        problems=ordered,
        hint=f"`batch-upload validate {path}` lists all of them",
    )


def item_of(listed: Listed, document: Document | None) -> Item:
    """The item of what was listed and what was found in its file; None for a URL."""
    content = f"url:{listed.source}" if document is None else f"sha256:{document.sha256}"
    token = client_token(
        batch=listed.batch,
        item_id=listed.item_id,
        content=content,
        generation=listed.generation,
        tags=listed.tags,
    )
    return Item(
        batch=listed.batch,
        item_id=listed.item_id,
        source=listed.source,
        digest=None if document is None else bytes.fromhex(document.sha256),
        client_token=token,
        tags=listed.tags,
        generation=listed.generation,
        identity_tag=listed.identity_tag,
        folder=listed.folder,
        size_bytes=document.size_bytes if document else None,
        content_type=document.content_type if document else None,
        max_size_bytes=listed.max_size_bytes,
    )


def _inspected(listed: Sequence[Listed], root: Path | None) -> Iterator[Document | Refusal | None]:
    def look(each: Listed) -> Document | Refusal | None:
        return None if each.path is None else inspect(each.path, max_size_bytes=each.max_size_bytes, root=root)

    with ThreadPoolExecutor(READERS) as readers:
        yield from readers.map(look, listed)


class DocumentBodies:
    """Implements `ports.Bodies`: reads and encodes in a thread, since a disk may make one wait."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    async def read(self, item: Item) -> Body:
        return await to_thread.run_sync(self._read, item)

    def _read(self, item: Item) -> Body:
        if item.path is None or item.sha256 is None or item.size_bytes is None:
            raise TypeError("a URL has no body")
        found = read_body(
            item.path,
            sha256=item.sha256,
            size_bytes=item.size_bytes,
            max_size_bytes=item.max_size_bytes,
            root=self._root,
        )
        if isinstance(found, Refusal):
            raise ChangedSincePlan(found.message, code=found.code)
        return Body.of(found)
