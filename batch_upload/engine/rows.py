"""Which row of the ledger counts for an item, and what it says. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from batch_upload.model import OPEN, AttachmentStatus, Item, Known, State
from batch_upload.ports import ABSENT
from batch_upload.registration import BindState
from batch_upload.token import IDENTITY_TAG, RETRIES_MAX, client_token


@dataclass(frozen=True, slots=True)
class BatchRows:
    """The rows that the ledger holds of one batch, or of some ids of it, by what they are looked up by."""

    current: Mapping[str, Known] = field(default_factory=dict)
    """By item id: the row of its current token."""
    by_token: Mapping[str, Known] = field(default_factory=dict)
    """Rows of replaced tokens too."""
    live: Mapping[tuple[str, str, int], Known] = field(default_factory=dict)
    """By item id, content and generation: the row with an attachment at the service, whatever its tags."""
    counts: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """By item id, content and generation: how many tokens there are."""

    @staticmethod
    def of(rows: Sequence[Known]) -> "BatchRows":
        """Arrange the rows that `LedgerWriter.known` returned."""
        return BatchRows(
            current={row.item_id: row for row in rows if row.current},
            by_token={row.client_token: row for row in rows},
            live={(row.item_id, row.content, row.generation): row for row in rows if row.is_live},
            counts=Counter((row.item_id, row.content, row.generation) for row in rows),
        )

    @property
    def absent(self) -> list[Known]:
        """Rows whose attachment an earlier run did not find, and that may still count for their ids."""
        found = []
        for row in self.by_token.values():
            current = self.current.get(row.item_id, row)
            if is_absent(row) and (current.content, current.generation) == (row.content, row.generation):
                found.append(row)
        return found


def new_row(item: Item) -> Known:
    """Return the row of an item that was just enlisted."""
    return Known(
        item_id=item.item_id,
        client_token=item.client_token,
        state=State.PENDING,
        content=item.content,
        tags=item.tags,
        generation=item.generation,
        identity_tag=item.identity_tag,
        source=item.source,
        size_bytes=item.size_bytes,
        content_type=item.content_type,
        bind=item.bind,
        bind_state=None if item.bind is None else BindState.WANTED,
    )


def tags_at_service(tags: Mapping[str, str], token: str, *, identity_tag: bool) -> dict[str, str]:
    """Return the tags that an attachment carries at the service, the identity tag among them."""
    return {**tags, IDENTITY_TAG: token} if identity_tag else dict(tags)


def has_failed_upload(row: Known) -> bool:
    """Return whether the service created the attachment and then could not process it."""
    return row.state is State.FAILED and row.attachment_status is AttachmentStatus.FAILED


def may_exist(row: Known) -> bool:
    """Return whether an attachment of the row is at the service, or may be."""
    return row.is_live or row.state in OPEN


def is_to_be_bound(row: Known) -> bool:
    """Return whether the attachment can be put into the field of the row's `bind` now. A refusal is tried again."""
    return row.state is State.BINDING or has_failed_binding(row)


def has_failed_binding(row: Known) -> bool:
    """Return whether no more than the binding has failed."""
    return row.state is State.FAILED and row.bind_state is BindState.REFUSED


def is_absent(row: Known) -> bool:
    """Return whether the service did not find the attachment, without having called it deleted."""
    return row.state is State.FAILED and row.fault is not None and row.fault.code == ABSENT


def is_unsent(item: Item, rows: BatchRows) -> bool:
    """Return whether the ledger holds no attachment of an item and no open intent."""
    row = rows.by_token.get(item.client_token)
    return row is None or (not may_exist(row) and row.attachment_id is None)


def is_half_retagged(live: Known, current: Known | None) -> bool:
    """Return whether a run was cut off, or refused, while it gave a live row the tags of its id's current token."""
    if current is None or current.client_token == live.client_token or not live.is_live:
        return False
    same = (current.content, current.generation) == (live.content, live.generation)
    return same and current.attachment_id is None and current.state in (State.PENDING, State.FAILED)


# the tokens of an item: its own, and those of its retries after UPLOAD_FAILED


def with_retry(item: Item, retry: int) -> Item:
    """Return the item under the token of a retry, 1 to RETRIES_MAX."""
    token = client_token(
        batch=item.batch,
        item_id=item.item_id,
        content=item.content,
        generation=item.generation,
        tags=item.tags,
        retry=retry,
    )
    return item._replace(client_token=token)


def latest_retry(item: Item, rows: BatchRows) -> tuple[Item, int]:
    """Return the item under the token of its last retry that the ledger has, and its number; 0 for its own token."""
    own = rows.by_token.get(item.client_token)
    count = rows.counts.get((item.item_id, item.content, item.generation), 0)
    if count > (own is not None) and (own is None or not may_exist(own)):
        for retry in range(RETRIES_MAX, 0, -1):
            again = with_retry(item, retry)
            if again.client_token in rows.by_token:
                return again, retry
    return item, 0


