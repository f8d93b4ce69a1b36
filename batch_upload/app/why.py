"""`why`: everything that manifest and ledger know of one item. Makes no request."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.actions import Action
from batch_upload.app.exits import lane_summary
from batch_upload.app.items import look_into
from batch_upload.app.lanes import ListedPart, listed_lanes
from batch_upload.app.ledger_alone import ledger_parts, refuse_batch
from batch_upload.app.ledger_view import RUNS_LOOKED_AT, hold_of, refusal_of, state_of_unread
from batch_upload.clock import counting_s
from batch_upload.documents.refusals import Refusal
from batch_upload.engine.plan import LaneOutlook, plan_items
from batch_upload.engine.rows import BatchRows, latest_try, shown_row, shown_row_of_id, state_of_row
from batch_upload.errors import UsageError
from batch_upload.ledger import is_ledger_file
from batch_upload.ledger_address import LedgerAddress, PostgresUrl, named_address
from batch_upload.model import Item, Known, Lane, Listed, Manifest, OutcomeKind, Problem, State
from batch_upload.ports import LedgerReader
from batch_upload.records import BindRecord, LaneHold, TokenHistory
from batch_upload.settings import RunOptions, Settings
from batch_upload.spelling import id_hint
from batch_upload.summary import Summary
from batch_upload.targets import Target, id_in_lane
from batch_upload.token import RETRIES_MAX, client_token

SUGGESTED = 3


@dataclass(frozen=True, slots=True)
class ItemHistory:
    """What manifest and ledger know of an id."""

    summary: Summary
    item_id: str
    manifest: Manifest
    target: Target
    settings: Settings
    lane: Lane | None
    state: State
    current: TokenHistory | None
    """The token that is reported of the id; None if the ledger does not know it."""
    earlier: Sequence[TokenHistory]
    """Every other token of the id, oldest first."""
    item: Item | None
    """The item as the manifest has it now, under the token of its last retry; None if the manifest no longer lists it
    or its file cannot be sent."""
    retry: int
    """The number of the retry that the token of `item` is of."""
    unreadable: Refusal | Problem | None
    """Why its file cannot be sent, or what is wrong with its entry."""
    unmatched: Sequence[Problem]
    """Globs of the manifest that match no file: as long as there is one, `upload` sends nothing."""
    refusal: str
    """Why `upload` refuses this ledger, as its last run said; empty if it does not."""
    action: Action | None
    """What `upload` would do for it, if nothing of the above prevents it; None for nothing."""
    is_ledger_alone: bool
    """Whether the manifest was not read: then nothing is known of what it lists, nor of the file."""
    hold: LaneHold | None
    """Who holds the lane, or held it last, where several hosts share the ledger."""
    is_new: bool
    """Whether the ledger has never listed its lane: the item may be at the service although the ledger has nothing."""


async def why(manifest: str | LedgerAddress, item_id: str, options: RunOptions | None = None) -> ItemHistory:
    """Return the whole history of one item, and what `upload` would do for it. Only its own file is read, in a thread.

    In a manifest with `targets`, `acme/us-east-1:ID` is the item of one lane. Raises UsageError for an id that neither
    manifest nor ledger know, or that is in several lanes, or in several batches of a ledger in place of the manifest;
    ManifestInvalid and LedgerUnusable.
    """
    work = partial(why_sync, named_address(manifest), item_id, options or RunOptions())
    found = await to_thread.run_sync(work, abandon_on_cancel=True)
    if len(found) > 1:
        label = found[0].target.label
        if len({each.target.label for each in found}) < len(found):
            raise UsageError(f"`{item_id}` is an id in several batches", hint="choose by `batch` of the options")
        hint = f"name one of them, such as `{label}:{found[0].item_id}`, or choose by `targets` of the options"
        raise UsageError(f"`{item_id}` is an id in {len(found)} lanes", hint=hint)
    return found[0]


@dataclass(frozen=True, slots=True)
class LaneRows:
    """One lane of a manifest, and what the ledger has of it. `known` are all tokens of the batch."""

    manifest: Manifest
    part: ListedPart
    item_id: str
    """The item as this lane names it."""
    known: Sequence[Known] = ()
    tokens: Sequence[TokenHistory] = ()
    lane: Lane | None = None
    refusal: str = ""
    is_new: bool = True
    hold: LaneHold | None = None
    is_ledger_alone: bool = False

    @property
    def wanted(self) -> Listed | None:
        """The item as the manifest lists it."""
        return next((each for each in self.part.listed if each.item_id == self.item_id), None)

    @property
    def has_item(self) -> bool:
        """Whether the manifest or the ledger has the item in this lane."""
        return bool(self.tokens) or self.wanted is not None or self.problem is not None

    @property
    def problem(self) -> Problem | None:
        """What is wrong with the entry of the item."""
        return next((problem for listed, problem in self.part.invalid if listed.item_id == self.item_id), None)


def why_sync(path: LedgerAddress, item_id: str, options: RunOptions) -> tuple[ItemHistory, ...]:
    """As `why`, but for each lane that has the item. Blocking: not for the thread of an event loop."""
    started = counting_s()
    if isinstance(path, PostgresUrl) or is_ledger_file(path):
        lanes, unmatched = _rows_of_ledger(path, item_id, options)
    else:
        refuse_batch(path, options)
        lanes, unmatched = _rows(path, item_id, options)
    is_ledger_alone = any(each.is_ledger_alone for each in lanes)
    found = [each for each in lanes if each.has_item]
    if not found:
        ids = {each.item_id for rows in lanes for each in rows.part.listed}
        ids |= {each.item_id for rows in lanes for each, _ in rows.part.invalid}
        ids |= {row.item_id for each in lanes for row in each.known}
        close = " or ".join(f"`{each}`" for each in difflib.get_close_matches(item_id, sorted(ids), n=SUGGESTED))
        hint = f"did you mean {close}?" if close else "`report` lists the ids"
        where = f"`{path}`" if is_ledger_alone else f"`{path}`, nor of its ledger"
        raise UsageError(f"`{item_id}` is no id of {where}", hint=id_hint(item_id, ids) or hint)
    return tuple(_history(each, unmatched, started=started) for each in found)


def _rows(path: Path, item_id: str, options: RunOptions) -> tuple[list[LaneRows], Sequence[Problem]]:
    """Read each lane of a manifest, and why `upload` sends nothing of it."""
    with listed_lanes(path, options) as (manifest, unmatched, listed):
        lanes = [_lane_rows(manifest, part, reader, id_in_lane(item_id, part.target)) for part, reader in listed]
    return lanes, unmatched


def _rows_of_ledger(path: LedgerAddress, item_id: str, options: RunOptions) -> tuple[list[LaneRows], Sequence[Problem]]:
    """Read each batch of each lane of a ledger that takes the place of a manifest."""
    with ledger_parts(path, options) as parts:
        lanes = [
            _lane_rows(
                part.manifest,
                ListedPart(part.target, part.settings, ()),
                part.reader,
                id_in_lane(item_id, part.target),
            )
            for part in parts
        ]
    return [replace(each, is_ledger_alone=True) for each in lanes], ()


def _lane_rows(manifest: Manifest, part: ListedPart, reader: LedgerReader | None, item_id: str) -> LaneRows:
    """Read what the ledger has of a lane; `reader` is None where the ledger does not have the lane."""
    if reader is None:
        return LaneRows(manifest, part, item_id)
    known = reader.known(manifest.batch)
    uploaders = reader.uploaders(manifest.batch, [item_id])
    tokens = []
    for row in known:
        if row.item_id == item_id:
            binds = reader.bind_attempts(row.client_token) if row.bind is not None else []
            since = _complete_since(row, binds) or reader.since(row.client_token)
            attempts, uploader = reader.attempts(row.client_token), uploaders.get(row.attachment_id or "")
            tokens.append(TokenHistory(row, retry_of(row, manifest.batch), since, attempts, uploader, binds))
    refusal = refusal_of(reader.runs(manifest.batch, limit=RUNS_LOOKED_AT))
    is_new = reader.listed_at() is None
    return LaneRows(manifest, part, item_id, known, tokens, reader.lane(), refusal, is_new, hold_of(reader))


def _complete_since(row: Known, binds: Sequence[BindRecord]) -> datetime | None:
    """Return when an item was last put into its field; None for one without a field, or that is not complete.

    What the ledger has as the time of its last change may be when a denial was read, or another attachment was bound.
    """
    if row.state is not State.COMPLETE:
        return None
    return max(
        (bind.ended_at for bind in binds if bind.kind is OutcomeKind.ACCEPTED and bind.ended_at is not None),
        default=None,
    )


def _history(rows: LaneRows, unmatched: Sequence[Problem], *, started: float) -> ItemHistory:
    """Return the history of the item in one lane, with a look into its file."""
    manifest, wanted, tokens, settings = rows.manifest, rows.wanted, rows.tokens, rows.part.settings
    knowledge = BatchRows.of(rows.known)
    found: Item | Refusal | Problem | None = rows.problem
    if wanted is not None:
        found = look_into(wanted, settings, manifest.folder)
    item = found if isinstance(found, Item) else None
    made = plan_items(
        [] if item is None else [item], knowledge, LaneOutlook(datetime.now(UTC)), is_part=rows.is_ledger_alone
    )
    row = shown_row_of_id([each.known for each in tokens]) if item is None else shown_row(item, knowledge)
    token = None if row is None else row.client_token
    current = next((replace(each, known=row) for each in tokens if row and each.known.client_token == token), None)
    latest = None if item is None else latest_try(item, knowledge)
    known = None if current is None else current.known
    state = state_of_unread(known) if isinstance(found, Refusal | Problem) else state_of_row(known)
    return ItemHistory(
        lane_summary("why", rows.lane, {state: 1}, batch=manifest.batch, items=1, started=started),
        rows.item_id,
        manifest,
        rows.part.target,
        settings,
        rows.lane,
        state=state,
        current=current,
        earlier=[each for each in tokens if current is None or each.known.client_token != token],
        item=latest,
        retry=0 if latest is None else retry_of(latest, manifest.batch),
        unreadable=found if isinstance(found, Refusal | Problem) else None,
        unmatched=unmatched,
        refusal=rows.refusal,
        action=next((each for each in made.actions if each.item_id == rows.item_id), None),
        is_ledger_alone=rows.is_ledger_alone,
        hold=rows.hold,
        is_new=rows.is_new,
    )


def retry_of(each: Known | Item, batch: str) -> int:
    """Return the number of the retry that a token is of, by making the token of each; 0 if it is of none."""
    made_of = partial(
        client_token,
        batch=batch,
        item_id=each.item_id,
        content=each.content,
        generation=each.generation,
        tags=each.tags,
    )
    retries = range(1, RETRIES_MAX + 1)
    return next((retry for retry in retries if made_of(retry=retry) == each.client_token), 0)
