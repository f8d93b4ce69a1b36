"""Retries after UPLOAD_FAILED: which of them the service shows, and how many there were. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from batch_upload.engine.rows import BatchRows, has_failed_upload, with_retry
from batch_upload.model import LIVE, Item, Known
from batch_upload.token import RETRIES_MAX


def with_retries_counted(rows: Sequence[Known], known: Iterable[Known]) -> list[Known]:
    """The rows, where an attachment ended as UPLOAD_FAILED with `retries` among the fields of its fault: how many there
    were, by the tokens among `known` that differ in nothing else."""
    failed = {row.item_id for row in rows if has_failed_upload(row)}
    by_id: dict[str, list[Known]] = {item_id: [] for item_id in failed}
    for each in known if failed else ():
        if each.item_id in failed:
            by_id[each.item_id].append(each)

    def counted(row: Known) -> Known:
        if row.fault is None or not has_failed_upload(row):
            return row
        retries = sum(_recipe(each) == _recipe(row) for each in by_id[row.item_id]) - 1
        return row._replace(fault=replace(row.fault, fields=(("retries", str(max(0, retries))),)))

    return [counted(row) for row in rows]


def _recipe(row: Known) -> tuple[str, int, dict[str, str]]:
    return row.content, row.generation, dict(row.tags)


def carried_tries(items: Sequence[Item], carried: Collection[str], knowledge: BatchRows) -> list[Item]:
    """The items whose tokens are among `carried`, once for each token: their own, then those of their retries.

    The tokens of retries are computed only where `carried` has some that belong to nothing that is known: a hundred
    thousand items would cost three hashes each.
    """
    found = [item for item in items if item.client_token in carried]
    claimed = {item.client_token for item in found}
    claimed |= {token for token, row in knowledge.by_token.items() if row.attachment_id is not None}
    unclaimed = frozenset(carried) - claimed
    if not unclaimed:
        return found
    for retry in range(1, RETRIES_MAX + 1):
        tries = (with_retry(item, retry) for item in items if not _is_live(item, knowledge))
        found.extend(each for each in tries if each.client_token in unclaimed)
    return found


def _is_live(item: Item, knowledge: BatchRows) -> bool:
    row = knowledge.by_token.get(item.client_token)
    return row is not None and row.state in LIVE