def latest_try(item: Item, rows: BatchRows) -> Item:
    """Return the item under the token that counts for it now. Applied to its own result, it changes nothing.

    That is the token of its last retry in the ledger, else its own. If that has made nothing and a higher generation
    with the same content and tags is at the service, it is the token and generation of that one.
    """
    latest, _ = latest_retry(item, rows)
    row = rows.by_token.get(latest.client_token)
    higher = rows.current.get(item.item_id)
    if (row is not None and may_exist(row)) or higher is None or not higher.is_live:
        return latest
    if higher.generation <= item.generation or higher.content != item.content or dict(higher.tags) != dict(item.tags):
        return latest
    return item._replace(client_token=higher.client_token, generation=higher.generation)


def next_try(item: Item, rows: BatchRows) -> Item:
    """Return the item under the token that the next run sends or looks up: after UPLOAD_FAILED the next retry's."""
    latest = latest_try(item, rows)
    row = rows.by_token.get(latest.client_token)
    if row is None or not has_failed_upload(row):
        return latest
    retry = latest_retry(item, rows)[1] + 1
    return with_retry(item, retry) if retry <= RETRIES_MAX else latest


def carried_tries(items: Sequence[Item], carried: Collection[str], rows: BatchRows) -> list[Item]:
    """Return the items whose tokens are among `carried`, once for each token: own tokens first, then retries.

    Tokens of retries are computed only if `carried` has tokens that no row explains: they cost three hashes an item.
    """
    found = [item for item in items if item.client_token in carried]
    explained = {item.client_token for item in found}
    explained |= {token for token, row in rows.by_token.items() if row.attachment_id is not None}
    unexplained = frozenset(carried) - explained
    if not unexplained:
        return found
    unfinished = [item for item in items if (row := rows.by_token.get(item.client_token)) is None or not row.is_live]
    for retry in range(1, RETRIES_MAX + 1):
        tries = (with_retry(item, retry) for item in unfinished)
        found.extend(each for each in tries if each.client_token in unexplained)
    return found


# the row of an item


def row_of(item: Item, rows: BatchRows) -> Known | None:
    """Return the row that counts for an item: of its latest try, or, if that made nothing that lasts, the live row of
    the same document with other tags."""
    same = rows.by_token.get(latest_try(item, rows).client_token)
    if same is not None and may_exist(same):
        return same
    return rows.live.get((item.item_id, item.content, item.generation)) or same


def shown_row(item: Item, rows: BatchRows) -> Known | None:
    """Return what is reported of an item: `row_of`, but `failed` while the service refuses the item's tags."""
    row = row_of(item, rows)
    return None if row is None else with_refused_tags(row, rows.current.get(item.item_id))


def shown_row_of_id(rows: Sequence[Known]) -> Known | None:
    """Return what is reported of an id by the ledger alone: as `shown_row`, for the tags that were enlisted last.

    `rows` are of all tokens of the id. None if none of them is current.
    """
    current = next((row for row in rows if row.current), None)
    if current is None:
        return None
    return with_refused_tags(next((row for row in rows if is_half_retagged(row, current)), current), current)


def with_refused_tags(row: Known, current: Known | None) -> Known:
    """Return the row as `failed` if a change of its tags to those of the current token was refused."""
    if current is None or current.state is not State.FAILED or not is_half_retagged(row, current):
        return row
    return row._replace(state=State.FAILED, fault=current.fault)


def with_retries_counted(rows: Sequence[Known], known: Iterable[Known]) -> list[Known]:
    """Return the rows; where an attachment ended as UPLOAD_FAILED, with `retries` among the fields of its fault.

    That is the number of its retries: rows among `known` that differ in nothing but the token.
    """
    failed = {row.item_id for row in rows if has_failed_upload(row)}
    tries = Counter((each.item_id, *_recipe(each)) for each in (known if failed else ()) if each.item_id in failed)

    def counted(row: Known) -> Known:
        if row.fault is None or not has_failed_upload(row):
            return row
        retries = max(0, tries[row.item_id, *_recipe(row)] - 1)
        return row._replace(fault=replace(row.fault, fields=(("retries", str(retries)),)))

    return [counted(row) for row in rows]


def _recipe(row: Known) -> tuple[str, int, frozenset[tuple[str, str]]]:
    return row.content, row.generation, frozenset(row.tags.items())


# the states of all items


def state_of_row(row: Known | None) -> State:
    """Return the state of an item by its row. An item without a row was not sent yet."""
    return State.PENDING if row is None else row.state


class States(Mapping[str, State]):
    """The state of each item, by its id. Only those that are not complete are stored, for manifests of a million."""

    def __init__(self, items: Sequence[Item], others: Mapping[str, State]) -> None:
        self._items = items
        self._others = others

    @cached_property
    def _ids(self) -> dict[str, None]:
        return dict.fromkeys(item.item_id for item in self._items)

    def __getitem__(self, item_id: str) -> State:
        found = self._others.get(item_id)
        if found is None and item_id not in self._ids:
            raise KeyError(item_id)
        return found or State.COMPLETE

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._items)

    def counted(self) -> Counter[State]:
        """Return how many items are in each state."""
        counts = Counter(self._others.values())
        counts[State.COMPLETE] += len(self._items) - len(self._others)
        return +counts
