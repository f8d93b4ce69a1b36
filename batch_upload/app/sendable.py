"""What of a manifest can be sent, and what cannot; and what `--only` chooses of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar

from batch_upload.app.looks import Looked
from batch_upload.document import Document, RememberedDigest, YoungFile
from batch_upload.manifest.problems import Code, Invalid
from batch_upload.model import Fault, Item, Known, Listed, Manifest, Position, Problem, State
from batch_upload.targets import id_with_lane

UNMATCHED = frozenset({Code.NO_MATCH, Code.FOLDER_UNREADABLE})
"""Problems of a glob that hide files which a ledger may know."""

UNHELD = frozenset({State.PENDING, State.INVALID})
"""States in which an item may be although the ledger has it in another one: its file decides."""
Unread = tuple[Listed, Problem]
"""An attachment that cannot be sent, and why."""
BindPlace = tuple[str | None, Position]
"""The table that has the row of a `bind`, None for the manifest, and its position there."""
AnyListed = TypeVar("AnyListed", Item, Listed)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest and all its files, read.

    `fresh`: digests that were read and may be remembered, by resolved path. `unread` are the attachments that cannot be
    sent: for a verb that only reads, and with `skips_invalid`. `unmatched` are the problems of globs that match no
    file, for a verb that only reads. `unchosen` are what `--only` leaves out: none of its files was opened.
    """

    manifest: Manifest
    items: tuple[Item, ...]
    fresh: dict[str, RememberedDigest] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    unmatched: tuple[Problem, ...] = ()
    unread: tuple[Unread, ...] = ()
    unchosen: tuple[Listed, ...] = ()
    entry_problems: tuple[Problem, ...] = ()
    """Problems of entries, of each all that were found, and also of entries that are in none of the chosen lanes."""
    skips_invalid: bool = False
    """Whether the rest is sent although there are problems. Then an entry whose attachments are not known counts as one
    of `unread`."""
    bind_places: Mapping[tuple[str | None, str], BindPlace] = field(default_factory=dict)
    """Where the `bind` of each item is that has one, by the label of its lane and its id."""
    young: tuple[YoungFile, ...] = ()
    """Matches of globs that are left for a later run: no items, and what was uploaded under their ids stays."""

    @property
    def young_ids(self) -> frozenset[str]:
        """The ids of the matches that are left for a later run."""
        return frozenset(each.listed.item_id for each in self.young)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why `upload` sends nothing without `--skip-invalid`. A file that goes to several lanes has a problem once."""
        of_files = (problem for _, problem in self.unread)
        return tuple(dict.fromkeys((*self.unmatched, *self.entry_problems, *of_files)))

    @property
    def stops(self) -> bool:
        """Whether `upload` sends nothing: there are problems, and they are not skipped."""
        return bool(self.problems) and not self.skips_invalid

    @property
    def is_part(self) -> bool:
        """Whether more may be listed than is known: then an id that is not listed is no orphan."""
        has_unknown = any(listed.is_entry for listed, _ in self.unread)
        return self.manifest.part_of is not None or bool(self.unmatched) or has_unknown

    @property
    def total(self) -> int:
        """How many attachments are listed, with those that cannot be sent or are not chosen."""
        return len(self.items) + len(self.unread) + len(self.unchosen)


@dataclass(frozen=True, slots=True)
class Choice:
    """What `--only` chooses among what a manifest lists."""

    ids: Set[str]
    """Also with their lane: `acme/us-east-1:ID`."""
    states: Set[State]
    held: Mapping[str | None, Mapping[str, Set[State]]] = field(default_factory=dict)
    """By lane and id: the states that the ledger has of the item, of all its tokens."""

    def looks_at(self, listed: Listed) -> bool:
        """Return whether the file is looked into: also for an item that may be chosen once its content is known."""
        return self._has_id(listed) or bool(self.states & UNHELD) or self._has_state(listed)

    def has(self, listed: Listed) -> bool:
        """Return whether an attachment that cannot be sent is chosen; one without an id only as `invalid`."""
        if State.INVALID in self.states or self._has_id(listed):
            return True
        is_new = not listed.is_entry and not self._states(listed)
        return (State.PENDING in self.states and is_new) or self._has_state(listed)

    def _has_id(self, listed: Listed) -> bool:
        ids = self.ids
        return listed.item_id in ids or (
            listed.lane_label is not None and id_with_lane(listed.lane_label, listed.item_id) in ids
        )

    def _has_state(self, listed: Listed) -> bool:
        return not self.states.isdisjoint(self._states(listed))

    def _states(self, listed: Listed) -> Set[State]:
        return self.held.get(listed.lane_label, {}).get(listed.item_id, frozenset())


def by_lane(found: Iterable[T], label_of: Callable[[T], str | None]) -> defaultdict[str | None, list[T]]:
    """Return what a manifest lists by the label of its lane, in order."""
    parts: defaultdict[str | None, list[T]] = defaultdict(list)
    for each in found:
        parts[label_of(each)].append(each)
    return parts


def sorted_out(
    looked: Looked[tuple[Item, ...]],
    of_entries: Invalid,
    fresh: dict[str, RememberedDigest],
    *,
    choice: Choice | None,
    unchosen: Sequence[Listed],
    skips_invalid: bool,
    bind_places: Mapping[tuple[str | None, str], BindPlace],
) -> Prepared:
    """Return what can be sent and what cannot, of a manifest without a problem of its own.

    `unchosen`: attachments whose files were not looked into. With a `choice` only problems of what it has are kept.
    """
    items, withdrawn = without_withdrawn(looked.made, of_entries)
    unread = [*of_entries.refused, *looked.refused]
    unread += [(listed_of_item(item, problem.at), problem) for item, problem in withdrawn]
    unread.sort(key=lambda pair: pair[0].at)
    unmatched: Sequence[Problem] = ()
    entry_problems: Sequence[Problem] = looked.problems
    if choice is not None:
        unchosen = [*unchosen, *(each for each, _ in unread if not (each.is_entry or choice.has(each)))]
        unread, entry_problems = [pair for pair in unread if choice.has(pair[0])], ()
    elif not skips_invalid:
        unread = [pair for pair in unread if pair[1].code not in UNMATCHED]
        unmatched = [each for each in looked.problems if each.code in UNMATCHED]
    return Prepared(
        looked.manifest,
        items,
        fresh,
        looked.warnings,
        tuple(unmatched),
        tuple(unread),
        tuple(unchosen),
        tuple(entry_problems),
        skips_invalid,
        bind_places,
        looked.young,
    )


def without_withdrawn(
    found: Sequence[AnyListed], of_entries: Invalid
) -> tuple[tuple[AnyListed, ...], list[tuple[AnyListed, Problem]]]:
    """Return what was listed without what was taken back later, and what was taken back, each in order.

    Of an id that is used twice nothing is sent. Which of them is meant is not known, and once the entries are in
    another order the other one would be uploaded.
    """
    if not of_entries.withdrawn:
        return tuple(found), []
    left, withdrawn = [], []
    for each in found:
        problem = of_entries.withdrawn.get((each.lane_label, each.item_id))
        if problem is None:
            left.append(each)
        else:
            withdrawn.append((each, problem))
    return tuple(left), withdrawn


def listed_of_item(item: Item, at: Position) -> Listed:
    """Return an item as it was listed, as far as an item has it. `at` is the position of its entry."""
    return Listed(
        batch=item.batch,
        item_id=item.item_id,
        source=item.source,
        folder=item.folder,
        tags=item.tags,
        generation=item.generation,
        max_size_bytes=item.max_size_bytes,
        identity_tag=item.identity_tag,
        at=at,
        lane_label=item.lane_label,
        bind=item.bind,
    )


def item_of_listed(listed: Listed, client_token: str = "", document: Document | None = None) -> Item:
    """Return a listed attachment as an item. `document`: what its file holds; None for a URL.

    One that cannot be sent has neither: its token depends on its content, which is not known.
    """
    return Item(
        batch=listed.batch,
        item_id=listed.item_id,
        source=listed.source,
        digest=None if document is None else bytes.fromhex(document.sha256),
        client_token=client_token,
        tags=listed.tags,
        generation=listed.generation,
        identity_tag=listed.identity_tag,
        folder=listed.folder,
        size_bytes=document.size_bytes if document else None,
        content_type=document.content_type if document else None,
        max_size_bytes=listed.max_size_bytes,
        lane_label=listed.lane_label,
        bind=listed.bind,
    )


def known_invalid(unread: Unread, row: Known | None) -> Known:
    """Return how an attachment that cannot be sent is reported. `row` is what the ledger has of it."""
    listed, problem = unread
    found = row or Known(
        item_id=listed.item_id,
        client_token="",
        state=State.INVALID,
        content="",
        tags=listed.tags,
        generation=listed.generation,
        identity_tag=listed.identity_tag,
        source=listed.source,
        bind=listed.bind,
    )
    return found._replace(state=State.INVALID, fault=Fault(problem.code, problem.message))
