"""A look into the files that a manifest lists: what is in each, or why it cannot be sent."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, TypeVar

from batch_upload.document import Document, RememberedDigest, YoungFile
from batch_upload.documents.copies import Copies
from batch_upload.documents.form_check import mismatches
from batch_upload.documents.look import RECENT_MAX, Looker, Recall, recall_nothing
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.escape import quoted
from batch_upload.form import limiting_form
from batch_upload.manifest.problems import in_file_order
from batch_upload.model import Listed, Manifest, Problem
from batch_upload.settings import Settings

Made = TypeVar("Made")

FILES_AT_ONCE = 1_000
"""Files that are looked at together: their remembered digests are read in one query."""

Memory = Callable[[Manifest], AbstractContextManager[Recall]]
"""Opens the remembered digests of a manifest's files."""
Sound = tuple[Listed, Document | None]
"""A listed attachment without a problem, and what its file holds; None for a URL."""


@dataclass(frozen=True, slots=True)
class Looked(Generic[Made]):
    """What a look into all files of a manifest found; `made` is made of the attachments without a problem."""

    manifest: Manifest
    made: Made
    problems: Sequence[Problem]
    refused: Sequence[tuple[Listed, Problem]]
    warnings: tuple[Problem, ...]
    young: tuple[YoungFile, ...] = ()
    """Matches of globs that are left for a later run, in the manifest's order."""

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """The problems of the manifest and of its files. A file that goes to several lanes has a problem once."""
        return tuple(dict.fromkeys((*self.problems, *(problem for _, problem in self.refused))))


@contextmanager
def remembered(settings: Settings) -> Iterator[Recall]:
    """Open the digests that the ledger remembers; none of them with `rehash`."""
    from batch_upload.ledger import find_digests  # heavy: `validate` does without

    reader = None if settings.rehash else find_digests(settings.ledger)
    with reader or nullcontext():
        yield recall_nothing if reader is None else reader.digests


def look_into_listed(
    manifest: Manifest,
    listed: Iterator[Listed],
    make: Callable[[Iterator[Sound]], Made],
    *,
    allow_outside: bool,
    is_strict: bool = False,
    fresh: dict[str, RememberedDigest],
    memory: Memory = lambda _: nullcontext(recall_nothing),
) -> Looked[Made]:
    """Look into the files of some attachments of a manifest; `make` gets those without a problem, in order.

    A file that goes to several lanes is looked into once. `fresh` gets the digests of the files that were read.
    `is_strict`: warnings are problems, and an attachment with one is refused.
    """
    path = str(manifest.path)
    flawed: list[Problem] = []
    refused: list[tuple[Listed, Problem]] = []
    copies: defaultdict[str | None, Copies] = defaultdict(Copies)
    root = None if allow_outside else manifest.folder
    with (
        memory(manifest) as recall,
        Looker(root, recall=recall, now_ns=time.time_ns, fresh=fresh, looks_inside=manifest.looks_inside) as looker,
    ):
        look = _LookOnce(looker).look if manifest.targets else looker.look

        def sound() -> Iterator[Sound]:
            while batch := list(islice(listed, FILES_AT_ONCE)):
                for each, found in zip(batch, look(batch), strict=True):
                    if isinstance(found, Refusal):
                        if found.code is RefusalCode.MISSING and each.is_match and has_vanished(each):
                            continue
                        refused.append((each, Problem(each.at_file or path, each.at, found.code, found.message)))
                        continue
                    file = each.at_file or path
                    found_in = [*_flaws(each, found, manifest=file), *mismatches(each, found, manifest=file)]
                    if found_in and is_strict:
                        message = "; ".join(flaw.message for flaw in found_in)
                        refused.append((each, replace(found_in[0], message=message)))
                        continue
                    flawed.extend(found_in)
                    copies[each.lane_label].add(each, found)
                    yield each, found

        made = make(sound())
    warnings = dict.fromkeys([*flawed, *(warning for lane in copies.values() for warning in lane.warnings(path))])
    ordered = tuple(in_file_order(warnings, path))
    return Looked(manifest, made, ordered if is_strict else (), refused, () if is_strict else ordered)


def _flaws(listed: Listed, document: Document | None, *, manifest: str) -> Iterator[Problem]:
    """Yield what a look inside a document found. `manifest`: as the user named it."""
    if document is not None and document.insight is not None:
        for flaw in document.insight.flaws:
            yield Problem(manifest, listed.at, flaw.code, f"{quoted(listed.source)} {flaw.message}")


def has_vanished(listed: Listed) -> bool:
    """Tell whether there is nothing at a file's path any more, not even a broken link."""
    return listed.path is not None and not os.path.lexists(listed.path)


class _LookOnce:
    """Looks into each file once, although it is listed for many lanes. They follow each other, or nearly so."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker
        self._found: dict[_Wanted, Document | Refusal | None] = {}
        """Emptied before it exceeds RECENT_MAX by a batch."""

    def look(self, batch: Sequence[Listed]) -> list[Document | Refusal | None]:
        """Return what Looker does."""
        if len(self._found) > RECENT_MAX:
            self._found.clear()
        new = {_wanted(each): each for each in batch}
        unseen = [each for key, each in new.items() if key not in self._found]
        for each, found in zip(unseen, self._looker.look(unseen), strict=True):
            self._found[_wanted(each)] = found
        return [self._found[_wanted(each)] for each in batch]


_Wanted = tuple[str, int, str | None]


def _wanted(listed: Listed) -> _Wanted:
    """Return what decides about the result of a look: the file, its limit, and the form that a refusal names."""
    return listed.source, listed.max_size_bytes, limiting_form(listed.form, listed.max_size_bytes)
