"""From a manifest's path to items, or to every problem in the way. Nothing is sent, no ledger is written."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from batch_upload.document import Document, RememberedDigest
from batch_upload.documents.copies import Copies
from batch_upload.documents.inspect import inspect
from batch_upload.documents.look import Looker, Recall, Recent, recall_nothing
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.problems import Code
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import Item, Listed, Manifest, Problem
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.spelling import id_hint
from batch_upload.token import client_token
from batch_upload.words import count_words

T = TypeVar("T")

BATCH = 1_000
"""So many files are looked at before the next: what is remembered of them is asked for at once."""

Memory = Callable[[Manifest], AbstractContextManager[Recall]]
"""Opens what is remembered of a manifest's files."""
Sound = tuple[Listed, Document | None]
"""A listed attachment without a problem, and what its file holds; None for a URL."""


UNMATCHED = frozenset({Code.NO_MATCH, Code.FOLDER_UNREADABLE})
"""Problems of a glob that hide files which a ledger may know."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest whose every file was looked into.

    `fresh`: what was read and may be remembered, by resolved path; who remembers it takes it out. Where a verb only
    reads, `unmatched` are the problems of globs that find no file, and `unread` what is listed and cannot be sent.
    """

    manifest: Manifest
    items: tuple[Item, ...]
    fresh: dict[str, RememberedDigest] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    unmatched: tuple[Problem, ...] = ()
    unread: tuple[tuple[Listed, Problem], ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why `upload` sends nothing."""
        return (*self.unmatched, *(problem for _, problem in self.unread))


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest whose every file was looked into, and of which nothing is kept but how many attachments it lists."""

    manifest: Manifest
    count: int
    warnings: tuple[Problem, ...] = ()


def missing_files(prepared: Prepared) -> list[str]:
    """Return the files of a manifest that do not exist, as it names them."""
    return [listed.source for listed, problem in prepared.unread if problem.code == RefusalCode.MISSING]


@contextmanager
def _nothing(_manifest: Manifest) -> Iterator[Recall]:
    yield recall_nothing


def prepare(path: Path, *, allow_outside: bool, memory: Memory = _nothing) -> Prepared:
    """Read a manifest, and all its files that are not remembered as they are.

    Raises ManifestInvalid with all problems of both, in the manifest's order.
    """
    prepared = prepare_readable(path, allow_outside=allow_outside, memory=memory)
    if prepared.problems:
        raise invalid(path, prepared.problems)
    return prepared


def prepare_readable(path: Path, *, allow_outside: bool, memory: Memory = _nothing) -> Prepared:
    """Read a manifest and its files as `prepare`, for a verb that only reads.

    Raises ManifestInvalid with all problems where there are others than of files and of globs that match none.
    """
    fresh: dict[str, RememberedDigest] = {}
    look = _Look(path, allow_outside=allow_outside, memory=memory, fresh=fresh)
    looked = look.through(lambda found: tuple(item_of(*each) for each in found))
    prepared = Prepared(
        looked.manifest, looked.made, fresh, looked.warnings, tuple(looked.problems), tuple(looked.refused)
    )
    if any(problem.code not in UNMATCHED for problem in looked.problems):
        raise invalid(path, prepared.problems)
    return prepared


def check(path: Path, *, allow_outside: bool) -> Checked:
    """Read a manifest and all its files, and hold only its ids, which must differ. Raises as `prepare`."""
    look = _Look(path, allow_outside=allow_outside, memory=_nothing, fresh=Recent())
    looked = look.through(lambda found: sum(1 for _ in found))
    if looked.problems or looked.refused:
        raise invalid(path, (*looked.problems, *(problem for _, problem in looked.refused)))
    return Checked(looked.manifest, looked.made, looked.warnings)


@dataclass(frozen=True, slots=True)
class _Looked(Generic[T]):
    """What came of a look: what was made of what is in order, the manifest's problems, and the refused files."""

    manifest: Manifest
    made: T
    problems: Sequence[Problem]
    refused: Sequence[tuple[Listed, Problem]]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look into every file that a manifest lists."""

    path: Path = field(kw_only=False)
    allow_outside: bool
    memory: Memory
    fresh: dict[str, RememberedDigest]

    def through(self, make: Callable[[Iterator[Sound]], T]) -> _Looked[T]:
        """Look into all files, and give what `make` makes of those in order.

        Raises ManifestInvalid as the listing. What a KeyboardInterrupt interrupted is added to it as a note.
        """
        refused: list[tuple[Listed, Problem]] = []
        copies = Copies()

        def take(manifest: Manifest, listed: Iterator[Listed]) -> T:
            root = None if self.allow_outside else manifest.folder
            with (
                self.memory(manifest) as recall,
                Looker(root, recall=recall, now_ns=time.time_ns, fresh=self.fresh) as looker,
            ):
                return make(self._sound(listed, looker, refused, copies))

        try:
            manifest, made, problems = _listed(self.path, allow_outside=self.allow_outside, take=take)
        except KeyboardInterrupt as stopped:
            stopped.add_note(f"while reading `{self.path}` and its files; nothing was sent")
            raise
        return _Looked(manifest, made, problems, refused, copies.warnings(str(self.path)))

    def _sound(
        self, listed: Iterator[Listed], looker: Looker, refused: list[tuple[Listed, Problem]], copies: Copies
    ) -> Iterator[Sound]:
        """What is in order, one by one, of which `copies` are found. What is not is added to `refused`."""
        while batch := list(islice(listed, BATCH)):
            for each, found in zip(batch, looker.look(batch), strict=True):
                if isinstance(found, Refusal):
                    refused.append((each, Problem(str(self.path), each.at, found.code, found.message)))
                else:
                    copies.add(each, found)
                    yield each, found


def ready(
    path: Path, options: RunOptions, *, on_manifest: Callable[[Manifest, Settings], None] = lambda *_: None
) -> tuple[Prepared, Settings]:
    """The manifest with all its files looked into, and the settings. Raises ManifestInvalid and UsageError.

    Files that the ledger remembers as they look are not read, unless `rehash` is set. `on_manifest` is called
    before the files are looked into, once the manifest itself can be read.
    """
    prepared, settings = _looked_into(path, options, on_manifest)
    if prepared.problems:
        raise invalid(path, prepared.problems)
    return prepared, settings


def ready_to_read(path: Path, options: RunOptions) -> tuple[Prepared, Settings]:
    """The same for a verb that writes no ledger: what was read is not kept to be remembered.

    Raises as `prepare_readable`, and UsageError.
    """
    prepared, settings = _looked_into(path, options, lambda *_: None)
    return replace(prepared, fresh={}), settings


def _looked_into(
    path: Path, options: RunOptions, on_manifest: Callable[[Manifest, Settings], None]
) -> tuple[Prepared, Settings]:
    def settings_for(manifest: Manifest) -> Settings:
        return settings_of(options, manifest=path, ledger=manifest.ledger, target=manifest.target)

    def memory(manifest: Manifest) -> AbstractContextManager[Recall]:
        settings = settings_for(manifest)
        on_manifest(manifest, settings)
        return _nothing(manifest) if settings.rehash else _remembered(settings.ledger)

    prepared = prepare_readable(path, allow_outside=options.allow_outside, memory=memory)
    return prepared, settings_for(prepared.manifest)


def check_only(settings: Settings, prepared: Prepared) -> None:
    """Raise UsageError where `--only` names neither a state nor an id of the manifest."""
    ids = {item.item_id for item in prepared.items} | {listed.item_id for listed, _ in prepared.unread}
    strange = sorted(settings.only_ids - ids)
    if strange:
        raise unknown_only(strange[0], ids)


def unknown_only(item_id: str, ids: Iterable[str]) -> UsageError:
    """The error of an `--only` that names neither a state nor one of the ids."""
    return UsageError(
        f"`--only {item_id}` is neither a state nor an id of the manifest",
        hint=id_hint(item_id, ids)
        or "states are `failed`, `pending`, `parked`, `unknown`, `sending`, `processing` and `complete`",
    )


@contextmanager
def _remembered(ledger: Path) -> Iterator[Recall]:
    from batch_upload.ledger import find_digests  # heavy: `validate` does without

    reader = find_digests(ledger)
    if reader is None:
        yield recall_nothing
        return
    with reader:
        yield reader.digests


def list_items(path: Path, *, allow_outside: bool) -> tuple[Manifest, tuple[Listed, ...]]:
    """Read a manifest and expand it, without a look into its files. Raises ManifestInvalid with all its problems."""
    manifest, listed, unmatched = list_items_and_unmatched(path, allow_outside=allow_outside)
    if unmatched:
        raise invalid(path, unmatched)
    return manifest, listed


def list_items_and_unmatched(
    path: Path, *, allow_outside: bool
) -> tuple[Manifest, tuple[Listed, ...], tuple[Problem, ...]]:
    """The same for a verb that only reads the ledger, and the problem of each glob that finds no file any more.

    Raises ManifestInvalid with all problems where there are others.
    """
    manifest, listed, problems = _listed(path, allow_outside=allow_outside, take=lambda _, listed: tuple(listed))
    if any(problem.code not in UNMATCHED for problem in problems):
        raise invalid(path, problems)
    return manifest, listed, tuple(problems)


def _listed(
    path: Path, *, allow_outside: bool, take: Callable[[Manifest, Iterator[Listed]], T]
) -> tuple[Manifest, T, Sequence[Problem]]:
    try:
        return list_manifest(path, allow_outside=allow_outside, take=take)
    except ManifestInvalid as error:
        raise invalid(path, error.problems) from error


def invalid(path: Path, problems: Sequence[Problem]) -> ManifestInvalid:
    """The error of these problems, sorted as they stand in the file."""
    ordered = sorted(problems, key=lambda problem: problem.at)
    return ManifestInvalid(
        f"{count_words(len(ordered), 'problem')} in `{path}`",
        problems=ordered,
        hint=f"`batch-upload validate {path}` lists all of them",
    )


def look_into(listed: Listed, settings: Settings, folder: Path) -> Item | Refusal:
    """Return the item with what is in its file now, or why that cannot be sent. `folder` is the manifest's.

    A URL is taken as it is.
    """
    if listed.path is None:
        return item_of(listed, None)
    root = None if settings.allow_outside else folder
    document = inspect(listed.path, max_size_bytes=listed.max_size_bytes, root=root, source=listed.source)
    return document if isinstance(document, Refusal) else item_of(listed, document)


def item_of(listed: Listed, document: Document | None) -> Item:
    """Make an item of a listed attachment and of what its file holds; `document` is None for a URL."""
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
